"""Hierarchical backbones: which methods work on them, how they start, and the authors' weight files."""

import re
from pathlib import Path

import pytest
import torch
from timm.models import SwinTransformer
from torch import Tensor
from torch.nn import functional

from bench.train.network import build_on_meta
from methods import METHODS, Unsupported
from methods.backbones.chain import steps_of
from methods.backbones.registry import Backbone, find, prepare
from methods.backbones.weights import WeightsError
from methods.recipe import Recipe
from methods.spec import parse
from tests.methods.small import CLASSES, batch, learning

TINY = "swin_tiny_patch4_window7_224"
HIERARCHICAL = [name for name, method in METHODS.items() if SwinTransformer in method.backbones]


@pytest.fixture
def swin() -> SwinTransformer:
    torch.manual_seed(0)
    network = SwinTransformer(img_size=32, patch_size=2, embed_dim=8, depths=(2, 2), num_heads=(1, 2))
    return prepare(network.requires_grad_(False).eval(), CLASSES, "normal", 0.0, 0.0)


def test_its_steps_are_the_network_and_hold_every_parameter(swin: SwinTransformer) -> None:
    images, _ = batch(2)
    expected = swin(images)
    steps = steps_of(swin)
    for step in steps:
        images = step.run(images)
    torch.testing.assert_close(images, expected)
    assert sorted(id(p) for step in steps for p in step.parameters()) == sorted(map(id, swin.parameters()))


def test_the_authors_method_and_the_plain_ones_work_on_it() -> None:
    assert {"full", "linear", "bitfit", "lora", "dtl", "dtl_plus"} <= set(HIERARCHICAL)


@pytest.mark.parametrize("name", HIERARCHICAL)
def test_a_method_for_it_starts_as_the_backbone_and_learns(name: str, swin: SwinTransformer) -> None:
    images, labels = batch(2)
    expected = swin(images)
    network = parse(f"{name}:start=2" if name.startswith("dtl") else name)[0].attach(swin).eval()
    logits = network(images)
    torch.testing.assert_close(logits, expected)
    functional.cross_entropy(logits, labels).backward()
    idle = [p for p in learning(network) if p.grad is None]
    assert not idle or name == "dtl_plus"  # its kernels of stages without an injection stay as they are


@pytest.mark.parametrize("name", sorted(METHODS.keys() - set(HIERARCHICAL)))
def test_the_others_say_so(name: str) -> None:
    with pytest.raises(Unsupported, match="is made for plain vision transformers"):
        build_on_meta(find(f"random:{TINY}"), parse(name)[0], CLASSES, Recipe())


def published(network: SwinTransformer) -> dict[str, Tensor]:
    """The tensors as the authors' release has them: patches merge at a stage's end, buffers are among the weights."""
    names = {key: re.sub(r"layers\.(\d)\.downsample", _one_less, key) for key in network.state_dict()}
    tensors = {names[key].replace("head.fc.", "head."): value for key, value in network.state_dict().items()}
    buffers = {
        "layers.0.blocks.0.attn.relative_position_index": torch.zeros(49, 49),
        "layers.0.blocks.1.attn_mask": torch.zeros(64, 49, 49),
    }
    return tensors | buffers | {"head.weight": torch.zeros(21841, 768), "head.bias": torch.zeros(21841)}


def _one_less(match: re.Match[str]) -> str:
    return f"layers.{int(match[1]) - 1}.downsample"


def test_the_authors_file_is_read_tensor_by_tensor(tmp_path: Path) -> None:
    torch.manual_seed(5)
    source = find(f"random:{TINY}").load()
    torch.save({"model": published(source)}, tmp_path / "swin.pth")
    loaded = Backbone("local", TINY, tmp_path / "swin.pth", "").load()
    for key, value in source.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key


def test_a_file_of_another_network_is_refused(tmp_path: Path) -> None:
    tensors = published(find(f"random:{TINY}").load())
    del tensors["layers.0.downsample.norm.weight"]
    torch.save({"model": tensors}, tmp_path / "swin.pth")
    with pytest.raises(WeightsError, match=r"lacks layers\.1\.downsample\.norm\.weight"):
        Backbone("local", TINY, tmp_path / "swin.pth", "").load()
