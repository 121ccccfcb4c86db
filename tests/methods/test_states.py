"""States that a method needs are the unchanged backbone's, under one name for all, and give what is extracted."""

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten

from methods.states import IMAGES, hidden_states
from tests.methods.small import SPECS, batch, network_of, plain

every_method = pytest.mark.parametrize("spec", SPECS)
KEEPS = {  # what is worth computing once: more than the embedding is frozen
    "linear", "lora:layer=3", "partial", "partial:blocks=3", "dtl", "dtl_plus", "dtl:start=3:kernel=4", "lst",
    "lst:reduction=4:pool=mean", "vqt", "vqt:tokens=3:pool=weighted", "synqt", "synqt:tokens=2:scale=fixed", "head2toe",
    "head2toe:size=48:class_token=apart", "side_tuning", "unipt", "unipt:reduction=4", "sherl", "sherl:reduction=1",
    "res_tuning_bypass", "res_tuning_bypass:zero_init_last=true",
}  # fmt: skip


def same(first: object, second: object) -> bool:
    (ours, shape), (theirs, other) = tree_flatten(first), tree_flatten(second)
    return shape == other and all(a.dtype == b.dtype and torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@every_method
@pytest.mark.parametrize("attention", ["fused", "eager"])
def test_features_of_states_are_what_is_extracted(spec: str, attention: str) -> None:
    network, (images, _) = network_of(spec, attention=attention).eval(), batch()
    assert same(network.features(network.hidden_states(images)), network.extract(images))


@every_method
def test_states_are_named_as_they_are_needed_and_build_no_graph(spec: str) -> None:
    network, (images, _) = network_of(spec), batch()
    states = network.hidden_states(images)
    assert tuple(states) == network.required_states
    assert not any(state.requires_grad for state in states.values())
    assert all(len(state) == len(images) for state in states.values())


@every_method
def test_states_of_one_name_are_those_of_the_unchanged_backbone(spec: str) -> None:
    network, (images, _) = network_of(spec).eval(), batch()
    shared = [name for name in network.required_states if not name.startswith("taps")]
    found = network.hidden_states(images)
    assert same({name: found[name] for name in shared}, hidden_states(plain().eval(), images, shared))


@every_method
def test_what_is_frozen_beyond_the_embedding_is_needed_by_name(spec: str) -> None:
    assert (not {"embedded", IMAGES}.issuperset(network_of(spec).required_states)) == (spec in KEEPS)


def test_a_network_that_says_nothing_needs_the_images() -> None:
    from methods import Network

    class Mean(Network):
        def extract(self, images: Tensor) -> Tensor:
            return images.mean(dim=(2, 3))

    images = batch()[0]
    assert torch.equal(Mean().features(Mean().hidden_states(images)), images.mean(dim=(2, 3)))


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("spec", ["vqt", "synqt", "lst", "unipt", "sherl", "res_tuning_bypass"])
def test_features_have_the_precision_of_extraction(spec: str, precision: torch.dtype) -> None:
    network, (images, _) = network_of(spec).eval(), batch()
    with torch.autocast("cpu", precision):
        assert same(network.features(network.hidden_states(images)), network.extract(images))
