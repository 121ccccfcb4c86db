"""Ranks at budgets: only what fits is ranked, and what has no average is named instead."""

import pandas as pd
import pytest

from reports import find
from reports.views.leaderboard import budgets, ranks
from results import Cost, frame

MIB = 2**20


def test_budgets_are_the_sizes_of_cards() -> None:
    assert [size // MIB for size in budgets([7.8 * MIB, 55.7 * MIB])] == [8, 12, 16, 24, 32, 48, 64]
    assert [size / 2**30 for size in budgets([0.87 * 2**30, 10.0 * 2**30])] == [1, 1.5, 2, 3, 4, 6, 8, 12]
    assert budgets([8.0, 8.0]) == [8]
    assert budgets([1.0]) == [2]


def test_equal_scores_share_a_rank() -> None:
    assert ranks([0.5, None, 0.7, 0.5, 0.1]) == [2, None, 1, 2, 4]


def test_the_best_that_fits_comes_first(make) -> None:
    peaks = {"linear": (0.5, 7), "lora": (0.8, 30), "dtl": (0.7, 10), "full": (0.75, 60)}
    costs = {name: Cost(planned_peak_bytes=mib * MIB) for name, (_, mib) in peaks.items()}
    records = [make(name, accuracy=score, cost=costs[name]) for name, (score, _) in peaks.items()]
    records += [make("ssf", status="oom"), make("bitfit", accuracy=0.9, cost=Cost())]
    (table,) = find("leaderboard")(frame(records))
    assert [row[0].word for row in table.rows] == ["lora", "full", "dtl", "linear"]
    shown = {row[0].word: [cell.value for cell in row[3:]] for row in table.rows}
    assert [column.label for column in table.columns[3:]] == [f"{size} MiB" for size in (8, 12, 16, 24, 32, 48, 64)]
    assert shown["linear"] == [1, 2, 2, 2, 3, 3, 4]
    assert shown["dtl"] == [None, 1, 1, 1, 2, 2, 3]
    assert shown["lora"] == [None, None, None, None, 1, 1, 1]
    assert shown["full"] == [None] * 6 + [2]
    assert "Not ranked for want of an average or a peak: bitfit, ssf." in table.notes


def test_measured_peaks_rank_where_all_were_measured_on_one_device(make) -> None:
    def named(devices: tuple[str, str]) -> str:
        cost = Cost(planned_peak_bytes=MIB, peak_bytes=2 * MIB)
        records = [make(name, cost=cost, device=device) for name, device in zip(("a", "b"), devices, strict=True)]
        return find("leaderboard")(frame(records))[0].columns[2].key

    assert named(("H", "H")) == "peak_bytes"
    assert named(("H", "L")) == "planned_peak_bytes"


@pytest.mark.parametrize("columns", [["test_accuracy"], []])
def test_without_costs_there_is_no_ranking(runs: pd.DataFrame, columns: list[str]) -> None:
    identity = ["backbone", "method", "suite", "task", "recipe", "seed", "group", "classes", "status", "reason"]
    assert find("leaderboard")(runs[identity + columns]) == []
