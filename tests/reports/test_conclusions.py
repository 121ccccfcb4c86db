"""The sentences at the end of a grid say what its records say, and its table fits a terminal."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from reports import write_all
from reports.conclusions import conclusions, outline
from results import Cost, frame, path_of, save

MIB = 2**20
PEAKS = {"linear": (0.5, 8), "dtl": (0.7, 10), "lora": (0.8, 30), "ssf": (0.6, 40), "full": (0.75, 60)}


def records(make, names=PEAKS) -> list:
    return [make(name, accuracy=PEAKS[name][0], cost=Cost(planned_peak_bytes=PEAKS[name][1] * MIB)) for name in names]


def test_the_best_the_cheaper_ones_and_full_fine_tuning_are_named(make) -> None:
    assert conclusions(frame(records(make))) == [
        "Of 5 methods lora is the most accurate, 80.0 %, with 30 MiB of peak memory in training (planned).",
        "With less memory the best are linear 50.0 % with 8 MiB, dtl 70.0 % with 10 MiB.",
        "Full fine-tuning reaches 75.0 % with 60 MiB: lora reaches 5.0 points more with 50% of that memory.",
        "One seed: methods whose accuracies are close may change places with another.",
    ]
    assert "dtl reaches 5.0 points less with 17%" in conclusions(frame(records(make, ["dtl", "full"])))[2]


def test_one_method_and_methods_without_an_average_say_nothing(make) -> None:
    assert conclusions(frame(records(make, ["lora"]))) == []
    assert conclusions(frame([*records(make, ["lora"]), make("full", status="oom")])) == []


def test_several_suites_are_told_apart(make) -> None:
    other = [make(name, suite="vtab", accuracy=0.5, cost=Cost(planned_peak_bytes=MIB)) for name in PEAKS]
    said = conclusions(frame([*records(make), *other]))
    assert {sentence.partition(":")[0] for sentence in said} == {"demo-vit_b16-common", "vtab-vit_b16-common"}


def test_the_outline_has_the_best_first_and_those_without_an_average_last(make) -> None:
    (table,) = outline(frame([*records(make), make("bitfit", status="oom")]))
    assert [row[0].word for row in table.rows] == ["lora", "full", "dtl", "ssf", "linear", "bitfit"]
    assert [column.label for column in table.columns] == ["method", "cifar", "without head", "planned"]


@pytest.mark.parametrize("names", [["lora"], [*PEAKS]])
def test_all_reports_of_a_grid_take_few_lines_of_a_terminal(make, tmp_path: Path, names: list[str]) -> None:
    found = records(make, names)
    for record in found:
        save(tmp_path, record)
    console = Console(file=io.StringIO(), width=80)
    paths = [path_of(tmp_path, record.identity) for record in found]
    assert write_all(tmp_path, None, tmp_path / "out", console, paths)
    shown = console.file.getvalue()
    assert len(shown.splitlines()) <= 18 + len(names)
    assert str(tmp_path / "out" / "index.html") in shown
    assert ("lora is the most accurate" in shown) == (len(names) > 1)
