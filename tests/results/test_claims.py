"""Claims: one holder at a time, taken over only from the dead, whatever clocks say and whoever is killed when."""

import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import filelock
import pytest

from results import claims
from results.claims import Claim, Claims, claim_path, holder_of


class Stopwatch:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return claim_path(tmp_path, tmp_path / "runs" / "vit" / "lora.json")


def take(path: Path) -> Claim:
    claim = Claims().take(path)
    assert claim is not None
    return claim


def leave_from_elsewhere(path: Path, lease_seconds: float = claims.LEASE_SECONDS) -> None:
    """Leave a claim as a process on another machine does that then falls silent."""
    claim = Claims(lease_seconds, lease_seconds / 5).take(path)
    assert claim is not None
    host = claim.lease.owner.hostname  # type: ignore[union-attr]
    with claim:
        text = path.read_text()
    path.write_text(text.replace(f"host={host}\n", "host=another\n"))
    assert holder_of(path).hostname == "another"  # type: ignore[union-attr]


def leave_from_the_dead(path: Path) -> None:
    """Leave a claim of a process of this machine that was killed."""
    program = "import os, sys; from pathlib import Path; from results.claims import Claims\n"
    program += "claim = Claims().take(Path(sys.argv[1])); os._exit(1)"
    root = Path(claims.__file__).parents[1]
    assert subprocess.run([sys.executable, "-c", program, str(path)], cwd=root).returncode == 1
    assert path.is_file()


def test_a_claim_is_exclusive_names_its_holder_and_leaves_nothing(path: Path) -> None:
    others = Claims()
    with take(path) as claim:
        assert others.take(path) is None
        assert claim.ours()
        assert holder_of(path).pid == os.getpid()  # type: ignore[union-attr]
    assert not claim.ours()
    with take(path):
        assert others.take(path) is None
    assert not list(path.parent.iterdir())


def test_a_claim_of_a_killed_process_is_taken_over_at_once(path: Path) -> None:
    leave_from_the_dead(path)
    with take(path):
        assert Claims().take(path) is None
    assert not list(path.parent.iterdir())


def test_a_silent_claim_from_elsewhere_is_taken_over_after_a_lease(path: Path) -> None:
    leave_from_elsewhere(path, 0.5)
    onlooker = Claims(0.5, 0.1)
    assert onlooker.take(path) is None
    while (claim := onlooker.take(path)) is None:
        time.sleep(0.05)
    with claim:
        assert Claims(0.5, 0.1).take(path) is None


@pytest.mark.parametrize("clock", [-1e9, -3600, 3600, 1e9])
def test_a_touched_claim_is_held_whatever_clocks_say_and_a_silent_one_is_not(path: Path, clock: float) -> None:
    leave_from_elsewhere(path)
    watch = Stopwatch()
    onlooker = Claims(clock=watch)
    for beat in range(20):
        os.utime(path, (time.time() + clock + beat,) * 2)
        watch.now = 110.0 * beat
        assert onlooker.take(path) is None
    watch.now += 119
    assert onlooker.take(path) is None
    watch.now += 2
    assert onlooker.take(path) is not None


@pytest.mark.parametrize("content", [b"", b"{", b"filelock/2\npid=", b"filelock/2\npid=7\nhost=x\nmode=new\n"])
def test_a_claim_that_says_nothing_is_held_for_a_lease_and_then_free(path: Path, content: bytes) -> None:
    """A kill or a power cut leaves an empty file, and filelock leaves that for ever."""
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    watch = Stopwatch()
    onlooker = Claims(clock=watch)
    assert onlooker.take(path) is None
    watch.now = 119
    assert onlooker.take(path) is None
    watch.now = 121
    with onlooker.take(path) as claim:  # type: ignore[union-attr]
        assert claim.ours()
    assert not list(path.parent.iterdir())


def test_the_dead_are_buried_where_two_names_cannot_be_exchanged(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on NFS, where filelock takes over nothing."""
    monkeypatch.setattr(filelock._soft, "exchange_names", lambda *_: False)
    monkeypatch.setattr(filelock._util, "exchange_names", lambda *_: False)
    leave_from_the_dead(path)
    watch = Stopwatch()
    onlooker = Claims(clock=watch)
    assert onlooker.take(path) is None
    watch.now = 121
    with onlooker.take(path) as claim:  # type: ignore[union-attr]
        assert claim.ours()
    assert not list(path.parent.iterdir())


def test_whoever_is_late_to_a_burial_puts_the_new_claim_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its look and its rename another has buried the dead and claimed the run."""
    leave_from_elsewhere(path)
    old = claims._state_of(path)
    assert old is not None
    path.unlink()
    with take(path) as claim:
        look, states = claims._state_of, iter([old])
        monkeypatch.setattr(claims, "_state_of", lambda at: next(states, None) or look(at))
        claims._bury(path, old)
        assert claim.ours()
        assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_claim_of_a_version_with_another_lease_is_respected(path: Path) -> None:
    watch = Stopwatch()
    onlooker = Claims(60, clock=watch)
    with take(path) as claim:
        assert onlooker.take(path) is None
        assert claim.ours()


def test_the_holder_touches_its_claim(path: Path) -> None:
    claim = Claims(beat_seconds=0.01).take(path)
    assert claim is not None
    os.utime(path, (0, 0))
    with claim:
        while path.stat().st_mtime == 0:
            time.sleep(0.01)


def test_a_holder_that_was_overtaken_knows_and_leaves_the_other_alone(path: Path) -> None:
    sleeper = take(path)
    path.unlink()
    with take(path) as other:
        with sleeper:
            assert not sleeper.ours()
        assert other.ours()


def _strive(path: str, inside: str, won: str) -> None:
    wins, striver = 0, Claims()
    while wins < 20:
        claim = striver.take(Path(path))
        if claim is None:
            continue
        with claim:
            os.close(os.open(inside, os.O_CREAT | os.O_EXCL))  # FileExistsError if anybody else is in here
            with open(won, "a") as file:
                file.write("x")
            os.unlink(inside)
        wins += 1


def test_processes_that_strive_are_never_in_at_once(path: Path, tmp_path: Path) -> None:
    leave_from_the_dead(path)
    context = multiprocessing.get_context("spawn")
    words = str(path), str(tmp_path / "inside"), str(tmp_path / "won")
    processes = [context.Process(target=_strive, args=words) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert len((tmp_path / "won").read_text()) == 80
    assert not list(path.parent.iterdir())
