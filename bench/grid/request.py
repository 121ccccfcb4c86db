"""From the words of a command line to values; what can be wrong with a call is found here, before work starts."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

import datasets
from bench.data.batches import statistics_of
from bench.errors import UsageError
from bench.names import check, suite_of
from bench.run import Run, context_of, plan_grid, record_of
from bench.train.network import build_on_meta
from bench.train.optimizer import check_installed
from datasets.base import NotHere, Suite, Task
from datasets.files.copies import found_below
from datasets.transforms.preprocessing import PRESETS
from datasets.validation import for_tuning
from methods import Method, Unsupported
from methods.backbones.normalisation import parse_normalise
from methods.backbones.registry import EMBEDDED, Backbone, absolute, find, local_path, resized
from methods.backbones.weights import WeightsError
from methods.recipe import NotHeld, Recipe, is_file, resolve, settings_of
from methods.spec import parse_list

__all__ = [
    "OVERRIDES", "OtherRuns", "Request", "by_option", "check_options", "device_of", "grid_of", "normalised", "plan_of",
    "runs_at", "runs_of",
]  # fmt: skip

logger = logging.getLogger(__name__)
DATA = Path(__file__).resolve().parent.parent.parent / "data"
OVERRIDES = (  # recipe fields with an option
    "epochs", "batch_size", "precision", "attention", "preprocessing", "activations", "optimizer",
    "optimizer_in_backward",
)  # fmt: skip
MOST_SEEDS = 1000  # more is a slip of the keyboard


@dataclass(frozen=True)
class Request:
    """The grid as a user words it; None means the suite's own default."""

    methods: str = "all"
    suite: str = "demo"
    tasks: str | None = None
    backbone: str | None = None
    recipe: str | None = None
    seeds: str = "0"
    epochs: int | None = None
    batch_size: int | None = None
    precision: str | None = None
    attention: str | None = None
    preprocessing: str | None = None
    data: Path = DATA  # of suites whose images lie in a folder
    normalise: str | None = None  # statistics that a local weight file wants
    activations: str | None = None
    optimizer: str | None = None
    optimizer_in_backward: bool | None = None
    set: tuple[str, ...] = ()  # recipe fields, "learning_rate=1e-4/1e-3"
    image_size: int | None = None  # in pixels, where it is not the backbone's own
    split: Literal["test", "val"] = "test"  # what is scored; "val" divides the training images (datasets/validation.py)

    def absolute(self) -> Request:
        """Return the request with absolute paths: a Slurm job runs in another folder than the call that submits it."""
        kind, _, path = self.suite.partition(":")
        try:
            suite = f"{kind}:{local_path(path).absolute()}" if kind == "folder" and path else self.suite
            backbone = self.backbone and absolute(self.backbone)
            recipe = str(local_path(self.recipe).absolute()) if self.recipe and is_file(self.recipe) else self.recipe
        except ValueError as error:
            raise UsageError(str(error)) from error
        return replace(self, suite=suite, data=self.data.absolute(), backbone=backbone, recipe=recipe)

    def overrides(self) -> list[dict[str, Any]]:
        """Return the recipe fields that the user gave, once for every combination of a sweep. Raises ValueError."""
        given = {key: value for key in OVERRIDES if (value := getattr(self, key)) is not None}
        check_options(given)
        choices = settings_of(self.set)
        if twice := sorted(given.keys() & choices[0].keys()):
            raise ValueError(f"--set gives {twice[0]}, and so does {_option(twice[0])}; leave one out")
        return [given | choice for choice in choices]


def grid_of(request: Request, on_paper: bool = False) -> list[Run]:
    """Return every run that the request asks for, each of which can be attached; raises UsageError.

    `on_paper`, tasks whose images are not there have the sizes that were published.
    """
    runs = runs_of(request, on_paper)
    for recipe in () if on_paper else {run.recipe for run in runs}:
        check_installed(recipe)
    try:
        _check_runs(runs)
    except ValueError as error:
        raise UsageError(str(error)) from error
    return runs


def runs_of(request: Request, on_paper: bool = False) -> list[Run]:
    """Return these runs without trying whether every setting fits; raises UsageError."""
    suite = suite_of(request.suite)
    try:
        backbone = resized(find(request.backbone or suite.backbone), request.image_size)
        backbone.digest()  # so that a weight file that is not there is found now
        backbone = normalised(backbone, request.normalise)
        methods = parse_list(request.methods)
        recipe = request.recipe or suite.recipe
        if request.methods.strip() == "all":
            methods = _held(methods, recipe, suite, backbone)
        tasks = _located(suite, _tasks(suite, request.tasks), request.data, on_paper)
        if request.split == "val":
            tasks = [for_tuning(task, suite.validation) for task in tasks]
        seeds = _seeds(request.seeds)
        runs = [
            run
            for overrides in request.overrides()
            for run in plan_grid(backbone, methods, suite, tasks, recipe, seeds, overrides)
        ]
        for preprocessing in {run.recipe.preprocessing for run in runs}:
            check("preprocessing", [preprocessing], PRESETS)
            statistics_of(preprocessing, backbone)  # which a weight file may leave open
        return runs
    except (ValueError, WeightsError) as error:
        raise UsageError(by_option(error, {key: getattr(request, key) for key in OVERRIDES})) from error


