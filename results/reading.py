"""Reads a folder of results into data frames, for one's own analysis."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from results.costs import cost_frame, load_costs
from results.frame import frame
from results.store import load_all

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_costs", "read_runs"]


def read_runs(root: Path | str = "results") -> pd.DataFrame:
    """Return one row for each run below `root`, and one column for each field of its record.

    Scores are shares of 1, memory is in bytes, time in seconds; `recipe_…`, `method_…` and `where_…` are the resolved
    recipe, the method's settings, and the machine, versions and commit. Trials of `tune` have "val" in the column
    `split`. A damaged record is left out with a warning that names it.
    """
    records, complaints = load_all(Path(root))
    _warn(complaints)
    return frame(records, Path(root))


def read_costs(root: Path | str = "results") -> pd.DataFrame:
    """Return one row for each method and set of conditions that `python bench.py cost` planned or measured.

    A damaged record is left out with a warning that names it.
    """
    records, complaints = load_costs(Path(root))
    _warn(complaints)
    return cost_frame(records)


def _warn(complaints: Iterable[str]) -> None:
    for complaint in complaints:
        warnings.warn(complaint, stacklevel=3)
