"""Weight files in the published layouts are read exactly; anything else is refused by name."""

import argparse
import json
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from timm.models import VisionTransformer
from torch import Tensor

from methods.backbones.normalisation import parse_normalise
from methods.backbones.registry import Backbone, find
from methods.backbones.weights import WeightsError

ARCHITECTURE = "test_vit"
Tensors = dict[str, Tensor]


@pytest.fixture(scope="module")
def published() -> VisionTransformer:
    """A network as a checkpoint's authors had it: with a head, and no weight at its default."""
    torch.manual_seed(11)
    vit = timm.create_model(ARCHITECTURE, num_classes=7).eval()
    for parameter in vit.parameters():
        parameter.data.add_(torch.randn_like(parameter), alpha=0.05)
    return vit


@pytest.fixture
def tensors(published: VisionTransformer) -> Tensors:
    return dict(published.state_dict())


def local(path: Path) -> Backbone:
    return Backbone("local", ARCHITECTURE, path, "a file of the test")


def google(tensors: Tensors, heads: int) -> dict[str, np.ndarray]:
    """Make the arrays of Google's layout."""
    depth = 1 + max(int(key.split(".")[1]) for key in tensors if key.startswith("blocks."))
    width = tensors["cls_token"].shape[-1]
    arrays = {
        "cls": tensors["cls_token"],
        "embedding/kernel": tensors["patch_embed.proj.weight"].permute(2, 3, 1, 0),
        "embedding/bias": tensors["patch_embed.proj.bias"],
        "Transformer/posembed_input/pos_embedding": tensors["pos_embed"],
        "Transformer/encoder_norm/scale": tensors["norm.weight"],
        "Transformer/encoder_norm/bias": tensors["norm.bias"],
        "pre_logits/kernel": torch.ones(width, width),
        "pre_logits/bias": torch.ones(width),
        "head/kernel": tensors["head.weight"].T,
        "head/bias": tensors["head.bias"],
    }
    for i in range(depth):
        block = {key.removeprefix(f"blocks.{i}."): value for key, value in tensors.items() if f"blocks.{i}." in key}
        to, attention = f"Transformer/encoderblock_{i}", "MultiHeadDotProductAttention_1"
        for j, part in enumerate(("query", "key", "value")):
            rows = slice(j * width, (j + 1) * width)
            arrays[f"{to}/{attention}/{part}/kernel"] = block["attn.qkv.weight"][rows].T.reshape(width, heads, -1)
            arrays[f"{to}/{attention}/{part}/bias"] = block["attn.qkv.bias"][rows].reshape(heads, -1)
        arrays[f"{to}/{attention}/out/kernel"] = block["attn.proj.weight"].T.reshape(heads, -1, width)
        arrays[f"{to}/{attention}/out/bias"] = block["attn.proj.bias"]
        for j in (0, 1):
            arrays[f"{to}/MlpBlock_3/Dense_{j}/kernel"] = block[f"mlp.fc{j + 1}.weight"].T
            arrays[f"{to}/MlpBlock_3/Dense_{j}/bias"] = block[f"mlp.fc{j + 1}.bias"]
            arrays[f"{to}/LayerNorm_{2 * j}/scale"] = block[f"norm{j + 1}.weight"]
            arrays[f"{to}/LayerNorm_{2 * j}/bias"] = block[f"norm{j + 1}.bias"]
    return {key: value.contiguous().numpy() for key, value in arrays.items()}


def as_npz(tensors: Tensors, path: Path) -> None:
    np.savez(path, **google(tensors, heads=2))


def as_safetensors(tensors: Tensors, path: Path) -> None:
    safetensors.torch.save_file(tensors, path)


def as_pth(tensors: Tensors, path: Path) -> None:
    torch.save(tensors, path)


def as_wrapped(wrapper: str) -> Callable[[Tensors, Path], None]:
    return lambda tensors, path: torch.save({wrapper: tensors, "epoch": 300}, path)


WRITERS = {
    "google.npz": as_npz,
    "timm.safetensors": as_safetensors,
    "plain.pth": as_pth,
    "model.pth": as_wrapped("model"),
    "state.pt": as_wrapped("state_dict"),
}
every_layout = pytest.mark.parametrize("name", WRITERS)


def write(tensors: Tensors, folder: Path, name: str) -> Path:
    WRITERS[name](tensors, folder / name)
    return folder / name


@every_layout
def test_the_network_of_a_file_is_the_published_one(
    published: VisionTransformer, tensors: Tensors, tmp_path: Path, name: str
) -> None:
    vit = local(write(tensors, tmp_path, name)).load()
    images = torch.randn(2, 3, 160, 160, generator=torch.Generator().manual_seed(0))
    vit.reset_classifier(7)
    vit.head.load_state_dict(published.head.state_dict())
    torch.testing.assert_close(vit(images), published(images), rtol=0, atol=0)


