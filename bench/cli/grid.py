"""Carries out a grid: checks the call, says what is odd about it, and runs it here, by workers or on Slurm."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.logging import RichHandler

import datasets
from bench.cli.dry_run import preview
from bench.cli.guard import check_folder, say
from bench.cost.budget import bytes_of, say_gainless
from bench.cost.budget import say as say_effects
from bench.cost.case import Case
from bench.data.batches import statistics_of
from bench.data.splits import check_files
from bench.errors import UsageError
from bench.grid.estimate import longest_first
from bench.grid.grid import Outcome, Pending, look, run_grid, set_old_aside
from bench.grid.request import Request, grid_of, plan_of
from bench.grid.slurm import SlurmOptions, run_on_slurm
from bench.grid.workers import count_of, workers_of
from bench.run import Run
from bench.runner.stale import stale
from bench.settings import CacheLimits, RunSettings
from datasets.files.copies import check_call
from datasets.files.image_tree import shown as printable
from datasets.files.listing import Listings
from datasets.transforms.preprocessing import PRESETS
from methods.backbones.registry import EMBEDDED
from methods.backbones.weights import WeightsError
from results import BALANCE, numbered

__all__ = ["Launch", "again", "cache_limits", "grid", "log_to"]

TOY = (
    "the backbone demo is a toy that sees 32 x 32 pixels and was trained on drawings, so that accuracies on "
    "photographs are near chance; for results leave --backbone out (ViT-B/16 pre-trained on ImageNet-21k, a download), "
    "or name a row of `python bench.py list backbones` or a file, --backbone NAME=FILE"
)


@dataclass(frozen=True)
class Launch:
    """How the runs of a grid are started, as a user words it."""

    workers: int | None = None
    slurm: SlurmOptions | None = None  # submit to Slurm instead
    device: str = "auto"  # as worded, for nodes that choose their own
    dry_run: bool = False  # only say what would be done
    force: bool = False  # do what is there already, too

    def kind(self, here: torch.device) -> str:
        """Return the device that does the runs: cuda, cpu, or auto where only the node of a job knows."""
        return self.slurm.device(self.device) if self.slurm else here.type


def grid(request: Request, root: Path, settings: RunSettings, console: Console, launch: Launch = Launch()) -> Outcome:
    """Do the grid that is asked for, or only say what it would do. Raises UsageError before any work starts."""
    settings = dataclasses.replace(settings, features_since=time.time()) if launch.force else settings
    log_to(console)
    count = count_of(settings.device, launch.workers)
    runs = grid_of(request, on_paper=launch.dry_run)
    pending = look(runs, root, settings, launch.force)
    _comment(request, pending, launch.kind(settings.device), console)
    downloads = launch.dry_run and runs[0].backbone.weights == "timm"  # which a dry run leaves to the run
    if pending.left and not downloads:
        _check_weights(pending.left)
    if launch.dry_run:
        preview(pending, settings.device, count, root, console)
        return Outcome(0, len(pending.finished), [], [])
    check_folder(root)
    _check_files(request, pending.left, settings)
    if launch.force:
        set_old_aside(pending.left, root)
    if launch.slurm is not None:
        return run_on_slurm(request, pending, root, launch.device, settings, launch.slurm, console)
    if pending.finished and pending.left:
        say(console, f"{len(pending.finished)} of {len(runs)} runs are there, {len(pending.left)} are left to do")
    if count > 1:
        pending.left[:] = longest_first(pending.left)
    workers = workers_of(plan_of(request, pending.left), settings, launch.workers)
    outcome = run_grid(pending, root, settings, console, workers)
    if not outcome.stopped:
        done = numbered(outcome.done, "run")
        say(console, f"{done} done now, {outcome.there} were there, {len(outcome.failed)} failed")
    return outcome


def cache_limits(text: str | None) -> CacheLimits:
    """Read `--feature-limit`: up to three amounts of memory, on the device, beside it, and on disk."""
    amounts = [bytes_of(word, "--feature-limit") for word in text.split(",")] if text is not None else []
    if len(amounts) > 3:
        raise UsageError(f"--feature-limit {text!r} names more than three places; write 8GiB,32GiB,50GiB")
    return CacheLimits(*amounts)


def _check_weights(runs: list[Run]) -> None:
    """Load the backbone once, so that a missing or wrong file ends the call and not every run."""
    try:
        runs[0].backbone.load()
    except WeightsError as error:
        raise UsageError(str(error)) from error
    logging.getLogger("methods.backbones.weights").setLevel(logging.WARNING)  # said once is enough


def _check_files(request: Request, runs: list[Run], settings: RunSettings) -> None:
    check = check_call(request.suite, request.data)
    try:
        check_files({id(run.task): run.task for run in runs}.values(), settings.loader, check)
    except ValueError as error:
        raise UsageError(str(error)) from error


def log_to(console: Console) -> None:
    """Let the notes of all rooms appear on the console."""
    handler = RichHandler(console=console, show_time=False, show_path=False, show_level=False)
    for part in ("methods", "bench", "datasets"):
        logging.getLogger(part).addHandler(handler)
        logging.getLogger(part).setLevel(logging.INFO)


def _comment(request: Request, pending: Pending, kind: str, console: Console) -> None:
    """Say how the call was understood, and what is unusual about it on this kind of device."""
    runs = pending.runs
    for sentence in (
        *_sizes(request, runs),
        *_statistics(runs[0]),
        *_own_images(runs),
        *(f"damaged record, will be set aside and done again: {complaint}" for complaint in pending.damaged),
        *(f"record that cannot be read, left alone: {path}: {why}" for path, why in pending.unreadable.items()),
        *again(pending),
        *(_slow(pending.left) if kind == "cpu" else ()),
    ):
        say(console, sentence)
    say_effects((run.recipe for run in runs), console)
    cases = {(run.resolved, run.recipe): Case(run.backbone, run.resolved, run.task.classes, run.recipe) for run in runs}
    say_gainless(cases.values(), console)


def _sizes(request: Request, runs: Sequence[Run]) -> Iterator[str]:
    """Say where numbers of images are not the published ones, which may be used, but not unknowingly."""
    suite = datasets.suite(request.suite)
    if suite.look is not None and (absent := {run.task.name for run in runs if not run.task.revision}):
        tasks = f"{numbered(len(absent), 'task')} {'is' if len(absent) == 1 else 'are'}"
        yield f"the images of {tasks} not there yet; numbers of images are those published"
    said = {run.task.name: run.task.understood for run in runs if run.task.understood and not run.task.viewed}
    other = [f"{name} ({sizes})" for name, sizes in said.items()]
    if other:
        more = f" and {numbered(len(other) - 3, 'more task')}" if len(other) > 3 else ""
        yield f"other numbers of training and test images than published: {', '.join(other[:3])}{more}"


def _statistics(run: Run) -> Iterator[str]:
    """Say how the images of a local weight file are normalised, and why so."""
    backbone, preset = run.backbone, PRESETS[run.recipe.preprocessing]
    if isinstance(backbone.weights, Path) and backbone.weights != EMBEDDED:
        mean, std = statistics_of(run.recipe.preprocessing, backbone)
        source = f"preprocessing {preset.name}" if preset.mean else backbone.statistics_source
        numbers = "/".join(",".join(f"{value:g}" for value in dict.fromkeys(values)) for values in (mean, std))
        yield f"{backbone.weights.name}: images are normalised by {numbers}, as by {source}"


def _own_images(runs: Sequence[Run]) -> Iterator[str]:
    """Say how one's own folder was read, and what makes its accuracies say little."""
    tasks = {run.task.name: run.task for run in runs if run.task.viewed}
    yield from (f"{name}: {task.understood}" for name, task in tasks.items())
    for task in tasks.values():
        assert isinstance(task.source, Listings)
        counts, scored = (Counter(task.source(split).labels) for split in ("train", "test"))
        (most, count), (least, few) = counts.most_common()[0], counts.most_common()[-1]
        if count > BALANCE * few:  # then always the same answer would look like a good method
            names = [printable(name) for name in task.names]
            parts = count / counts.total(), few / counts.total(), scored[most] / scored.total()
            shares = [f"{100 * part:.1f} %" for part in parts]
            yield (
                f"{task.name}: the classes are unbalanced: of the training images {names[most]} has {shares[0]} and "
                f"{names[least]} {shares[1]}, and who always answers {names[most]} is right on {shares[2]} of the "
                "test images; look at the accuracy as a mean of classes"
            )
    if tasks and runs[0].backbone.name == "demo":
        yield TOY


