"""Which runs wait or run in Slurm: submissions are kept under `results/slurm`, and squeue says which still live."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from bench.errors import WrongCall
from results import write_whole

__all__ = ["Queue", "queued", "remember"]

STATES = {"PENDING": "waiting", "RUNNING": "running", "COMPLETING": "ending", "REQUEUED": "waiting"}


@dataclass
class Queue:
    """Records of the runs that live jobs are to make, and how many jobs are in which state."""

    records: set[str] = field(default_factory=set)
    states: Counter[str] = field(default_factory=Counter)


def remember(root: Path, chunks: dict[str, list[str]]) -> None:
    """Keep which job has which runs; all are jobs of one array, `123_0`, `123_1`, …, or one job, `123`."""
    array = next(iter(chunks)).partition("_")[0]
    write_whole(root / "slurm" / f"{array}.json", json.dumps(chunks, indent=1).encode())


def queued(root: Path) -> Queue:
    """What is on its way. A submission of which no job lives is forgotten: its records are the truth."""
    queue = Queue()
    live = _live_jobs() if list((root / "slurm").glob("*.json")) else {}
    for path in sorted((root / "slurm").glob("*.json")):
        chunks: dict[str, list[str]] = json.loads(path.read_bytes())
        here = {job: live[job] for job in chunks if job in live}
        for job, state in here.items():
            queue.records.update(chunks[job])
            queue.states[STATES.get(state, state.lower())] += 1
        if not here:
            path.unlink(missing_ok=True)
    return queue


def _live_jobs() -> dict[str, str]:
    """The state of every job of ours that Slurm still has to finish, by its number as submitit writes it."""
    command = ["squeue", "--me", "--noheader", "--array", "--format", "%i %T"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise WrongCall("squeue gives no answer here; call again on a machine of the cluster") from error
    return dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if line.strip())
