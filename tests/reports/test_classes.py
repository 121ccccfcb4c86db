"""What accuracy hides: classes, and how sure a method is of its answers."""

from typing import Any

import pytest

from reports import Figure, Table, find
from reports.conclusions import outline
from results import Record, frame

COUNTS = [90, 9, 1]


def record(make: Any, method: str, confusion: list[list[int]], seed: int = 0, **more: Any) -> Record:
    """A run on one's own folder of three classes."""
    made: Record = make(method, task="parts", suite="folder", seed=seed, **more)
    right = [confusion[i][i] for i in range(3)]
    made.class_names.extend(["good", "scratch", "crack"])
    object.__setattr__(made.score, "confusion", confusion)
    object.__setattr__(made.score, "test_accuracy", sum(right) / sum(COUNTS))
    object.__setattr__(made.score, "mean_class_accuracy", sum(r / n for r, n in zip(right, COUNTS, strict=True)) / 3)
    return made


@pytest.fixture
def runs(make: Any) -> Any:
    """A method that always answers the class of 90 %, and one that looks."""
    constant, looks = [[90, 0, 0], [9, 0, 0], [1, 0, 0]], [[80, 8, 2], [1, 8, 0], [0, 0, 1]]
    return frame([record(make, "linear", constant), record(make, "lora", looks)])


def cells(table: Table, row: str) -> dict[str, Any]:
    (line,) = [line for line in table.rows if line[0].word == row]
    return {column.key: cell for column, cell in zip(table.columns, line, strict=True)}


def test_a_constant_classifier_is_unmasked_by_the_mean_of_classes(runs: Any) -> None:
    (accuracy,), (shown,) = find("accuracy")(runs), outline(runs)
    for table in (accuracy, shown):
        assert isinstance(table, Table)
        assert cells(table, "linear")["mean_class_accuracy"].value == pytest.approx(1 / 3)
        assert cells(table, "lora")["mean_class_accuracy"].value == pytest.approx((8 / 9 + 8 / 9 + 1) / 3)
    assert cells(accuracy, "linear")["test_accuracy_parts"].value == 0.9


def test_balanced_classes_need_no_such_column(make: Any) -> None:
    (table,) = find("accuracy")(frame([make("lora", task="eurosat")]))
    assert "mean_class_accuracy" not in {column.key for column in table.columns}


def test_a_single_task_has_a_column_for_each_class(runs: Any) -> None:
    (table,) = find("per_class")(runs)
    assert [column.label for column in table.columns][3:] == [
        "good (90 images)", "scratch (9 images)", "crack (1 image)",
    ]  # fmt: skip
    assert [cells(table, "linear")[f"class_{place}"].value for place in range(3)] == [1, 0, 0]


def test_several_tasks_have_their_worst_class(make: Any, grid: list[Record]) -> None:
    (table,) = find("per_class")(frame(grid))
    found = cells(table, "dtl")
    assert found["worst_eurosat"].value == pytest.approx(0.8)
    assert found["worst_eurosat_name"].word == "0"
    assert "worst_cifar" not in found  # of a hundred classes, whose confusions the records do not hold


def test_confusions_are_those_of_the_best_method_with_the_names_of_classes(runs: Any) -> None:
    (figure,) = find("confusion")(runs)
    assert isinstance(figure, Figure)
    assert "Confusions of linear, which has the highest accuracy of 2 methods" in figure.caption
    axes = figure.drawing.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["good", "scratch", "crack"]
    assert [text.get_text() for text in axes.texts] == ["90", "0", "0", "9", "0", "0", "1", "0", "0"]


def test_reliability_is_that_of_all_bins_together(make: Any) -> None:
    figure, table = find("calibration")(frame([make("lora", task="eurosat", accuracy=0.7)]))
    assert isinstance(figure, Figure)
    assert [bar.get_height() for bar in figure.drawing.axes[0].patches] == pytest.approx(
        [0.8 * b / 15 for b in range(15)]
    )
    assert cells(table, "lora")["calibration_error"].value == pytest.approx(0.1)
    assert "temperature" not in {column.key for column in table.columns}
