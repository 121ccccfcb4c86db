"""The reports that read cost records: their formats, what they compare, and what they say when something is missing."""

import io
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from bench.cli.report import wanted
from reports import COST_REPORTS, Figure, Table, find, write_all
from reports.formats import terminal
from reports.views.budget import fitting
from results import Conditions, CostRecord, Figures, Where, cost_frame, save_cost

GIB = 2**30
WHERE = Where("2026-01-01", "abcdef0123", False, "python bench.py cost", "cpu", None, {"torch": "2.11.0"})


def record(method: str = "lora", peak: float = 4.0, settings: dict | None = None, status="ok", cuda=None, **conditions):
    asked = {
        "backbone": "vit", "classes": 100, "batch_size": 64, "precision": "fp32", "attention": "fused",
        "optimizer": "adamw", "checkpointing": False,
    }  # fmt: skip
    size = round(peak * GIB)
    figures = Figures(
        trainable=100, trainable_without_head=10, total=1000, planned_peak_bytes=size, needed_bytes=size + GIB // 2,
        planned_breakdown={"weights": size // 4, "activations": size - size // 4}, inference_peak_bytes=size // 5,
        macs=17_563_137_024, macs_modules=16_847_809_536, train_flops_frozen=10**9, train_flops_trained=10**10,
        checkpoint_bytes=400, peak_bytes=cuda and round(cuda * GIB), inference_images_per_second=cuda and 500.0,
        train_images_per_second=cuda and 200.0, unstable=cuda and True,
    )  # fmt: skip
    reason = None if status == "ok" else "needs a class token"
    figures = figures if status == "ok" else Figures()
    return CostRecord(
        Conditions(method=method, **asked | conditions), settings or {}, figures, status, reason, "c0de", WHERE
    )


STEPS = [
    {"attention": "eager"}, {}, {"activations": "ms_ln"}, {"activations": "regelu2,ms_ln"},
    {"activations": "regelu2,ms_ln", "checkpointing": True},
    {"activations": "regelu2,ms_ln", "checkpointing": True, "optimizer": "adamw8bit"},
]  # fmt: skip


def ladder() -> list[CostRecord]:
    """Full fine-tuning, option upon option: 9, 8, 7, 5, 2 and 1.5 GiB."""
    return [record("full", peak, **step) for peak, step in zip((9, 8, 7, 5, 2, 1.5), STEPS, strict=True)]


def of_all_reports() -> list[CostRecord]:
    """Costs that feed every report that reads costs."""
    rows = [record(f"lora:layer={k}", 5 - 0.3 * k, {"rank": 8, "layer": k}, cuda=5.1 - 0.3 * k) for k in range(1, 13)]
    rows += [record(name, 1 + batch / 16, {}, batch_size=batch) for name in ("full", "ssf") for batch in (1, 8, 512)]
    rows += [record(f"dtl:start={k}", 5 - 0.3 * k, {"rank": 2, "start": k}, cuda=5.1 - 0.3 * k) for k in (1, 7, 12)]
    rows += [record("vpt_deep", status="unsupported")]
    of_print = zip(("full", "lora", "dtl", "synqt", "nobody_s"), (8, 5.5, 2.7, 1.2, 1), strict=True)
    rows += [record(name, peak, {"start": 7}, backbone="random:vit_base_patch16_224") for name, peak in of_print]
    published = {"batch_size": 64, "attention": "eager", "protocol": "vpt"}
    rows += [record("bitfit", 10.13, autograd="legacy", **published), record("bitfit", 5.9, **published)]
    rows += [
        record("linear", 0.867, autograd="legacy", **published),
        record("full", 14.0, autograd="legacy", **published),
    ]
    tokens = (1, 5, 10, 50, 100, 200)
    rows += [record(f"vpt_deep:tokens={p}", 3 + p / 50, {"tokens": p}, protocol="dtl", batch_size=32) for p in tokens]
    rows += [record("full", 20.0, backbone="large", batch_size=7), record("full", 9.0, batch_size=7)]
    return [
        *rows,
        record("bitfit", 3.9, protocol="synqt"),
        record("vpt_shallow", 4.9, {"tokens": 100}, protocol="synqt"),
        *ladder(),
    ]


@pytest.fixture
def costs() -> list[CostRecord]:
    return of_all_reports()


@pytest.fixture
def table(costs: list[CostRecord]) -> pd.DataFrame:
    return cost_frame(costs)


@pytest.mark.parametrize("name", COST_REPORTS)
def test_says_its_conditions(name: str, table: pd.DataFrame) -> None:
    items = find(name)(table)
    assert items
    for item in items:
        assert "batch" in item.caption
        assert "torch 2.11.0" in item.caption
        assert item.name.startswith(name)


@pytest.mark.parametrize("name", COST_REPORTS)
def test_one_row_of_any_kind_is_no_error(name: str, costs: list[CostRecord]) -> None:
    kinds = {}
    for one in costs:
        asked = one.conditions
        options = asked.protocol, asked.autograd, asked.backbone, asked.activations, asked.attention
        kinds[asked.method.partition(":")[0], *options] = one
    for one in kinds.values():
        find(name)(cost_frame([one]))


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", COST_REPORTS)
def test_fits_the_terminal(name: str, width: int, table: pd.DataFrame) -> None:
    console = Console(file=io.StringIO(), width=width)
    for item in find(name)(table):
        if isinstance(item, Table):
            terminal.show(item, console)
    assert "…" not in console.file.getvalue()
    assert all(len(line) <= width for line in console.file.getvalue().splitlines())


def test_costs_are_planned_and_measured_side_by_side(table: pd.DataFrame) -> None:
    first = find("cost")(table)[0]
    keys = [column.key for column in first.columns]
    (row,) = (row for row in first.rows if row[0].word == "lora:layer=1")
    line = dict(zip(keys, row, strict=True))
    assert line["planned_peak_bytes"].value == round(4.7 * GIB)
    assert line["difference"].value == pytest.approx(4.8 / 4.7 - 1)
    assert "measured on cpu" in first.caption
    assert any("unstable" in note for note in first.notes)
    assert any(
        "vpt_deep: unsupported (needs a class token)" in note for table in find("cost")(table) for note in table.notes
    )


def test_printed_numbers_stand_beside_ours_with_the_difference(table: pd.DataFrame) -> None:
    vpt, dtl = find("memory_published")(table)
    rows = {(row[0].word, row[1].word): row for row in vpt.rows}
    assert rows["bitfit", "train"][2].value == 10.1
    assert rows["bitfit", "train"][4].value == pytest.approx(10.13 / 10.1 - 1, abs=1e-4)
    assert rows["bitfit", "train"][6].value == pytest.approx(5.9 / 10.1 - 1, abs=1e-4)
    notes = " ".join(vpt.notes)
    assert "full train +19.7 %" in notes
    assert "unexplained" in notes
    assert "0.867 rounds to the printed 0.9" in notes
    assert dtl.rows[0][0].word == "vpt_deep, mean of 19 tasks"
    mean = sum(3 + p / 50 for p in (10, 10, 10, 1, 1, 50, 5, 100, 100, 10, 1, 50, 200, 100, 50, 10, 50, 200, 200)) / 19
    assert dtl.rows[0][5].value == pytest.approx(mean, abs=1e-3)


def test_published_accuracy_is_the_best_of_the_last_epoch_or_marked(table: pd.DataFrame) -> None:
    other = table.assign(backbone="vit_base_patch16_224.augreg_in1k")  # of which nothing is planned for the figure
    (figure,) = find("accuracy_published")(pd.concat([table, other]))
    (axes,) = figure.drawing.axes
    points = {
        tuple(line.get_xydata()[0].round(2)) for line in axes.lines if line.get_marker() not in ("None", "", None)
    }
    assert points == {(8.0, 68.96), (5.5, 75.24), (2.7, 76.76), (1.2, 72.9)}  # as results/published/vtab.csv has them
    assert {text.get_text() for text in axes.texts} == {"full", "lora", "dtl", "synqt (best)"}
    assert "VPT (full)" in figure.caption


def test_inference_is_compared_by_the_convention_of_the_print(table: pd.DataFrame) -> None:
    (inference,) = find("inference_cost")(table)
    line = {column.key: cell for column, cell in zip(inference.columns, inference.rows[0], strict=True)}
    assert line["inference_macs_difference"].value == pytest.approx(16.8478 / 16.9 - 1, abs=1e-4)
    assert any("without one" in note for note in inference.notes)


def test_a_batch_between_two_planned_ones() -> None:
    points = [(1, 2 * GIB), (8, 3 * GIB), (512, 66 * GIB)]
    assert fitting(points, 3 * GIB) == 8
    assert fitting(points, 3 * GIB + GIB // 8) == 9
    assert fitting(points, 66 * GIB + GIB) == 520
    assert fitting(points, GIB) < 1


def test_the_position_has_a_figure_and_its_numbers(table: pd.DataFrame) -> None:
    numbers, figure = find("lora_position")(table)
    assert isinstance(figure, Figure)
    assert [row[0].value for row in numbers.rows] == list(range(1, 13))
    (axes,) = figure.drawing.axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["planned", "measured on CUDA"]


def test_the_ladder_has_methods_by_their_peak_and_then_what_each_option_saves() -> None:
    others = [record("ssf", 6.0), record("dtl", 2.7), record("lora:rank=4", 5.0), record("ssf", 3.0, batch_size=8)]
    numbers, figure = find("memory_ladder")(cost_frame([*ladder(), *others, record("vqt", status="unsupported")]))
    assert [row[0].word for row in numbers.rows] == [
        *("dtl", "ssf", "full", "full, eager attention"),
        *("+ fused attention", "+ MS-LN", "+ ReGELU2", "+ checkpointing", "+ 8-bit AdamW"),
    ]
    saved = [row[-1].value for row in numbers.rows]
    assert saved == [None] * 4 + [GIB, GIB, 2 * GIB, 3 * GIB, GIB // 2]
    assert numbers.notes == ("vqt: unsupported (needs a class token)",)
    assert isinstance(figure, Figure)
    (axes,) = figure.drawing.axes
    assert [text.get_text() for text in axes.texts][-1] == "1.50  (\N{MINUS SIGN}0.50)"
    assert [text.get_text() for text in figure.drawing.legends[0].get_texts()] == ["weights", "activations"]


def test_the_parts_of_a_bar_end_at_its_peak() -> None:
    _, figure = find("memory_ladder")(cost_frame(ladder()))
    (axes,) = figure.drawing.axes
    ends = {round(bar.get_y(), 3): bar.get_x() + bar.get_width() for bar in axes.patches}  # the last part of each
    assert [ends[place] for place in sorted(ends)] == pytest.approx([8, 9, 8, 7, 5, 2, 1.5])


def test_a_ladder_without_one_of_its_steps_is_not_shown() -> None:
    rows = ladder()
    assert all(find("memory_ladder")(cost_frame([*rows[:k], *rows[k + 1 :]])) == [] for k in range(len(rows)))


def test_the_ladder_that_is_planned_on_demand_has_every_step() -> None:
    made = [record(**{**vars(case.conditions()), "peak": 4.0}) for case in wanted("memory_ladder")]
    assert len(find("memory_ladder")(cost_frame(made))) == 2


def test_records_of_other_code_are_left_out_and_counted(tmp_path: Path, costs: list[CostRecord]) -> None:
    for one in costs:
        save_cost(tmp_path, one)
    console = Console(file=io.StringIO(), width=200)
    assert write_all(tmp_path, ["cost"], tmp_path / "out", console, current=lambda row: row.code == "other") == []
    assert f"{len(costs)} cost records made by other code" in console.file.getvalue()
    assert write_all(tmp_path, ["cost"], tmp_path / "out", console, current=lambda row: row.code == "c0de")


def test_a_damaged_cost_record_is_named(tmp_path: Path) -> None:
    path = save_cost(tmp_path, record())
    path.write_text(path.read_text()[:50])
    console = Console(file=io.StringIO(), width=200)
    assert write_all(tmp_path, ["cost"], tmp_path / "out", console) == []
    assert path.name in console.file.getvalue()
