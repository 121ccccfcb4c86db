"""Optimisers: the recipe's kind and rate, over what learns, with decay where the source has it."""

import pytest
import torch
from torch import nn

from bench.train.optimizers import optimizer_of
from methods.recipe import Recipe
from tests.methods.small import learning, network_of


def decayed(network: nn.Module, recipe: Recipe) -> set[str]:
    """The names of the tensors that decay."""
    groups = optimizer_of(network, recipe).param_groups
    chosen = {id(p) for group in groups if group["weight_decay"] == recipe.weight_decay for p in group["params"]}
    return {name for name, p in network.named_parameters() if id(p) in chosen}


@pytest.mark.parametrize("spec", ["full", "bitfit", "lora", "vpt_deep"])
@pytest.mark.parametrize("decay", ["all", "matrices", "not_biases"])
def test_decay_is_on_the_tensors_that_the_recipe_names(spec: str, decay: str) -> None:
    network = network_of(spec)
    trainable = {name: p for name, p in network.named_parameters() if p.requires_grad}
    expected = {
        "all": set(trainable),
        "matrices": {name for name, p in trainable.items() if p.ndim > 1},
        "not_biases": {name for name in trainable if not name.endswith(".bias")},
    }[decay]
    assert expected
    assert decayed(network, Recipe(weight_decay=0.1, decay=decay)) == expected


@pytest.mark.parametrize("decay", ["all", "matrices", "not_biases"])
@pytest.mark.parametrize("weight_decay", [0.1, 0.0])
def test_every_tensor_that_learns_is_there_once(decay: str, weight_decay: float) -> None:
    network = network_of("full")
    groups = optimizer_of(network, Recipe(decay=decay, weight_decay=weight_decay)).param_groups
    assert sorted(id(p) for group in groups for p in group["params"]) == sorted(map(id, learning(network)))
    assert all(group["params"] for group in groups)


@pytest.mark.parametrize(
    ("name", "kind"), [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)]
)
def test_kind_and_settings_are_those_of_the_recipe(name: str, kind: type) -> None:
    recipe = Recipe(optimizer=name, learning_rate=0.5, rate_per_images=256, batch_size=64, momentum=0.8, epsilon=1e-6)
    optimizer = optimizer_of(network_of("lora"), recipe)
    assert type(optimizer) is kind
    for group in optimizer.param_groups:
        assert group["lr"] == 0.125
        assert (group["momentum"] == 0.8) if name == "sgd" else (group["eps"] == 1e-6)


def test_only_what_decays_shrinks_without_a_gradient() -> None:
    network = network_of("lora", head="linear")
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    for parameter in learning(network):
        parameter.grad = torch.zeros_like(parameter)
    optimizer_of(network, Recipe(learning_rate=0.1, weight_decay=0.5, decay="matrices")).step()
    for name, parameter in network.named_parameters():
        factor = 0.95 if parameter.requires_grad and parameter.ndim > 1 else 1.0
        torch.testing.assert_close(parameter.detach(), factor * before[name])
