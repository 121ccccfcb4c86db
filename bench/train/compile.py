"""Compiled networks: kernels made by torch's compiler for the shapes at hand."""

from __future__ import annotations

from typing import Any, Literal

import torch

from methods import Network

__all__ = ["Compiler"]

OPTIONS: dict[str, Any] = {}  # of torch.compile; last digits may differ from those of a plain run


class Compiler:
    """Compiles the networks of one run, and knows whether it could."""

    def __init__(self, mode: Literal["off", "kernels"]) -> None:
        self._mode = mode
        if mode != "off":
            self._frames().clear()

    def compiled(self, network: Network) -> Network:
        """Compile, in place, both halves of the network for the shapes that they are called with.

        Hidden states that are kept are computed without: once, and equal for runs that compile and those that do not.
        """
        if self._mode != "off":
            torch.compiler.reset()  # a process compiles but a few versions of a function, and methods share theirs
            for half in ("features", "adapt", "extract"):
                setattr(network, half, torch.compile(getattr(network, half), dynamic=False, **OPTIONS))
        return network

    @property
    def word(self) -> str | None:
        """What was compiled so far, for the record: all that was tried, a part of it, or nothing."""
        if self._mode == "off" or not self._frames()["ok"]:
            return None
        return self._mode if self._frames()["ok"] == self._frames()["total"] else f"{self._mode}, in part"

    def _frames(self) -> dict[str, int]:
        """Functions that the compiler tried, and those with which it succeeded; loaded here, since it takes seconds."""
        found: dict[str, int] = torch._dynamo.utils.counters["frames"]
        return found