@every_layout
def test_one_line_says_what_was_taken_and_what_was_dropped(
    tensors: Tensors, tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "methods.backbones.weights"):
        local(write(tensors, tmp_path, name)).load()
    extra = ", pre_logits.bias, pre_logits.kernel" if name.endswith("npz") else ""
    weight = "head.kernel" if name.endswith("npz") else "head.weight"
    assert caplog.messages == [f"{name}: {len(tensors) - 2} tensors; dropped: head.bias, {weight}{extra}"]


def test_a_checkpoint_in_half_precision_is_read_as_floats(tensors: Tensors, tmp_path: Path) -> None:
    path = write({key: value.half() for key, value in tensors.items()}, tmp_path, "timm.safetensors")
    assert {parameter.dtype for parameter in local(path).load().parameters()} == {torch.float32}


def test_positions_of_another_resolution_are_resized(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    other = timm.create_model(ARCHITECTURE, num_classes=0, img_size=96)
    ramp = torch.arange(36.0).view(1, 6, 6, 1).expand(1, 6, 6, 64)
    other.pos_embed.data = torch.cat([torch.full((1, 1, 64), 5.0), ramp.reshape(1, 36, 64)], dim=1)
    with caplog.at_level(logging.INFO, "methods.backbones.weights"):
        table = local(write(other.state_dict(), tmp_path, "timm.safetensors")).load().pos_embed
    assert "positions resized from 37 to 101" in caplog.text
    assert table.shape == (1, 101, 64)
    assert (table[:, 0] == 5).all()
    grid = table[0, 1:, 0].view(10, 10)
    assert (grid.diff(dim=0) > 0).all()  # the ramp goes down the rows
    assert (grid.diff(dim=1) >= 0).all()
    assert grid.mean().item() == pytest.approx(ramp.mean().item(), rel=1e-5)


def refused(path: Path) -> str:
    """The message with which a file is refused; it names the file and has one line."""
    with pytest.raises(WeightsError) as caught:
        local(path).load()
    message = str(caught.value)
    assert path.name in message
    assert "\n" not in message
    return message


@every_layout
@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(tensors: Tensors, tmp_path: Path, name: str, share: float) -> None:
    path = write(tensors, tmp_path, name)
    os.truncate(path, int(share * path.stat().st_size))
    assert "truncated, or not a" in refused(path)


@every_layout
@pytest.mark.filterwarnings("ignore:Detected pickle protocol 4")  # torch on the last of these
@pytest.mark.parametrize("content", [b"", b"<html>Not found</html>", bytes(range(256)) * 40, b"\x80\x04K\x01."])
def test_a_file_of_something_else_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name)


@pytest.mark.parametrize(
    "content", [5, [1, 2], "text", None, {}, {"model": 3}, {"a": 1}, {"model": {}}, {5: torch.ones(3)}, torch.ones(3)]
)
def test_a_pth_without_tensors_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "odd.pth")
    refused(tmp_path / "odd.pth")


@pytest.mark.parametrize("array", [np.ones(3), np.array(["text"])])
def test_a_bare_array_is_refused(tmp_path: Path, array: np.ndarray) -> None:
    with (tmp_path / "array.npz").open("wb") as file:
        np.save(file, array)
    refused(tmp_path / "array.npz")


def test_an_npz_of_text_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "text.npz", cls=np.array(["text"]))
    refused(tmp_path / "text.npz")


def test_an_npz_of_objects_is_refused_unread(tmp_path: Path) -> None:
    np.savez(tmp_path / "objects.npz", cls=np.array([Bomb(tmp_path)], dtype=object))
    refused(tmp_path / "objects.npz")
    assert not (tmp_path / "executed").exists()


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.folder / "executed"),)


@pytest.mark.parametrize("old_format", [True, False])
def test_code_in_a_pickle_is_refused_and_not_executed(tensors: Tensors, tmp_path: Path, old_format: bool) -> None:
    path = tmp_path / "bomb.pth"
    torch.save({**tensors, "extra": Bomb(tmp_path)}, path, _use_new_zipfile_serialization=not old_format)
    assert "holds something other than tensors and is not loaded" in refused(path)
    assert not (tmp_path / "executed").exists()


