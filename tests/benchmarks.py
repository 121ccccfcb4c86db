"""How quick the bench itself is, as ratios within one process: `make benchmarks` prints them beside their bars.

Each compares the work of the bench with the least that anyone would do for the same end, one right after the other on
the same machine, so that a slower machine changes nothing. No test measures time.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from bench.cost.case import Case
from bench.cost.plan import plan
from methods.backbones.registry import find
from methods.spec import parse
from reports.tables.comparison import comparisons
from reports.tables.summary import summaries
from results import Record, Score, frame, load_all, save
from tests.reports.from_print import CLASSES, TASKS, cost_of, record

ROOT = Path(__file__).resolve().parent.parent
METHODS = ["full", "linear", "bitfit", "lora", "dtl", "lst", "vqt", "synqt"]
Work = Callable[[], object]


def ratio(ours: Work, least: Work, repeats: int = 5) -> float:
    """The median over pairs, each timed back to back, after one pair that warms up."""
    return statistics.median([_seconds(ours) / _seconds(least) for _ in range(repeats + 1)][1:])


def _seconds(work: Work) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def help_against_its_libraries() -> float:
    """`bench.py --help` against a Python that imports what draws it."""
    calls = [str(ROOT / "bench.py"), "--help"], ["-c", "import typer, rich.console, rich.panel, rich.table"]
    ours, least = ([sys.executable, *words] for words in calls)
    return ratio(lambda: subprocess.run(ours, capture_output=True), lambda: subprocess.run(least, capture_output=True))


def plan_against_its_steps() -> float:
    """A plan of LoRA on ViT-B/16 against the two training steps on tensors without memory that it watches."""
    (method,) = parse("lora")
    case = Case(find("random:vit_base_patch16_224"), method)

    def bare() -> None:
        network = case.training()
        network.train()
        images = torch.empty(case.recipe.batch_size, 3, case.image_size, case.image_size, device="meta")
        for _ in range(2):
            network(images).sum().backward()

    return ratio(lambda: plan(case.training(), case.image_size, case.recipe), bare)


def records_against_json() -> float:
    """Records read, checked and summed up, against their text parsed and no more."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for method in METHODS:
            for task in TASKS:
                save(root, _long(method, task))
        files = sorted((root / "runs").rglob("*.json"))

        def ours() -> None:
            read, complaints = load_all(root)
            assert len(read) == len(files) > 0
            assert not complaints
            assert [len(summaries(comparison)) for comparison in comparisons(frame(read, root))] == [len(METHODS)]

        return ratio(ours, lambda: [json.loads(file.read_text()) for file in files])


def _long(method: str, task: str) -> Record:
    """A run of a hundred epochs, whose losses make most of its file."""
    group, place = TASKS[task]
    made = record(method, task, 0.7, group=group, place=place, cost=cost_of(method, CLASSES[place]))
    numbers = [n / 7 for n in range(100)]
    score = Score(0.7, None, [[float(n), n / 100] for n in range(10, 101, 10)], numbers, numbers)
    return Record(**{**vars(made), "score": score})


BARS = {help_against_its_libraries: 3.0, plan_against_its_steps: 4.0, records_against_json: 16.0}


def main() -> None:
    """Print every ratio; exit code 1 when one is above its bar."""
    table, above = Table("what", "ratio", "bar"), 0
    for measure, bar in BARS.items():
        found = measure()
        above += found > bar
        table.add_row((measure.__doc__ or "").rstrip("."), f"{found:.2f}", f"{bar:g}")
    Console(width=140).print(table)
    sys.exit(bool(above))


if __name__ == "__main__":
    main()
