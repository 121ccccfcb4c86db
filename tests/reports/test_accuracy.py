"""The numbers of the first report, checked by hand."""

import pandas as pd
import pytest

from reports.tables.table import METRICS, Cell, Table
from reports.views.accuracy import report
from results import Cost, Score, frame


def cell(table: Table, method: str, key: str) -> Cell:
    (place,) = [place for place, column in enumerate(table.columns) if column.key == key]
    (row,) = [row for row in table.rows if row[0].word == method]
    return row[place]


@pytest.fixture(scope="module")
def table(runs: pd.DataFrame) -> Table:
    (table,) = report(runs)
    return table


def test_means_stand_first_then_costs_then_the_tasks_as_in_the_published_tables(table: Table) -> None:
    assert [column.key.removeprefix("test_accuracy_") for column in table.columns] == [
        *("method", "mean_of_groups", "mean_of_tasks", "natural_mean", "specialized_mean", "structured_mean"),
        *("trainable", "trainable_without_head", "planned_peak_bytes", "epoch_seconds", "hyper_parameters", "runs"),
        *("cifar", "dtd", "eurosat", "resisc45", "clevr_count", "dsprites_loc"),
    ]
    assert [row[0].word for row in table.rows][:3] == ["full", "linear", "bitfit"]


def test_means_and_deviations(make) -> None:
    scores = {
        ("cifar", 0): 0.6,
        ("cifar", 1): 0.8,
        ("dtd", 0): 0.3,
        ("dtd", 1): 0.3,
        ("eurosat", 0): 0.9,
        ("eurosat", 1): 0.5,
    }
    (table,) = report(frame([make("lora", task, seed, score) for (task, seed), score in scores.items()]))
    expected = {
        "cifar": (0.7, 0.02**0.5),
        "dtd": (0.3, 0.0),
        "natural_mean": (0.5, 0.005**0.5),
        "eurosat": (0.7, 0.08**0.5),
        "mean_of_groups": (0.6, 0.01125**0.5),  # 0.675 with one seed and 0.525 with the other
        "mean_of_tasks": (17 / 30, 0.2 / 3 / 2**0.5),
    }
    for key, (mean, deviation) in expected.items():
        found = cell(table, "lora", f"test_accuracy_{key}")
        assert (found.value, found.spread) == (pytest.approx(mean), pytest.approx(deviation)), key


def test_one_seed_has_no_deviation(make) -> None:
    (table,) = report(frame([make()]))
    assert cell(table, "lora", "test_accuracy_mean_of_groups") == Cell(0.5)


def test_seeds_that_are_not_the_same_everywhere_give_the_mean_no_deviation(make) -> None:
    (table,) = report(frame([make(), make(seed=1), make(task="dtd")]))
    assert cell(table, "lora", "test_accuracy_natural_mean") == Cell(0.5)


def test_a_failure_shows_its_word_and_leaves_no_average(table: Table) -> None:
    assert cell(table, "full", "test_accuracy_clevr_count") == Cell(word="oom")
    assert cell(table, "full", "test_accuracy_structured_mean") == Cell()
    assert cell(table, "full", "test_accuracy_mean_of_groups") == Cell()
    assert cell(table, "full", "test_accuracy_natural_mean").value is not None
    assert cell(table, "full", "runs") == Cell(10)
    assert table.notes == ("full: oom on clevr_count (needs 12 GiB).",)


def test_one_seed_that_diverged_is_not_averaged_away(make) -> None:
    (table,) = report(frame([make(), make(seed=1, status="diverged")]))
    assert cell(table, "lora", "test_accuracy_cifar") == Cell(word="diverged")


def test_a_missing_cell_is_empty(table: Table) -> None:
    assert cell(table, "my_own", "test_accuracy_dtd") == Cell()
    assert cell(table, "my_own", "test_accuracy_mean_of_tasks") == Cell()
    assert cell(table, "my_own", "planned_peak_bytes").value == 2700 * 2**20  # of the tasks there are


def test_costs_are_means_over_tasks_in_stored_units(table: Table) -> None:
    assert cell(table, "linear", "trainable").value == pytest.approx(769 * (100 + 47 + 10 + 45 + 8 + 16) / 6)
    assert cell(table, "dtl", "planned_peak_bytes") == Cell(1700 * 2**20)
    assert cell(table, "dtl", "epoch_seconds") == Cell(1.05)  # the median without the first


def test_measured_memory_has_a_column_of_its_own(make) -> None:
    measured = Cost(trainable=1, planned_peak_bytes=2**30, peak_bytes=2**31)
    (table,) = report(frame([make(cost=measured, device="NVIDIA H200"), make("dtl", device="NVIDIA H200")]))
    assert cell(table, "lora", "planned_peak_bytes") == Cell(2**30)
    assert cell(table, "lora", "peak_bytes") == Cell(2**31)
    assert cell(table, "dtl", "peak_bytes") == Cell()


def test_the_caption_states_the_conditions(table: Table) -> None:
    expected = "demo (2 natural, 2 specialized, 2 structured tasks), backbone vit_b16, recipe common: "
    expected += (
        "epochs 100, batch size 64, precision fp32, attention fused, preprocessing interpolation bicubic, resize 224. "
    )
    expected += "Seeds 0, 1; device cpu; torch 2.11.0; commit abcdef0. Test accuracy (%) of the last epoch"
    assert table.caption.startswith(expected)


def test_every_plain_number_of_a_record_has_a_row_of_metrics() -> None:
    numbers = {name for part in (Score(), Cost()) for name, value in vars(part).items() if value is None}
    lists = {"calibration_bins", "calibrated_bins", "confusion"}
    assert numbers - lists | {"epoch_seconds"} <= set(METRICS)