def without(tensors: Tensors, key: str) -> Tensors:
    return {name: value for name, value in tensors.items() if name != key}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: without(t, "norm.bias"), "lacks norm.bias"),
        (lambda t: {k: v for k, v in t.items() if "ks.2." not in k}, "lacks blocks.2.attn.proj.bias, .* and 10 more"),
        (lambda t: t | {"blocks.9.ls1.gamma": torch.ones(2)}, "has unknown blocks.9.ls1.gamma"),
        (lambda t: t | {"norm.weight": torch.ones(3)}, r"norm.weight is \[3\], the network wants \[64\]"),
        (lambda t: t | {"pos_embed": torch.ones(64)}, r"pos_embed is \[64\], the network wants \[1, 101, 64\]"),
        (lambda t: t | {"pos_embed": torch.ones(1, 31, 64)}, r"pos_embed is \[1, 31, 64\], the network wants"),
        (lambda t: t | {"pos_embed": torch.ones(1, 0, 64)}, r"pos_embed is \[1, 0, 64\], the network wants"),
        (lambda t: t | {"pos_embed": torch.ones(1, 1, 64)}, r"pos_embed is \[1, 1, 64\], the network wants"),
        (lambda t: t | {"pos_embed": torch.ones(1, 37, 60)}, r"pos_embed is \[1, 101, 60\], the network wants"),
        (lambda t: t | {"norm.bias": torch.full((64,), float("nan"))}, "norm.bias holds values that are not finite"),
        (lambda t: t | {"cls_token": torch.full((1, 1, 64), float("inf"))}, "cls_token holds values that are not"),
        (lambda t: {}, "lacks|no table|not a"),
    ],
)
@pytest.mark.parametrize("name", ["timm.safetensors", "model.pth"])
def test_tensors_that_do_not_fit_are_named(
    tensors: Tensors, tmp_path: Path, name: str, change: Callable[[Tensors], Tensors], message: str
) -> None:
    assert re.search(message, refused(write(change(tensors), tmp_path, name)))


@pytest.mark.parametrize("key", ["Transformer/encoderblock_1/MlpBlock_3/Dense_0/kernel", "cls", "embedding/kernel"])
def test_an_npz_without_a_tensor_names_it(tensors: Tensors, tmp_path: Path, key: str) -> None:
    arrays = google(tensors, heads=2)
    del arrays[key]
    np.savez(tmp_path / "some.npz", **arrays)
    assert key in refused(tmp_path / "some.npz")


@pytest.mark.parametrize("name", ["gone.npz", "gone.safetensors", "gone.pth", "gone.pt"])
def test_a_missing_file_is_refused(tmp_path: Path, name: str) -> None:
    assert refused(tmp_path / name).endswith("there is no such file")


def test_an_unknown_kind_of_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.h5").write_bytes(b"anything at all")
    assert refused(tmp_path / "weights.h5").endswith("known: .npz, .safetensors, .pth, .pt, .bin, .tar, .ckpt")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.npz").mkdir()
    refused(tmp_path / "folder.npz")


def test_the_digest_follows_the_content(tensors: Tensors, tmp_path: Path) -> None:
    one = local(write(tensors, tmp_path, "timm.safetensors")).digest()
    (tmp_path / "copy").mkdir()
    same = local(write(tensors, tmp_path / "copy", "timm.safetensors")).digest()
    other = local(write(tensors | {"norm.bias": torch.ones(64)}, tmp_path, "plain.pth")).digest()
    assert one == same != other
    assert find("random:demo").digest() is None
    with pytest.raises(WeightsError, match=r"gone.pth: there is no such file"):
        local(tmp_path / "gone.pth").digest()


