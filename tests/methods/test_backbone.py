"""Backbones: rows are found by name, load frozen, and get the head and the regularisation that the recipe names."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor

from methods.backbones.chain import chain_of
from methods.backbones.families import FAMILIES
from methods.backbones.registry import BACKBONES, EMBEDDED, find, listing, prepare, resized, search
from methods.backbones.weights import WeightsError

ROOT = Path(__file__).resolve().parents[2]


def test_the_embedded_checkpoint_loads_frozen() -> None:
    vit = find("demo").load()
    assert not any(parameter.requires_grad for parameter in vit.parameters())
    assert not vit.training
    assert vit(torch.zeros(1, 3, 32, 32)).shape == (1, 96)
    assert find("demo").image_size == 32
    assert EMBEDDED.stat().st_size <= 6_000_000


def test_random_weights_follow_the_seed() -> None:
    def weights(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return find("random:demo").load().blocks[3].mlp.fc1.weight

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))
    assert not weights(0).requires_grad


def test_a_row_is_found_by_its_name_and_by_its_architecture(tmp_path: Path) -> None:
    assert find("demo") is BACKBONES["demo"]
    assert find("vit_base_patch16_224").name == "vit_base_patch16_224.orig_in21k"
    assert find(f"vit_base_patch16_224.augreg_in21k={tmp_path / 'file.npz'}").weights == tmp_path / "file.npz"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dmeo", "no backbone 'dmeo'; did you mean 'demo'? see: python bench.py list backbones"),
        ("vit_base_patch16_224.orig_in21", "no backbone 'vit_base_patch16_224.orig_in21'; did you mean 'vit_base"),
        ("resnet50=file.npz", "resnet50 is none of the transformers that methods can change; see: "),
        (
            "vit_base_patch16_xp_224",
            "timm has no weights of vit_base_patch16_xp_224; write ",
        ),
        ("", "no backbone ''; see: "),
    ],
)
def test_an_unknown_backbone_is_named_with_the_closest(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        find(text)


@pytest.mark.parametrize("name", ["vit_base_patch16_22", "deit_tiny_distilled_patch16_224", "resnet50", ""])
def test_an_unknown_network_is_named_shortly(name: str) -> None:
    with pytest.raises(ValueError, match=re.escape(name) or "^no ") as caught:
        find(f"random:{name}").load()
    assert "list backbones" in str(caught.value)
    assert len(str(caught.value)) < 200


def test_a_network_of_timm_is_named_with_its_weights() -> None:
    assert find("vit_small_patch16_224").name == "vit_small_patch16_224.augreg_in21k_ft_in1k"
    clip = find("vit_large_patch14_clip_224.openai")
    assert (clip.name, clip.weights, clip.image_size) == ("vit_large_patch14_clip_224.openai", "timm", 224)
    assert clip.statistics[0][0] == 0.48145466
    assert find("vit_base_patch14_dinov2.lvd142m").image_size == 518
    assert all(row.interpolation == "bicubic" for row in BACKBONES.values())
    assert {find(name).interpolation for name, _ in search("flexivit_small.1200ep_in1k")} == {"bicubic"}


def test_another_image_size_is_part_of_the_name_and_resizes_positions() -> None:
    small = find("random:vit_small_patch14_dinov2@224")
    assert (small.name, small.image_size) == ("random:vit_small_patch14_dinov2@224", 224)
    assert resized(find("vit_small_patch14_dinov2"), 224) == find("vit_small_patch14_dinov2@224")
    assert small.build_on_meta().pos_embed.shape == (1, 257, 384)
    with pytest.raises(ValueError, match=r"images of 225 pixels do not fit .*, whose patches have 14; give 224"):
        find("random:vit_small_patch14_dinov2@225").build_on_meta()
    with pytest.raises(ValueError, match="has images of 224 pixels, not of 238; give one size"):
        resized(small, 238)


def test_the_listing_has_the_rows_first_and_an_example_that_exists_of_each_family() -> None:
    names = [name for name, _ in listing()]
    assert names[: len(BACKBONES)] == list(BACKBONES)
    for family in FAMILIES:
        found = [name.removeprefix("random:") for name, _ in search(family.search)]
        assert family.example in found, family.title
        assert family.example in names


@pytest.mark.parametrize("name", BACKBONES)
def test_every_row_has_a_network_and_statistics(name: str) -> None:
    row = BACKBONES[name]
    assert len(chain_of(row.build_on_meta())) == (24 if name.startswith("swin_base") else 12)
    assert [len(values) for values in row.statistics] == [3, 3]


@pytest.mark.parametrize(
    ("head", "deviation", "bias"),
    [("linear", 1 / (3 * 96) ** 0.5, None), ("normal", 0.02, 0.0), ("prior", 0.2, -4.595)],
)
def test_heads_start_as_in_the_sources(head: str, deviation: float, bias: float | None) -> None:
    torch.manual_seed(0)
    classifier = prepare(find("random:demo").load(), 50, head, 0.0, 0.0).head
    assert classifier.weight.std().item() == pytest.approx(deviation, rel=0.05)
    if bias is not None:
        assert classifier.bias.tolist() == pytest.approx([bias] * 50, abs=1e-3)
    assert all(parameter.requires_grad for parameter in classifier.parameters())


def test_stochastic_depth_rises_linearly_and_dropout_is_where_vpt_has_it() -> None:
    vit = prepare(find("random:demo").load(), 5, "normal", drop_path=0.11, dropout=0.2)
    rates = [getattr(block.drop_path1, "drop_prob", 0.0) for block in vit.blocks]
    assert rates == pytest.approx([0.01 * i for i in range(12)])
    assert rates == [getattr(block.drop_path2, "drop_prob", 0.0) for block in vit.blocks]
    dropped = {name for name, module in vit.named_modules() if getattr(module, "p", 0) == 0.2}
    assert dropped == {"pos_drop"} | {f"blocks.{i}.mlp.drop{j}" for i in range(12) for j in (1, 2)}


def test_weights_that_cannot_be_fetched_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no route to host\nsecond line")

    monkeypatch.setattr(timm, "create_model", fail)
    for name in ("HF_ENDPOINT", "HF_HUB_OFFLINE", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    said = r"could not be fetched \(no route to host\); call again .*; or give a local file with --backbone"
    with pytest.raises(WeightsError, match=said):
        find("vit_base_patch16_224").load()


BROKEN = {  # variables, their values, and what is said
    "ALL_PROXY": ("socks5://127.0.0.1:9", r"SOCKS proxy, .* socksio is missing\); unset ALL_PROXY, or: pip install"),
    "HTTPS_PROXY": ("ftp://127.0.0.1:9", r"proxy ftp://127.0.0.1:9 cannot be used\); unset HTTPS_PROXY"),
    "HF_ENDPOINT": ("hub.example", r"HF_ENDPOINT='hub.example' is no address\); write https://HOST"),
    "HF_HUB_OFFLINE": ("1", r"HF_HUB_OFFLINE is set\); unset it"),
}
FORKED = """
import os
import torchvision  # takes long to import, and reads none of the variables
for variable, (value, _) in BROKEN.items():
    if not os.fork():
        os.environ[variable] = value
        from tests.bench.called import called
        for words in WORDS:
            done = called(*words)
            print(variable, done.returncode, *done.stderr.split(), flush=True)
        os._exit(0)
    os.wait()
"""


def test_every_failure_of_a_network_is_one_sentence(tmp_path: Path) -> None:
    """Of a data set and of weights; in new processes, since the hub's library reads the variables when imported."""
    others = ("HF_ENDPOINT", "HF_HUB_OFFLINE", "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")
    own = {key: text for key, text in os.environ.items() if key.upper() not in (*others, "NO_PROXY")}
    own |= {"HF_HOME": str(tmp_path / "hf"), "OMP_NUM_THREADS": "1"}
    fetch = ["data", "fetch", "vtab", "--data", str(tmp_path / "data")]
    load = ["--backbone", "vit_base_patch16_224", "--tasks", "digits", "--results", str(tmp_path / "r")]
    program = f"BROKEN, WORDS = {BROKEN}, {(fetch, load)}\n{FORKED}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=own, cwd=ROOT)
    lines = done.stdout.splitlines()
    starts = [f"{variable} 2" for variable in BROKEN for _ in range(2)]
    assert [" ".join(line.split()[:2]) for line in lines] == starts, done.stdout + done.stderr
    for line in lines:
        assert re.search(BROKEN[line.split()[0]][1], line)
