"""Searches hyper-parameters on the validation split: Optuna proposes, the grid carries out, records are the memory.

Every method on every task is a study of its own, all in one journal file; where one choice for the whole suite is
asked for, every method is one, and a trial is worth its mean over the tasks. A trial is an ordinary run on each of its
tasks, which are divided (`datasets/validation.py`), so a search that was killed goes on where it stopped: trials that
the journal began and did not end are the first of the next call, and a run that has a record is not done again. Any
number of processes may call the same search on one results folder.
"""

from __future__ import annotations

import dataclasses
import json
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from filelock import FileLock
from optuna.samplers import BaseSampler, GridSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

import datasets
import results
from bench.errors import UsageError
from bench.grid.request import Request, runs_of
from bench.run import Run, context_of
from bench.tune.pruning import storage_of
from methods import Method
from methods.recipe import TUNED, resolve
from methods.search_space import Choice, Range, Space, is_grid, points, spaces_of
from methods.spec import parse
from results import Record
from results.claims import claim_path

__all__ = ["Best", "Search", "TuneRequest", "runs_of_trials", "searches_of", "trial_words"]

Sampler = Literal["auto", "grid", "tpe", "random"]
Choose = Literal["task", "suite"]  # values of their own for each task, or the same for all tasks of a suite
STRIDE = 1_000_003  # between the seeds of two trials, so that searches of neighbouring seeds share none
Words = tuple[str, str, str]  # of a run: method, task, and the values of its trial as JSON


@dataclass(frozen=True)
class TuneRequest:
    """A search as a user words it."""

    request: Request  # what is tuned, with split "val" and one seed
    name: str  # its journal is `tuned/NAME.log` below the folder of results
    trials: int  # of each study, in all calls together; a grid has no more than its points
    sampler: Sampler = "auto"  # a grid where every value is a choice and the points are no more than `trials`, else TPE
    space: str = "default"  # of `list spaces`, or words (`methods/search_space.py`)
    seed: int = 0  # of the sampler
    choose: Choose = "task"  # a study for each method on each task, or for each method on all tasks of the suite
    prune: bool = True  # trials on one task may be ended early; those of a grid never are

    def check(self) -> None:
        """Raise UsageError for what no search can do."""
        if self.trials < 1:
            raise UsageError(f"--trials {self.trials} chooses nothing; give at least 1")
        if not re.fullmatch(r"\w[\w.-]*", self.name):
            raise UsageError(f"--name {self.name!r} is no file name; use letters, digits, dots and dashes")


