"""The command `doctor`: whether this machine can run the bench, and a report to paste into an issue."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.cli.guard import check_folder, say
from bench.cli.options import ROOT
from bench.errors import UsageError

__all__ = ["Check", "document", "examine", "healthy", "show"]

LIBRARIES = (
    "torch", "torchvision", "timm", "numpy", "pandas", "matplotlib", "fvcore", "rich", "typer", "scikit-learn",
    "safetensors", "pydantic", "huggingface_hub", "submitit", "pyarrow",
)  # fmt: skip
STYLES = {"ok": "green", "note": "yellow", "problem": "bold red"}
SECONDS_FOR_NETWORK = 5


@dataclass(frozen=True)
class Check:
    """One thing that was looked at; a `problem` keeps runs from working, a `note` only some of them."""

    what: str
    state: Literal["ok", "note", "problem"]
    found: str  # with the remedy, where there is something to mend


def examine(results: Path, out: Path, data: Path) -> Iterator[Check]:
    """Look at one thing after the other: program, libraries, devices, folders, data, network, and a small run."""
    yield _program()
    yield _libraries()
    yield from _devices()
    yield _folder("results", results, "--results")
    yield _folder("tables and figures", out, "--out")
    yield from _data(data)
    yield _network()
    yield _small_run()


def healthy(checks: list[Check]) -> bool:
    """Whether nothing that was looked at is a problem."""
    return all(check.state != "problem" for check in checks)


def show(checks: list[Check], console: Console) -> None:
    """One line a check, and what the whole means."""
    table = Table(show_header=False, box=None, pad_edge=False)
    for check in checks:
        table.add_row(f"[{STYLES[check.state]}]{check.state}[/]", check.what, escape(check.found))
    console.print(table)
    problems = sum(check.state == "problem" for check in checks)
    told = "everything needed is here" if not problems else f"{problems} of {len(checks)} checks found a problem"
    say(console, f"{told}; paste this into an issue when you ask for help")


def document(checks: list[Check]) -> str:
    """The same as one JSON document."""
    return json.dumps([dataclasses.asdict(check) for check in checks], indent=1)


def _program() -> Check:
    from bench.provenance import commit

    head, changed = commit()
    where = "no git checkout" if head is None else f"commit {head[:10]}{' with changed files' if changed else ''}"
    return Check("program", "ok", f"{where}; Python {platform.python_version()} on {platform.platform(terse=True)}")


def _libraries() -> Check:
    """Versions of the libraries; a missing one is a problem, another one than was pinned only something to know."""
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    found, missing, other = [], [], []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
            continue
        wanted = pinned.get(name) or pinned.get(name.replace("_", "-"))
        if wanted and version(name).partition("+")[0] != wanted.partition("+")[0]:
            other.append(f"{name} (pinned: {wanted})")
    if missing:
        return Check("libraries", "problem", f"{', '.join(missing)} missing; call make setup")
    told = f"; not the pinned version: {', '.join(other)}" if other else ""
    return Check("libraries", "note" if other else "ok", ", ".join(found) + told)


def _devices() -> Iterator[Check]:
    import torch

    from bench.machine import cores, memory_of

    threads = os.environ.get("OMP_NUM_THREADS", "as many as cores")
    size = memory_of(torch.device("cpu")) / 2**30
    yield Check("processor", "ok", f"{cores()} cores, {size:.1f} GiB of memory, OMP_NUM_THREADS: {threads}")
    if not torch.cuda.is_available():
        yield Check("GPU", "note", "no CUDA device: runs go to the CPU, and peak memory is planned, not measured")
        return
    for index in range(torch.cuda.device_count()):
        try:
            free, total = torch.cuda.mem_get_info(index)
        except RuntimeError as error:
            yield Check(
                "GPU", "problem", f"device {index}: {str(error).splitlines()[0]}; is another process holding it?"
            )
            continue
        name = torch.cuda.get_device_name(index)
        yield Check(
            "GPU", "ok", f"{name}: {free / 2**30:.1f} of {total / 2**30:.1f} GiB free, CUDA {torch.version.cuda}"
        )


def _folder(what: str, folder: Path, option: str) -> Check:
    try:
        check_folder(folder, option)
    except UsageError as error:
        return Check(what, "problem", str(error))
    return Check(what, "ok", f"{folder} can be written")


def _data(data: Path) -> Iterator[Check]:
    """Which suites have their images below `data`: their lists are read, no image is opened."""
    import datasets
    from bench.prepare.check import look_for

    if not data.is_dir():
        yield Check(
            "data", "note", f"{data} is not there: the suites demo and folder:PATH work; data fetch vtab makes it"
        )
        return
    for suite in datasets.SUITES.values():
        if suite.look is None or not suite.tasks:
            continue
        try:
            looks = look_for(suite, suite.tasks, data)
        except (ValueError, OSError) as error:
            yield Check(f"data of {suite.name}", "problem", f"{error}")
            continue
        whole = [task.name for task, look in looks if look.complete]
        broken = [task.name for task, look in looks if look.folder and not look.complete]
        told = f"{len(whole)} of {len(looks)} tasks in {data}"
        if broken:
            hint = f"; incomplete: {', '.join(broken)} (data check {suite.name} says what is missing)"
            yield Check(f"data of {suite.name}", "problem", told + hint)
        elif whole:
            yield Check(f"data of {suite.name}", "ok" if len(whole) == len(looks) else "note", told)


def _network() -> Check:
    """Whether the hub of pre-trained weights answers."""
    import urllib.request

    hub = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    if os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on"):
        return Check("network", "note", "HF_HUB_OFFLINE is set: weights are taken from the cache or a local file")
    try:
        with urllib.request.urlopen(hub, timeout=SECONDS_FOR_NETWORK):
            return Check("network", "ok", f"{hub} answers")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)  # urllib wraps what the network said
        reason = getattr(reason, "strerror", None) or reason
        why = f"{hub} does not answer ({reason}); take --backbone demo or NAME=FILE"
        return Check("network", "note", why)


def _small_run() -> Check:
    """A linear probe of one epoch on the embedded suite, on the processor; nothing is written."""
    import torch

    from bench.grid.request import Request, runs_of
    from bench.runner.execute import execute
    from bench.settings import RunSettings

    started = time.perf_counter()
    (run,) = runs_of(Request(methods="linear", tasks="digits", epochs=1))
    record = execute(run, RunSettings(torch.device("cpu"), cache_features="off"))
    accuracy = record.score.test_accuracy
    if record.status != "ok" or accuracy is None:
        return Check("a small run", "problem", f"ended as {record.status}: {record.reason}")
    chance = 1 / record.classes
    state: Literal["ok", "problem"] = "ok" if accuracy > 2 * chance else "problem"
    took = f"{time.perf_counter() - started:.1f} s"
    return Check(
        "a small run", state, f"linear probe on digits, one epoch: {accuracy:.1%} in {took} (chance: {chance:.0%})"
    )
