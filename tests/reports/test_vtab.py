"""Records made of the papers' own numbers give the papers' tables back, to the printed digit."""

import dataclasses
import io
from collections.abc import Iterable

import pytest
from rich.console import Console

from reports import Table, find
from reports.formats import terminal
from results import Cost, Record, frame, quoted
from tests.reports.from_print import BACKBONE, GROUPS, record, vtab

IN1K = "vit_base_patch16_224.augreg_in1k"
TASKS = [task for tasks in GROUPS.values() for task in tasks]


def tables(name: str, records: Iterable[Record]) -> list[Table]:
    return list(find(name)(frame(records)))


def lines(table: Table) -> list[dict[str, str]]:
    """Every line as it is shown, by the keys of the columns."""
    return [
        {column.key: column.number(cell) for column, cell in zip(table.columns, row, strict=True)} for row in table.rows
    ]


def line(table: Table, first: str) -> dict[str, str]:
    (found,) = [line for line in lines(table) if line["method"] == first]
    return found


@pytest.mark.parametrize(
    ("source", "table", "backbone"),
    [
        ("SynQT", "appendix Table 2", BACKBONE),
        ("SynQT", "appendix Table 3", IN1K),
        ("VPT", "per-task table", BACKBONE),
        ("NOAH", "Table 1", BACKBONE),
        ("DTL", "V-PETL-Bench README", BACKBONE),
        ("V-PETL-Bench", "README", BACKBONE),
        ("FacT", "per-task table", BACKBONE),
    ],
)
def test_ours_is_the_paper_s_table_when_the_runs_are_its_numbers(source: str, table: str, backbone: str) -> None:
    ours = tables("vtab", vtab(source, table, backbone))[0]
    printed = quoted("vtab").query("source == @source and table == @table and quantity == 'accuracy'")
    checked = 0
    for cell in printed.to_dict("records"):
        spec = ":".join(filter(None, (cell["method"], cell["setting"])))
        shown = line(ours, spec)[f"test_accuracy_{cell['task']}"]
        assert shown == f"{float(cell['value']):.1f}"
        checked += 1
    assert checked >= 19


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("vpt_deep", "72.0"),
        ("vpt_deep:tokens=300", "53.2"),
        ("vqt", "68.3"),
        ("vqt:tokens=300", "64.7"),
        ("synqt", "72.9"),
    ],
)
def test_the_averages_of_synqt_s_table(spec: str, expected: str) -> None:
    ours = tables("vtab", vtab("SynQT", "appendix Table 2"))[0]
    assert f"{float(line(ours, spec)['test_accuracy_mean_of_groups']):.1f}" == expected


def test_head2toe_is_printed_as_a_plain_mean_among_group_means() -> None:
    ours = tables("vtab", vtab("SynQT", "appendix Table 3", IN1K))[0]
    shown = line(ours, "head2toe")
    assert (shown["test_accuracy_mean_of_groups"], shown["test_accuracy_mean_of_tasks"]) == ("66.83", "63.28")
    assert line(ours, "lst")["test_accuracy_mean_of_groups"] == "68.09"


def test_columns_stand_in_the_order_of_the_papers() -> None:
    ours = tables("vtab", vtab("SynQT", "appendix Table 2"))[0]
    keys = [column.key.removeprefix("test_accuracy_") for column in ours.columns]
    assert [key for key in keys if key in TASKS] == TASKS
    assert keys[-19:] == TASKS


def test_means_stand_beside_the_method_and_are_not_repeated() -> None:
    ours = tables("vtab", vtab("SynQT", "appendix Table 2"))[0]
    keys = [column.key.removeprefix("test_accuracy_") for column in ours.columns]
    means = ["mean_of_groups", "mean_of_tasks", "natural_mean", "specialized_mean", "structured_mean"]
    assert keys[:6] == ["method", *means]
    assert len(set(keys)) == len(keys)
    assert keys.index("trainable") < keys.index("seeds") < keys.index(TASKS[0])


@pytest.fixture(scope="module")
def beside() -> Table:
    return tables("vtab", vtab("SynQT", "appendix Table 2", best=True))[1]


def under(table: Table, method: str) -> list[dict[str, str]]:
    """The lines from one of ours to the next."""
    found = lines(table)
    start = next(place for place, each in enumerate(found) if each["method"] == method)
    stop = next(
        (n for n, each in enumerate(found) if n > start and not each["method"].startswith(("- ", f"{method}, "))), None
    )
    return found[start:stop]


def test_published_numbers_keep_their_digits_and_differ_by_nothing_from_themselves(beside: Table) -> None:
    ours, best, printed, difference = under(beside, "synqt")
    assert (best["method"], printed["method"]) == ("synqt, best epoch on test", "- SynQT, appendix Table 2 (best)")
    assert {difference[f"test_accuracy_{task}"] for task in TASKS} == {"+0.0"}
    assert printed["test_accuracy_mean_of_groups"] == "72.9"
    assert printed["test_accuracy_natural_mean"] == "(77.99)"  # which the table does not have
    assert ours["test_accuracy_cifar"] == printed["test_accuracy_cifar"] == "70.9"
    assert under(beside, "vpt_deep:tokens=300")[1]["test_accuracy_oxford_flowers102"] == "82"


