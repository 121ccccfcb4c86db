"""Trainable parameters on ViT-B/16 are those of the papers, to the last one."""

import pytest

from bench.networks import count, skeleton
from methods.backbone import find
from methods.recipe import Recipe
from methods.spec import parse


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("full", 85_798_656),
        ("linear", 0),
        ("bitfit", 102_912),
        ("partial", 7_089_408),
        ("partial:blocks=12", 12 * 7_087_872 + 1_536),
        ("lora", 294_912),
        ("lora:target=qv", 294_912),
        ("lora:rank=1", 36_864),
        ("lora:rank=16", 589_824),
        ("lora:target=qv:rank=32", 1_179_648),
        ("lora:layer=1", 24_576),
        ("lora:layer=12:target=qv", 24_576),
        ("vpt_deep:tokens=1", 9_216),
        ("vpt_deep", 92_160),
        ("vpt_shallow", 76_800),
        ("vpt_shallow:tokens=50", 38_400),
    ],
)
def test_trainable_without_head(spec: str, expected: int) -> None:
    counts = count(skeleton(find("random:vit_base_patch16_224"), parse(spec)[0], 100, Recipe()))
    assert counts.trainable_without_head == expected
    assert counts.trainable == expected + 100 * 769
    assert counts.total == 85_798_656 + 100 * 769 + (0 if spec in FROM_THE_BACKBONE else expected)


FROM_THE_BACKBONE = {"full", "linear", "bitfit", "partial", "partial:blocks=12"}  # these add no parameters


def test_prompts_with_the_head_of_cifar() -> None:
    counts = count(skeleton(find("vit_base_patch16_224.orig_in21k"), parse("vpt_deep:tokens=10")[0], 100, Recipe()))
    assert counts.trainable == 169_060
