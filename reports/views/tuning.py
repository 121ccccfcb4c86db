"""Validation accuracy against each hyper-parameter that `tune` searched, what was chosen, and what it gained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from reports.figures.style import WIDE, draw_method, first_axes, logarithmic, panels, shown
from reports.tables.table import METRICS, Cell, Column, Figure, Metric, Table
from results import numbered

__all__ = ["NOTHING", "report"]

NOTHING = "no trial of a search is there; python bench.py tune --methods lora,dtl makes some"
ACCURACY = METRICS["test_accuracy"]
POINTS = Metric("", "points", 100.0, 1)
COUNT = Metric("trials", "", 1.0, 0)
PANELS = 3  # in a row
DECADE = 10.0  # numbers that span so much are drawn on a logarithmic axis
FEW = 6  # values that an axis can name one by one
BESIDE = 0.6  # of the room of a value, for its methods side by side
LEAST_TRIALS = 8  # below that, nothing is said of what mattered
LEGEND = (
    "Each trial trains on a part of the training images and is scored on the rest; test images are not read. The test "
    "columns are runs on all training images: with what was chosen (recipe tuned:NAME) and with the recipe as it is. "
    "The recipe as it is has a validation accuracy where its values were among the trials. Best values are those of "
    "the task by itself, also where one choice was made for the suite. Mattered most: the share of the variance of "
    "validation accuracy that a forest of regression trees gives to it. Trials that were ended early are left out."
)


@dataclass(frozen=True)
class _Study:
    """The trials of one method on one task."""

    method: str
    task: str
    trials: pd.DataFrame
    searched: tuple[str, ...]  # columns whose values differ

    @property
    def best(self) -> pd.Series[Any]:
        """The trial with the highest validation accuracy."""
        return self.trials.iloc[int(self.trials["test_accuracy"].to_numpy().argmax())]

    def trials_like(self, runs: pd.DataFrame) -> pd.DataFrame:
        """The trials with the values of the first of these runs; none where there is no run."""
        if not len(runs):
            return self.trials.iloc[:0]
        same = [self.trials[column].astype(str) == str(runs.iloc[0].get(column)) for column in self.searched]
        return self.trials[np.logical_and.reduce(same)]


def report(trials: pd.DataFrame | None, runs: pd.DataFrame | None) -> list[Table | Figure]:
    """A table and a figure for each suite, backbone and recipe that was searched; `runs` may be None."""
    if trials is None:
        return []
    done = trials[trials["test_accuracy"].notna()]
    items: list[Table | Figure] = []
    for key, part in done.groupby(["suite", "backbone", "recipe"], sort=False):
        suite, backbone, recipe = map(str, key)
        studies = _studies(part)
        if not studies:
            continue
        said = f"{numbered(len(part), 'trial')} on validation images"
        caption = f"{suite}, backbone {backbone}, recipe {recipe}: {said}. {LEGEND}"
        name = f"tuning-{suite}-{backbone}-{recipe}".replace(":", "-").replace("/", "-")
        items += [_figure(name, caption, studies), _table(name, caption, studies, _of(runs, suite, backbone), recipe)]
    return items


def _of(runs: pd.DataFrame | None, suite: str, backbone: str) -> pd.DataFrame:
    if runs is None:
        return pd.DataFrame(columns=["method", "task", "recipe", "test_accuracy"])
    return runs[(runs["suite"] == suite) & (runs["backbone"] == backbone) & runs["test_accuracy"].notna()]


def _studies(trials: pd.DataFrame) -> list[_Study]:
    names = trials["method"].str.partition(":")[0]
    found = []
    for method in dict.fromkeys(names):
        mine = trials[names == method]
        searched = tuple(column for column in mine if _was_searched(str(column), mine[column]))
        found += [_Study(method, str(task), part, searched) for task, part in mine.groupby("task", sort=False)]
    return [study for study in found if study.searched]


def _was_searched(column: str, values: pd.Series[Any]) -> bool:
    if column == "recipe_evaluate_every":  # trials that may end early are scored after each epoch
        return False
    return column.startswith(("recipe_", "method_")) and len({str(value) for value in values}) > 1


def _label(column: str) -> str:
    return column.partition("_")[2].replace("_", " ")


def _table(name: str, caption: str, studies: Sequence[_Study], runs: pd.DataFrame, recipe: str) -> Table:
    columns = (
        Column("method", "method"),
        Column("task", "task"),
        Column("trials", COUNT.heading, "", COUNT),
        Column("validation_accuracy", "best (%)", "validation accuracy", ACCURACY),
        Column("fixed_validation_accuracy", f"{recipe} (%)", "validation accuracy", ACCURACY),
        Column("validation_gain", "gain (points)", "validation accuracy", POINTS),
        Column("tuned_test_accuracy", "tuned (%)", "test accuracy", ACCURACY),
        Column("fixed_test_accuracy", f"{recipe} (%)", "test accuracy", ACCURACY),
        Column("gain", "gain (points)", "test accuracy", POINTS),
        Column("gap", "validation - test (points)", "", POINTS),
        Column("chosen", "best values"),
        Column("mattered", "mattered most"),
    )
    rows = []
    for study in studies:
        validation = float(study.best["test_accuracy"])
        same = runs[(runs["method"].str.partition(":")[0] == study.method) & (runs["task"] == study.task)]
        tuned = _mean(same[same["recipe"].str.startswith("tuned:")])
        as_it_is = same[(same["recipe"] == recipe) & (same["method"] == study.method)]
        fixed, own = _mean(as_it_is), _mean(study.trials_like(as_it_is))
        rows.append(
            (
                Cell(word=study.method),
                Cell(word=study.task),
                Cell(len(study.trials)),
                Cell(validation),
                Cell(own),
                Cell(validation - own if own is not None else None),
                Cell(tuned),
                Cell(fixed),
                Cell(tuned - fixed if tuned is not None and fixed is not None else None),
                Cell(validation - tuned if tuned is not None else None),
                Cell(word=", ".join(f"{_label(column)} {_short(study.best[column])}" for column in study.searched)),
                Cell(word=_mattered(study)),
            )
        )
    return Table(f"{name}-table", caption, columns, tuple(rows))


def _mean(runs: pd.DataFrame) -> float | None:
    return float(runs["test_accuracy"].mean()) if len(runs) else None


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _mattered(study: _Study) -> str:
    """The value with the largest share of the variance, and the share; nothing of few trials."""
    if len(study.trials) < LEAST_TRIALS:
        return ""
    from sklearn.ensemble import RandomForestRegressor

    values = np.column_stack([_numbers(study.trials[column]) for column in study.searched])
    forest = RandomForestRegressor(n_estimators=64, random_state=0).fit(values, study.trials["test_accuracy"])
    most = int(forest.feature_importances_.argmax())
    return f"{_label(study.searched[most])} ({forest.feature_importances_[most]:.0%})"


def _numbers(values: pd.Series[Any]) -> np.ndarray:
    """Numbers as their logarithms where they span much, words by their place in the alphabet."""
    if not pd.api.types.is_numeric_dtype(values):
        return pd.Categorical(values.astype(str)).codes.astype(float)
    numbers = values.to_numpy(dtype=float)
    return np.log(numbers) if _spans(numbers) else numbers


def _spans(numbers: np.ndarray) -> bool:
    return bool(numbers.min() > 0 and numbers.max() >= DECADE * numbers.min())


def _figure(name: str, caption: str, studies: Sequence[_Study]) -> Figure:
    """A panel a hyper-parameter; a point is a trial, its height relative to the best of its method and task."""
    columns = list(dict.fromkeys(column for study in studies for column in study.searched))
    rows = math.ceil(len(columns) / PANELS)
    wide = min(PANELS, len(columns))
    with panels(rows, wide, WIDE * wide / PANELS, 2.2 * rows + 0.3, sharey=True) as (drawing, grid):
        axes = first_axes(grid, len(columns))
        for each, column in zip(axes, columns, strict=True):
            _draw(each, column, [study for study in studies if column in study.searched])
            each.set_xlabel(_label(column))
        for row in grid:
            row[0].set_ylabel("validation accuracy,\npoints below the best")
        methods = list(dict.fromkeys(study.method for study in studies))
        for method in methods:
            draw_method(axes[0], method, [], [], size=3.5, label=shown(method))
        drawing.legend(loc="outside lower center", ncols=min(6, len(methods)), frameon=False)
    return Figure(name, f"{caption} Each point is a trial, measured from the best of its method and task.", drawing)


def _draw(axes: Axes, column: str, studies: Sequence[_Study]) -> None:
    """One panel: words, and a few numbers that a scale cannot tell apart, have a place each, methods side by side."""
    values = pd.concat([study.trials[column] for study in studies])
    methods = list(dict.fromkeys(study.method for study in studies))
    places = sorted(set(values)) if _is_number(values) else sorted({str(value) for value in values})
    scaled = _is_number(values) and (len(places) > FEW or _spans(values.to_numpy(dtype=float)))
    for study in studies:
        x: Sequence[float] = study.trials[column].tolist()
        if not scaled:
            aside = BESIDE * (methods.index(study.method) - (len(methods) - 1) / 2) / len(methods)
            x = [places.index(value if _is_number(values) else str(value)) + aside for value in x]
        below = 100 * (study.trials["test_accuracy"] - study.best["test_accuracy"])
        draw_method(axes, study.method, x, below, size=3.5, alpha=0.75)
    if not scaled:
        axes.set_xticks(range(len(places)), [_short(place) for place in places])
        axes.set_xlim(-0.5, len(places) - 0.5)
    elif _spans(values.to_numpy(dtype=float)):
        logarithmic(axes, "x", list(values), only=len(places) <= FEW)


def _is_number(values: pd.Series[Any]) -> bool:
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
