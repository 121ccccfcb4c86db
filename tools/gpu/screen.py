"""What a session shows while it runs: on a terminal a live table of its stages, in a pipe plain lines."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import rich.box
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from bench.grid.progress import LiveView

__all__ = ["Screen"]

LEFT_OUT = "left out, the time is over"


@dataclass
class Stage:
    """How far a stage is; `rows` counts what it has saved, `line` is the last thing it said."""

    state: str = "to come"
    started: float | None = None
    seconds: float | None = None
    rows: int = 0
    failures: int = 0
    line: str = ""


class Screen(LiveView):
    """Told what happens by a session.

    Lines are printed in both cases: on a terminal they scroll above the table.
    """

    def __init__(self, console: Console, stages: Sequence[str], minutes: float) -> None:
        self._console, self._minutes = console, minutes
        self._stages = {name: Stage() for name in stages}
        self._started = time.monotonic()
        self._now: Stage | None = None  # the stage that runs
        super().__init__(Live(console=console, get_renderable=self._table, refresh_per_second=2))

    def say(self, text: str) -> None:
        """A line, with the seconds since the start."""
        if self._now is not None:
            self._now.line = text
        line = f"{time.monotonic() - self._started:5.0f} s  {text}"
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def begin(self, name: str) -> None:
        """A stage starts."""
        self._now = self._stages.setdefault(name, Stage())
        self._now.state, self._now.started = "runs", time.monotonic()

    def saved(self, rows: int) -> None:
        """The stage has saved so many rows of results in all."""
        if self._now is not None:
            self._now.rows = rows

    def failed(self) -> None:
        """Something of the stage failed; it goes on."""
        if self._now is not None:
            self._now.failures += 1

    def end(self, name: str) -> None:
        """A stage is over."""
        stage = self._stages[name]
        stage.state, stage.seconds = "done", time.monotonic() - (stage.started or self._started)
        self._now = None  # so that the table keeps what the stage said last
        self.say(f"{name}: {stage.seconds:.0f} s")

    def left_out(self, name: str) -> None:
        """No time is left for a stage."""
        self._stages.setdefault(name, Stage()).state = LEFT_OUT
        self.say(f"{name}: {LEFT_OUT}")

    def _table(self) -> Table:
        """A row for each stage; a narrow terminal cuts the last column."""
        passed = time.monotonic() - self._started
        table = Table(
            box=rich.box.SIMPLE, title=f"{passed / 60:.1f} of {self._minutes:g} minutes", title_justify="left"
        )
        for heading, side in (
            ("stage", "left"),
            ("state", "left"),
            ("s", "right"),
            ("rows", "right"),
            ("failed", "right"),
        ):
            table.add_column(heading, justify=side, no_wrap=True)  # type: ignore[arg-type]
        table.add_column("last", no_wrap=True, overflow="ellipsis")
        for name, stage in self._stages.items():
            seconds = stage.seconds
            if seconds is None and stage.started is not None:
                seconds = time.monotonic() - stage.started
            numbers = (
                f"{seconds:.0f}" if seconds is not None else "",
                str(stage.rows or ""),
                str(stage.failures or ""),
            )
            table.add_row(name, stage.state, *numbers, escape(stage.line), style="red" if stage.failures else None)
        return table