def again(pending: Pending) -> Iterator[str]:
    """Say which runs have a record and are done again, and which are taken as they are (`--stale keep`)."""
    for reason, runs in _by_reason(pending.again):
        yield f"{_runs_are(runs)} there but {reason} ({_methods(runs)}); they are done again"
    for reason, runs in _by_reason((run, stale(run, record)) for run, record in pending.finished):
        yield f"{_runs_are(runs)} taken as they are although they {reason} ({_methods(runs)})"


def _by_reason(pairs: Iterable[tuple[Run, str]]) -> Iterable[tuple[str, list[Run]]]:
    """Runs that share a reason; those without one are left out."""
    groups: dict[str, list[Run]] = {}
    for run, reason in pairs:
        if reason:
            groups.setdefault(reason, []).append(run)
    return groups.items()


def _runs_are(runs: list[Run]) -> str:
    return f"{numbered(len(runs), 'run')} {'is' if len(runs) == 1 else 'are'}"


def _methods(runs: Iterable[Run]) -> str:
    return ", ".join(dict.fromkeys(str(run.method) for run in runs))


def _slow(runs: list[Run]) -> Iterator[str]:
    """Half precision is for devices that have it; some recipes ask for it."""
    halves = [run.recipe.precision for run in runs if run.recipe.precision != "fp32"]
    if halves:
        yield (
            f"trained in {' and '.join(sorted(set(halves)))}, which is slow on a CPU: {len(halves)} of "
            f"{numbered(len(runs), 'run')}; --precision fp32 is fast, and makes them other runs"
        )
