"""What can go wrong with the folder of results: full, read-only, truncated records, clocks that differ."""

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from results.claims import Claims, claim_path, holder_of
from tests.trials.act import asked
from tests.trials.grid import LEASE
from tests.trials.processes import Trial, finish, lost, records, start


class NoMount(Exception):
    """Small file systems can be mounted by root only."""


@contextlib.contextmanager
def small_disk(at: Path, size: str) -> Iterator[Path]:
    """A file system of its own in memory."""
    at.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(at)], capture_output=True)
    if done.returncode:
        raise NoMount("mount -t tmpfs needs root")
    try:
        yield at
    finally:
        subprocess.run(["umount", "-l", str(at)], check=True)


def full_disk(folder: Path, like: Path, seeds: int) -> Trial:
    """A disk that fills while the grid runs; then it grows and the same call is made again."""
    with small_disk(folder / "small", "192k") as disk:
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(140_000))
        first = finish(start(disk, "--seeds", seeds))
        before = len(records(disk))
        ballast.unlink()
        subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
        second = finish(start(disk, "--seeds", seeds))
        held = first["failed"] > 0 and before == first["done"] and not second["failed"]
        note = f"{first['failed']:.0f} of {8 * seeds} runs failed with a sentence, {second['done']:.0f} done later"
        return Trial("disk that fills", 1, int(held), lost(disk, like, seeds, 4), note)


def read_only(folder: Path, like: Path, seeds: int) -> Trial:
    """A folder made read-only while the grid runs; then writable again."""
    with small_disk(folder / "fixed", "8m") as disk:
        process = start(disk, "--seeds", seeds)
        while not list(disk.glob("runs/**/*.json")):
            assert process.poll() is None, "the grid ended before its folder could be made read-only"
            time.sleep(0.05)
        subprocess.run(["mount", "--bind", str(disk), str(disk)], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", str(disk)], check=True)  # whatever is open stays open
        first = finish(process)
        before = len(records(disk))
        subprocess.run(["umount", str(disk)], check=True)
        second = finish(start(disk, "--seeds", seeds))
        held = first["failed"] > 0 and before == first["done"] and not second["failed"]
        note = f"{first['failed']:.0f} of {8 * seeds} runs failed with a sentence, {second['done']:.0f} done afterwards"
        return Trial("folder made read-only", 1, int(held), lost(disk, like, seeds, 4), note)


def truncated(root: Path, like: Path, seeds: int) -> Trial:
    """Records cut by hand at several places, one of them to nothing."""
    finish(start(root, "--seeds", seeds))
    victims = sorted((root / "runs").rglob("*.json"))[:4]
    for share, victim in enumerate(victims):
        content = victim.read_bytes()
        victim.write_bytes(content[: len(content) * share // 4])
    assert len(victims) == 4
    end = finish(start(root, "--seeds", seeds))
    aside = list((root / "runs").rglob("*.damaged"))
    survived = len(aside) if end["done"] == len(victims) else 0
    gone = lost(root, like, seeds, 4)
    return Trial("record truncated by hand", len(victims), survived, gone, "set aside, done again")


def clock_set_back(root: Path, like: Path, seeds: int) -> Trial:
    """Claims of another machine, dead, whose clock was ahead, behind, or as ours: taken over after a lease."""
    shifts = (86_400, 0, -86_400)
    for record, shift in zip(asked(seeds, 4), shifts, strict=False):
        path = claim_path(root, root / record)
        with Claims(LEASE, LEASE / 3).take(path) as claim:
            said = path.read_text().replace(f"host={claim.lease.owner.hostname}", "host=another")
        path.write_text(said)
        assert holder_of(path).hostname == "another"
        os.utime(path, (time.time() + shift,) * 2)
    end = finish(start(root, "--seeds", seeds))
    survived = len(shifts) if end["done"] == 8 * seeds else 0
    return Trial("clock set back or ahead a day", len(shifts), survived, lost(root, like, seeds, 4), "stale claims")
