"""Ctrl-C once asks a grid to finish what is running; twice stops it now."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable
from types import FrameType, TracebackType

__all__ = ["Interrupts"]


class Interrupts:
    """A context manager that turns the first SIGINT into `asked`; the second raises KeyboardInterrupt as usual."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.asked = False
        self._say = say

    def __enter__(self) -> Interrupts:
        self._before = signal.getsignal(signal.SIGINT)
        with contextlib.suppress(ValueError):  # outside the main thread nothing arrives
            signal.signal(signal.SIGINT, self._hear)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with contextlib.suppress(ValueError):
            signal.signal(signal.SIGINT, self._before)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        self._say("stopping when what is running now is finished; Ctrl-C again stops at once")
