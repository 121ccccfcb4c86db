"""Trainable parameters on ViT-B/16 are those that the pages of the methods print, to the last one."""

import re
from pathlib import Path

import pytest

from bench.train.network import build_on_meta, count
from methods import METHODS
from methods.backbones.registry import find
from methods.recipe import Recipe
from methods.spec import parse

PAGES = Path(__file__).parents[2] / "docs" / "methods"
ROW = re.compile(r"^\| `([^`]+)` \| ([\d,]+) \|$", re.MULTILINE)
PRINTED = [row for page in sorted(PAGES.glob("*.md")) for row in ROW.findall(page.read_text(encoding="utf-8"))]


def test_every_method_has_a_count_on_its_page() -> None:
    assert {spec.partition(":")[0] for spec, _ in PRINTED} == set(METHODS)


@pytest.mark.parametrize(("spec", "printed"), PRINTED)
def test_trainable_without_head(spec: str, printed: str) -> None:
    expected = int(printed.replace(",", ""))
    network = build_on_meta(find("random:vit_base_patch16_224"), parse(spec)[0], 100, Recipe())
    counts, head = count(network), sum(parameter.numel() for parameter in network.head.parameters())
    assert counts.trainable_without_head == expected
    assert counts.trainable == expected + head
    assert counts.total == 85_798_656 + head + (ADDED.get(spec, 0 if spec in FROM_THE_BACKBONE else expected))


FROM_THE_BACKBONE = {"full", "linear", "bitfit", "partial", "partial:blocks=12", "layernorm", "apla:rows=768"}
ADDED = {"diffit": 12 * 1_536}  # the rest of what learns is the backbone's


@pytest.mark.parametrize(
    ("spec", "frozen"),
    [
        ("lora_fa", 73_728),
        ("lora_fa:target=all", 331_776),
        ("vera", 393_216),
        ("vera:target=qkv", 786_432),
        ("vera:shared=per_target", 786_432),
        ("pvera", 1_179_648),
    ],
)
def test_frozen_random_numbers(spec: str, frozen: int) -> None:
    network = build_on_meta(find("random:vit_base_patch16_224"), parse(spec)[0], 100, Recipe())
    assert sum(buffer.numel() for buffer in network.buffers()) == frozen


def test_prompts_with_the_head_of_cifar() -> None:
    counts = count(
        build_on_meta(find("vit_base_patch16_224.orig_in21k"), parse("vpt_deep:tokens=10")[0], 100, Recipe())
    )
    assert counts.trainable == 169_060
