"""The Slurm launcher: an array of jobs, each of which walks the same list of runs; a later call says how far they are.

submitit pickles a call into its own folder for the job to read. Only the class `Job`, by name, and plain values are in
it, so that a job that waits while this code changes still starts.
"""

from __future__ import annotations

import dataclasses
import json
import re
import secrets
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import submitit
from rich.console import Console
from submitit.helpers import Checkpointable

import results
from bench.errors import UsageError
from bench.grid.estimate import longest_first
from bench.grid.grid import Outcome, Pending, look, run_grid
from bench.grid.request import OtherRuns, Request, device_of, plan_of, runs_at
from bench.grid.workers import workers_of
from bench.names import check
from bench.run import record_of
from bench.runner.attempt import log_path
from bench.settings import CacheLimits, Keep, LoaderSettings, RunSettings
from bench.surroundings import settle
from results import numbered

__all__ = ["Job", "SlurmOptions", "run_on_slurm", "slurm_options"]

RESTARTS = 10  # of a job that runs out of time; what it had finished is not done again
CHECKOUT = Path(__file__).resolve().parent.parent.parent
PASSED = ("partition", "account", "qos", "constraint", "mem", "exclude", "nodelist", "cpus")  # on to sbatch
STATES = {"PENDING": "waiting", "RUNNING": "running", "COMPLETING": "ending", "REQUEUED": "waiting"}


@dataclass(frozen=True)
class SlurmOptions:
    """`--slurm partition=gpu,time=4:00:00,gpus=1,array=32`: `array` is how many jobs, the rest is asked for each."""

    time: str = "4:00:00"
    gpus: int = 0
    array: int = 32
    passed: dict[str, str] = field(default_factory=dict)

    def device(self, asked: str) -> str:
        """Return the device as a job hears it: one that asks for GPUs and gets none must say so, not crawl."""
        return "cuda" if self.gpus and asked == "auto" else asked

    def parameters(self) -> dict[str, Any]:
        """Return what submitit's SlurmExecutor wants; a job that is preempted or out of time is queued again."""
        words: dict[str, Any] = {("cpus_per_task" if key == "cpus" else key): text for key, text in self.passed.items()}
        if self.gpus:
            words["gpus_per_node"] = self.gpus
        if "cpus" in self.passed:  # srun itself no longer takes over what sbatch was told (Slurm 22.05 and later)
            words["srun_args"] = [f"--cpus-per-task={self.passed['cpus']}"]
        requeue = {"requeue": True}
        return words | {"time": _minutes(self.time), "array_parallelism": self.array, "additional_parameters": requeue}


def slurm_options(launcher: str, text: str | None, workers: int | None) -> SlurmOptions | None:
    """Read `--slurm`; None for another launcher. Raises UsageError for what is unknown, wrong or would do nothing."""
    if launcher != "slurm" and text is not None:
        raise UsageError("--slurm says nothing without --launcher slurm; give both")
    if launcher == "slurm" and workers is not None:
        raise UsageError("--workers says nothing with --launcher slurm; write how many jobs with --slurm array=32")
    if launcher != "slurm":
        return None
    words = dict(_pair(part) for part in (text or "").split(",") if part.strip())
    check("option of --slurm", words, ("time", "gpus", "array", *PASSED))
    counts = {key: _count(key, words[key]) for key in ("gpus", "array") if key in words}
    passed = {key: words[key] for key in PASSED if key in words}
    options = SlurmOptions(words.get("time", SlurmOptions.time), **counts, passed=passed)
    _minutes(options.time)
    return options


def run_on_slurm(
    request: Request,
    pending: Pending,
    root: Path,
    device: str,
    settings: RunSettings,
    options: SlurmOptions,
    console: Console,
) -> Outcome:
    """Submit what is neither there nor on its way, say what is, and return at once. Raises UsageError."""
    queue = _Queue(root)
    left = [run for run in pending.left if record_of(run) not in queue.records]
    failed = sum(log_path(root, run).is_file() for run in left)
    if failed:
        console.print(f"{failed} of the runs failed before and are tried again; see {root / 'logs'}", soft_wrap=True)
    if left:
        count = min(options.array, len(left))
        words: dict[str, Any] = {
            "request": dataclasses.asdict(request.absolute()),
            "records": [record_of(run) for run in longest_first(left)],
            "root": str(root.resolve()),
            "device": options.device(device),
            "settings": {key: value for key, value in dataclasses.asdict(settings).items() if key != "device"},
            "failed": f"slurm/{secrets.token_hex(4)}.failed",
            "command": sys.argv,
        }
        jobs = _submit(root.resolve(), options, [words] * count)
        queue.add(jobs, words["records"], words["failed"])
        said = f"{numbered(len(left), 'run')} submitted to {numbered(count, 'job')}"
        console.print(f"{said} ({jobs[0].partition('_')[0]})", highlight=False)
    states = ", ".join(f"{count} {state}" for state, count in sorted(queue.states.items()))
    text = f"{numbered(len(pending.finished), 'run')} there, {len(pending.left) - len(left)} were on their way before"
    text += f" (jobs: {states})" if states else ""
    console.print(f"{text}; the same call again says how far it is", highlight=False, soft_wrap=True)
    paths = [results.path_of(root, run.identity()) for run, _ in pending.finished]
    return Outcome(0, len(pending.finished), list(pending.unreadable), paths)


