"""The grid: what is there is skipped, what fails stops nothing, what was finished is never lost."""

import dataclasses
import functools
import io
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

import bench.grid.grid
import bench.grid.workers
import bench.runner.attempt
import bench.runner.execute
import results
from bench.grid.grid import Outcome, Pending, look, run_grid, set_old_aside
from bench.grid.progress import Screen
from bench.run import Run
from bench.runner.execute import execute
from bench.settings import RunSettings
from results import Cost, Record
from results.claims import LEASE_SECONDS, Claims, claim_path
from tests.bench.tiny import runs
from tests.results.test_claims import leave_from_elsewhere

CPU = RunSettings(torch.device("cpu"))


def go(asked: list[Run], root: Path, force: bool = False) -> tuple[Outcome, str]:
    """Do the grid; what came of it, and what was shown."""
    console = Console(file=io.StringIO(), width=200)
    pending = look(asked, root, CPU, force)
    if force:
        set_old_aside(pending.left, root)
    outcome = run_grid(pending, root, CPU, console)
    return outcome, console.file.getvalue()


def path(root: Path, run: Run) -> Path:
    return results.path_of(root, run.identity())


def files(root: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in root.rglob("*") if file.is_file()}


@pytest.fixture(autouse=True)
def unplanned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planning takes most of the time of so small a run, and is tested elsewhere."""
    monkeypatch.setattr(bench.runner.execute, "planned_cost", lambda *_: Cost())


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """The runs that are really executed, in order."""
    seen: list[Run] = []

    def watched(run: Run, *arguments: Any) -> Record:
        seen.append(run)
        return execute(run, *arguments)

    monkeypatch.setattr(bench.runner.attempt, "execute", watched)
    return seen


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[Run, BaseException], None]:
    """Makes one run end with an error."""

    def install(broken: Run, error: BaseException) -> None:
        def run_or_fail(run: Run, *arguments: Any) -> Record:
            if run == broken:
                raise error
            return execute(run, *arguments)

        monkeypatch.setattr(bench.runner.attempt, "execute", run_or_fail)

    return install


def test_a_grid_is_every_combination_a_task_at_a_time() -> None:
    asked = runs("linear,lora:rank=1/2", tasks=2, seeds=(0, 5))
    expected = [
        (seed, task, method)
        for seed in (0, 5)
        for task in ("colours", "shades")
        for method in ("linear", "lora:rank=1", "lora:rank=2")
    ]
    assert [(run.seed, run.task.name, str(run.method)) for run in asked] == expected


def test_identities_differ_between_any_two_runs() -> None:
    asked = [*runs("linear,lora:rank=1/2", tasks=2, seeds=(0, 5)), *runs("linear", epochs=3), *runs(precision="bf16")]
    assert len({path(Path(), run) for run in asked}) == len(asked)


def test_finished_runs_are_skipped(tmp_path: Path, executed: list[Run]) -> None:
    first = runs("linear")
    outcome, _ = go(first, tmp_path)
    assert (outcome.done, outcome.there, outcome.failed) == (1, 0, [])
    before = files(tmp_path)
    outcome, shown = go([*first, *runs("lora")], tmp_path)
    assert (outcome.done, outcome.there, outcome.failed) == (1, 1, [])
    assert executed == [*first, *runs("lora")]
    assert before.items() <= files(tmp_path).items()
    assert "[2/2] colours" in shown


def test_force_runs_again_and_gives_the_same(tmp_path: Path, executed: list[Run]) -> None:
    asked = runs("lora")
    go(asked, tmp_path)
    score = results.load(path(tmp_path, asked[0])).score
    assert go(asked, tmp_path, force=True)[0].done == 1
    assert executed == 2 * asked
    assert results.load(path(tmp_path, asked[0])).score == score
    (old,) = tmp_path.rglob("*.forced")
    assert results.load(old).score == score


def test_looking_changes_nothing(tmp_path: Path) -> None:
    assert look(runs(), tmp_path, CPU) == Pending(runs(), [], runs(), [])
    assert files(tmp_path) == {}


def test_a_failed_run_is_logged_and_stops_nothing(tmp_path: Path, failing: Callable[..., None]) -> None:
    asked = runs("linear,lora,bitfit")
    failing(asked[1], RuntimeError("the disk is on fire\nand more"))
    outcome, shown = go(asked, tmp_path)
    assert outcome.done == 2
    assert [path(tmp_path, run).is_file() for run in asked] == [True, False, True]
    (log,) = outcome.failed
    assert log.is_relative_to(tmp_path / "logs")
    assert log.stem == path(tmp_path, asked[1]).stem
    assert log.read_text().startswith("Traceback")
    assert "the disk is on fire" in log.read_text()
    assert "colours lora failed: RuntimeError: the disk is on fire" in shown
    assert "Traceback" not in shown


def test_a_failed_run_is_tried_again_next_time(
    tmp_path: Path, failing: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = runs("linear,lora")
    failing(asked[1], ValueError("not today"))
    go(asked, tmp_path)
    monkeypatch.setattr(bench.runner.attempt, "execute", execute)
    assert look(asked, tmp_path, CPU).left == asked[1:]
    outcome, _ = go(asked, tmp_path)
    assert (outcome.done, outcome.there, outcome.failed) == (1, 1, [])


def test_an_interrupt_keeps_what_had_finished(tmp_path: Path, failing: Callable[..., None]) -> None:
    asked = runs("linear,lora")
    failing(asked[1], KeyboardInterrupt())
    outcome, _ = go(asked, tmp_path)
    assert (outcome.stopped, outcome.done, outcome.failed, len(outcome.records)) == (True, 1, [], 1)
    assert not list(tmp_path.rglob("*.claim"))
    assert look(asked, tmp_path, CPU).left == asked[1:]


def test_divergence_is_kept_and_not_tried_again(tmp_path: Path, executed: list[Run]) -> None:
    asked = runs("full,linear", learning_rate=1e30, optimizer="sgd", warmup_epochs=0)
    outcome, shown = go(asked[:1], tmp_path)
    assert (outcome.done, outcome.failed) == (1, [])
    assert results.load(path(tmp_path, asked[0])).status == "diverged"
    assert "diverged: the loss was " in shown
    assert go(asked[:1], tmp_path)[0].there == 1
    assert executed == asked[:1]


@pytest.mark.parametrize("damage", [b"", b"{}", b"not json", None])
def test_a_damaged_record_is_named_set_aside_and_done_again(tmp_path: Path, damage: bytes | None) -> None:
    asked = runs("linear,lora")
    go(asked, tmp_path)
    broken = path(tmp_path, asked[0])
    content = broken.read_bytes()[:-40] if damage is None else damage
    broken.write_bytes(content)
    pending = look(asked, tmp_path, CPU)
    assert pending.left == asked[:1]
    assert [str(broken) in complaint for complaint in pending.damaged] == [True]
    assert broken.read_bytes() == content
    outcome, _ = go(asked, tmp_path)
    assert (outcome.done, outcome.there) == (1, 1)
    assert results.load(broken).status == "ok"
    assert broken.with_name(broken.name + ".damaged").read_bytes() == content


def test_a_damaged_record_stays_if_its_run_fails(tmp_path: Path, failing: Callable[..., None]) -> None:
    asked = runs("linear")
    go(asked, tmp_path)
    path(tmp_path, asked[0]).write_bytes(b"half a rec")
    failing(asked[0], ValueError("again"))
    assert len(go(asked, tmp_path)[0].failed) == 1
    assert path(tmp_path, asked[0]).read_bytes() == b"half a rec"


def test_a_record_that_cannot_be_written_is_a_failed_run(tmp_path: Path) -> None:
    asked = runs("linear,lora")
    folder = path(tmp_path, asked[0]).parent
    folder.parent.mkdir(parents=True)
    folder.write_text("a file where the folder should be")
    outcome, _ = go(asked, tmp_path)
    assert len(outcome.failed) == 2


def test_a_record_that_cannot_be_read_is_reported_and_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = runs("linear,lora")
    go(asked, tmp_path)
    sick = path(tmp_path, asked[0])
    before = sick.read_bytes()

    def load(file: Path) -> Record:
        if file == sick:
            raise OSError(5, "Input/output error")
        return real(file)

    real = results.load
    monkeypatch.setattr(results, "load", load)
    outcome, _ = go(asked, tmp_path)
    assert (outcome.done, outcome.there, outcome.failed) == (0, 1, [sick])
    assert sick.read_bytes() == before


def held_elsewhere(root: Path, run: Run, lease_seconds: float = LEASE_SECONDS) -> Path:
    """A claim as a process on another machine leaves it."""
    head = claim_path(root, path(root, run))
    leave_from_elsewhere(head, lease_seconds)
    return head


def test_what_another_process_holds_is_waited_for_and_not_done_twice(
    tmp_path: Path, executed: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = runs("linear,lora")
    head = held_elsewhere(tmp_path, asked[0])
    monkeypatch.setattr(bench.grid.workers, "POLL_SECONDS", 0.05)
    other, said, say = execute(asked[0], CPU), threading.Event(), Screen.say
    monkeypatch.setattr(Screen, "say", lambda screen, sentence: [say(screen, sentence), said.set()])

    def finish() -> None:
        said.wait()
        results.save(tmp_path, other)
        head.unlink()

    thread = threading.Thread(target=finish)
    thread.start()
    outcome, shown = go(asked, tmp_path, force=False)
    thread.join()
    assert (outcome.done, outcome.there, outcome.failed) == (1, 1, [])
    assert executed == asked[1:]
    assert "waiting for 1 run that other processes are at" in shown
    assert "done by another process" in shown
    assert len(outcome.records) == 2


def test_a_run_whose_holder_is_gone_is_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = runs("linear,lora")
    held_elsewhere(tmp_path, asked[0], 0.3)
    monkeypatch.setattr(bench.grid.workers, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(bench.grid.grid, "Claims", functools.partial(Claims, 0.3, 0.1))
    outcome, _ = go(asked, tmp_path)
    assert (outcome.done, outcome.there, outcome.failed) == (2, 0, [])
    assert not [file for file in (tmp_path / "claims").rglob("*") if file.is_file()]


def test_a_result_is_not_saved_over_that_of_who_took_over(
    tmp_path: Path, executed: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    """This process stood still for longer than a lease, and another began the run again and finished it."""
    asked = runs("linear")
    head = claim_path(tmp_path, path(tmp_path, asked[0]))

    def overtaken(run: Run, *arguments: Any) -> Record:
        record = execute(run, *arguments)
        head.unlink()
        with Claims().take(head) as claim:  # type: ignore[union-attr]
            assert claim.ours()
            results.save(tmp_path, dataclasses.replace(record, reason="of the other"))
        return record

    monkeypatch.setattr(bench.runner.attempt, "execute", overtaken)
    outcome, _ = go(asked, tmp_path)
    assert (outcome.done, outcome.there) == (0, 1)
    assert results.load(path(tmp_path, asked[0])).reason == "of the other"


def test_what_has_no_memory_left_is_tried_twice_and_what_fails_once(
    tmp_path: Path, failing: Callable[..., None], executed: list[Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, tried = runs("linear,lora,bitfit"), list[Run]()

    def broken(run: Run, *arguments: Any) -> Record:
        tried.append(run)
        if run == asked[0]:
            raise MemoryError
        if run == asked[1]:
            raise ValueError("no")
        return execute(run, *arguments)

    monkeypatch.setattr(bench.runner.attempt, "execute", broken)
    outcome, shown = go(asked, tmp_path)
    assert tried == [*asked, asked[0]]
    assert (outcome.done, len(outcome.failed)) == (1, 2)
    assert "colours linear is tried once more: out of memory on the CPU" in shown
    assert "colours linear failed: out of memory on the CPU; use fewer workers or a smaller batch (twice)" in shown


def test_what_failed_in_one_job_of_an_array_is_not_tried_by_the_next(
    tmp_path: Path, failing: Callable[..., None], executed: list[Run]
) -> None:
    asked = runs("linear,lora")
    failing(asked[0], ValueError("no"))
    for done, failed in ((1, 1), (0, 1)):
        pending, console = look(asked, tmp_path, CPU), Console(file=io.StringIO())
        outcome = run_grid(pending, tmp_path, CPU, console, failed=tmp_path / "failed")
        assert (outcome.done, len(outcome.failed)) == (done, failed)
    assert len(list((tmp_path / "logs").rglob("*.log"))) == 1