def below(prefix: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {prefix + key: value for key, value in tensors.items()}


@pytest.mark.parametrize(
    "wrap",
    [
        below("module."),
        below("backbone."),
        lambda t: {"state_dict": below("module.")(t), "epoch": 3},
        lambda t: {"model": {"state_dict": t}},
        lambda t: {"state_dict": below("module.base_encoder.")(t) | below("module.momentum_encoder.")(t)},
        lambda t: {"teacher": below("backbone.")(t) | {"head.mlp.0.weight": torch.zeros(3)}, "student": below("a.")(t)},
        lambda t: {"model": t, "args": argparse.Namespace(rate=1.0), "optimizer": {"state": {}}},
        lambda t: {"model": t | {"mask_token": torch.zeros(1), "decoder_embed.weight": torch.zeros(4, 4)}},
    ],
)
@pytest.mark.parametrize("name", ["a.pth", "A.PTH", "b.pth.tar", "c.bin", "d.ckpt", "none"])
def test_a_network_is_found_in_what_it_is_wrapped_in(
    tensors: Tensors, tmp_path: Path, wrap: Callable[[Tensors], object], name: str
) -> None:
    torch.save(wrap(tensors), tmp_path / name)
    found = local(tmp_path / name).load().state_dict()
    assert all(torch.equal(value, tensors[key]) for key, value in found.items())


@pytest.mark.parametrize("prefix", ["params/", "opt/target/", ""])
def test_googles_layout_has_two_ages_and_several_wrappings(tensors: Tensors, tmp_path: Path, prefix: str) -> None:
    newer = {"Attention_1": "Attention_0", "MlpBlock_3": "MlpBlock_0", "LayerNorm_2": "LayerNorm_1"}
    newer["Transformer/posembed_input/pos_embedding"] = "pos_embedding"

    def renamed(key: str) -> str:
        for old, new in newer.items() if prefix == "params/" else ():  # as big_vision writes them
            key = key.replace(old, new)
        return prefix + key

    np.savez(tmp_path / "a.npz", **{renamed(key): value for key, value in google(tensors, heads=2).items()})
    found = local(tmp_path / "a.npz").load().state_dict()
    assert all(torch.equal(value, tensors[key]) for key, value in found.items())


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth", "w.npz"])
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer .*; run git lfs pull"),
        (b"\n <!DOCTYPE html><html>", "is a web page and not a weight file; download it anew"),
        (b"\x1f\x8b\x08\x00", "is a compressed archive; unpack it"),
        (b'{"architecture": "vit"}', "is a text file, .*; name the file with the weights"),
        (b"PK\x03\x04 half", "truncated, or not a .* file of weights .*; download it anew"),
    ],
)
def test_what_holds_no_weights_is_named_with_the_remedy(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert re.search(says, refused(tmp_path / name))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t | {"blocks.0.ls1.gamma": torch.ones(64)}, "it looks like .* with LayerScale, and you asked for"),
        (lambda t: t | {"reg_token": torch.ones(1, 4, 64)}, "it looks like .* with 4 register tokens"),
        (
            lambda t: {k.replace("norm.", "fc_norm.") if k[:5] == "norm." else k: v for k, v in t.items()},
            "mean pooling",
        ),
        (lambda t: below("a.")(t) | below("b.")(t), r"holds 2 networks \(a\., b\.\); save"),
    ],
)
def test_another_network_is_named_for_what_it_is(
    tensors: Tensors, tmp_path: Path, change: Callable[[Tensors], Tensors], says: str
) -> None:
    assert re.search(says, refused(write(change(tensors), tmp_path, "plain.pth")))


def row(path: Path, name: str = "vit_base_patch16_224") -> Backbone:
    return find(f"{name}={path}")


IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("config.json", {"pretrained_cfg": {"mean": IMAGENET[0], "std": IMAGENET[1]}}),
        ("preprocessor_config.json", {"image_mean": IMAGENET[0], "image_std": IMAGENET[1]}),
    ],
)
def test_a_file_is_normalised_as_its_own_configuration_says(tmp_path: Path, name: str, document: dict) -> None:
    (tmp_path / name).write_text(json.dumps(document))
    (tmp_path / "mae.pth").touch()
    for asked in ("vit_base_patch16_224", "vit_base_patch16_224.orig_in21k"):
        assert row(tmp_path / "mae.pth", asked).statistics == IMAGENET
        assert row(tmp_path / "mae.pth", asked).statistics_source == f"its {name}"


def test_a_file_of_googles_is_known_and_any_other_must_be_told(tensors: Tensors, tmp_path: Path) -> None:
    half = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
    as_npz(tensors, tmp_path / "ViT-B_16.npz")
    assert row(tmp_path / "ViT-B_16.npz").statistics == half
    WRITERS["plain.pth"](tensors, tmp_path / "dino.pth")
    with pytest.raises(WeightsError, match=r"dino.pth does not say how its images were normalised; write --normalise"):
        row(tmp_path / "dino.pth").statistics  # noqa: B018 - a property that raises
    assert row(tmp_path / "dino.pth", "vit_base_patch16_224.orig_in21k").statistics == half  # which says what it is


@pytest.mark.parametrize(
    ("words", "found"),
    [("imagenet", IMAGENET), ("0.5/0.25", ((0.5,) * 3, (0.25,) * 3)), ("0,0,0/1,1,1", ((0.0,) * 3, (1.0,) * 3))],
)
def test_statistics_in_words(words: str, found: object) -> None:
    assert parse_normalise(words) == found


@pytest.mark.parametrize("words", ["", "imagnet", "0.5", "0.5/0", "1,2/3,4", "a/b", "0.5/0.5/0.5", "nan/1", "0.5/inf"])
def test_what_is_no_mean_and_deviation_is_a_sentence(words: str) -> None:
    with pytest.raises(ValueError, match=r"is no mean and standard deviation; write imagenet, half"):
        parse_normalise(words)
