"""How sure an accuracy is: intervals from test images or from seeds, and which methods cannot be told from the best.

One seed: the error of a share of so many test images; its interval is Wilson's. Several seeds: the error of their mean,
with Student's interval. Two accuracies are told apart at 95 % by Welch's test of these errors, or by McNemar's exact
test of the images that only one of the two methods has right, where both have one seed and kept their predictions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
from scipy import stats

from reports.tables.table import Cell, Estimate, Kept
from results import Damaged, read_kept

__all__ = ["CONFIDENCE", "Average", "alike", "average", "marked", "of_seeds", "of_share"]

CONFIDENCE = 0.95
Average = Callable[[Mapping[str, float | None]], float | None]


def of_share(share: float, images: int, kept: Kept | None = None) -> Estimate:
    """Estimate an accuracy from a share of test images.

    The interval is Wilson's; the error is that of Agresti and Coull, which is not zero where all answers are right.
    """
    right = round(share * images)
    centre = (right + 2) / (images + 4)
    error = math.sqrt(centre * (1 - centre) / (images + 4))
    return Estimate(share, error, math.inf, *_wilson(right, images), kept)


def of_seeds(values: Sequence[float]) -> Estimate | None:
    """Estimate a mean over seeds; None for fewer than two."""
    if len(values) < 2:
        return None
    return _student(fmean(values), stdev(values) / math.sqrt(len(values)), len(values) - 1)


def average(cells: Mapping[str, Cell], mean: Average) -> Estimate | None:
    """Estimate a weighted mean of cells, each of another test set; None where a cell of weight has no estimate."""
    value = mean({name: cell.value for name, cell in cells.items()})
    weights = {name: mean({other: float(other == name) for other in cells}) for name in cells}
    parts = [(weight, cells[name].estimate) for name, weight in weights.items() if weight]
    known = [(weight, part) for weight, part in parts if part is not None]
    if value is None or not known or len(known) < len(parts):
        return None
    return _student(value, math.sqrt(sum((weight * part.error) ** 2 for weight, part in known)), math.inf)


def alike(one: Estimate, other: Estimate) -> bool:
    """Return whether two estimates cannot be told apart."""
    if one.kept is not None and other.kept is not None:
        a, b = _right(*one.kept), _right(*other.kept)
        if a is not None and b is not None and a[0] == b[0]:
            return _mcnemar(a[1], b[1])
    variances = one.error**2, other.error**2
    if not sum(variances):
        return one.value == other.value
    # Welch and Satterthwaite; an infinite freedom adds nothing
    pairs = zip(variances, (one.freedom, other.freedom), strict=True)
    inverse = sum(variance**2 / freedom for variance, freedom in pairs)
    freedom = sum(variances) ** 2 / inverse if inverse else math.inf
    return bool(abs(one.value - other.value) <= _quantile(freedom) * math.sqrt(sum(variances)))


def marked(cells: Sequence[Cell]) -> list[bool]:
    """Return for each cell whether it is the best of a column, higher being better, or cannot be told apart from it."""
    known = [cell for cell in cells if cell.value is not None]
    if not known:
        return [False] * len(cells)
    best = max(known, key=lambda cell: cell.value or 0.0)
    return [
        cell is best
        or cell.value == best.value
        or (cell.estimate is not None and best.estimate is not None and alike(cell.estimate, best.estimate))
        for cell in cells
    ]


def _student(value: float, error: float, freedom: float) -> Estimate:
    reach = _quantile(freedom) * error
    return Estimate(value, error, freedom, value - reach, value + reach)


@cache
def _wilson(right: int, images: int) -> tuple[float, float]:
    interval = stats.binomtest(right, images).proportion_ci(CONFIDENCE, "wilson")
    return float(interval.low), float(interval.high)


@cache
def _quantile(freedom: float) -> float:
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom))


def _mcnemar(one: np.ndarray, other: np.ndarray) -> bool:
    """Return whether the images that only one has right may fall to either by chance, by the exact test."""
    only_one, only_other = int((one & ~other).sum()), int((other & ~one).sum())
    apart = only_one + only_other
    return not apart or bool(stats.binomtest(only_one, apart).pvalue >= 1 - CONFIDENCE)


@cache
def _right(path: Path, checksum: str) -> tuple[bytes, np.ndarray] | None:
    """The labels and the right answers of a run; None where its file is gone or damaged."""
    try:
        arrays = read_kept(path, checksum)
    except (OSError, Damaged):
        return None
    return arrays["labels"].tobytes(), arrays["predicted"] == arrays["labels"]
