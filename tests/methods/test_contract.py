"""What every method keeps to, whatever it does; a new file in `methods/` is held to it without a test of its own."""

import dataclasses
from collections.abc import Iterator

import pytest
import safetensors.torch
import torch
from timm.models import VisionTransformer
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from bench.cli.method_texts import OTHER, method_texts
from bench.train.network import build_on_meta, count
from bench.train.optimizer import optimizer_of
from bench.train.step import loss_of
from methods import METHODS
from methods.backbones.registry import find
from methods.recipe import Recipe
from methods.spec import parse
from tests.methods.small import CLASSES, SMALL, SPECS, batch, disturb, learning, network_of, plain

BATCHES = 4  # of different images, so that a unit that is off for some of them is not taken for unused

every_method = pytest.mark.parametrize("spec", SPECS)


@every_method
def test_spec_round_trips(spec: str) -> None:
    (method,) = parse(spec)
    assert str(method) == spec
    assert parse(str(method)) == [method]


@every_method
def test_what_learns_gets_gradients_and_what_is_frozen_stays(spec: str) -> None:
    network = network_of(spec)
    frozen = {name: p.detach().clone() for name, p in network.named_parameters() if not p.requires_grad}
    learns = {name for name, p in network.named_parameters() if p.requires_grad}
    reached: set[str] = set()
    optimizer = optimizer_of(network, Recipe(learning_rate=1e-2, weight_decay=0.5, decay="all"))
    for seed in range(BATCHES):
        images, labels = batch(seed=seed)
        loss_of(network, network(images), labels).backward()
        reached |= {name for name, p in network.named_parameters() if p.grad is not None}
        optimizer.step()
        optimizer.zero_grad()
    assert learns, f"nothing of {spec} learns: new parameters do by themselves, call requires_grad_(True) on others"
    unused = ", ".join(sorted(learns - reached))
    assert not unused, f"no gradient reached {unused} in {BATCHES} batches: use them in adapt, or freeze or remove them"
    assert reached == learns, f"frozen, but with a gradient: {', '.join(sorted(reached - learns))}"
    moved = [name for name, p in network.named_parameters() if name in frozen and not torch.equal(p, frozen[name])]
    assert not moved, f"frozen, but changed in training: {', '.join(moved)}; let them learn, or leave them as they are"


@every_method
def test_extract_builds_no_graph(spec: str) -> None:
    images, network = batch()[0].requires_grad_(), network_of(spec)
    for training in (True, False):
        for tensor in tensors(network.train(training).extract(images)):
            said = "extract builds a graph: what learns belongs in adapt, and extract runs under torch.no_grad()"
            assert tensor is images or not tensor.requires_grad, said


@every_method
def test_extract_is_deterministic_in_evaluation_mode(spec: str) -> None:
    network = network_of(spec, drop_path=0.5, backbone_dropout=0.5).eval()
    images, _ = batch()
    for first, second in zip(tensors(network.extract(images)), tensors(network.extract(images)), strict=True):
        assert torch.equal(first, second)


@every_method
def test_forward_is_adapt_after_extract(spec: str) -> None:
    network = network_of(spec).eval()
    images, _ = batch()
    assert torch.equal(network.adapt(network.extract(images)), network(images))


@every_method
def test_logits_are_images_by_classes(spec: str) -> None:
    network = network_of(spec)
    assert [network(batch(images)[0]).shape for images in (1, 3)] == [(1, CLASSES), (3, CLASSES)]


@every_method
def test_logits_of_an_image_do_not_depend_on_the_batch(spec: str) -> None:
    network = network_of(spec).double().eval()
    disturb(network)
    images = batch()[0].double()
    torch.testing.assert_close(network(images)[2:3], network(images[2:3]), rtol=1e-10, atol=1e-12)


@every_method
def test_fold_keeps_the_outputs_and_adds_nothing(spec: str) -> None:
    network = network_of(spec).double().eval()
    disturb(network)
    images = batch()[0].double()
    expected, size = network(images), count(network).total
    merged = parse(spec)[0].merge(network).eval()
    torch.testing.assert_close(merged(images), expected, rtol=1e-10, atol=1e-10)
    assert count(merged).total <= size


