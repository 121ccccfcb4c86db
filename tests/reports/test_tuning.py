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
        best = {"learning_rate": RATES[accuracies.index(max(accuracies))]}
        found.append(make(method, accuracy=max(accuracies) - 0.05, recipe_name="tuned:demo", recipe=best))
    return [*found, make("lora", accuracy=0.62, recipe={"learning_rate": 1e-2})]


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
    lora, fixed, linear = cells(table)
    assert (lora["method"], lora["hyper_parameters"], lora["recipe"]) == ("lora", "validation-chosen", "tuned:demo")
    assert lora["chosen"] == "learning rate 0.001"
    assert lora["validation_accuracy"] == 0.7
    assert lora["test_accuracy"] == pytest.approx(0.65)
    assert lora["gap"] == pytest.approx(0.05)
    assert lora["gain"] == pytest.approx(0.03)
    assert lora["validation_gain"] == pytest.approx(0.1)
    assert (fixed["hyper_parameters"], fixed["chosen"]) == ("fixed", "learning rate 0.01")
    assert (fixed["validation_accuracy"], fixed["test_accuracy"], fixed["gain"]) == (0.6, 0.62, None)
    assert (linear["chosen"], linear["gain"]) == ("learning rate 0.01", None)
    assert "6 trials on validation images" in table.caption


def test_tests_of_other_values_or_protocols_share_no_row(records: list[Record], make: Callable[..., Record]) -> None:
    """Another choice under the same name has no gain over runs of other lengths; a mean needs each task once."""
    other = make("lora", accuracy=0.5, recipe_name="tuned:demo", recipe={"learning_rate": 1e-4})
    short = make("lora", accuracy=0.1, recipe={"learning_rate": 1e-2, "epochs": 1})
    known = frame([*records, other, short, make("lora", "dtd", accuracy=0.9, recipe_name="tuned:demo")])
    _, table = find("tuning")(known[known["split"] == "val"], known[known["split"] == "test"])
    assert isinstance(table, Table)
    lora = [row for row in cells(table) if row["method"] == "lora"]
    assert [(row["chosen"], round(row["test_accuracy"], 9)) for row in lora] == [
        ("learning rate 0.001", 0.65),
        ("learning rate 0.0001", 0.5),
        ("learning rate 0.01", 0.62),
        ("learning rate 0.01", 0.1),
    ]
    assert [row["gain"] for row in lora] == [pytest.approx(0.03), pytest.approx(-0.12), None, None]


def test_before_a_test_the_best_trial_is_shown(records: list[Record]) -> None:
    trials = frame(records)[lambda known: known["split"] == "val"]
    _, table = find("tuning")(trials, None)
    assert isinstance(table, Table)
    assert [(row["chosen"], row["recipe"]) for row in cells(table)] == [
        ("learning rate 0.001", None),
        ("learning rate 0.01", None),
    ]


def test_no_other_report_sees_a_trial(records: list[Record], tmp_path: Path) -> None:
    for record in records:
        save(tmp_path, record)
    write_all(tmp_path, ["accuracy"], tmp_path / "out", Console(quiet=True))
    written = {path.name: path.read_text() for path in (tmp_path / "out").glob("*.csv")}
    assert {name for name in written if "tuned" in name} != set()
    (tuned,) = (tmp_path / "out").glob("*tuned*.md")
    assert "(validation-chosen)" in tuned.read_text()
    assert "learning rate 0.001; rank 4" in tuned.read_text()
    fixed = next(text for name, text in written.items() if "tuned" not in name)
    assert "lora" in fixed
    assert "linear" not in fixed


def test_without_trials_there_is_nothing_to_show(records: list[Record]) -> None:
    assert find("tuning")(None, frame(records)) == []
