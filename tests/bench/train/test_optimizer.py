"""Optimisers: the recipe's kind, over what learns, with decay where the source has it; and rates as the sources had."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from bench.train.optimizer import optimizer_of
from bench.train.schedule import base_rate, rate_at
from methods.recipe import Recipe, resolve
from methods.spec import parse
from tests.methods.small import learning, network_of

FILE = Path(__file__).parent.parent.parent / "golden" / "schedules.json"
GOLDEN = {schedule["name"]: schedule for schedule in json.loads(FILE.read_text())["schedules"]}
RECIPES = {
    "vpt": Recipe(learning_rate=1.0, epochs=100, warmup_epochs=10),
    "noah_petlvit": Recipe(schedule="timm_cosine", warmup_lr=1e-6, min_lr=1e-5, lag=True),
    "dtl": Recipe(schedule="timm_cosine", epochs=110, cosine_epochs=100, warmup_lr=1e-7, min_lr=1e-8),
    "synqt": Recipe(schedule_unit="step", epochs=50, min_lr=1e-6),
}


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
    recipe = Recipe(optimizer=name, learning_rate=0.5, lr_batch_size=256, batch_size=64, momentum=0.8, eps=1e-6)
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


@pytest.mark.parametrize(("name", "momentum"), [("adamw", 0.9), ("adam", 0.9), ("sgd", 0.9), ("sgd", 0.0)])
def test_states_are_laid_out_on_the_meta_device_as_the_optimiser_keeps_them(name: str, momentum: float) -> None:
    """Names in the order in which they are made, shapes and formats: what a plan of memory counts."""
    found = []
    for device in ("cpu", "meta"):
        network = network_of("lora").to(device)
        for parameter in learning(network):
            parameter.grad = torch.zeros_like(parameter)
        optimizer = optimizer_of(network, Recipe(optimizer=name, momentum=momentum))
        optimizer.step()
        states = [optimizer.state[p].items() for p in learning(network)]
        found.append([[(k, v.shape, v.dtype) for k, v in state if v is not None] for state in states])
    assert found[0] == found[1]


def rate(recipe: Recipe, schedule: dict[str, Any], key: int) -> float:
    """The rate at a key of the file: an epoch, or an update where the schedule goes by the update."""
    steps = schedule.get("steps_per_epoch", 16)
    epoch, step = divmod(key, steps) if schedule["per"] == "step" else (key, 7)
    return rate_at(recipe, epoch, step, steps)


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_rates(name: str) -> None:
    schedule, recipe = GOLDEN[name], RECIPES[name]
    assert (recipe.learning_rate, recipe.epochs) == (schedule["base_lr"], schedule["epochs"])
    for key, expected in schedule["lr"].items():
        assert rate(recipe, schedule, int(key)) == pytest.approx(expected, rel=1e-12, abs=1e-20), key


@pytest.mark.parametrize("name", RECIPES)
def test_every_update_of_an_epoch_has_one_rate_unless_the_schedule_goes_by_the_update(name: str) -> None:
    rates = {rate_at(RECIPES[name], 5, step, 16) for step in range(16)}
    assert len(rates) == (16 if name == "synqt" else 1)


def test_the_paper_recipe_runs_lora_on_the_schedule_of_noah() -> None:
    recipe, _ = resolve("paper", parse("lora")[0], "cifar", {})
    for key, expected in GOLDEN["noah_petlvit"]["lr"].items():
        assert rate_at(recipe, int(key), 3, 15) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("name", "peak"), [("vpt_deep", 1.0 * 64 / 256), ("vpt_shallow", 2.5 * 64 / 256)])
def test_the_paper_recipe_runs_prompts_on_the_schedule_of_vpt(name: str, peak: float) -> None:
    recipe, _ = resolve("paper", parse(name)[0], "dmlab", {})
    for key, expected in GOLDEN["vpt"]["lr"].items():
        assert rate_at(recipe, int(key), 3, 15) == pytest.approx(peak * expected, rel=1e-12, abs=1e-20)


@pytest.mark.parametrize("name", ["full", "linear", "bitfit", "partial"])
def test_the_paper_recipe_runs_the_other_rows_of_vpt_on_its_schedule(name: str) -> None:
    recipe, _ = resolve("paper", parse(name)[0], "dtd", {})
    for key, expected in GOLDEN["vpt"]["lr"].items():
        assert rate_at(recipe, int(key), 0, 1) == pytest.approx(base_rate(recipe) * expected, rel=1e-12, abs=1e-20)


def test_the_rate_scales_with_the_batch_only_where_the_source_says_so() -> None:
    assert base_rate(Recipe(learning_rate=0.5, lr_batch_size=256, batch_size=64)) == 0.125
    assert base_rate(Recipe(learning_rate=0.5, batch_size=64)) == 0.5


@given(
    st.sampled_from(["warmup_cosine", "timm_cosine"]),
    st.sampled_from(["epoch", "step"]),
    st.integers(1, 30),
    st.integers(0, 30),
    st.none() | st.integers(1, 30),
    st.booleans(),
)
def test_no_rate_leaves_the_range_of_the_recipe(
    schedule: str, unit: str, epochs: int, warmup: int, cosine: int | None, lag: bool
) -> None:
    lengths = {"epochs": epochs, "warmup_epochs": warmup, "cosine_epochs": cosine, "lag": lag}
    ends = {"learning_rate": 0.1, "warmup_lr": 1e-3, "min_lr": 1e-4}
    recipe = Recipe(schedule=schedule, schedule_unit=unit, **lengths, **ends)
    rates = [rate_at(recipe, epoch, step, 3) for epoch in range(epochs) for step in range(3)]
    assert all(1e-4 <= rate <= 0.1 for rate in rates)


@pytest.mark.parametrize("name", ["dtl", "dtl_plus"])
def test_the_paper_recipe_gives_dtl_its_schedule(name: str) -> None:
    recipe, _ = resolve("paper", parse(name)[0], "elsewhere", {})
    for key, expected in GOLDEN["dtl"]["lr"].items():
        assert rate(recipe, GOLDEN["dtl"], int(key)) == pytest.approx(expected, rel=1e-12, abs=1e-20), key
