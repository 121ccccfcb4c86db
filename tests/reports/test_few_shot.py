"""Few-shot: names of tasks, the table and the figure beside NOAH's numbers."""

import pytest
from matplotlib.text import Text

from reports import Figure, Table, find
from reports.figures.curves import Curve
from reports.formats.files import write
from reports.views.few_shot import set_and_shots
from results import Record, frame, quoted
from tests.reports.from_print import record


def runs(method: str = "lora", shift: float = 0.0, seeds: int = 1) -> list[Record]:
    rows = quoted("few_shot").query("row == 'LoRA'").to_dict("records")
    return [
        record(
            method, row["task"], float(row["value"]) / 100 + shift, suite="few_shot", seed=seed, place=place,
            group=f"{row['task'].partition('-shots')[2]}-shot",
        )
        for place, row in enumerate(rows)
        for seed in range(seeds)
    ]  # fmt: skip


def test_names_of_tasks() -> None:
    assert set_and_shots("food101-shots16") == ("food101", 16)
    assert set_and_shots("food101") is None


def test_the_table_is_the_published_one_when_the_runs_are_its_numbers() -> None:
    ours, beside, figure = find("few_shot")(frame(runs()))
    assert isinstance(ours, Table)
    assert [column.label for column in ours.columns if column.block == "1-shot"] == [
        *("food101", "cars", "flowers102", "aircraft", "pets")
    ]
    assert [column.label for column in ours.columns[:6]] == ["method", *(f"{n}-shot" for n in (1, 2, 4, 8, 16))]
    assert [column.block for column in ours.columns[9:]] == [f"{n}-shot" for n in (1, 2, 4, 8, 16) for _ in range(5)]
    shown = dict(zip([column.key for column in ours.columns], ours.rows[0], strict=True))
    assert f"{100 * shown['test_accuracy_food101-shots16'].value:.1f}" == "72.5"
    assert shown["test_accuracy_16-shot_mean"].value == pytest.approx(0.7532)
    assert isinstance(beside, Table)
    assert [row[0].word for row in beside.rows] == ["lora", "- NOAH, few-shot figure (epoch unknown)", "- difference"]
    assert {cell.printed for cell in beside.rows[2][3:]} == {"+0.0", "+0.00"}
    assert any("two lines a class" in note for note in beside.notes)
    assert isinstance(figure, Figure)


def test_the_figure_has_a_panel_a_set_and_one_for_the_mean(tmp_path) -> None:
    figure = find("few_shot")(frame([*runs(seeds=2), *runs("dtl", 0.05), *runs("linear", -0.05)]))[-1]
    titles = [axes.get_title() for axes in figure.drawing.axes]
    assert titles == [*("food101", "cars", "flowers102", "aircraft", "pets", "mean")]
    last = figure.drawing.axes[-1]
    figure.drawing.draw_without_rendering()
    boxes = [Text.get_window_extent(text) for text in last.texts]
    assert sorted(text.get_text() for text in last.texts) == ["dtl", "linear", "lora"]
    assert not any(a.overlaps(b) for a in boxes for b in boxes if a is not b)
    assert all(last.bbox.x1 < box.x0 and box.x1 <= figure.drawing.bbox.x1 for box in boxes)
    first, second = (write(figure, tmp_path / folder) for folder in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_a_mean_needs_all_sets() -> None:
    curve = Curve("lora", False, {("a", 1): (10.0, 0.0), ("b", 1): (20.0, 0.0), ("a", 2): (30.0, 0.0)})
    assert curve.mean(["a", "b"]) == [(1, 15.0, 0.0)]
    assert curve.line("a") == [(1, 10.0, 0.0), (2, 30.0, 0.0)]


def test_one_shot_of_one_set_is_no_error(tmp_path) -> None:
    for item in find("few_shot")(frame(runs()[:1])):
        assert write(item, tmp_path)
