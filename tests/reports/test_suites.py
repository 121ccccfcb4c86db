"""Mixed protocols never share a row: seeds, data, precision and failures, in the tables of suites."""

from pathlib import Path
from typing import Any

import pytest

from reports import Table, find
from reports.formats.files import write
from reports.tables.summary import of_suite
from results import Record, frame
from tests.reports.from_print import record

BIRDS, CARS = "cub", "stanford_cars"
SCORES = {BIRDS: 0.884, "nabirds": 0.842, "oxford_flowers": 0.988, "stanford_dogs": 0.912, CARS: 0.794}


def runs(method: str = "lora", **told: Any) -> list[Record]:
    """The five tasks of FGVC, with the published scores of bias tuning."""
    return [record(method, task, score, suite="fgvc", **told) for task, score in SCORES.items()]


def one(method: str, task: str, accuracy: float | None, **told: Any) -> Record:
    return record(method, task, accuracy, suite="fgvc", **told)


def without(records: list[Record], task: str) -> list[Record]:
    return [each for each in records if each.identity.task != task]


def ours(*records: Record, name: str = "fgvc") -> Table:
    return find(name)(frame(records))[0]


def shown(table: Table, key: str) -> list[str]:
    (place,) = [place for place, column in enumerate(table.columns) if column.key == key]
    return [table.columns[place].number(row[place]) for row in table.rows]


def means(table: Table) -> list[str]:
    return shown(table, "test_accuracy_mean_of_tasks")


def test_a_line_is_held_to_the_seeds_that_all_its_tasks_have() -> None:
    table = ours(*runs(), one("lora", BIRDS, 0.1, seed=1))
    assert shown(table, f"test_accuracy_{BIRDS}") == ["88.4"]
    assert means(table) == ["88.40"]
    assert shown(table, "seeds") == ["0"]
    assert table.notes == ("lora: left out, not there for all its tasks: seed 1.",)


def test_tasks_without_a_seed_in_common_share_no_row() -> None:
    table = ours(*without(runs(), CARS), one("lora", CARS, 0.7, seed=1))
    assert shown(table, "method") == ["lora (seed 0)", "lora (seed 1)"]
    assert means(table) == ["", ""]


def test_seeds_of_each_line_are_named() -> None:
    table = ours(*(each for seed in (0, 1, 2) for each in runs(seed=seed)), *runs("dtl"))
    assert shown(table, "seeds") == ["0", "0..2"]


def test_a_task_on_other_data_stands_in_a_table_of_its_own() -> None:
    records = [*runs(data="aaaa"), one("lora", BIRDS, 0.7, data="bbbb"), one("dtl", BIRDS, 0.6, data="bbbb")]
    first, second = [table for table in find("fgvc")(frame(records)) if not table.name.endswith("-published")]
    assert shown(first, "method") == ["lora"]
    assert (shown(first, f"test_accuracy_{BIRDS}"), means(first)) == (["88.4"], ["88.40"])
    assert shown(second, "method") == ["dtl", "lora"]
    assert (shown(second, f"test_accuracy_{BIRDS}"), means(second)) == (["60.0", "70.0"], ["", ""])
    assert [table.name[-14:] for table in (first, second)] == ["-revision-aaaa", "-revision-bbbb"]
    assert f"One of 2 copies of the images and labels, revision bbbb ({BIRDS} bbbb);" in second.caption


def test_data_of_its_own_for_each_task_is_one_protocol() -> None:
    table = ours(*without(runs(data="aaaa"), CARS), one("lora", CARS, SCORES[CARS], data="bbbb"))
    assert means(table) == ["88.40"]
    assert table.notes == ()


@pytest.mark.parametrize("field", ["precision", "preprocessing", "batch_size", "epochs", "attention"])
def test_other_protocols_are_other_rows_and_the_caption_says_so(field: str) -> None:
    table = ours(*without(runs(), CARS), one("lora", CARS, 0.7, recipe={field: "other"}))
    assert len(table.rows) == 2
    assert means(table) == ["", ""]
    assert f"{field.replace('_', ' ')} as listed" in table.caption


def test_a_failure_is_a_word_with_its_reason_and_leaves_no_mean() -> None:
    table = ours(*without(runs(), BIRDS), one("lora", BIRDS, None, status="oom"))
    assert shown(table, f"test_accuracy_{BIRDS}") == ["oom"]
    assert means(table) == [""]
    assert table.notes == (f"lora: oom on {BIRDS}.",)


def test_a_task_that_nothing_was_run_on_leaves_no_mean() -> None:
    table = ours(*without(runs(), BIRDS), *without(runs("dtl"), BIRDS))
    assert means(table) == ["", ""]
    assert [column.label for column in table.columns][1] == "of 5 tasks"


def test_a_suite_with_options_is_one_of_its_own() -> None:
    known = [record("lora", "imagenet", 0.5, suite=name) for name in ("domain", "domain:mask")]
    found = of_suite(frame(known), "domain")
    assert [comparison.suite for comparison, _ in found] == ["domain", "domain:mask"]


def test_domain_has_the_mean_of_the_shifts_alone() -> None:
    tasks = {"imagenet": 0.8, "imagenet_v2": 0.6, "imagenet_sketch": 0.3, "imagenet_a": 0.2, "imagenet_r": 0.5}
    known = [record("dtl", task, score, suite="domain", place=n) for n, (task, score) in enumerate(tasks.items())]
    table = ours(*known, name="domain")
    keys = [column.key.removeprefix("test_accuracy_") for column in table.columns]
    assert keys == ["method", "shifted_mean", "hyper_parameters", "runs", "seeds", *tasks]
    assert shown(table, "test_accuracy_shifted_mean") == ["40.00"]
    assert shown(ours(*known[:-1], name="domain"), "test_accuracy_shifted_mean") == [""]
    assert any("none could be read" in note for note in table.notes)


def test_fgvc_has_the_published_mean_beside_ours() -> None:
    table, beside = find("fgvc")(frame(runs("bitfit")))
    assert means(table) == ["88.40"]
    assert shown(beside, "method") == ["bitfit", "- VPT, FGVC (last)", "- difference"]
    assert means(beside) == ["88.40", "88.41", "-0.01"]


REPORTS_OF_SUITES = {
    "vtab": "vtab",
    "ablation_synqt": "vtab",
    "tradeoff_published": "vtab",
    "fgvc": "fgvc",
    "few_shot": "few_shot",
    "domain": "domain",
}
ODD = r"50%_of $x$ & {y} #1 \z ~^ <b> | `a` *b* [c]"
IDENTITY = ["backbone", "method", "suite", "task", "recipe", "seed", "group", "classes", "status", "reason"]


@pytest.mark.parametrize(("name", "suite"), REPORTS_OF_SUITES.items())
def test_never_fails_for_want_of_numbers(name: str, suite: str, tmp_path: Path) -> None:
    told = {"suite": suite, "group": "natural"}
    cases = {
        "one record": [record("lora", "cifar", 0.5, **told)],
        "nothing worked": [record("synqt:kem=trainable", "cifar", None, status="diverged", **told)],
        "no scores": [record("synqt", "cifar", None, **told)],
        "odd names": [record(ODD, ODD, 0.5, backbone=ODD, **told)],
        "odd backbone of a known network": [record("synqt", "cifar", 0.5, backbone="vit_base_patch16_224.x", **told)],
    }
    for case, known in cases.items():
        runs = frame(known)
        for item in [*find(name)(runs), *find(name)(runs[IDENTITY])]:
            assert write(item, tmp_path), case
    assert find(name)(frame([])) == []
