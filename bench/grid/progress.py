"""Shows a grid while it runs: a bar a worker, a table that fills below, or plain lines without a terminal."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from bench.run import Run
from bench.train.loop import Epoch
from results import Record

__all__ = ["LiveView", "Screen"]

STANDING_SECONDS = 60.0  # between two lines that say how far a grid is, where there is no bar
LEADING = 3  # methods that are named as the best so far


class LiveView:
    """A context manager that shows what `live` draws while it is entered, on a terminal alone."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def __enter__(self) -> Self:
        if self._live.console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._live.stop()


class Screen(LiveView):
    """Told what happens by the grid."""

    def __init__(self, runs: Sequence[Run], console: Console, workers: int = 1) -> None:
        self._console = console
        self._methods = list(dict.fromkeys(str(run.method) for run in runs))
        self._tasks = list(dict.fromkeys(run.task.name for run in runs))
        self._cells: dict[tuple[str, str], list[Record]] = {}
        self._total, self._count = len(runs), 0
        self._said = time.monotonic()
        self._bars = _bars(console)
        self._all = self._bars.add_task("runs", total=len(runs), loss="")
        self._workers = [self._bars.add_task("", total=None, visible=False, loss="") for _ in range(workers)]
        super().__init__(Live(console=console, get_renderable=self._view, refresh_per_second=4, transient=True))

    def there(self, run: Run, record: Record) -> None:
        """A run that was finished before this grid started."""
        self._enter(run, record)
        self._count += 1
        self._bars.reset(self._all, total=self._total - self._count)

    def begin(self, run: Run, worker: int = 0) -> None:
        """A run starts, in that worker."""
        label = f"{run.task.name} {run.method}" + (f" seed {run.seed}" if run.seed else "")
        bar = self._workers[worker]
        self._bars.reset(bar, total=run.recipe.epochs, description=escape(label), visible=True, loss="")

    def epoch(self, worker: int, epoch: Epoch) -> None:
        """An epoch of that worker's run is over."""
        self._bars.update(self._workers[worker], completed=epoch.number, loss=f"loss {epoch.loss:.3f}")

    def end(self, worker: int) -> None:
        """That worker has nothing to do."""
        self._bars.update(self._workers[worker], visible=False)

    def pruned(self, run: Run, sentence: str) -> None:
        """A run was ended early."""
        self._advance(f"{run.task.name:<14} {run.method!s:<24} seed {run.seed}  {sentence}")

    def say(self, sentence: str) -> None:
        """Something that the user should read, above the live view."""
        self._console.print(sentence, markup=False, highlight=False, soft_wrap=True)

    def done(self, run: Run, record: Record) -> None:
        """A run gave a record."""
        self._enter(run, record)
        self._advance(f"{run.task.name:<14} {run.method!s:<24} seed {run.seed}  {describe(record)}")

    def met(self, run: Run, record: Record) -> None:
        """Another process finished the run while this grid was at others."""
        self._enter(run, record)
        self._advance(f"{run.task.name:<14} {run.method!s:<24} seed {run.seed}  done by another process")

    def failed(self, run: Run, sentence: str, log: Path) -> None:
        """A run failed and has no record."""
        self._advance(f"{run.task.name} {run.method} failed: {sentence} (see {log})", shown=True)

    def _enter(self, run: Run, record: Record) -> None:
        self._cells.setdefault((str(run.method), run.task.name), []).append(record)

    def _advance(self, line: str, shown: bool = False) -> None:
        self._count += 1
        self._bars.advance(self._all)
        if shown or not self._console.is_terminal:
            self._console.print(f"[{self._count}/{self._total}] {line}", markup=False, highlight=False, soft_wrap=True)
        if not self._console.is_terminal and time.monotonic() - self._said >= STANDING_SECONDS:
            self._said = time.monotonic()
            self.say(f"{self._count} of {self._total} runs are over, {self._left()}; {self._leading()}")

    def _left(self) -> str:
        """The time that the other runs take if they are as long as those of this grid until now."""
        bar = self._bars.tasks[self._all]
        seconds = (bar.elapsed or 0.0) * (bar.remaining or 0.0) / max(1.0, bar.completed)
        return f"about {max(1, round(seconds / 60))} min left" if bar.remaining else "none is left"

    def _leading(self) -> str:
        """The best methods among those with the most tasks finished, as a sentence."""
        means = {method: self._mean(method) for method in self._methods}
        most = max(count for count, _ in means.values())
        leading = sorted((mean, method) for method, (count, mean) in means.items() if count == most)[-LEADING:]
        if not most:
            return "none has a score yet"
        tasks = "on all tasks" if most == len(self._tasks) else f"on {most} of {len(self._tasks)} tasks"
        named = ", ".join(f"{method} {100 * mean:.1f} %" for mean, method in reversed(leading))
        return f"best so far, {tasks}: {named}"

    def _mean(self, method: str) -> tuple[int, float]:
        """The number of tasks on which a method has a score, and the mean over these."""
        found = [score for task in self._tasks if (score := self._score(method, task)) is not None]
        return len(found), sum(found) / len(found) if found else 0.0

    def _view(self) -> RenderableType:
        """The bars, and below, where a small terminal cuts, the table with a cell for each method and task."""
        table = Table(title="test accuracy, last epoch, %", title_justify="left")
        table.add_column("method", no_wrap=True)
        for task in self._tasks:
            table.add_column(escape(task), justify="right")
        for method in self._methods:
            table.add_row(escape(method), *(self._cell(method, task) for task in self._tasks))
        return Group(self._bars, Text(self._leading()), table)

    def _score(self, method: str, task: str) -> float | None:
        """The mean test accuracy over the seeds that are finished, in [0, 1]."""
        records = self._cells.get((method, task), [])
        values = [r.score.test_accuracy for r in records if r.score.test_accuracy is not None]
        return sum(values) / len(values) if values else None

    def _cell(self, method: str, task: str) -> str:
        records, score = self._cells.get((method, task), []), self._score(method, task)
        return f"{100 * score:.1f}" if score is not None else (records[-1].status if records else "")


def _bars(console: Console) -> Progress:
    """A line for the grid and one for each worker: how far, the loss, and the time left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=False),
        console=console,
    )


def describe(record: Record) -> str:
    """A record in a few words."""
    if record.score.test_accuracy is None:
        return f"{record.status}: {record.reason}"
    seconds = (record.cost.train_seconds or 0.0) + (record.cost.test_seconds or 0.0)
    return f"{100 * record.score.test_accuracy:5.1f} % in {seconds:.1f} s"
