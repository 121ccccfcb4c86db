"""Ends a grid: the best method within a memory budget and, of one's own images, its confusions and how to predict."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.cli.guard import say
from bench.cli.predict import command
from bench.cost.budget import needed
from datasets.suites.folder import split_options
from results import Record, has_kept, path_of, sized

__all__ = ["best_within", "close"]

MOST_CLASSES = 10  # of a matrix that fits a terminal
MOST_MISTAKES = 10  # that are listed of more classes


def best_within(records: Sequence[Record], budget: int | None) -> list[Record]:
    """Return the records of the method with the highest accuracy, mean over tasks and seeds, that fits a card.

    Of methods with equal accuracy that with the higher mean over classes is taken, then that with less memory.

    Args:
        records: of one grid.
        budget: bytes of the card, margin included; None for any.

    Returns:
        The records by task and seed; none where no method that fits has finished every task.
    """
    tasks = {record.identity.task for record in records}
    scored: list[tuple[tuple[float, float, int], list[Record]]] = []
    for runs in _by_method(records):
        scores = [run.score.test_accuracy for run in runs if run.score.test_accuracy is not None]
        whole = len(scores) == len(runs) and {run.identity.task for run in runs} == tasks
        if whole and (budget is None or all(_card(run) <= budget for run in runs)):
            by_class = fmean(run.score.mean_class_accuracy or 0.0 for run in runs)
            scored.append(((fmean(scores), by_class, -max(map(_card, runs))), runs))
    return max(scored, key=lambda pair: pair[0])[1] if scored else []


def close(records: Sequence[Record], root: Path, suite: str, budget: int | None, console: Console) -> None:
    """Say which method to take, where that was asked for or the images are one's own.

    Args:
        records: of the grid.
        root: the folder of results.
        suite: as the call named it.
        budget: bytes of a card; None for any.
        console: where to say it.
    """
    own = suite.startswith("folder:")
    if not records or (budget is None and not own):
        return
    runs = best_within(records, budget)
    within = f" within {budget / 2**30:g} GiB" if budget is not None else ""
    if not runs:
        smallest = min((_card(record) for record in records if record.cost.planned_peak_bytes), default=0)
        least = f"; the smallest needs {sized(smallest)}" if budget is not None and smallest else ""
        say(console, f"No method that has finished every task fits{within}{least}.")
        return
    best = runs[0]
    accuracy = fmean(run.score.test_accuracy or 0.0 for run in runs)
    card = max(_card(run) for run in runs)
    say(
        console,
        f"The best method{within} is {best.identity.method}: {100 * accuracy:.1f} % of the test images are right, and "
        f"training needs a card of {sized(card)} (peak, 5 % and 512 MiB for CUDA).",
    )
    if own:
        _show_confusion(best, console)
        _say_predict(best, root, suite, console)


def _by_method(records: Sequence[Record]) -> list[list[Record]]:
    """The records of each method; where it was trained in several ways on one task, as in a sweep, of each way.

    A recipe may have rates of its own for each task, so that a difference between tasks makes no other way.
    """
    methods: dict[str, list[Record]] = {}
    for record in records:
        methods.setdefault(record.identity.method, []).append(record)
    found: list[list[Record]] = []
    for runs in methods.values():
        if len({(run.identity.task, run.identity.seed) for run in runs}) == len(runs):
            found.append(runs)
        else:
            ways: dict[str, list[Record]] = {}
            for run in runs:
                ways.setdefault(str(run.identity.changes.get("recipe")), []).append(run)
            found += ways.values()
    return found


def _card(record: Record) -> int:
    """Bytes of a card that the run fits: of what was reserved there or, without one, of the planned peak."""
    return needed(record.cost.reserved_bytes or record.cost.planned_peak_bytes or 0)


def _show_confusion(record: Record, console: Console) -> None:
    """The matrix with the accuracy of each class or, of many classes, the most frequent mistakes."""
    matrix = record.score.confusion
    if matrix is None:
        return
    names = [escape(name) for name in record.class_names] or [str(label) for label in range(len(matrix))]
    if len(matrix) > MOST_CLASSES:
        say(console, f"Its most frequent mistakes{_seed(record)}:")
        table = Table()
        for heading in ("right class", "answer", "images"):
            table.add_column(heading, justify="right" if heading == "images" else "left", overflow="fold")
        cells = [(count, i, j) for i, row in enumerate(matrix) for j, count in enumerate(row) if i != j and count]
        for count, i, j in sorted(cells, key=lambda cell: -cell[0])[:MOST_MISTAKES]:
            table.add_row(names[i], names[j], f"{count} of {sum(matrix[i])}")
    else:
        say(console, f"Its answers to the test images{_seed(record)}, a row for each right class:")
        table = Table()
        for heading in ("", *names, "right"):
            table.add_column(heading, justify="right" if heading else "left", overflow="fold")
        for i, row in enumerate(matrix):
            share = f"{100 * row[i] / sum(row):.1f} %" if sum(row) else ""
            table.add_row(names[i], *(f"[bold]{n}[/bold]" if i == j else str(n) for j, n in enumerate(row)), share)
    console.print(table)


def _seed(record: Record) -> str:
    return f" with seed {record.identity.seed}" if record.identity.seed else ""


def _say_predict(record: Record, root: Path, suite: str, console: Console) -> None:
    """The call that shows the method an image; before it, where its weights were not kept, the call that keeps them."""
    predict = shlex.join(["python", "bench.py", "predict", str(path_of(root, record.identity)), "photo.jpg"])
    if has_kept(root, record, "weights"):
        say(console, f"To classify an image with it: {predict}")
        return
    folder = ":".join(split_options(suite)[:1])
    words = [word.replace("folder:PATH", folder) for word in shlex.split(command(record, root))]
    say(console, f"To classify an image with it, keep its weights: {shlex.join(words)}")
    say(console, f"and then: {predict}")
