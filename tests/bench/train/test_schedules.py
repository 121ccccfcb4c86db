"""Learning rates are those that the sources' schedulers gave when they were executed."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.train.schedules import base_rate, rate_at
from methods.recipe import Recipe, resolve
from methods.spec import parse

FILE = Path(__file__).parent.parent.parent / "golden" / "schedules.json"
GOLDEN = {schedule["name"]: schedule for schedule in json.loads(FILE.read_text())["schedules"]}
RECIPES = {
    "vpt": Recipe(learning_rate=1.0, epochs=100, warmup_epochs=10),
    "noah_petlvit": Recipe(schedule="timm_cosine", warmup_rate=1e-6, final_rate=1e-5, lag=True),
    "dtl": Recipe(schedule="timm_cosine", epochs=110, cosine_epochs=100, warmup_rate=1e-7, final_rate=1e-8),
    "synqt": Recipe(per="step", epochs=50, final_rate=1e-6),
}


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
    assert base_rate(Recipe(learning_rate=0.5, rate_per_images=256, batch_size=64)) == 0.125
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
    schedule: str, per: str, epochs: int, warmup: int, cosine: int | None, lag: bool
) -> None:
    values = {"schedule": schedule, "per": per, "epochs": epochs, "warmup_epochs": warmup, "cosine_epochs": cosine}
    recipe = Recipe(**values, lag=lag, learning_rate=0.1, warmup_rate=1e-3, final_rate=1e-4)
    rates = [rate_at(recipe, epoch, step, 3) for epoch in range(epochs) for step in range(3)]
    assert all(1e-4 <= rate <= 0.1 for rate in rates)


@pytest.mark.parametrize("name", ["dtl", "dtl_plus"])
def test_the_paper_recipe_gives_dtl_its_schedule(name: str) -> None:
    recipe, _ = resolve("paper", parse(name)[0], "elsewhere", {})
    for key, expected in GOLDEN["dtl"]["lr"].items():
        assert rate(recipe, GOLDEN["dtl"], int(key)) == pytest.approx(expected, rel=1e-12, abs=1e-20), key
