"""Ranks at budgets: only what fits is ranked, and what has no average is named instead."""

import pandas as pd
import pytest

from reports import find
from reports.views.leaderboard import budgets, ranks
from results import Cost, frame
from tests.reports.from_print import record

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
    assert [row[0].word for row in table.rows] == ["lora", "full", "dtl", "linear", "bitfit", "ssf"]
    shown = {row[0].word: [cell.value for cell in row[3:]] for row in table.rows}
    assert [column.label for column in table.columns[3:]] == [f"{size} MiB" for size in (8, 12, 16, 24, 32, 48, 64)]
    assert shown["linear"] == [1, 2, 2, 2, 3, 3, 4]
    assert shown["dtl"] == [None, 1, 1, 1, 2, 2, 3]
    assert shown["lora"] == [None, None, None, None, 1, 1, 1]
    assert shown["full"] == [None] * 6 + [2]
    assert shown["bitfit"] == shown["ssf"] == [None] * 7
    assert "Not ranked: bitfit has no peak; ssf lacks cifar." in table.notes


def test_a_method_that_lacks_a_task_keeps_its_cost_and_its_line_and_has_no_mean(runs: pd.DataFrame) -> None:
    (table,) = find("leaderboard")(runs)
    last = {row[0].word: row for row in table.rows[-2:]}
    assert {name: row[1].value for name, row in last.items()} == {"my_own": None, "full": None}
    assert [column.number(cell) for column, cell in zip(table.columns[:4], last["my_own"][:4], strict=True)] == [
        *("my_own", "", "2700", "")
    ]
    assert "Not ranked: full lacks clevr_count; my_own lacks dtd." in table.notes


def test_means_are_those_of_the_table_of_the_suite() -> None:
    """Over all of its tasks and over the seeds that all of these have; where it has none, nothing is ranked."""
    cost = Cost(planned_peak_bytes=MIB)
    whole = [record("lora", task, 0.5, suite="fgvc", cost=cost) for task in ("a", "b", "c", "d", "e")]
    (table,) = find("leaderboard")(frame([*whole, record("lora", "a", 0.9, suite="fgvc", seed=1, cost=cost)]))
    assert table.rows[0][1].value == 0.5
    assert "lora: left out, not there for all its tasks: seed 1." in table.notes
    assert find("leaderboard")(frame(whole[:4])) == []


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
