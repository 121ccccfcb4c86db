"""Every report of the same records has the same texts and drawings in every process, whatever the order of its sets."""

import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from reports import REPORTS
from results import Cost, Record, Score, quoted, save, save_cost, save_kept, save_measured
from tests.reports.from_print import CLASSES, TASKS, record
from tests.reports.test_cost_reports import of_all_reports
from tests.reports.test_gpu import PARTS
from tests.reports.test_speed_report import ROWS

TOP = Path(__file__).parents[2]
METHODS = ("linear", "dtl", "dtl:start=3", "synqt:kem=trainable")
WRITE = """
import io, sys
from pathlib import Path
from rich.console import Console
from reports import REPORTS, Table, write_all
from reports.figures import svg
from reports.formats import files, frames, latex

def fast(item, folder):  # PNG and PDF are made of the same drawing, and take most of the time
    path = folder / item.name
    if isinstance(item, Table):
        path.write_text("".join(make(item) for make in (frames.markdown, frames.csv, latex.table)))
    else:
        path.write_bytes(latex.figure(item).encode() + svg.whole(item.drawing))
    return [path]

files.write = fast
write_all(Path(sys.argv[1]), list(REPORTS), Path(sys.argv[2]), Console(file=io.StringIO()))
"""


def of_vtab(root: Path) -> Iterator[Record]:
    """A run of each method on every task, with scores, epochs and energy; of some tasks confusions or features."""
    for rank, method in enumerate(METHODS):
        for task, (group, place) in TASKS.items():
            accuracy = 0.6 + 0.02 * rank * (-1) ** (place % 3 == 0) + 0.001 * place
            cost = Cost(
                10**4 * (rank + 1), 10**3 * (rank + 1), planned_peak_bytes=2**28 * (rank + 1), train_seconds=20.0,
                train_joules=1000.0 * (rank + 1), printed_extra=0,
            )  # fmt: skip
            one = record(method, task, accuracy, group=group, classes=CLASSES[place], place=place, cost=cost)
            score = Score(
                accuracy, train_losses=[2.0, 1.0], train_accuracies=[0.3, accuracy],
                calibration_bins=[[1.0, 0.5, 0.5]] * 15, confusion=[[9, 1], [3, 7]] if task == "kitti" else None,
            )  # fmt: skip
            kept = {}
            if task in ("cifar", "dtd") and method in ("linear", "synqt:kem=trainable"):
                labels = np.arange(6) % 2
                arrays = {"labels": labels, "features": np.eye(6, dtype=np.float32), "weights": np.ones((6, 36))}
                kept = {"features": save_kept(root, one.identity, "features", arrays)}
            settings = one.method | {"start": int(one.method.get("start", 7))}
            yield dataclasses.replace(one, score=score, kept=kept, method=settings)


def of_other_suites() -> Iterator[Record]:
    """A run of two methods on a task or two of each, and trials."""
    shots = quoted("few_shot").query("row == 'LoRA'")["task"].iloc[:1]
    for method in ("linear", "lora"):
        yield record(method, "digits", 0.5, suite="demo")
        yield record(method, "imagenet", 0.5, suite="domain")
        yield record(method, "nabirds", 0.5, suite="fgvc")
        yield from (record(method, task, 0.5, suite="few_shot", group="1-shot") for task in shots)
        for rate in (0.1, 0.2):
            trial = record(method, "digits", 0.5 + rate, suite="demo", recipe={"learning_rate": rate})
            changes = trial.identity.changes | {"split": "val"}
            yield dataclasses.replace(trial, identity=dataclasses.replace(trial.identity, changes=changes))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    for run in (*of_vtab(folder), *of_other_suites()):
        save(folder, run)
    for cost in of_all_reports():
        save_cost(folder, cost)
    for subject, rows in {"speed": ROWS, **{name: rows().to_dict("records") for name, rows in PARTS.items()}}.items():
        save_measured(folder, subject, [row | {"device": "cpu", "date": "2026-11-27"} for row in rows])
    return folder


def test_every_report_is_the_same_bytes_in_every_process(root: Path, tmp_path: Path) -> None:
    written = []
    for seed in ("1", "2"):
        out = tmp_path / seed
        out.mkdir()
        command = [sys.executable, "-c", WRITE, str(root), str(out)]
        subprocess.run(command, check=True, cwd=TOP, env=os.environ | {"PYTHONHASHSEED": seed})
        written.append({path.relative_to(out): path.read_bytes() for path in out.iterdir()})
    first, second = written
    assert {path for path in first if first[path] != second.get(path)} == set()
    assert first.keys() == second.keys()
    names = {path.name for path in first}
    assert [report for report in REPORTS if not any(name.startswith(report) for name in names)] == []