@every_method
def test_saved_weights_give_the_same_network(spec: str) -> None:
    network, other = network_of(spec, seed=0).eval(), network_of(spec, seed=1).eval()
    disturb(network)
    images, _ = batch()
    assert not torch.equal(other(images), network(images))
    tensors = {name: value.clone() for name, value in network.state_dict().items()}  # a module may have two names
    other.load_state_dict(safetensors.torch.load(safetensors.torch.save(tensors)))
    assert torch.equal(other(images), network(images))


@every_method
def test_the_seed_decides_everything(spec: str) -> None:
    first, again = (network_of(spec, seed=3).state_dict() for _ in range(2))
    assert all(torch.equal(value, again[name]) for name, value in first.items())


@every_method
def test_counts_add_up(spec: str) -> None:
    network = network_of(spec)
    frozen = sum(p.numel() for p in network.parameters() if not p.requires_grad)
    head = list(network.head.parameters())
    counts = count(network)
    assert counts.trainable + frozen == counts.total
    assert counts.trainable - counts.trainable_without_head == sum(p.numel() for p in head)
    assert {id(p) for p in head} <= {id(p) for p in learning(network)}


@every_method
def test_a_skeleton_has_the_shapes_of_the_network(spec: str) -> None:
    bones = build_on_meta(SMALL, parse(spec)[0], CLASSES, Recipe())
    network = network_of(spec)
    assert all(parameter.is_meta for parameter in bones.parameters())
    assert shapes(bones) == shapes(network)
    assert count(bones) == count(network)


@pytest.mark.parametrize("spec", [spec for spec in SPECS if parse(spec)[0].starts_as_backbone])
def test_methods_that_say_so_start_as_the_backbone(spec: str) -> None:
    network = network_of(spec, head="normal").double().eval()
    vit = plain().double()
    vit.head = network.head
    images = batch()[0].double()
    torch.testing.assert_close(network(images), vit(images), rtol=1e-12, atol=1e-12)


def test_who_says_so() -> None:
    said = {name for name, method in METHODS.items() if method().starts_as_backbone}
    assert {"full", "linear", "partial", "bitfit", "lora", "adaptformer", "convpass", "fact_tt", "fact_tk"} <= said
    assert not parse("lora:start=normal")[0].starts_as_backbone


@pytest.mark.parametrize("name", METHODS)
def test_a_method_says_what_it_is(name: str) -> None:
    """What `list` shows of it, read from its docstring."""
    text = method_texts()[name]
    assert text.what.endswith("."), f"begin the docstring of {name} with a sentence that says what it is"
    said = "write the lines `Family: …`, `Paper: AUTHORS, VENUE YEAR` and `Entangled: …` into the docstring of"
    stated = text.family.replace(OTHER, ""), text.paper, text.venue, text.year, text.entangled
    assert all(stated), f"{said} {name}"
    settings = {field.name: field.default for field in dataclasses.fields(METHODS[name])}
    assert {setting.name: setting.default for setting in text.settings} == settings
    unexplained = [setting.name for setting in text.settings if not setting.meaning]
    assert not unexplained, f"explain {', '.join(unexplained)} in the section `Settings:` of the docstring of {name}"
    if text.parameters is not None:
        counts = count(build_on_meta(find("random:vit_base_patch16_224"), parse(name)[0], 100, Recipe()))
        assert text.parameters == counts.trainable_without_head


@pytest.mark.parametrize("name", METHODS)
def test_a_method_says_how_far_gradients_pass(name: str) -> None:
    network = network_of(name, attention="eager")
    vit = next(module for module in network.modules() if isinstance(module, VisionTransformer))
    passed = set()
    for i, block in enumerate(vit.blocks):
        block = block[-1] if isinstance(block, nn.Sequential) else block
        block.register_forward_hook(lambda _, __, output, i=i: passed.add(i) if output.requires_grad else None)
    network(batch()[0])
    expected = {0: "no", len(vit.blocks): "yes"}.get(len(passed), "in part")
    assert method_texts()[name].entangled == expected, f"write `Entangled: {expected}` into the docstring of {name}"


def tensors(features: object) -> Iterator[Tensor]:
    found = [leaf for leaf in tree_leaves(features) if isinstance(leaf, Tensor)]
    assert found
    return iter(found)


def shapes(network: torch.nn.Module) -> dict[str, tuple[torch.Size, bool]]:
    return {name: (parameter.shape, parameter.requires_grad) for name, parameter in network.named_parameters()}
