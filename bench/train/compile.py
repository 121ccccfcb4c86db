"""Compiled networks: kernels made for their shapes, or CUDA graphs of the kernels there are, where steps are small."""

from __future__ import annotations

import sys
from typing import Any, Literal

import torch

from methods import Network

__all__ = ["Compiler", "next_step"]

HOW: dict[str, dict[str, Any]] = {
    "kernels": {},  # torch's own compiler; last digits may differ from those of a plain run
    "graphs": {"backend": "cudagraphs"},  # the same kernels, launched as one
}


class Compiler:
    """Of the networks of one run, and whether it could."""

    def __init__(self, how: Literal["off", "kernels", "graphs"]) -> None:
        self._how = how
        if how != "off":
            self._frames().clear()
            torch._dynamo.utils.counters["inductor"].clear()

    def compiled(self, network: Network) -> Network:
        """The same network, whose two halves are compiled for the shapes that they are called with.

        States that are kept (`observe`) are computed without: once, and equal for runs that compile and those that do
        not.
        """
        if self._how != "off":
            torch.compiler.reset()  # a process compiles but a few versions of a function, and methods share theirs
            for half in ("features_of", "adapt", "extract"):
                setattr(network, half, torch.compile(getattr(network, half), dynamic=False, **HOW[self._how]))
        return network

    @property
    def word(self) -> str | None:
        """What was compiled so far, for the record: all that was tried, a part of it, or nothing."""
        if self._how == "off" or not self._frames()["ok"]:
            return None
        whole = self._frames()["ok"] == self._frames()["total"] and not self._skipped()
        return self._how if whole else f"{self._how}, in part"

    def _skipped(self) -> int:
        """Graphs that were not made although their function was followed to its end."""
        return torch._dynamo.utils.counters["inductor"]["cudagraph_skips"] if self._how == "graphs" else 0

    def _frames(self) -> dict[str, int]:
        """Functions that the compiler tried, and those with which it succeeded; loaded here, since it takes seconds."""
        found: dict[str, int] = torch._dynamo.utils.counters["frames"]
        return found


def next_step() -> None:
    """From now on CUDA graphs may write over what they gave in the step before, and only that; else nothing."""
    if "torch._inductor.cudagraph_trees" in sys.modules:
        torch.compiler.cudagraph_mark_step_begin()
