"""A record counts while settings, recipe and code of its method are today's; others are done again and set aside."""

import dataclasses
import io
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rich.console import Console

import results
from bench.cli.cost import CostRequest, cases_of, settle
from bench.cli.grid import again
from bench.cli.guard import say
from bench.grid.grid import look, run_grid
from bench.run import Run
from bench.runner import attempt, stale
from bench.settings import Keep, RunSettings
from results import Cost, Record, load_costs
from results.verify import verify
from tests.bench import tiny
from tests.bench.called import called
from tests.methods.small import SMALL
from tests.tree import copied, python, replace

Change = Callable[[Record], Record]
KEEP = Keep(frozenset({"weights"}))


def go(asked: list[Run], root: Path, **how: object) -> tuple[int, int, str]:
    """How many runs were done and were there, and what was said."""
    console = Console(file=io.StringIO(), width=300)
    execution = RunSettings(torch.device("cpu"), **how)
    pending = look(asked, root, execution)
    for sentence in again(pending):
        say(console, sentence)
    outcome = run_grid(pending, root, execution, console)
    assert not outcome.failed
    return outcome.done, outcome.there, console.file.getvalue()


@pytest.fixture(autouse=True)
def unplanned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.runner.execute.planned_cost", lambda *_: Cost())


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run that is done."""
    assert go([tiny.run("lora:rank=4")], tmp_path)[:2] == (1, 0)
    return tiny.run("lora:rank=4")


def change(root: Path, run: Run, **fields: object) -> Record:
    """Make the record one of other times."""
    record = dataclasses.replace(results.load(results.path_of(root, run.identity())), **fields)
    results.save(root, record)
    return record


@pytest.mark.parametrize(
    ("field", "values", "reason"),
    [
        ("method", {"scale": 3.0}, "had scale=3.0 (now "),
        ("recipe", {"drop_path": 0.3}, "had recipe: drop_path=0.3 (now "),
        ("preprocessing", {"mean": [0.1, 0.2, 0.3]}, "had preprocessing: mean=[0.1, 0.2, 0.3] (now "),
        ("method_code", "0123abcd", "were made by other code of their method"),
    ],
)
def test_what_differs_is_done_again_said_and_set_aside(
    tmp_path: Path, run: Run, field: str, values: dict | str, reason: str
) -> None:
    path = results.path_of(tmp_path, run.identity())
    now = getattr(results.load(path), field)
    old = change(tmp_path, run, **{field: now | values if isinstance(values, dict) else values})
    done, there, said = go([run], tmp_path)
    assert (done, there) == (1, 0)
    assert f"1 run is there but {reason}" in said
    assert "(lora:rank=4); they are done again" in said
    assert getattr(results.load(path), field) == now
    assert results.load(path.with_name(path.name + ".stale")) == old
    assert verify(tmp_path).stale == [f"{path.relative_to(tmp_path)}.stale"]
    assert go([run], tmp_path)[:2] == (0, 1)


def test_nothing_that_was_set_aside_is_lost(tmp_path: Path, run: Run) -> None:
    path = results.path_of(tmp_path, run.identity())
    for code in ("1" * 8, "2" * 8, "3" * 8):
        change(tmp_path, run, method_code=code)
        assert go([run], tmp_path)[:2] == (1, 0)
    aside = [results.load(file).method_code for file in path.parent.glob("*.stale")]
    assert sorted(aside) == ["1" * 8, "2" * 8, "3" * 8]


def test_a_stale_record_may_be_kept_as_it_is(tmp_path: Path, run: Run) -> None:
    old = change(tmp_path, run, method_code="0123abcd")
    done, there, said = go([run], tmp_path, stale="keep")
    assert (done, there) == (0, 1)
    assert "1 run is taken as they are although they were made by other code of their method (lora:rank=4)" in said
    assert results.load(results.path_of(tmp_path, run.identity())) == old


@pytest.mark.parametrize("fields", [{"method_code": ""}, {"method_code": "", "preprocessing": {}}])
def test_records_of_before_are_accepted(tmp_path: Path, run: Run, fields: dict) -> None:
    record = results.load(results.path_of(tmp_path, run.identity()))
    recipe = {key: value for key, value in record.recipe.items() if key != "lag"}  # a field that was added since
    method = {key: value for key, value in record.method.items() if key != "dropout"}
    change(tmp_path, run, recipe=recipe, method=method, **fields)
    done, there, said = go([run], tmp_path)
    assert (done, there) == (0, 1)
    assert "again" not in said


def test_what_a_stale_record_vouches_for_stays(tmp_path: Path) -> None:
    run, keep = tiny.run(), dataclasses.replace(KEEP, root=tmp_path)
    assert go([run], tmp_path, keep=keep)[0] == 1
    old = change(tmp_path, run, method_code="0123abcd")
    (kept,) = results.kept_paths(tmp_path, old)
    content = kept.read_bytes()
    assert go([run], tmp_path)[0] == 1
    assert kept.read_bytes() == content


def test_a_stale_record_stays_where_it_is_until_the_run_has_another(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = change(tmp_path, run, method_code="0123abcd")

    def broken(*_: object) -> Record:
        raise RuntimeError("no")

    monkeypatch.setattr(attempt, "execute", broken)
    with pytest.raises(AssertionError):
        go([run], tmp_path)
    assert results.load(results.path_of(tmp_path, run.identity())) == old


def test_equal_plans_are_read_and_those_of_other_code_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned: list[str] = []
    plan = settle.__globals__["cost_of"]
    monkeypatch.setitem(settle.__globals__, "cost_of", lambda case, _: planned.append(str(case.method)) or plan(case))
    cases = cases_of(CostRequest("lora,bitfit", SMALL.name, classes=5, recipe={"batch_size": 4}))

    def plans() -> list[str]:
        planned.clear()
        settle(cases, None, tmp_path, Console(quiet=True))
        return planned

    assert plans() == ["lora", "bitfit"]
    assert plans() == []
    digest = stale.planning_digest
    monkeypatch.setattr(stale, "planning_digest", lambda name: digest(name) if name != "lora" else "")
    assert plans() == ["lora"]
    (record,) = [row for row in load_costs(tmp_path)[0] if row.conditions.method == "lora"]
    assert not stale.current(record)
    assert stale.current(dataclasses.replace(record, code=""))
    assert not stale.current(dataclasses.replace(record, code="", settings=record.settings | {"rank": 3}))


def test_editing_a_method_of_a_checkout(tmp_path: Path) -> None:
    tree = copied(tmp_path / "tree")
    words = "--methods", "bitfit,vpt_shallow", "--tasks", "digits", "--epochs", "1", "--device", "cpu"
    done = called(*words, "--results", str(tree / "results"), "--out", str(tmp_path / "out"))
    assert "2 runs done now, 0 were there" in done.stdout, done.stderr
    vpt = tree / "methods" / "vpt.py"
    vpt.write_text(vpt.read_text() + "\n\n# a comment\n")
    (tree / "methods" / "new.py").write_text('"""Nothing yet."""\n')
    replace(
        tree / "methods" / "bitfit.py",
        "        return Entangled(",
        "        vit.train(vit.training)\n        return Entangled(",
    )
    said = python(tree, "bench.py", *words)
    assert "1 run is there but were made by other code of their method (bitfit); they are done again" in said
    assert "1 run done now, 1 were there" in said
