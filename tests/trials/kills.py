"""SIGKILL at random instants, of workers and of the parent, until a grid is complete; and parents side by side."""

import os
import random
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.trials.processes import Trial, children, finish, lost, start, wait_until_at_work


def kills(
    folder: Path,
    like: Path,
    wanted: int,
    seeds: int,
    longest_pause: float,
    tell: Callable[[str], None],
    seed: int = 0,
    workers: int = 2,
) -> Trial:
    """Kill until it was done `wanted` times, in as many grids as that takes, and finish the last one in peace.

    A grid is left alone until it holds a run, so that kills strike work and not the start of an interpreter.
    `tell` is called after each grid with how far it is.
    """
    dice, count, gone, grids = random.Random(seed), 0, 0, 0
    while count < wanted:
        root = folder / f"grid-{grids}"
        grids += 1
        count += _disturb(root, dice, wanted - count, seeds, longest_pause, workers)
        gone += lost(root, like, seeds, 4)
        tell(f"SIGKILL: {count} of {wanted} in {grids} grids, {gone} runs lost so far")
    note = f"{grids} grids of {8 * seeds} runs, each as if undisturbed"
    return Trial("SIGKILL of workers and parent", count, count if not gone else 0, gone, note)


def _disturb(root: Path, dice: random.Random, wanted: int, seeds: int, longest_pause: float, workers: int) -> int:
    """Start a grid again and again until it ends with everything done; how often something was killed."""
    count = 0
    while True:
        process = start(root, "--seeds", seeds, "--workers", workers)
        if count < wanted and wait_until_at_work(root, process):
            count += _kill_while_it_runs(process, dice, wanted - count, longest_pause)
        ended = finish(process)
        if ended and not ended["failed"]:
            assert ended["done"] + ended["there"] == 8 * seeds
            return count


def _kill_while_it_runs(process: subprocess.Popen[str], dice: random.Random, wanted: int, longest_pause: float) -> int:
    count = 0
    while count < wanted:
        try:
            process.wait(dice.uniform(0.05, longest_pause))
            return count
        except subprocess.TimeoutExpired:
            victim = dice.choice([process.pid, *children(process.pid)])
        try:
            os.kill(victim, signal.SIGKILL)
            count += 1
        except ProcessLookupError:
            continue
        if victim == process.pid:
            process.wait()
            return count
    return count


def side_by_side(root: Path, like: Path, parents: int, seeds: int) -> Trial:
    """Parents that start together on one folder: the runs they have done add up to the grid."""
    processes = [start(root, "--seeds", seeds, "--workers", 1) for _ in range(parents)]
    ends = [finish(process) for process in processes]
    done = sum(end["done"] for end in ends)
    complete = [end["done"] + end["there"] == 8 * seeds and not end["failed"] for end in ends]
    note = f"{done:.0f} trainings of {8 * seeds} runs: " + " + ".join(f"{end['done']:.0f}" for end in ends)
    survived = parents if all(complete) and done == 8 * seeds else 0
    return Trial("parents on one folder", parents, survived, lost(root, like, seeds, 4), note)
