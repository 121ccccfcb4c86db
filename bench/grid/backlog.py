"""What a grid still has to hand out: runs in order, then those that another process held when it was their turn."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import results
from bench.run import Run
from results import claims
from results.claims import Lookout

__all__ = ["Backlog", "Turn"]

TRIES = 2


@dataclass(frozen=True)
class Turn:
    """A run to do now, over the stale claim with the token `over`; `was_held`: others may have finished it by now."""

    run: Run
    over: str
    was_held: bool = False


class Backlog:
    """Gives each run its turn; its length is the number of runs that are left."""

    def __init__(self, runs: Iterable[Run], root: Path, lookout: Lookout) -> None:
        self._left, self._held = deque(runs), deque[Run]()
        self._root, self._lookout = root, lookout
        self._tries: Counter[Path] = Counter()

    def __len__(self) -> int:
        return len(self._left) + len(self._held)

    def next(self) -> Turn | None:
        """Who is next; None when only what others hold is left."""
        if self._left:
            run = self._left.popleft()
            return Turn(run, self._opening(run) or "")
        for _ in range(len(self._held)):
            run = self._held.popleft()
            opening = self._opening(run)
            if opening is not None:
                return Turn(run, opening, was_held=True)
            self._held.append(run)
        return None

    def hold(self, run: Run) -> None:
        """Another process is at it: look again when everything else is handed out."""
        self._held.append(run)

    def again(self, run: Run) -> bool:
        """Put a run that was lost with its worker back, unless it was tried often enough."""
        path = results.path_of(self._root, run.identity())
        self._tries[path] += 1
        if self._tries[path] < TRIES:
            self._left.append(run)
        return self._tries[path] < TRIES

    def _opening(self, run: Run) -> str | None:
        """As `Lookout.opening`; what cannot be read is left to the run itself, which fails with the reason."""
        try:
            record = results.path_of(self._root, run.identity())
            return self._lookout.opening(claims.claim_path(self._root, record))
        except OSError:
            return ""
