"""`bench.py cost` and the reports that read what it leaves behind."""

import dataclasses
import io
import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from rich.console import Console

from bench.cli.cost import CostRequest, cases_of, cost, document
from bench.cli.report import WANTED, plan_missing, wanted
from bench.cost.case import Case, published_cases
from bench.cost.measure import Measured
from bench.cost.plan import plan, plan_inference
from bench.provenance import where
from methods.recipe import Recipe
from results import CostRecord, Figures, cost_frame, load_costs
from tests.bench.called import called
from tests.methods.small import SMALL

FIELDS = [
    "method",
    "settings",
    "backbone",
    "classes",
    "batch_size",
    "precision",
    "attention",
    "optimizer",
    "checkpointing",
    "trainable",
    "trainable_without_head",
    "total",
    "planned_peak_bytes",
    "planned_breakdown",
    "peak_bytes",
    "reserved_bytes",
    "macs",
    "macs_modules",
    "train_flops_frozen",
    "train_flops_trained",
    "inference_peak_bytes",
    "inference_images_per_second",
    "train_images_per_second",
    "checkpoint_bytes",
]
QUIET = Console(quiet=True)


LORA = CostRequest("lora", SMALL.name, classes=5, recipe={"batch_size": 4}, planned=True)
FIELDS_OF_RECIPES = {field.name for field in dataclasses.fields(Recipe)}


def ask(folder: Path, **words: object) -> list[dict]:
    recipe = {key: words.pop(key) for key in FIELDS_OF_RECIPES & words.keys()}
    request = dataclasses.replace(LORA, recipe={**LORA.recipe, **recipe}, **words)
    return json.loads(document(cost(request, folder, QUIET)))


def test_the_position_of_lora_from_the_command_line(tmp_path: Path) -> None:
    words = ["--methods", "lora:layer=1..12", "--backbone", "random:vit_base_patch16_224", "--json"]
    done = called("cost", "--planned", *words, "--results", str(tmp_path), folder=tmp_path)
    assert done.returncode == 0
    rows = json.loads(done.stdout)
    peaks = [row["planned_peak_bytes"] for row in rows]
    steps = [first - second for first, second in pairwise(peaks)]
    assert [row["settings"]["layer"] for row in rows] == list(range(1, 13))
    assert min(steps) > 0
    assert max(steps[1:-1]) <= 1.01 * min(steps[1:-1])
    assert done.stderr.splitlines() == [f"[{k}/12] planning lora:layer={k}" for k in range(1, 13)]


def test_a_row_has_every_field_and_is_kept(tmp_path: Path) -> None:
    (row,) = ask(tmp_path, methods="lora:rank=4")
    assert [field for field in FIELDS if field not in row] == []
    assert row["method"] == "lora:rank=4"
    assert row["settings"]["rank"] == 4
    assert sum(row["planned_breakdown"].values()) == row["planned_peak_bytes"]
    assert row["peak_bytes"] is row["train_images_per_second"] is None
    (record,), complaints = load_costs(tmp_path)
    assert not complaints
    assert record.figures.planned_peak_bytes == row["planned_peak_bytes"]


def test_a_plan_leaves_what_was_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.cost.record.measure", lambda *_: Measured(train_images_per_second=7.0))
    for planned in (False, True):
        cost(dataclasses.replace(LORA, device="cpu", planned=planned), tmp_path, QUIET)
    found, _ = load_costs(tmp_path)
    assert [record.figures.train_images_per_second for record in found if record.measured] == [7.0]
    assert len(cost_frame(found)) == 1


def test_a_report_plans_what_it_lacks_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(WANTED, "budget", lambda: cases_of(dataclasses.replace(LORA, methods="lora,linear")))
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)  # nothing is measured all the same
    cost(LORA, tmp_path, QUIET)
    for said in (f"1 cost that budget shows is not in {tmp_path / 'cost'} yet: planned now", ""):
        console = Console(file=io.StringIO(), width=200)
        plan_missing(["budget"], tmp_path, console)
        assert console.file.getvalue().startswith(said)
    assert not console.file.getvalue()
    assert [record.measured for record in load_costs(tmp_path)[0]] == [False, False]


def test_checkpointing_optimizer_and_autograd_change_the_plan(tmp_path: Path) -> None:
    def peak(**words: object) -> int:
        return ask(tmp_path, methods="full", **words)[0]["planned_peak_bytes"]

    plain = peak(batch_size=64)
    assert peak(batch_size=64, checkpointing=True) < plain < peak(batch_size=64, autograd="legacy")
    assert peak(optimizer="sgd", batch_size=64) < plain
    assert len(load_costs(tmp_path)[0]) == 4


