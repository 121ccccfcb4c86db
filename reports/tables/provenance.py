"""What was run, where, with which code and by which command: the part of the page that makes the rest reproducible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from reports.tables.captions import conditions
from reports.tables.comparison import Comparison, comparisons, values
from reports.tables.order import in_order
from results import numbered

__all__ = ["Made", "made"]

COMMANDS = 12  # shown at most


@dataclass(frozen=True)
class Made:
    """Records that belong together: sentences about them, and the commands that made them."""

    title: str
    sentences: Sequence[str]
    commands: Sequence[str]


def made(runs: pd.DataFrame | None, costs: pd.DataFrame | None) -> list[Made]:
    """One for each suite, backbone and recipe, and one for the cost records."""
    parts = [_trained(comparison) for comparison in comparisons(runs)] if runs is not None else []
    return [*parts, *([_priced(costs)] if costs is not None and len(costs) else [])]


def _trained(comparison: Comparison) -> Made:
    runs = comparison.runs
    methods = in_order(dict.fromkeys(map(str, runs["method"])))
    states = ", ".join(f"{count} {status}" for status, count in runs["status"].value_counts().items())
    copy = comparison.copy and f", copy {comparison.copy}"
    title = f"Suite {comparison.suite}{copy}, backbone {comparison.network}, recipe {comparison.recipe}"
    sentences = [f"{numbered(len(runs), 'run')} ({states}).", conditions(comparison), f"Methods: {', '.join(methods)}."]
    return Made(title, [*sentences, *_machine(runs)], _commands(runs))


def _priced(costs: pd.DataFrame) -> Made:
    states = ", ".join(f"{count} {status}" for status, count in costs["status"].value_counts().items())
    words = [f"{numbered(len(costs), 'row')} ({states}).", f"Backbones: {', '.join(values(costs, 'backbone'))}."]
    return Made("Costs without training", [*words, *_machine(costs)], _commands(costs))


def _machine(records: pd.DataFrame) -> list[str]:
    """Machine, versions, code and days; what is not known is left out."""
    versions = sorted({f"{name} {one}" for known in records.get("where_versions", ()) for name, one in known.items()})
    days = sorted(day[:10] for day in values(records, "where_date"))
    parts = {
        "Machine": [*values(records, "where_device"), *values(records, "where_driver")],
        "Versions": versions,
        "Code": values(records, "where_commit"),
        "Days": list(dict.fromkeys([*days[:1], *days[-1:]])),
    }
    return [f"{name}: {', '.join(known)}." for name, known in parts.items() if known]


def _commands(records: pd.DataFrame) -> list[str]:
    commands = values(records, "where_command")
    more = [f"… and {len(commands) - COMMANDS} more"] if len(commands) > COMMANDS else []
    return [*commands[:COMMANDS], *more]
