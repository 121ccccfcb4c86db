"""The report on energy: accuracy against the joules of training, and what is said where no record has any."""

import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from reports import write_all
from reports.tables.table import Figure, Table
from reports.views.energy import report
from results import Cost, Record, frame, save


def cost(joules: float | None, seconds: float = 20.0) -> Cost:
    return Cost(planned_peak_bytes=2**30, peak_bytes=2**30, train_seconds=seconds, train_joules=joules)


@pytest.fixture
def records(make: Any) -> list[Record]:
    pairs = {"full": 6000.0, "lora": 4000.0, "linear": 900.0}
    return [
        make(method, task, accuracy=0.5 + joules / 20000, cost=cost(joules), device="NVIDIA H200")
        for method, joules in pairs.items()
        for task in ("cifar", "dtd")
    ]


def test_energy_stands_beside_memory(records: list[Record]) -> None:
    figure, table = report(frame(records))
    assert isinstance(figure, Figure)
    assert isinstance(table, Table)
    labels = [axes.get_xlabel() for axes in figure.drawing.axes]
    assert labels == ["peak memory, measured on CUDA (MiB)", "energy of training (kJ)"]
    assert "other processes on the card included" in figure.caption
    rows = {row[0].word: [cell.value for cell in row[1:]] for row in table.rows}
    assert rows["full"] == pytest.approx([0.8, 2**30, 6000.0, 20.0, 300.0])
    assert table.columns[3].number(table.rows[0][3]) == "6.00"  # kJ


def test_joules_of_two_devices_share_no_mean(make: Any) -> None:
    runs = [make(task=task, cost=cost(100.0), device=task) for task in ("cifar", "dtd")]
    (table,) = [item for item in report(frame(runs)) if isinstance(item, Table)]
    assert table.rows[0][3].word == "mixed"


def test_a_method_without_joules_is_left_out_of_the_figure_and_empty_in_the_table(
    records: list[Record], make: Any
) -> None:
    runs = [*records, *(make("ssf", task, cost=cost(None), device="NVIDIA H200") for task in ("cifar", "dtd"))]
    figure, table = report(frame(runs))
    assert isinstance(figure, Figure)
    assert isinstance(table, Table)
    assert [len(axes.containers) for axes in figure.drawing.axes] == [4, 3]
    assert table.rows[-1][0].word == "ssf"
    assert [cell.value for cell in table.rows[-1][3:]] == [None, None, None]


def test_without_joules_one_sentence_says_why(tmp_path: Path, make: Any) -> None:
    assert report(pd.DataFrame()) == []
    save(tmp_path, make(cost=cost(None)))
    console = Console(file=io.StringIO(), width=200)
    assert write_all(tmp_path, ["energy"], tmp_path / "out", console) == []
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == [
        "energy: no record says what energy its training took; runs on an NVIDIA card do, with nvidia-ml-py installed"
    ]