def test_explain_and_budget(tmp_path: Path) -> None:
    (row,) = ask(tmp_path, methods="lora", explain=True)
    assert len(row["largest"]) == 20
    assert {"bytes", "kind", "module", "operator", "shape", "dtype"} == row["largest"][0].keys()
    fits, tight = ask(tmp_path, budget="700MiB", methods="linear,full")
    assert fits["largest_batch_size"] == fits["batch_size"] > tight["batch_size"] > 1
    assert fits["needed_bytes"] <= 700 * 2**20
    words = "--methods", "linear", "--backbone", "random:demo", "--budget", "600MiB", "--results", str(tmp_path)
    said = called("cost", "--planned", *words, folder=tmp_path).stdout
    assert said.startswith("random:demo, 100 classes, batch ")
    assert "fp32, fused attention, adamw. Planned, not measured" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--optimizer adamx", "--optimizer: "),
        ("--batch-size 0", "--batch-size: "),
        (f"--batch-size {10**13}", "--batch-size: "),
        ("--classes 0", "--classes: "),
        ("--activations relu", "--activations 'relu' is no option of activations"),
        ("--optimizer-in-backward --precision fp16", "--optimizer-in-backward, but fp16 has to see all gradients"),
        ("--methods loar", "did you mean 'lora'"),
        ("--methods lora:layer=13", "12 blocks"),
        ("--backbone random:vit_bse", "no backbone"),
        ("--methods lora --budget 100MiB", "--budget 100MiB is below what the weights take"),
        ("--methods lora --budget much", "write 12GiB"),
    ],
)
def test_a_wrong_call_is_one_sentence(words: str, said: str, tmp_path: Path) -> None:
    done = called("cost", "--planned", "--results", str(tmp_path), *words.split())
    assert done.returncode == 2
    assert done.stderr.count("error: ") == 1
    assert said in done.stderr
    assert not load_costs(tmp_path)[0]


def test_an_unsupported_backbone_is_a_row_with_the_reason(tmp_path: Path) -> None:
    rows = ask(tmp_path, methods="linear,unipt", backbone="random:vit_tiny_patch16_224", batch_size=2)
    assert {row["status"] for row in rows} == {"ok"}
    linear, unipt = ask(tmp_path, methods="linear,unipt", backbone="random:vit_base_patch16_gap_224", batch_size=2)
    assert linear["status"] == "ok"
    assert unipt["status"] == "unsupported"
    assert "class token" in unipt["reason"]


def test_cost_records_of_other_code_are_made_again(tmp_path: Path) -> None:
    plan_missing(["inference_cost"], tmp_path, QUIET)
    paths = sorted((tmp_path / "cost").rglob("*.json"))
    assert len(paths) == len(wanted("inference_cost")) >= 3
    stale = json.loads(paths[0].read_text())
    expected = stale["figures"]["planned_peak_bytes"]
    stale["code"], stale["figures"]["planned_peak_bytes"] = "00000000", 1
    paths[0].write_text(json.dumps(stale))
    untouched = paths[1].stat().st_mtime_ns
    plan_missing(["inference_cost"], tmp_path, QUIET)
    assert json.loads(paths[0].read_text())["figures"]["planned_peak_bytes"] == expected
    assert paths[1].stat().st_mtime_ns == untouched


@pytest.fixture(scope="module")
def published():
    """The memory of the records that `report memory_published` makes; the rest of them takes longer than a test may."""
    return cost_frame([memory_of(case) for case in published_cases("vpt") + published_cases("dtl") if fits(case)])


def fits(case: Case) -> bool:
    return case.rules.autograd == {"vpt": "legacy", "dtl": "current"}[case.protocol]


def memory_of(case: Case) -> CostRecord:
    peaks = [
        part(network, 224, case.recipe, case.rules).total
        for part, network in ((plan, case.training()), (plan_inference, case.inference()))
    ]
    figures = Figures(planned_peak_bytes=peaks[0], inference_peak_bytes=peaks[1])
    settings = dataclasses.asdict(case.method)
    return CostRecord(case.conditions(), settings, figures, "ok", None, "", where(torch.device("cpu")))


def test_published_memory_is_met(published) -> None:
    from reports import find

    vpt, dtl = find("memory_published")(published)
    for table, difference, bar, named in (
        (vpt, "legacy_difference", 0.03, {"linear", "side_tuning"}),
        (dtl, "current_difference", 0.07, {"dtl_plus", "lst", "fact_tt", "fact_tk", "ssf"}),
    ):
        place = [column.key for column in table.columns].index(difference)
        gaps = {row[0].word: row[place].value for row in table.rows if abs(row[place].value) > bar}
        notes = " ".join(table.notes)
        assert all(method in notes for method in gaps), gaps
        assert "unexplained" not in notes
        assert set(gaps) == named
    training = [row for row in vpt.rows if row[1].word == "train"]
    assert len(training) >= 8
    assert all(abs(row[4].value) < 0.03 or row[0].word in ("linear", "side_tuning") for row in training)


def test_every_published_method_that_is_there_has_a_case() -> None:
    specs = {str(case.method) for case in published_cases("vpt")}
    assert {"full", "linear", "partial", "bitfit", "vpt_deep:tokens=200", "vpt_shallow:tokens=1"} <= specs
    assert {case.rules.autograd for case in published_cases("vpt")} == {"legacy", "current"}
    assert {str(case.method) for case in published_cases("dtl")} >= {"full", "bitfit", "lora", "vpt_deep:tokens=200"}
