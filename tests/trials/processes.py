"""Starting grids as processes, finding their workers, and judging what they leave behind."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import results
from results.claims import holder_of
from tests.trials.act import asked

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Trial:
    """A line of the table: how often something was tried, survived, and how many runs were lost by it."""

    name: str
    tried: int
    survived: int
    lost: int
    note: str = ""


def start(root: Path, *words: object) -> subprocess.Popen[str]:
    """A grid in a process of its own."""
    command = [sys.executable, "-m", "tests.trials.grid", str(root), *map(str, words)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def finish(process: subprocess.Popen[str]) -> dict[str, float]:
    """The last line of a grid, or nothing when it did not get so far; fails on a traceback."""
    out, _ = process.communicate(timeout=600)
    assert "Traceback" not in out, out
    last = out.strip().splitlines()[-1] if out.strip() else ""
    return json.loads(last) if last.startswith("{") else {}


def children(pid: int) -> list[int]:
    """Workers of a grid; the tracker of shared resources, which multiprocessing starts too, is none."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid and b"spawn_main" in (path / "cmdline").read_bytes():
                found.append(int(path.name))
        except OSError:
            continue
    return found


def at_work(root: Path, process: subprocess.Popen[str]) -> bool:
    """Whether a live process of the grid holds a run now."""
    holders = {holder.pid for path in (root / "claims").rglob("*.claim") if (holder := holder_of(path))}
    return bool(holders) and not holders.isdisjoint({process.pid, *children(process.pid)})


def wait_until_at_work(root: Path, process: subprocess.Popen[str]) -> bool:
    """Wait until a run is held by the grid; False when it ended first."""
    while not at_work(root, process):
        if process.poll() is not None:
            return False
        time.sleep(0.02)
    return True


def records(root: Path) -> dict[str, results.Record]:
    """Every record below `root` by its path; fails on a damaged one."""
    return {str(path.relative_to(root)): results.load(path) for path in sorted((root / "runs").rglob("*.json"))}


def lost(root: Path, like: Path, seeds: int, epochs: int) -> int:
    """Runs that are missing, or differ from those of an undisturbed grid; fails on a record too many."""
    ours, theirs = records(root), records(like)
    wanted = asked(seeds, epochs).keys()
    assert ours.keys() <= wanted
    assert theirs.keys() == wanted
    return sum(path not in ours or ours[path].score != theirs[path].score for path in wanted)


def undisturbed(root: Path, seeds: int, epochs: int = 4) -> Path:
    """What a grid gives that nobody disturbs."""
    assert finish(start(root, "--seeds", seeds, "--epochs", epochs))["failed"] == 0
    return root
