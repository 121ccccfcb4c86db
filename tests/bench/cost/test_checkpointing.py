"""Activation checkpointing changes memory and work, never a gradient."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from bench.cost.case import Case
from bench.cost.checkpointing import blocks, recompute
from bench.cost.plan import plan, training_peak
from methods.recipe import Recipe
from methods.spec import parse
from tests.methods.small import CLASSES, SIZE, SMALL, SPECS, batch, disturb, learning, network_of

RANDOM = {"drop_path": 0.2, "backbone_dropout": 0.1}


def gradients(spec: str, again: bool) -> list[torch.Tensor]:
    network = network_of(spec, **RANDOM)
    disturb(network)
    network = network.double()
    network = recompute(network) if again else network
    images, labels = batch()
    torch.manual_seed(3)  # the same masks
    functional.cross_entropy(network(images.double()), labels).backward()
    return [p.grad for p in learning(network)]


@pytest.mark.parametrize("spec", SPECS)
def test_gradients_are_the_same(spec: str) -> None:
    plain, again = gradients(spec, False), gradients(spec, True)
    assert len(plain) == len(again) > 0
    for first, second in zip(plain, again, strict=True):
        assert torch.allclose(first, second, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("spec", SPECS)
def test_every_block_is_found_once_with_what_is_around_it(spec: str) -> None:
    network = network_of(spec)
    assert len(blocks(network)) >= 12
    if "vit" in dict(network.named_children()):  # prompts are a step of their own, before the block
        steps = [block[-1] if isinstance(block, nn.Sequential) else block for block in network.vit.blocks]
        assert set(steps) == set(blocks(network)) & set(network.vit.modules())


@pytest.mark.parametrize(
    ("spec", "precision"), [("full", "fp32"), ("lora", "bf16"), ("vpt_deep", "fp16"), ("lora:layer=3", "fp32")]
)
def test_the_plan_sees_the_saving(spec: str, precision: str) -> None:
    recipe = Recipe(batch_size=64, precision=precision)
    peaks = [
        plan(Case(SMALL, parse(spec)[0], CLASSES, recipe, again).training(), SIZE, recipe) for again in (False, True)
    ]
    saved = [peak.breakdown()["activations"] for peak in peaks]
    assert saved[1] < 0.5 * saved[0]


def test_what_is_extracted_gains_nothing() -> None:
    recipe = Recipe(batch_size=64)
    peaks = [
        plan(Case(SMALL, parse("linear")[0], CLASSES, recipe, again).training(), SIZE, recipe)
        for again in (False, True)
    ]
    assert peaks[0].total == peaks[1].total


@pytest.mark.parametrize("spec", ["full", "lora", "vpt_deep"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_meta_tensors_take_the_bytes_of_real_ones(spec: str, precision: str) -> None:
    recipe = Recipe(batch_size=4, precision=precision, **RANDOM)
    real = training_peak(recompute(network_of(spec, precision=precision, **RANDOM)), *batch(4), recipe)
    meta = plan(Case(SMALL, parse(spec)[0], CLASSES, recipe, True).training(), SIZE, recipe)
    assert meta.breakdown() == real.breakdown()
