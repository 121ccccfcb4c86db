"""`--shard 2/8`: a part of a grid that is the same wherever it is asked for, for launchers that we do not know."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bench.errors import WrongCall
from bench.grid.longest import longest_first
from bench.run import Run

__all__ = ["shard_of"]


def shard_of(runs: Sequence[Run], text: str | None) -> list[Run]:
    """The second of eight parts for "2/8", in the order of the grid; all runs for None.

    Every eighth of the runs from the longest to the shortest, so that parts take about equally long.
    """
    if text is None:
        return list(runs)
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    which, parts = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= which <= parts:
        raise WrongCall(f"--shard {text!r} is no part of a grid; write 2/8 for the second of eight")
    chosen = {id(run) for run in longest_first(runs)[which - 1 :: parts]}
    return [run for run in runs if id(run) in chosen]
