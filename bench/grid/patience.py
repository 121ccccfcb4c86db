"""How long a worker may be silent before it counts as hung: as long as a user says, or more if its epochs take long."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from bench.run import Run

__all__ = ["Patience", "Silence"]


@dataclass(frozen=True)
class Patience:
    """`seconds` at least: before and after epochs, images are decoded and features computed without a word."""

    start_seconds: float = 600.0  # until a new process says that it is there
    seconds: float = 3600.0
    factor: float = 20.0


@dataclass
class Silence:
    """Told of each epoch of one run; `over` when nothing was heard for longer than it can take."""

    run: Run
    patience: Patience
    since: float = field(default_factory=time.monotonic)
    started: bool = True
    longest: float | None = None  # epoch so far, in seconds

    def greeted(self) -> None:
        """The process is there."""
        self.started, self.since = True, time.monotonic()

    def broken(self, seconds: float) -> None:
        """An epoch that took so long is over."""
        self.longest = max(self.longest or 0.0, seconds)
        self.since = time.monotonic()

    def over(self) -> bool:
        """Whether the worker counts as hung."""
        return time.monotonic() - self.since > self.limit()

    def limit(self) -> float:
        """Seconds; the test after the last epoch may have many more images than an epoch."""
        if not self.started:
            return self.patience.start_seconds
        sizes = self.run.task.sizes
        share = max(1.0, sizes["test"] / sizes["train"])
        return max(self.patience.seconds, self.patience.factor * share * (self.longest or 0.0))