class Job(Checkpointable):
    """Called in a job. Preempted or out of time, it is queued again, and what it had finished is there then."""

    def __call__(self, words: dict[str, Any]) -> None:
        """Walk the list of runs; those that fail are in `results/logs`, as always."""
        root, console = Path(words["root"]), Console(width=160)
        sys.argv = words["command"]  # provenance names the call that a user made
        settle(root)
        try:
            outcome = _walk(words, root, console)
        except Exception as error:  # nobody sees what a job prints, so that each of its runs has a log
            for record in words["records"]:
                if not (root / record).is_file():
                    _log(root, record, f"the job could not do it: {type(error).__name__}: {error}")
            raise
        done = numbered(outcome.done, "run")
        console.print(f"{done} done now, {outcome.there} were there, {len(outcome.failed)} failed")


def _walk(words: dict[str, Any], root: Path, console: Console) -> Outcome:
    """Do what a submission asked for, by the same grid as anywhere else."""
    request, records, values = Request(**words["request"]), words["records"], dict(words["settings"])
    loader = values.pop("loader", None) or values.pop("reading")  # as a job that was queued before the new name has it
    parts: dict[str, Any] = {"keep": Keep(**values.pop("keep")), "loader": LoaderSettings(**loader)}
    parts["cache_limits"] = CacheLimits(**values.pop("cache_limits"))
    settings = RunSettings(device_of(words["device"]), **parts, **values)
    try:
        runs = runs_at(request, records)
    except OtherRuns as error:  # the rest is done all the same
        console.print(str(error), markup=False, soft_wrap=True)
        for record in error.gone:
            _log(root, record, str(error))
        runs = runs_at(request, [record for record in records if record not in error.gone])
    pending = look(runs, root, settings)
    workers = workers_of(plan_of(request, pending.left), settings, None)
    return run_grid(pending, root, settings, console, workers, root / words["failed"])


def _log(root: Path, record: str, sentence: str) -> None:
    log = Path(root, "logs", *Path(record).parts[1:]).with_suffix(".log")  # as `log_path` has it
    results.write_whole(log, f"{results.readable(sentence)}\n".encode())


def _submit(root: Path, options: SlurmOptions, words: Sequence[dict[str, Any]]) -> list[str]:
    """Submit an array with a job for each of `words`, and return their numbers. They find this checkout anywhere."""
    try:
        executor = submitit.SlurmExecutor(root / "slurm" / "%j", max_num_timeout=RESTARTS)
        here = shlex.quote(str(CHECKOUT))
        setup = [f"export PYTHONPATH={here}${{PYTHONPATH:+:$PYTHONPATH}}", f"cd {here}"]
        executor.update_parameters(job_name="petl-bench", setup=setup, **options.parameters())
        jobs = executor.map_array(Job(), words)
    except (RuntimeError, subprocess.CalledProcessError, submitit.core.utils.FailedJobError) as error:
        reason = " ".join(str(error).split())[-200:]
        raise UsageError(f"Slurm takes no jobs here: {reason}; check --slurm, or use --launcher local") from error
    return [job.job_id for job in jobs]


class _Queue:
    """What is on its way: submissions are kept under `results/slurm`, and squeue says which of their jobs still live.

    A submission of which no job lives is forgotten: its records are the truth.
    """

    def __init__(self, root: Path) -> None:
        self._folder = root / "slurm"
        self.records: set[str] = set()  # that live jobs are to make
        self.states: Counter[str] = Counter()  # of how many jobs
        files = sorted(self._folder.glob("*.json"))
        live = _live_jobs() if files else {}
        for file in files:
            asked = json.loads(file.read_bytes())
            here = [live[job] for job in asked.get("jobs", asked) if job in live]
            self.states.update(STATES.get(state, state.lower()) for state in here)
            if here:
                self.records.update(asked.get("records", ()))
            else:
                file.unlink(missing_ok=True)
                shutil.rmtree(root / asked.get("failed", "slurm/none.failed"), ignore_errors=True)

    def add(self, jobs: list[str], records: list[str], failed: str) -> None:
        """Keep which runs the jobs of an array `123_0`, `123_1`, … (or one job, `123`) walk through."""
        content = {"jobs": jobs, "records": records, "failed": failed}
        file = self._folder / f"{jobs[0].partition('_')[0]}.json"
        results.write_whole(file, json.dumps(content, indent=1).encode())


def _live_jobs() -> dict[str, str]:
    """Return the state of every job of ours that Slurm still has to finish, by its number as submitit writes it."""
    command = ["squeue", "--me", "--noheader", "--array", "--format", "%i %T"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise UsageError("squeue gives no answer here; call again on a machine of the cluster") from error
    return dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if line.strip())


def _minutes(text: str) -> int:
    """Read Slurm's own words: minutes, minutes:seconds, hours:minutes:seconds, days-hours[:minutes[:seconds]]."""
    found = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text)
    if found is None:
        raise UsageError(f"--slurm: time={text} is no time; write time=4:00:00 or time=1-12:00:00")
    days, first, second, third = (int(part or 0) for part in found.groups())
    if found[1] is not None:
        seconds = 86400 * days + 3600 * first + 60 * second + third
    elif found[4] is not None:
        seconds = 3600 * first + 60 * second + third
    else:
        seconds = 60 * first + second
    return max(1, -(-seconds // 60))


def _pair(part: str) -> tuple[str, str]:
    key, equals, value = part.strip().partition("=")
    if not (equals and value):
        raise UsageError(f"--slurm: {part!r} is no setting; write partition=gpu,time=4:00:00,gpus=1,array=32")
    return key, value


def _count(key: str, text: str) -> int:
    if not text.isdecimal() or (int(text) < 1 and key != "gpus"):
        raise UsageError(f"--slurm: {key}={text} is no number of them; write {key}=4")
    return int(text)
