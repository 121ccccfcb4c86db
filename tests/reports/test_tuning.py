"""The report `tuning` keeps trials apart from tested runs, and says what was chosen and what it gained."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from reports import Figure, Table, find, write_all
from results import Record, frame, save

RATES = (1e-4, 1e-3, 1e-2)


@pytest.fixture
def records(make: Callable[..., Record]) -> list[Record]:
    """Three trials of two methods, the tuned runs, and one run by the recipe as it is."""
    found = []
    for method, accuracies in {"lora": (0.4, 0.7, 0.6), "linear": (0.3, 0.4, 0.5)}.items():
        for rate, accuracy in zip(RATES, accuracies, strict=True):
            trial = make(method, accuracy=accuracy, recipe={"learning_rate": rate})
            changes = {**trial.identity.changes, "split": "val"}
            found.append(dataclasses.replace(trial, identity=dataclasses.replace(trial.identity, changes=changes)))
        found.append(make(method, accuracy=max(accuracies) - 0.05, recipe_name="tuned:demo"))
    return [*found, make("lora", accuracy=0.6)]


def cells(table: Table) -> list[dict[str, Any]]:
    return [
        {column.key: cell.word or cell.value for column, cell in zip(table.columns, row, strict=True)}
        for row in table.rows
    ]


def test_what_was_chosen_and_what_it_gained(records: list[Record]) -> None:
    known = frame(records)
    figure, table = find("tuning")(known[known["split"] == "val"], known[known["split"] == "test"])
    assert isinstance(figure, Figure)
    assert isinstance(table, Table)
    lora, linear = cells(table)
    assert lora["method"] == "lora"
    assert lora["chosen"] == "learning rate 0.001"
    assert lora["validation_accuracy"] == 0.7
    assert lora["tuned_test_accuracy"] == pytest.approx(0.65)
    assert lora["gain"] == pytest.approx(0.05)
    assert lora["gap"] == pytest.approx(0.05)
    assert lora["fixed_validation_accuracy"] == 0.7
    assert lora["validation_gain"] == 0
    assert linear["chosen"] == "learning rate 0.01"
    assert linear["fixed_test_accuracy"] is None
    assert "6 trials on validation images" in table.caption


def test_no_other_report_sees_a_trial(records: list[Record], tmp_path: Path) -> None:
    for record in records:
        save(tmp_path, record)
    write_all(tmp_path, ["accuracy"], tmp_path / "out", Console(quiet=True))
    written = {path.name: path.read_text() for path in (tmp_path / "out").glob("*.csv")}
    assert {name for name in written if "tuned" in name} != set()
    assert any("(validation-chosen)" in path.read_text() for path in (tmp_path / "out").glob("*tuned*.md"))
    fixed = next(text for name, text in written.items() if "tuned" not in name)
    assert "lora" in fixed
    assert "linear" not in fixed


def test_without_trials_there_is_nothing_to_show(records: list[Record]) -> None:
    assert find("tuning")(None, frame(records)) == []