@dataclass(frozen=True)
class Best:
    """The trial that was chosen for a method, and its run on each task of the search."""

    trial: FrozenTrial
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Search:
    """The study of one method, on one task or on all tasks that share the choice."""

    asked: TuneRequest
    bases: tuple[Run, ...]  # the method with the recipe's own values, on each task
    space: Space
    study: optuna.Study
    journal: Path  # of the study
    trials: int  # no more than a grid has points
    sampler: str  # "grid", "tpe" or "random"
    prune: bool  # trials are ended early that do worse than the median of the others

    @property
    def method(self) -> Method:
        """The method that is tuned."""
        return self.bases[0].method

    @property
    def tasks(self) -> str:
        """The names of its tasks."""
        return ", ".join(base.task.name for base in self.bases)

    @property
    def watched(self) -> dict[str, Any]:
        """What the runs of its trials do besides: where trials may end early, they are scored after each epoch."""
        return {"evaluate_every": 1} if self.prune else {}

    @property
    def searched(self) -> str:
        """The space in words."""
        return _words(self.space)

    def due(self, root: Path, at_once: int) -> list[tuple[optuna.Trial, tuple[Run, ...]]]:
        """Return the trials to do next: those that were begun and not ended, then new ones.

        There are at most `at_once` besides those that another process is at, which may be dead.
        """
        with FileLock(self.journal.with_suffix(".lock")):  # or processes would begin more trials than were asked for
            known = self.study.get_trials(deepcopy=False)
            begun = [trial for trial in known if not trial.state.is_finished()]
            due = [self._opened(optuna.Trial(self.study, trial._trial_id)) for trial in begun]
            free = sum(not any(_is_claimed(root, run) for run in runs) for _, runs in due)
            room = min(self.trials - len(known), at_once - free)
            return due + [self._opened(self.study.ask()) for _ in range(max(0, room))]

    def _opened(self, trial: optuna.Trial) -> tuple[optuna.Trial, tuple[Run, ...]]:
        return trial, self.runs(self._suggested(trial) | self.watched)

    def tell(self, trial: optuna.Trial, records: Sequence[Record | None]) -> None:
        """End a trial with its mean validation accuracy; one of which a run failed or diverged has none."""
        accuracies = [record.score.test_accuracy if record is not None else None for record in records]
        known = [accuracy for accuracy in accuracies if accuracy is not None]
        if len(known) == len(self.bases):
            self.study.tell(trial.number, statistics.fmean(known), skip_if_finished=True)
        else:
            self.study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)

    def runs(self, values: dict[str, Any]) -> tuple[Run, ...]:
        """Return the runs of a trial with these values, one for each task."""
        return tuple(_with_values(self.asked.request, base, values) for base in self.bases)

    def best(self, root: Path) -> Best:
        """Return the trial with the highest validation accuracy, the first of equals. Raises UsageError for none."""
        ended = [trial for trial in self.study.get_trials(deepcopy=False) if trial.state is TrialState.COMPLETE]
        if not ended:
            raise UsageError(f"no trial of {self.method} on {self.tasks} came to an end; see {root / 'logs'}")
        trial = max(ended, key=lambda trial: (trial.value or 0.0, -trial.number))
        return Best(trial, self.runs(trial.params))

    def _suggested(self, trial: optuna.Trial) -> dict[str, Any]:
        """Return the values of a trial; those that a killed process had asked for are in the journal.

        What is drawn follows from the seed and the number of the trial, so that no process draws what another drew.
        """
        if self.sampler != "grid":
            self.study.sampler = _sampler(self.sampler, self.space, (self.asked.seed + trial.number * STRIDE) % 2**32)
        values: dict[str, Any] = {}
        for key, part in self.space.items():
            if isinstance(part, Choice):
                values[key] = trial.suggest_categorical(key, part.values)
            elif part.whole:
                values[key] = trial.suggest_int(key, int(part.low), int(part.high), log=part.log)
            else:
                values[key] = trial.suggest_float(key, part.low, part.high, log=part.log)
        return values


class _Grid(GridSampler):
    """Optuna's grid, which wants to stop the loop after its last point; here the number of trials ends it."""

    def after_trial(self, *_: object, **__: object) -> None:
        """Do nothing."""


def searches_of(asked: TuneRequest, root: Path) -> list[Search]:
    """Return the searches that a call asks for, each with its study, new or as it was left.

    Raises:
        UsageError: for what cannot be searched, and for a study of that name with another space or sampler.
    """
    asked.check()
    runs = runs_of(asked.request)
    if len(asked.request.overrides()) > 1:
        raise UsageError(f"--set {','.join(asked.request.set)} gives several values, which are for --space to name")
    try:
        spaces = spaces_of(asked.space, list(dict.fromkeys(run.method for run in runs)))
    except ValueError as error:
        raise UsageError(str(error)) from error
    kinds = {method: _kind(asked.sampler, space, asked.trials) for method, space in spaces.items()}
    journal = root / TUNED / f"{asked.name}.log"
    journal.parent.mkdir(parents=True, exist_ok=True)
    storage = storage_of(journal)
    found = []
    for bases in _by_study(runs, asked.choose):
        method, first = bases[0].method, bases[0].task.name
        space, kind = spaces[method], kinds[method]
        study = optuna.create_study(
            storage=storage,
            study_name=f"{method} on {first if asked.choose == 'task' else 'all tasks'}",
            sampler=_sampler(kind, space, asked.seed),
            direction="maximize",
            load_if_exists=True,
        )
        _check_same(study, bases, space, kind, asked)
        may_end = asked.prune and kind != "grid" and asked.choose == "task"
        most = min(asked.trials, points(space)) if kind == "grid" else asked.trials
        found.append(Search(asked, bases, space, study, journal, most, kind, may_end))
    return found


