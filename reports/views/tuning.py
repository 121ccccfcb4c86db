"""Validation accuracy against each hyper-parameter that `tune` searched, what was chosen, and what it gained."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from reports.figures.style import WIDE, draw_method, first_axes, logarithmic, panels, shown
from reports.tables.comparison import label, origin, written
from reports.tables.summary import plain_mean
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
    "Each trial trains on a part of the training images and is scored on the rest; test images are not read. Tests are "
    "runs on all training images: with what was chosen (recipe tuned:NAME), and with the recipe as it is, which has a "
    "validation accuracy where its values were among the trials. What was not tested yet is the best trial of the "
    "task. Mattered most: the share of the variance of validation accuracy that a forest of regression trees gives to "
    "it. Trials that were ended early are left out."
)

Run = Mapping[Any, Any]  # a row of the frame by its columns, in Python's own numbers


@dataclass(frozen=True)
class _Study:
    """The trials of one method on one task."""

    method: str
    task: str
    trials: pd.DataFrame
    searched: tuple[str, ...]  # columns whose values differ

    @property
    def best(self) -> Run:
        """The trial with the highest validation accuracy."""
        return _first(self.trials.iloc[int(self.trials["test_accuracy"].to_numpy().argmax()) :])

    def validation(self, run: Run) -> float | None:
        """The validation accuracy of the trials with all values of a run; None without one."""
        columns = [column for column in map(str, self.trials) if _is_setting(column)]
        same = [
            pd.Series(map(written, self.trials[column].tolist()), self.trials.index) == written(run.get(column))
            for column in columns
        ]
        return _mean(self.trials[np.logical_and.reduce(same)]["test_accuracy"])


@dataclass(frozen=True)
class _Row:
    """The numbers of some values on one task, or their means over all tasks of a method."""

    method: str
    recipe: str  # "" before a test
    values: str
    apart: tuple[str, ...]  # all that was not searched: what is compared has these in common
    validation: float | None
    test: float | None
    trials: int
    mattered: str = ""

    @property
    def settings(self) -> str:
        """Where the values come from."""
        return origin(self.recipe) if self.recipe else "validation-chosen"


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


def _first(runs: pd.DataFrame) -> Run:
    return runs.iloc[:1].to_dict("records")[0]


def _is_setting(column: str) -> bool:
    """Trials that may end early are scored after each epoch, which makes no other values."""
    return column.startswith(("recipe_", "method_")) and column != "recipe_evaluate_every"


def _was_searched(column: str, values: pd.Series[Any]) -> bool:
    return _is_setting(column) and len({str(value) for value in values}) > 1


def _table(name: str, caption: str, studies: Sequence[_Study], runs: pd.DataFrame, recipe: str) -> Table:
    gain = f"gain over {recipe} (points)"
    columns = (
        Column("method", "method"),
        Column("task", "task"),
        Column("hyper_parameters", "hyper-parameters"),
        Column("recipe", "recipe"),
        Column("chosen", "values"),
        Column("validation_accuracy", "validation", "accuracy (%)", ACCURACY),
        Column("test_accuracy", "test", "accuracy (%)", ACCURACY),
        Column("gap", "validation - test (points)", "", POINTS),
        Column("validation_gain", "validation", gain, POINTS),
        Column("gain", "test", gain, POINTS),
        Column("trials", COUNT.heading, "", COUNT),
        Column("mattered", "mattered most"),
    )
    cells = list[tuple[Cell, ...]]()
    for method in dict.fromkeys(study.method for study in studies):
        tasks = {study.task: _rows(study, runs, recipe) for study in studies if study.method == method}
        cells += [_cells(row, task, rows) for task, rows in tasks.items() for row in rows]
        means = _means(list(tasks.values())) if len(tasks) > 1 else []
        cells += [_cells(row, f"mean of {numbered(len(tasks), 'task')}", means) for row in means]
    return Table(f"{name}-table", caption, columns, tuple(cells))


def _rows(study: _Study, runs: pd.DataFrame, recipe: str) -> list[_Row]:
    """What was chosen and tested, or else the best trial; then the recipe as it is. Other values are other rows."""
    same = runs[(runs["task"] == study.task) & (runs["method"].str.split(":").str[0] == study.method)]
    found = list[_Row]()
    for (method, known), part in same.groupby(["method", "recipe"], sort=False):
        words = part[[column for column in part if _is_setting(str(column))]].map(written).agg(" ".join, axis=1)
        for _, alike in part.groupby(words, sort=False):
            row = _row(study, _first(alike), str(method), str(known), _mean(alike["test_accuracy"]))
            if (origin(row.recipe) == "validation-chosen" and row.validation is not None) or (
                row.recipe == recipe and row.method == study.method
            ):
                found.append(row)
    if all(row.recipe == recipe for row in found):
        found.append(_row(study, study.best, study.method, "", None))
    return sorted(found, key=lambda row: row.settings != "validation-chosen")


def _row(study: _Study, run: Run, method: str, recipe: str, test: float | None) -> _Row:
    settings = [column for column in map(str, study.trials) if _is_setting(column)]
    return _Row(
        method,
        recipe,
        ", ".join(f"{label(column)} {_short(run.get(column))}" for column in study.searched),
        tuple(written(run.get(column)) for column in settings if column not in study.searched),
        study.validation(run),
        test,
        len(study.trials),
        "" if recipe and origin(recipe) != "validation-chosen" else _mattered(study),
    )


def _means(tasks: Sequence[Sequence[_Row]]) -> list[_Row]:
    """The means over tasks of what every task has once."""
    found = []
    for key in dict.fromkeys((row.method, row.recipe) for rows in tasks for row in rows):
        own = [[row for row in rows if (row.method, row.recipe) == key] for rows in tasks]
        if all(len(rows) == 1 for rows in own):
            rows = [row for (row,) in own]
            means = plain_mean(row.validation for row in rows), plain_mean(row.test for row in rows)
            found.append(_Row(*key, "", (), *means, sum(row.trials for row in rows)))
    return found


def _cells(row: _Row, task: str, rows: Sequence[_Row]) -> tuple[Cell, ...]:
    """One line, with its gain over the recipe as it is where this is there once under the same protocol."""
    others = [each for each in rows if each.settings != "validation-chosen" and each.apart == row.apart]
    fixed = others[0] if len(others) == 1 and others[0] is not row else None
    return (
        *(Cell(word=word) for word in (row.method, task, row.settings, row.recipe, row.values)),
        Cell(row.validation),
        Cell(row.test),
        _difference(row.validation, row.test),
        _difference(row.validation, fixed.validation if fixed else None),
        _difference(row.test, fixed.test if fixed else None),
        Cell(row.trials),
        Cell(word=row.mattered),
    )


def _difference(one: float | None, other: float | None) -> Cell:
    return Cell(one - other if one is not None and other is not None else None)


def _mean(accuracies: pd.Series[Any]) -> float | None:
    return float(accuracies.mean()) if len(accuracies) else None


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else written(value)


def _mattered(study: _Study) -> str:
    """The value with the largest share of the variance, and the share; nothing of few trials."""
    if len(study.trials) < LEAST_TRIALS:
        return ""
    from sklearn.ensemble import RandomForestRegressor

    values = np.column_stack([_numbers(study.trials[column]) for column in study.searched])
    forest = RandomForestRegressor(n_estimators=64, random_state=0).fit(values, study.trials["test_accuracy"])
    most = int(forest.feature_importances_.argmax())
    return f"{label(study.searched[most])} ({forest.feature_importances_[most]:.0%})"


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
            each.set_xlabel(label(column))
        for row in grid:
            row[0].set_ylabel("validation accuracy,\npoints below the best")
        methods = list(dict.fromkeys(study.method for study in studies))
        for method in methods:
            draw_method(axes[0], method, [], [], size=3.5, label=shown(method))
        drawing.legend(loc="outside lower center", ncols=min(6, len(methods)), frameon=False)
    return Figure(name, f"{caption} Each point is a trial, measured from the best of its method and task.", drawing)


def _draw(axes: Axes, column: str, studies: Sequence[_Study]) -> None:
    """One panel: words, and numbers if they are few, have a place each, with the methods side by side."""
    values = pd.concat([study.trials[column] for study in studies])
    methods = list(dict.fromkeys(study.method for study in studies))
    places = sorted(set(values)) if _is_number(values) else sorted({str(value) for value in values})
    scaled = _is_number(values) and len(places) > FEW
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
        logarithmic(axes, "x", list(values))


def _is_number(values: pd.Series[Any]) -> bool:
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
