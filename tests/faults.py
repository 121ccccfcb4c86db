"""Everything that can go wrong with a grid, tried for real: `make faults` prints what was tried, survived and lost.

Runs are those of the tiny suite, a fraction of a second each; some trials mount a small tmpfs and so need root.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.trials import kills, places, workers
from tests.trials.processes import Trial, undisturbed

SEEDS = 5  # 40 runs a grid


def trials(folder: Path, wanted: int, pause: float) -> Iterator[Callable[[], Trial]]:
    """One after another, each in a folder of its own."""
    like = undisturbed(folder / "undisturbed", SEEDS)
    yield lambda: places.full_disk(folder, like, SEEDS)
    yield lambda: places.read_only(folder, like, SEEDS)
    yield lambda: places.truncated(folder / "truncated", like, SEEDS)
    yield lambda: places.clock_set_back(folder / "clock", like, SEEDS)
    yield lambda: workers.faulty(folder / "hang", like, "hang", SEEDS)
    yield lambda: workers.faulty(folder / "crash", like, "crash", SEEDS)
    yield lambda: workers.faulty(folder / "memory", like, "memory", SEEDS)
    yield workers.cuda_memory
    yield lambda: workers.interrupted(folder / "once", like, 1, SEEDS)
    yield lambda: workers.interrupted(folder / "twice", like, 2, SEEDS)
    yield lambda: kills.side_by_side(folder / "side", like, 4, SEEDS)
    yield lambda: workers.overhead(folder / "overhead", 200)
    yield lambda: kills.kills(folder, like, wanted, SEEDS, pause, print)


def attempted(trial: Callable[[], Trial]) -> Trial:
    """A trial; what cannot be tried here is said."""
    try:
        return trial()
    except places.NoMount as error:
        return Trial("small disk", 0, 0, 0, str(error))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--pause", type=float, default=4.0, help="longest time between two kills, in seconds")
    options = parser.parse_args()
    console, table = Console(width=140), Table("fault", "tried", "survived", "runs lost", "note")
    bad = 0
    with tempfile.TemporaryDirectory(prefix="petl-bench-faults-") as folder:
        for trial in trials(Path(folder), options.kills, options.pause):
            line = attempted(trial)
            console.print(f"{line.name}: {line.survived} of {line.tried}, {line.lost} lost; {line.note}")
            table.add_row(line.name, str(line.tried), str(line.survived), str(line.lost), line.note)
            bad += line.tried - line.survived + line.lost
    console.print(table)
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
