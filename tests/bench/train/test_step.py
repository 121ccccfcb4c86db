"""Frozen weights are cast once: the numbers are those of autocast alone, and 16 bits never take more memory than 32."""

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from bench.cost.case import Case, published_cases
from bench.cost.measure import training_step
from bench.cost.plan import plan
from bench.train.step import KINDS, autocast, loss_of, lower_frozen
from methods import METHODS, Network
from methods.backbones.registry import find
from methods.recipe import Recipe
from methods.spec import parse
from tests.methods.small import SPECS, batch, disturb, learning, network_of

VIT_B = find("random:vit_base_patch16_224")
RECIPE = {"drop_path": 0.1}


def stepped(network: Network, precision: str) -> list[Tensor]:
    """The loss and all gradients of a training step under autocast."""
    images, labels = batch()
    torch.manual_seed(5)
    with autocast("cpu", precision):
        loss = loss_of(network, network(images).float(), labels)
    loss.backward()
    return [loss.detach(), *(p.grad for p in learning(network) if p.grad is not None)]


@pytest.mark.parametrize("spec", SPECS)
def test_weights_that_are_cast_once_give_the_numbers_of_autocast(spec: str) -> None:
    """A module that fails computes with a frozen weight by itself: let it say `keeps_precision = True`."""
    plain, lowered = network_of(spec, **RECIPE), network_of(spec, **RECIPE)
    for network in (plain, lowered):
        disturb(network, 0.1)
    lower_frozen(lowered, "bf16")
    for one, other in zip(stepped(plain, "bf16"), stepped(lowered, "bf16"), strict=True):
        assert torch.equal(one, other)
    images, _ = batch()
    with torch.inference_mode(), autocast("cpu", "bf16"):
        assert torch.equal(plain.eval()(images), lowered.eval()(images))


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_only_frozen_weights_of_products_are_cast(precision: str) -> None:
    network = network_of("bitfit")
    kinds = {name: p.dtype for name, p in network.named_parameters()}
    lower_frozen(network, precision)
    cast = {name for name, p in network.named_parameters() if p.dtype != kinds[name]}
    products = {f"{name}.weight" for name, m in network.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)} - {
        "vit.head.weight"
    }
    assert cast == (products if precision in KINDS else set())
    assert all(p.dtype == KINDS[precision] and not p.requires_grad for n, p in network.named_parameters() if n in cast)


def test_a_module_may_keep_its_precision() -> None:
    network = network_of("ssf")
    lower_frozen(network, "bf16")
    kinds = {name: m.weight.dtype for name, m in network.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)}
    kinds.pop("vit.head")
    assert {kind for name, kind in kinds.items() if "patch_embed" in name} == {torch.float32}
    assert {kind for name, kind in kinds.items() if "patch_embed" not in name} == {torch.bfloat16}


def test_training_casts_and_measuring_does_unless_it_plays_another_code() -> None:
    for rules, kind in (
        (published_cases("dtl")[0].rules, torch.float32),
        (Case(VIT_B, parse("lora")[0]).rules, torch.bfloat16),
    ):
        network = network_of("lora")
        training_step(network, *batch(), Recipe(precision="bf16"), rules)()
        assert network.vit.blocks[0].mlp.fc1.weight.dtype == kind


def peak(spec: str, precision: str, attention: str) -> int:
    recipe = Recipe(batch_size=8, precision=precision, attention=attention)
    return plan(Case(VIT_B, parse(spec)[0], 100, recipe).training(), 224, recipe).total


@pytest.mark.parametrize("method", METHODS)
def test_no_method_needs_more_in_bf16_than_in_fp32(method: str) -> None:
    assert peak(method, "bf16", "fused") < peak(method, "fp32", "fused")


@pytest.mark.parametrize("method", ["lst", "dtl", "vpt_shallow"])
def test_nor_does_it_with_explicit_attention(method: str) -> None:
    """Whose softmax autocast keeps in both precisions."""
    assert peak(method, "fp16", "eager") < peak(method, "fp32", "eager")


def test_dtl_keeps_no_input_in_both_precisions() -> None:
    """Under the protocol of the paper, with weights and gradients as the released code has them: it needs 1.611 GiB."""
    (case,) = [case for case in published_cases("dtl") if str(case.method) == "dtl"]
    assert (case.recipe.precision, case.recipe.attention, case.recipe.batch_size) == ("fp16", "eager", 32)
    assert plan(case.training(), 224, case.recipe, case.rules).total / 2**30 < 1.52
    ours = dataclasses.replace(case, rules=Case(VIT_B, case.method).rules)
    assert plan(ours.training(), 224, ours.recipe, ours.rules).total / 2**30 < 1.30
