"""Memory and accuracy against M: from cost records, from runs, and never from both in one picture."""

import pytest
from rich.console import Console

from reports import Figure, Table, find, write_all
from reports.discovery import READS
from results import Cost, cost_frame, frame, save
from tests.reports.test_cost_reports import record


def run(make, start: int, spec: str = "dtl", accuracy: float = 0.6):
    cost = Cost(planned_peak_bytes=(40 - 2 * start) * 2**20)
    word = spec if start == 7 else f"{spec}:start={start}"
    return make(word, accuracy=accuracy, cost=cost, settings={"rank": 2, "start": start})


def test_costs_give_a_line_for_each_method(make) -> None:
    rows = [record(f"{m}:start={k}", 5 - 0.3 * k, {"start": k}) for m in ("dtl", "dtl_plus") for k in (2, 12, 5)]
    table, figure = find("dtl_start")(cost_frame([*rows, record("dtl:rank=4", 3.0, {"start": 7}), record("lora", 9.0)]))
    assert isinstance(table, Table)
    assert [row[0].value for row in table.rows] == [2, 5, 12]
    assert [column.block for column in table.columns] == ["", "dtl", "dtl_plus"]
    (axes,) = figure.drawing.axes
    assert [line.get_xydata()[:, 0].tolist() for line in axes.lines] == [[2, 5, 12]] * 2
    assert axes.lines[0].get_ydata() == pytest.approx([5 - 0.6, 5 - 1.5, 5 - 3.6])


def test_runs_give_accuracy_above_their_own_memory(make) -> None:
    records = [run(make, start, accuracy=0.8 - start / 100) for start in (12, 1, 7)]
    table, figure = find("dtl_start")(None, frame([*records, run(make, 3, "dtl_plus"), make("lora")]))
    above, below = figure.drawing.axes
    assert above.lines[0].get_ydata() == pytest.approx([79, 73, 68])
    assert below.lines[0].get_xydata().tolist() == [[1, 38], [7, 26], [12, 16]]
    assert [column.block for column in table.columns] == ["", "dtl", "dtl"]  # a single M makes no line


def test_one_start_or_other_methods_show_nothing(make) -> None:
    assert find("dtl_start")(None, frame([run(make, 7), make("lora")])) == []
    assert find("dtl_start")(cost_frame([record("dtl", 3.0, {"start": 7})]), None) == []


def test_the_command_feeds_it_either_kind_of_record(make, tmp_path) -> None:
    assert READS["dtl_start"] == ("costs", "runs")
    assert READS["accuracy"] == ("runs",)
    assert READS["lora_position"] == ("costs",)
    for start in (1, 7):
        save(tmp_path, run(make, start))
    paths = write_all(tmp_path, ["dtl_start"], tmp_path / "out", Console(width=100, quiet=True))
    assert {path.suffix for path in paths} == {".md", ".tex", ".csv", ".png", ".pdf"}
    assert isinstance(find("dtl_start")(None, frame([run(make, 1), run(make, 7)]))[1], Figure)