def check_options(fields: Mapping[str, Any]) -> None:
    """Raise ValueError, in which the option is named, for a recipe field that cannot have the value of its option."""
    for key, value in fields.items():
        try:
            Recipe(**{key: value})
        except ValueError as error:
            raise ValueError(f"{_option(key)} {str(error).removeprefix(f'recipe: {key}=')}") from None


def by_option(error: Exception, fields: Mapping[str, Any]) -> str:
    """Return what an error says, with the option where it names a recipe field that one of these options gave."""
    text = str(error)
    for key, value in fields.items():
        text = text.replace(f"recipe: {key}={value}", _option(key) if value is True else f"{_option(key)} {value}")
    return text


def _option(key: str) -> str:
    return f"--{key.replace('_', '-')}"


class OtherRuns(ValueError):
    """A request means other runs here than where it was made, as after a change of code or weights."""

    def __init__(self, gone: Sequence[str]) -> None:
        super().__init__(f"{gone[0]} is no run of this grid here; the code or the weights changed, call again")
        self.gone = gone


def runs_at(request: Request, records: Sequence[str]) -> list[Run]:
    """Return the runs of a request whose records these are, in this order. Raises OtherRuns, UsageError."""
    known = {record_of(run): run for run in runs_of(request)}
    if gone := [record for record in records if record not in known]:
        raise OtherRuns(gone)
    return [known[record] for record in records]


def plan_of(request: Request, runs: Sequence[Run]) -> Callable[[], Sequence[Run]]:
    """Return how another process makes these runs of the request again, since images' sources do not travel."""
    return functools.partial(runs_at, request.absolute(), [record_of(run) for run in runs])


def normalised(backbone: Backbone, words: str | None) -> Backbone:
    """Return the backbone with the statistics that `--normalise` names. Raises ValueError."""
    if words is None:
        return backbone
    statistics = parse_normalise(words)
    if not isinstance(backbone.weights, Path) or backbone.weights == EMBEDDED:
        raise ValueError(f"--normalise says how a local weight file is fed; {backbone.name} is none, leave it out")
    return replace(backbone, normalise=statistics)


def device_of(name: str) -> torch.device:
    """`auto` is CUDA where there is one; asking for CUDA where there is none is a UsageError."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("no CUDA device is available here; use --device cpu, or --device auto")
    return torch.device(name)


def _located(suite: Suite, tasks: Sequence[Task], data: Path, on_paper: bool) -> Sequence[Task]:
    if not on_paper or suite.look is None:
        return datasets.locate(suite, tasks, data)
    return [_if_there(suite, task, data) for task in tasks]


def _held(methods: Sequence[Method], recipe: str, suite: Suite, backbone: Backbone) -> list[Method]:
    """Keep methods for which the recipe holds; who asks for one of the others by name gets an error."""
    context = context_of(suite, backbone)
    refused: dict[Method, NotHeld] = {}
    for method in methods:
        try:
            resolve(recipe, method, "", {}, context)
        except NotHeld as error:
            refused[method] = error
    if len(refused) == len(methods):
        raise next(iter(refused.values()))
    if refused:
        logger.info(f"recipe {recipe} does not hold here for {', '.join(map(str, refused))}: left out of all")
    return [method for method in methods if method not in refused]


def _if_there(suite: Suite, task: Task, data: Path) -> Task:
    """Return the task with its images, or as it was published."""
    try:
        return found_below(suite, task, data)
    except NotHere:
        return task


def _tasks(suite: Suite, names: str | None) -> Sequence[Task]:
    known = {task.name: task for task in suite.tasks}
    if not known:
        raise ValueError(f"suite {suite.name} alone has no tasks: {suite.title}")
    if names is None:
        return suite.tasks
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    if not chosen:
        raise ValueError(f"no task given; known: {', '.join(known)}")
    check(f"{suite.name} task", chosen, known)
    return [known[name] for name in dict.fromkeys(chosen)]


def _seeds(text: str) -> list[int]:
    """Seeds as a list, `0,1,2`, or as a range with both ends, `0..4`."""
    first, dots, last = text.partition("..")
    try:
        seeds = range(int(first), int(last) + 1) if dots else [int(word) for word in text.split(",")]
        given = len(seeds)
    except (ValueError, OverflowError):
        seeds, given = [], 0
    if not 0 < given <= MOST_SEEDS or min(seeds) < 0 or max(seeds) >= 2**63:
        raise ValueError(f"--seeds {text!r} is not a list of seeds; write 0,1,2 or 0..4")
    return list(dict.fromkeys(seeds))


def _check_runs(runs: Sequence[Run]) -> None:
    """Attach methods without weights, so that a setting that does not fit is found now: those that a user gave.

    Of those that come from a recipe, fractions such as scales and rates of dropout change no shape, so that one of
    their values stands for all.
    """
    tried: set[tuple[Method, tuple[Any, ...], str]] = set()
    for run in runs:
        shapes = tuple(value for value in run.settings().values() if not isinstance(value, float))
        key = run.method, shapes, run.recipe.activations
        if key in tried:
            continue
        tried.add(key)
        try:
            build_on_meta(run.backbone, run.resolved, run.task.classes, run.recipe)
        except Unsupported:  # a result, not a mistake: the run is recorded with the reason
            continue
