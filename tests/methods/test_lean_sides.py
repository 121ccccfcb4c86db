"""UniPT, SHERL and Res-Tuning-Bypass: the lean forms equal the plain ones, and what they take is what was promised."""

import pytest
import timm
import torch
from torch import Tensor
from torch.nn import functional

from bench.cost.plan import plan
from bench.train.network import build_on_meta
from methods import Unsupported
from methods.backbones.registry import find, prepare
from methods.recipe import Recipe
from methods.spec import parse
from tests.methods.small import batch, disturb, learning, network_of

VIT_B = find("random:vit_base_patch16_224")
SPECS = ["unipt", "unipt:reduction=3", "unipt:reduction=24", "sherl", "sherl:reduction=4", "res_tuning_bypass"]
MIB = 2**20


def in_both_forms(spec: str) -> list[tuple[Tensor, list[Tensor]]]:
    """Logits, and gradients of all that learns, of the lean form and of the plain one."""
    results = []
    for attention in ("fused", "eager"):
        network = network_of(spec, attention=attention).double().eval()
        disturb(network)
        images, labels = batch()
        logits = network(images.double())
        functional.cross_entropy(logits, labels).backward()
        results.append((logits.detach(), [p.grad for p in learning(network) if p.grad is not None]))
    return results


@pytest.mark.parametrize("spec", SPECS)
def test_the_lean_form_equals_the_plain_one(spec: str) -> None:
    (lean, gradients), (plain, others) = in_both_forms(spec)
    torch.testing.assert_close(lean, plain, rtol=1e-11, atol=1e-11)
    assert len(gradients) == len(others) > 0
    for ours, theirs in zip(gradients, others, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("spec", ["unipt", "sherl", "res_tuning_bypass"])
@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_half_precision_is_close_to_single(spec: str, precision: torch.dtype) -> None:
    network, (images, labels) = network_of(spec).eval(), batch()
    disturb(network, 0.05)
    functional.cross_entropy(network(images), labels).backward()
    exact = torch.cat([p.grad.flatten() for p in learning(network)])
    network.zero_grad()
    with torch.autocast("cpu", precision):
        loss = functional.cross_entropy(network(images).float(), labels)
    loss.backward()
    gradient = torch.cat([p.grad.flatten() for p in learning(network)])
    assert functional.cosine_similarity(exact, gradient, dim=0) > 0.99


@pytest.mark.parametrize(
    ("spec", "most"),
    [("unipt", 107), ("sherl", 160), ("sherl:reduction=4", 131), ("res_tuning_bypass", 56)],
)
def test_planned_peak_without_weights_and_optimizer_state(spec: str, most: int) -> None:
    assert beyond_weights(spec) <= most * MIB


@pytest.mark.parametrize("spec", ["unipt", "sherl", "res_tuning_bypass"])
def test_the_plain_form_and_single_precision_take_more(spec: str) -> None:
    assert beyond_weights(spec) < beyond_weights(spec, attention="eager")
    assert beyond_weights(spec, precision="bf16") < beyond_weights(spec)


def beyond_weights(spec: str, **recipe: str) -> int:
    training = Recipe(batch_size=8, **recipe)
    parts = plan(build_on_meta(VIT_B, parse(spec)[0], 100, training), 224, training).breakdown()
    return sum(parts.values()) - parts["weights"] - parts["optimizer"]


def test_only_the_side_network_has_a_training_mode() -> None:
    for spec in ("unipt", "sherl", "res_tuning_bypass"):
        network = network_of(spec, drop_path=0.5, backbone_dropout=0.5).train()
        images, _ = batch()
        torch.testing.assert_close(network.extract(images), network.eval().extract(images))
    network = network_of("sherl").train()
    features = network.extract(batch()[0])
    assert not torch.equal(network.adapt(features), network.adapt(features))


def test_class_tokens_alone_are_extracted_where_the_head_reads_one() -> None:
    images, _ = batch()
    assert {feature.shape[1] for feature in network_of("res_tuning_bypass").extract(images)} == {1}
    assert {feature.shape[1] for feature in network_of("res_tuning_bypass", attention="eager").extract(images)} == {17}


def test_the_last_adapters_may_start_as_the_identity() -> None:
    network = network_of("res_tuning_bypass:zero_init_last=true")
    x = torch.randn(2, 1, 24)
    assert torch.equal(network.lateral[-1](x), x)
    assert torch.equal(network.vertical[-1](x), x)
    assert not torch.equal(network.lateral[0](x), x)


def small_vit(**settings: object) -> torch.nn.Module:
    vit = timm.create_model("vit_tiny_patch16_224", img_size=32, depth=2, num_classes=0, **settings)
    return prepare(vit.requires_grad_(False), 5, "normal", 0.0, 0.0)


@pytest.mark.parametrize("name", ["unipt", "sherl"])
def test_a_backbone_that_averages_its_tokens_is_refused(name: str) -> None:
    vit = small_vit(global_pool="avg")
    with pytest.raises(Unsupported, match="class token"):
        parse(name)[0].attach(vit)


def test_the_bypass_adapts_all_tokens_of_a_backbone_that_averages_them() -> None:
    network = parse("res_tuning_bypass")[0].attach(small_vit(global_pool="avg"))
    features = network.extract(batch()[0])
    assert {feature.shape[1] for feature in features} == {5}
    assert network.adapt(features).shape == (6, 5)


@pytest.mark.parametrize("spec", ["unipt:reduction=5", "sherl:reduction=5", "sherl:reduction=192"])
def test_a_reduction_that_does_not_fit_the_width_is_named(spec: str) -> None:
    with pytest.raises(ValueError, match=spec.replace(":", ": ")):
        parse(spec)[0].attach(small_vit())