def test_parameters_are_counted_as_the_source_counts(beside: Table) -> None:
    found = {each["method"]: (each["parameters_printed"], each["parameters_ours"]) for each in under(beside, "synqt")}
    assert found["- SynQT, appendix Table 2 (best)"] == ("2.73", "2.727")
    assert under(beside, "vpt_deep:tokens=300")[1]["parameters_ours"] == "2.842"
    table = tables("vtab", vtab("V-PETL-Bench", "README"))[1]
    assert under(table, "lst")[1]["parameters_ours"] == "2.376"


def test_the_best_epoch_stands_only_beside_rows_chosen_so(beside: Table) -> None:
    assert [each["method"] for each in under(beside, "vqt")] == [
        *("vqt", "- SynQT, appendix Table 2 (epoch unknown)", "- difference")
    ]
    worse = [dataclasses.replace(run, score=dataclasses.replace(run.score, test_accuracy=0.1)) for run in _synqt(True)]
    table = tables("vtab", worse)[1]
    assert under(table, "synqt")[3]["test_accuracy_cifar"] == "+0.0"
    without = tables("vtab", _synqt(False))[1]
    assert [each["method"] for each in under(without, "synqt")] == ["synqt", "- SynQT, appendix Table 2 (best)"]
    assert any("No best epoch on test was recorded for synqt" in note for note in without.notes)


def _synqt(best: bool) -> list[Record]:
    return [run for run in vtab("SynQT", "appendix Table 2", best=best) if run.identity.method == "synqt"]


def test_no_published_cell_is_marked_as_the_best_of_a_column(beside: Table) -> None:
    assert not any(beside.best(place) for place in range(len(beside.columns)))


def test_a_missing_task_leaves_empty_cells_not_guesses() -> None:
    ours, beside = tables("vtab", [run for run in _synqt(True) if run.identity.task != "dtd"])
    assert line(ours, "synqt")["test_accuracy_natural_mean"] == ""
    assert line(ours, "synqt")["test_accuracy_mean_of_groups"] == ""
    printed, difference = under(beside, "synqt")[2:]
    assert difference["test_accuracy_mean_of_groups"] == ""
    assert printed["test_accuracy_mean_of_groups"] == "72.9"


def test_another_backbone_has_no_published_rows() -> None:
    assert len(tables("vtab", vtab("SynQT", "appendix Table 2", "random:vit_base_patch16_224"))) == 1
    assert len(tables("vtab", vtab("SynQT", "appendix Table 2", "demo"))) == 1
    named = tables("vtab", vtab("SynQT", "appendix Table 2", "vit_base_patch16_224"))
    assert any("does not say what it was pre-trained on" in note for note in named[1].notes)


def test_other_settings_have_no_published_rows() -> None:
    records = [record("lora:rank=4", "cifar", 0.7), record("lora", "cifar", 0.7)]
    (_, beside) = tables("vtab", records)
    assert "lora:rank=4" not in {each["method"] for each in lines(beside)}
    assert "lora" in {each["method"] for each in lines(beside)}


def test_only_records_of_the_suite_are_read() -> None:
    assert tables("vtab", [record("lora", "cifar", 0.7, suite="demo")]) == []
    assert len(tables("vtab", [record("lora", "cifar", 0.7, suite="demo"), record("lora", "cifar", 0.7)])) == 2


def test_ablations_stand_beside_tables_4_and_5() -> None:
    runs = _synqt(True)
    scale, kem = "synqt:attention_scale=1.0:ffn_scale=1.0", "synqt:kem=trainable"
    variants = [
        dataclasses.replace(run, identity=dataclasses.replace(run.identity, method=spec))
        for spec in (scale, kem)
        for run in runs
    ]
    assert tables("ablation_synqt", runs) == []
    ours, beside = tables("ablation_synqt", [*runs, *variants, *vtab("SynQT", "appendix Table 2")][: 3 * 19])
    assert [each["method"] for each in lines(ours)] == ["synqt", scale, kem]
    assert not {column.key.removeprefix("test_accuracy_") for column in ours.columns} & set(TASKS)
    assert under(beside, kem)[2]["test_accuracy_mean_of_groups"] == "58.3"
    assert under(beside, scale)[2]["test_accuracy_structured_mean"] == "50.3"


def test_more_tokens_are_an_ablation() -> None:
    (ours, _) = tables("ablation_synqt", vtab("SynQT", "appendix Table 2"))
    assert [each["method"] for each in lines(ours)] == [
        *("synqt", "vpt_deep", "vpt_deep:tokens=300", "vqt", "vqt:tokens=300")
    ]


@pytest.mark.parametrize("width", [80, 120])
def test_fits_the_terminal(beside: Table, width: int) -> None:
    console = Console(file=io.StringIO(), width=width)
    terminal.show(beside, console)
    assert "…" not in console.file.getvalue()
    assert all(len(text) <= width for text in console.file.getvalue().splitlines())


def test_a_record_from_before_the_printed_count_has_no_such_count() -> None:
    runs = [dataclasses.replace(run, cost=Cost(trainable=5, trainable_without_head=4)) for run in _synqt(True)]
    (_, beside) = tables("vtab", runs)
    assert "parameters_ours" not in {column.key for column in beside.columns}