def _by_study(runs: Sequence[Run], choose: Choose) -> list[tuple[Run, ...]]:
    """Group runs into studies: each run by itself, or all runs of a method together."""
    if choose == "task":
        return [(run,) for run in runs]
    methods = dict.fromkeys(run.method for run in runs)
    return [tuple(run for run in runs if run.method == method) for method in methods]


def trial_words(search: Search, trial: optuna.Trial, run: Run) -> Words:
    """Return what another process needs to make a run of a trial."""
    return str(search.method), run.task.name, json.dumps(trial.params | search.watched)


def runs_of_trials(request: Request, words: Sequence[Words]) -> list[Run]:
    """Return the runs that these words mean, in this order; what a worker process calls."""
    bases = {(str(run.method), run.task.name): run for run in runs_of(request)}
    return [_with_values(request, bases[method, task], json.loads(values)) for method, task, values in words]


def _is_claimed(root: Path, run: Run) -> bool:
    return claim_path(root, results.path_of(root, run.identity())).exists()


def _with_values(request: Request, base: Run, values: dict[str, Any]) -> Run:
    """Return the run with these values in place of the recipe's and the method's; all else is resolved as ever."""
    settings = {field.name for field in dataclasses.fields(base.method)}
    method = _changed(base.method, {key: value for key, value in values.items() if key in settings})
    overrides = request.overrides()[0] | {key: value for key, value in values.items() if key not in settings}
    suite = datasets.SUITES[base.suite.partition(":")[0]]  # options change no recipe; no folder is read again
    context = context_of(suite, base.backbone)
    recipe, resolved = resolve(request.recipe or suite.recipe, method, base.task.name, overrides, context)
    return dataclasses.replace(base, method=method, resolved=resolved, recipe=recipe)


def _changed(method: Method, values: dict[str, Any]) -> Method:
    """Return the method with settings that count as written out, so that a recipe leaves them alone."""
    if not values:
        return method
    (changed,) = parse(str(dataclasses.replace(method, **values)))
    object.__setattr__(changed, "explicit_settings", method.explicit_settings | values.keys())
    return changed


def _words(space: Space) -> str:
    return ", ".join(f"{key}={part}" for key, part in space.items())


def _kind(sampler: Sampler, space: Space, trials: int) -> str:
    if sampler == "grid" and not is_grid(space):
        ranges = ", ".join(key for key, part in space.items() if isinstance(part, Range))
        raise UsageError(f"--sampler grid needs choices, and {ranges} is a range; write A/B/C with --space")
    if sampler != "auto":
        return sampler
    return "grid" if is_grid(space) and points(space) <= trials else "tpe"


def _sampler(kind: str, space: Space, seed: int) -> BaseSampler:
    if kind == "grid":
        choices = {key: part.values for key, part in space.items() if isinstance(part, Choice)}
        return _Grid(choices, seed=seed)
    return TPESampler(seed=seed, constant_liar=True) if kind == "tpe" else RandomSampler(seed)


def _check_same(study: optuna.Study, bases: Sequence[Run], space: Space, kind: str, asked: TuneRequest) -> None:
    """Note what a new study searches; raise UsageError where an old one searched something else."""
    first, *others = (base.identity() for base in bases)
    digests = " ".join(identity.digest() for identity in (first, *others))
    wanted = {
        "space": _words(space),
        "sampler": kind,
        "seed": str(asked.seed),
        "data, backbone and recipe": f"{first.backbone} {first.suite} {first.recipe} {digests}",
    }
    known = study.user_attrs.get("search")
    if known is None:
        study.set_user_attr("search", wanted)
        return
    for key, value in wanted.items():
        if known[key] != value:
            was = f"the {key} {known[key]}" if key in ("space", "sampler", "seed") else f"other {key}"
            on = ", ".join(base.task.name for base in bases)
            raise UsageError(
                f"search {asked.name!r} of {bases[0].method} on {on} was begun with {was}; choose another --name"
            )
