"""SynQT's ablations: scales of 1, a trainable KEM, 300 tokens for the baselines (its appendix Tables 4, 5 and 2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from reports.tables import ours
from reports.tables.comparison import Comparison, tasks_by_group
from reports.tables.ours import Layout
from reports.tables.published import canonical, published, unknown_weights
from reports.tables.published_beside import beside
from reports.tables.summary import of_suite
from reports.tables.table import Table
from reports.views.vtab import SIZES, SUITE

__all__ = ["report"]

ABLATED = {"attention_scale", "ffn_scale", "scale", "kem"}  # settings of synqt
MORE_TOKENS = ("vpt_deep:tokens=300", "vqt:tokens=300")
WHOLE = ("synqt", "vpt_deep", "vqt")  # what they are compared with


def report(runs: pd.DataFrame) -> list[Table]:
    """Group means of the variants that were run beside the whole method and beside what was printed."""
    return [table for comparison, notes in of_suite(runs, SUITE) for table in _tables(comparison, notes)]


def _tables(comparison: Comparison, notes: tuple[str, ...]) -> Iterator[Table]:
    methods = comparison.runs["method"]
    if not any(_is_variant(method) for method in methods.unique()):
        return
    runs = comparison.runs[[_is_variant(method) or method in WHOLE for method in methods]]
    part = replace(comparison, runs=runs)
    layout, name = Layout(tasks_by_group(runs), SIZES, tasks=False), f"ablation_synqt-{comparison.name}"
    yield ours.table(name, part, layout, notes)
    rows = [row for row in published(SUITE, part) if row.source.startswith("SynQT")]
    found = beside(f"{name}-published", part, layout, rows, [*notes, *unknown_weights(part)])
    if found is not None:
        yield found


def _is_variant(method: str) -> bool:
    name, settings = canonical(method)
    ablated = name == "synqt" and any(key in ABLATED for key, _ in settings)
    return ablated or (name, settings) in map(canonical, MORE_TOKENS)
