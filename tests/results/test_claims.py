"""Claims: one holder at a time, taken over only from the dead, whatever clocks say and whoever is killed when."""

import dataclasses
import json
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from results import claims
from results.claims import Lookout, claim_path, holder_of, take


class Stopwatch:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def head(tmp_path: Path) -> Path:
    return claim_path(tmp_path, tmp_path / "runs" / "vit" / "lora.json")


@pytest.fixture
def elsewhere(head: Path) -> str:
    """The token of a claim of a process on another machine, which this one cannot look up."""
    claim = take(head)
    assert claim is not None
    holder = holder_of(head)
    assert holder is not None
    head.write_text(json.dumps(dataclasses.asdict(dataclasses.replace(holder, place="another"))))
    return claim.token


def of_the_dead(head: Path) -> None:
    """Leave a claim of a process of this machine that was killed."""
    lines = "import os, sys", "from pathlib import Path", "from results.claims import take", "take(Path(sys.argv[1]))"
    program = "\n".join([*lines, "os._exit(1)"])
    root = Path(claims.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", program, str(head)], cwd=root, capture_output=True)
    assert done.returncode != 0
    assert head.is_file()


def test_a_claim_is_exclusive_until_it_is_released(head: Path) -> None:
    first = take(head)
    assert first is not None
    assert take(head) is None
    with first:
        assert take(head) is None
        assert first.ours()
    second = take(head)
    assert second is not None
    assert not first.ours()
    second.release()
    assert not list(head.parent.iterdir())


def test_a_claim_says_who_holds_it(head: Path) -> None:
    take(head)
    holder = holder_of(head)
    assert holder is not None
    assert holder.pid == os.getpid()
    assert holder.host
    assert not holder.gone()


def test_a_claim_of_a_killed_process_is_taken_over_at_once(head: Path) -> None:
    of_the_dead(head)
    claim = take(head)
    assert claim is not None
    assert take(head) is None
    with claim:
        pass
    assert not list(head.parent.iterdir())


def test_a_silent_claim_from_elsewhere_is_taken_over_after_a_lease(head: Path, elsewhere: str) -> None:
    watch = Stopwatch()
    lookout = Lookout(lease_seconds=100, clock=watch)
    assert lookout.opening(head) is None
    watch.now = 99
    assert lookout.opening(head) is None
    watch.now = 101
    assert lookout.opening(head) == elsewhere
    assert take(head) is None  # only for who has seen that it is stale
    assert take(head, over=elsewhere) is not None
    assert take(head, over=elsewhere) is None


@pytest.mark.parametrize("clock", [-1e9, -3600, 3600, 1e9])
def test_a_touched_claim_is_held_whatever_the_clock_says(head: Path, elsewhere: str, clock: float) -> None:
    watch = Stopwatch()
    lookout = Lookout(lease_seconds=100, clock=watch)
    for beat in range(20):
        os.utime(head, (time.time() + clock + beat,) * 2)
        watch.now = 90.0 * beat
        assert lookout.opening(head) is None


@pytest.mark.parametrize("clock", [-1e9, 3600])
def test_a_clock_set_back_keeps_no_stale_claim_alive(head: Path, elsewhere: str, clock: float) -> None:
    os.utime(head, (time.time() + clock,) * 2)
    watch = Stopwatch()
    lookout = Lookout(lease_seconds=100, clock=watch)
    assert lookout.opening(head) is None
    watch.now = 100
    assert lookout.opening(head) == elsewhere


def test_the_holder_touches_its_claim(head: Path) -> None:
    claim = take(head)
    assert claim is not None
    claim.beat_seconds = 0.01
    os.utime(head, (0, 0))
    with claim:
        while head.stat().st_mtime == 0:
            time.sleep(0.01)


def test_a_holder_that_was_overtaken_knows_and_leaves_the_other_alone(head: Path, elsewhere: str) -> None:
    sleeper = claims.Claim(head, head, elsewhere)
    other = take(head, over=elsewhere)
    assert other is not None
    assert not sleeper.ours()
    sleeper.release()
    assert other.ours()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"token": "x", "strange": 1}'])
def test_a_half_written_claim_is_held_for_a_lease_and_then_free(head: Path, content: bytes) -> None:
    head.parent.mkdir(parents=True)
    head.write_bytes(content)
    watch = Stopwatch()
    lookout = Lookout(lease_seconds=100, clock=watch)
    assert take(head) is None
    assert lookout.opening(head) is None
    watch.now = 100
    token = lookout.opening(head)
    assert token
    assert take(head, over=token) is not None


def test_a_late_follower_of_a_chain_that_was_given_up_gets_nothing(head: Path, elsewhere: str) -> None:
    """Between its look and its file another has taken over, finished and released, and a third has begun anew."""
    follower = claims.Claim(head, head.with_name(f"{head.name}.{elsewhere}"), "late")
    other = take(head, over=elsewhere)
    assert other is not None
    other.release()
    third = take(head)
    assert third is not None
    claims._write(follower)
    assert not follower.ours()
    assert third.ours()


def _strive(head: str, inside: str, won: str) -> None:
    wins = 0
    while wins < 20:
        claim = take(Path(head))
        if claim is None:
            continue
        with claim:
            os.close(os.open(inside, os.O_CREAT | os.O_EXCL))  # FileExistsError if anybody else is in here
            with open(won, "a") as file:
                file.write("x")
            os.unlink(inside)
        wins += 1


def test_processes_that_strive_are_never_in_at_once(head: Path, tmp_path: Path) -> None:
    of_the_dead(head)
    context = multiprocessing.get_context("spawn")
    words = str(head), str(tmp_path / "inside"), str(tmp_path / "won")
    processes = [context.Process(target=_strive, args=words) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert len((tmp_path / "won").read_text()) == 80
    assert not list(head.parent.iterdir())
