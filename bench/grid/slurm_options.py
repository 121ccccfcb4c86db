"""`--slurm partition=gpu,time=4:00:00,gpus=1,array=32,chunk=4` as a value, and as what submitit wants to hear."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from bench.errors import WrongCall
from bench.names import check

__all__ = ["SlurmOptions", "parse_slurm", "slurm_options"]

PASSED = ("partition", "account", "qos", "constraint", "mem", "exclude", "nodelist", "cpus")  # on to sbatch


@dataclass(frozen=True)
class SlurmOptions:
    """`array`: jobs at a time; `chunk`: runs in a job; `gpus` and what else is asked for: of a job."""

    time: str = "4:00:00"
    gpus: int = 0
    array: int = 32
    chunk: int = 4
    passed: dict[str, str] = field(default_factory=dict)

    def device(self, asked: str) -> str:
        """As a job hears it: one that asks for GPUs and gets none must say so, not crawl."""
        return "cuda" if self.gpus and asked == "auto" else asked

    def parameters(self) -> dict[str, Any]:
        """For submitit's SlurmExecutor; a job that is preempted or out of time is queued again."""
        words: dict[str, Any] = {("cpus_per_task" if key == "cpus" else key): text for key, text in self.passed.items()}
        if self.gpus:
            words["gpus_per_node"] = self.gpus
        requeue = {"requeue": True}
        return words | {"time": minutes(self.time), "array_parallelism": self.array, "additional_parameters": requeue}


def slurm_options(launcher: str, text: str | None, workers: int | None) -> SlurmOptions | None:
    """None for another launcher; raises WrongCall for options that would do nothing."""
    if launcher != "slurm" and text is not None:
        raise WrongCall("--slurm says nothing without --launcher slurm; give both")
    if launcher == "slurm" and workers is not None:
        raise WrongCall("--workers says nothing with --launcher slurm; write how many jobs with --slurm array=32")
    return parse_slurm(text) if launcher == "slurm" else None


def parse_slurm(text: str | None) -> SlurmOptions:
    """Raises WrongCall for an unknown word or a value that does not fit."""
    words = dict(_pair(part) for part in (text or "").split(",") if part.strip())
    known = ("time", "gpus", "array", "chunk", *PASSED)
    check("option of --slurm", words, known)
    minutes(words.get("time", SlurmOptions.time))
    counts = {key: _count(key, words[key]) for key in ("gpus", "array", "chunk") if key in words}
    passed = {key: words[key] for key in PASSED if key in words}
    return SlurmOptions(words.get("time", SlurmOptions.time), **counts, passed=passed)


def minutes(text: str) -> int:
    """Slurm's own words: minutes, minutes:seconds, hours:minutes:seconds, days-hours[:minutes[:seconds]]."""
    found = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text)
    if found is None:
        raise WrongCall(f"--slurm: time={text} is no time; write time=4:00:00 or time=1-12:00:00")
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
        raise WrongCall(f"--slurm: {part!r} is no setting; write partition=gpu,time=4:00:00,gpus=1,array=32")
    return key, value


def _count(key: str, text: str) -> int:
    if not text.isdecimal() or (int(text) < 1 and key != "gpus"):
        raise WrongCall(f"--slurm: {key}={text} is no number of them; write {key}=4")
    return int(text)
