"""What can go wrong with a worker: it hangs, crashes, is killed, has no memory left; and Ctrl-C, once and twice."""

import signal
import time
from pathlib import Path

import torch

from tests.trials.act import asked
from tests.trials.processes import Trial, children, finish, lost, records, start, wait_until_at_work

NAMES = {"hang": "worker that hangs", "crash": "segmentation fault", "memory": "out of memory on the CPU (ulimit)"}


def faulty(root: Path, like: Path, fault: str, seeds: int) -> Trial:
    """The first try of every run of seed 0 goes wrong: eight faults in one grid, all of which end well."""
    end = finish(start(root, "--seeds", seeds, "--fault", fault))
    tried = len(list((root / "tried").iterdir()))
    assert tried == len(asked(1, 4)), f"the fault struck {tried} runs of seed 0, not all of them"
    survived = tried - int(end["failed"])
    return Trial(NAMES[fault], tried, survived, lost(root, like, seeds, 4), "done at the second try")


def interrupted(root: Path, like: Path, times: int, seeds: int) -> Trial:
    """Ctrl-C for the whole group of processes, as a terminal sends it; then the same call again."""
    process = start(root, "--seeds", seeds, "--epochs", 4, "--workers", 2)
    assert wait_until_at_work(root, process), "the grid ended before it could be interrupted"
    before, workers = len(records(root)), children(process.pid)
    for _ in range(times):
        for pid in (*workers, process.pid):
            with_signal(pid)
        time.sleep(0.1)
    finish(process)
    after = len(records(root))
    left = [pid for pid in workers if Path(f"/proc/{pid}").exists()]
    end = finish(start(root, "--seeds", seeds))
    right = process.returncode == 130 and not left and end["failed"] == 0
    note = f"exit {process.returncode}, {after - before} finished after it, {end['done']:.0f} done by the next call"
    return Trial(f"Ctrl-C {['', 'once', 'twice'][times]}", 1, int(right), lost(root, like, seeds, 4), note)


def with_signal(pid: int) -> None:
    """SIGINT, also to a process that has ended meanwhile."""
    import os

    try:
        os.kill(pid, signal.SIGINT)
    except ProcessLookupError:
        return


def overhead(root: Path, runs: int) -> Trial:
    """One worker process, runs that take half a second each: the whole grid, with start-up, against their sum."""
    words = "--seeds", runs // 2, "--methods", "linear", "--epochs", 400, "--seconds", 0.5
    end = finish(start(root, *words, "--workers", 1))
    seconds = [float(line) for line in (root / "seconds").read_text().split()]
    share = end["seconds"] / sum(seconds) - 1
    note = f"{100 * share:.1f} % over {sum(seconds):.0f} s of {len(seconds)} runs; bar 10 %"
    return Trial("overhead of the launcher", 1, int(share <= 0.1), runs - int(end["done"]), note)


def cuda_memory() -> Trial:
    """Where there is a GPU: a run that does not fit is a record with the reason, and the next one is done."""
    name = "out of memory on CUDA"
    if not torch.cuda.is_available():
        return Trial(name, 0, 0, 0, "no GPU here")
    from bench.runner.execute import execute
    from bench.settings import RunSettings
    from tests.bench.tiny import run

    device = RunSettings(torch.device("cuda"))
    torch.cuda.set_per_process_memory_fraction(1e-6)
    first = execute(run("full"), device)
    torch.cuda.set_per_process_memory_fraction(1.0)
    second = execute(run("full"), device)
    right = (first.status, second.status) == ("oom", "ok")
    return Trial(name, 1, int(right), int(not right), f"{first.status}, then {second.status}")
