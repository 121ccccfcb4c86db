"""Which methods no cheaper method beats."""

from __future__ import annotations

import pandas as pd

__all__ = ["frontier"]


def frontier(runs: pd.DataFrame, cost: str, score: str) -> pd.DataFrame:
    """Keep the rows no cheaper row beats, cheapest first. Lower cost is better, higher score is better."""
    known = runs.dropna(subset=[cost, score])  # a row without a number is on no frontier
    ordered = known.sort_values([cost, score], ascending=[True, False], kind="stable")
    return ordered[ordered[score] > ordered[score].astype(float).cummax().shift(fill_value=float("-inf"))]
