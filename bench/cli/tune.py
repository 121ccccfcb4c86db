"""The command `tune`: chooses hyper-parameters on the validation split and writes them as a recipe."""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections import defaultdict
from pathlib import Path

from optuna.trial import Trial
from rich.console import Console
from rich.table import Table

import results
from bench.cli.grid import Launch, log_to
from bench.cli.guard import check_folder, say
from bench.errors import UsageError
from bench.grid.grid import look, run_grid
from bench.grid.request import Request
from bench.grid.workers import count_of, workers_of
from bench.provenance import command
from bench.run import Run, record_of
from bench.settings import RunSettings
from bench.tune.choice import recipe_path, write_recipe
from bench.tune.pruning import EarlyStop
from bench.tune.search import Best, Search, TuneRequest, runs_of_trials, searches_of, trial_words
from methods.recipe import TUNED
from methods.spec import closest
from results import numbered

__all__ = ["check_local", "suite_word", "tune", "tuned_path"]

Due = tuple[Search, Trial, tuple[Run, ...]]


def tune(asked: TuneRequest, root: Path, settings: RunSettings, launch: Launch, console: Console) -> Path | None:
    """Carry out the search and return the path of its recipe; None where Ctrl-C stopped it. Raises UsageError."""
    check_folder(root)
    log_to(console)
    searches = searches_of(asked, root)
    _say_what(searches, console)
    count = count_of(settings.device, launch.workers)
    while due := [(search, *pair) for search in searches for pair in search.due(root, _at_once(search, count))]:
        if not _carry_out(asked.request, due, root, settings, launch, console):
            return None
    chosen = [(search, search.best(root)) for search in searches]
    path = write_recipe(root, asked.name, command(), chosen)
    _show(chosen, console)
    say(console, f"wrote {path}; use it with --recipe tuned:{asked.name}")
    return path


def check_local(launcher: str) -> None:
    """Raise UsageError unless the launcher is `local`: a whole search is submitted, not its runs."""
    if launcher != "local":
        raise UsageError(
            f"tune has no --launcher {launcher}; submit the call itself, as often as you like, for all of them share "
            "one search: sbatch --array=1-8 --wrap 'python bench.py tune …'"
        )


def suite_word(suite: str) -> str:
    """Return a name for a search over a suite: of one's own folder, that of the folder."""
    kind, _, path = suite.partition(":")
    return re.sub(r"[^\w.-]+", "-", Path(path.partition(":")[0]).name) or kind


def tuned_path(recipe: str, root: Path) -> str:
    """Return the path of the recipe that `tuned:NAME` means, and any other recipe as it is. Raises UsageError."""
    kind, colon, name = recipe.partition(":")
    if kind != TUNED or not colon:
        return recipe
    path = recipe_path(root, name)
    if not path.is_file():
        known = sorted(each.stem for each in path.parent.glob("*.toml"))
        raise UsageError(
            f"no recipe {recipe!r} in {root}; {closest(name, known)}; `bench.py tune --name {name}` makes it"
        )
    return str(path)


def _at_once(search: Search, count: int) -> int:
    """Return how many trials are begun together: all points of a grid; of a sampler that learns, a run a worker."""
    return search.trials if search.sampler == "grid" else math.ceil(count / len(search.bases))


def _carry_out(
    request: Request, due: list[Due], root: Path, settings: RunSettings, launch: Launch, console: Console
) -> bool:
    """Do the runs of some trials and end these; return False where Ctrl-C stopped them."""
    runs = [run for _, _, each in due for run in each]
    pending = look(runs, root, settings)
    settings = dataclasses.replace(settings, early_stop=_early_stop(due))
    left = {id(run) for run in pending.left}
    words = [trial_words(search, trial, run) for search, trial, each in due for run in each if id(run) in left]
    plan = functools.partial(runs_of_trials, request.absolute(), words)
    outcome = run_grid(pending, root, settings, console, workers_of(plan, settings, launch.workers))
    for search, trial, each in due:
        paths = [results.path_of(root, run.identity()) for run in each]
        if not outcome.stopped or all(path in outcome.records for path in paths):
            search.tell(trial, [results.load(path) if path in outcome.records else None for path in paths])
    return not outcome.stopped


def _early_stop(due: list[Due]) -> EarlyStop | None:
    """Return what ends trials early, of those that may be; None where none may."""
    may_end = [(search, trial, run) for search, trial, (run, *_) in due if search.prune]
    trials = defaultdict[str, list[tuple[str, int]]](list)
    for search, trial, run in may_end:
        trials[record_of(run)].append((search.study.study_name, trial.number))
    found = {record: tuple(known) for record, known in trials.items()}
    return EarlyStop(may_end[0][0].journal, found) if may_end else None


def _say_what(searches: list[Search], console: Console) -> None:
    """Say what is searched, over which images."""
    for method in dict.fromkeys(search.method for search in searches):
        search = next(search for search in searches if search.method == method)
        each = "a task" if search.asked.choose == "task" else f"of {numbered(len(search.bases), 'task')} together"
        said = f"{method}: {search.trials} trials {each} by {search.sampler} over {search.searched}"
        say(console, said)
    sizes = {base.task.name: base.task.sizes for search in searches for base in search.bases}
    shown = ", ".join(f"{name} {size['train']:,} + {size['test']:,}" for name, size in list(sizes.items())[:4])
    more = f", and {numbered(len(sizes) - 4, 'more task')}" if len(sizes) > 4 else ""
    say(console, f"trained on and scored on training images alone: {shown}{more}")


def _show(chosen: list[tuple[Search, Best]], console: Console) -> None:
    table = Table(title="chosen on validation images", title_justify="left")
    for heading in ("method", "task", "validation, %", "chosen"):
        table.add_column(heading, justify="right" if "%" in heading else "left")
    for search, best in chosen:
        values = ", ".join(f"{key}={_shown(value)}" for key, value in best.trial.params.items())
        on = search.tasks if search.asked.choose == "task" else f"mean of {len(search.bases)}"
        table.add_row(str(search.method), on, f"{100 * (best.trial.value or 0):.1f}", values)
    console.print(table)


def _shown(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
