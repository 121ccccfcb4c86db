"""The command line on the device: the embedded suite beside a CPU's numbers, a task of VTAB's shape, and waiting.

The commands are those that a user types, as processes of their own. Whether a step waits for the device is seen by
torch's own watch on synchronising calls: their number in an epoch must not grow with the number of steps.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from bench.grid.request import Request, grid_of
from bench.runner.execute import execute
from bench.settings import RunSettings
from bench.train.loop import Epoch
from datasets import suite
from results import Record, load_all, path_of
from tools.gpu.session import Row, Session

__all__ = ["check_waiting", "run_embedded", "run_vtab_task"]

ROOT = Path(__file__).resolve().parent.parent.parent
TASK, TESTED = "dtd", 200  # of VTAB-1k; images of the test split


def run_embedded(session: Session) -> None:
    """The embedded suite on a CPU and on the device: every method, two epochs, the same seeds."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["--epochs", str(session.sizes.epochs), "--methods", session.sizes.methods]
        words += ["--tasks", session.sizes.tasks] if session.sizes.tasks else []
        cores = len(os.sched_getaffinity(0))
        expected = Path(folder) / "cpu"
        on_cpu = _start([*words, "--device", "cpu", *_workers(cores // 2)], expected)
        device = _start(words + _on(session, cores), Path(folder) / "device")
        records = _finish(session, "embedded", device, Path(folder) / "device")
        found = _finish(session, "embedded on a CPU", on_cpu, expected)
        by_path = {path_of(expected, record.identity): record for record in found}
        session.save("embedded", [_against(r, by_path.get(path_of(expected, r.identity))) for r in records])


def run_vtab_task(session: Session) -> None:
    """One task of VTAB's shape with drawn images at full resolution, bf16, every method."""
    with tempfile.TemporaryDirectory() as folder:
        data = _drawn(Path(folder) / "data", session.sizes.images)
        words = ["--suite", "vtab", "--tasks", TASK, "--data", str(data), "--backbone", session.sizes.backbone]
        words += ["--precision", "bf16", "--recipe", "common", "--epochs", str(session.sizes.epochs)]
        words += ["--methods", session.sizes.methods, *_on(session, len(os.sched_getaffinity(0)))]
        records = _finish(session, "vtab", _start(words, Path(folder) / "device"), Path(folder) / "device")
        session.save("vtab_task", [_told(record) for record in records])


def check_waiting(session: Session) -> None:
    """Count calls that wait for the device, epoch by epoch; torch says which lines make them."""
    rows: list[Row] = []
    methods = session.sizes.methods
    for run in grid_of(
        Request(methods, tasks="digits", epochs=3, batch_size=32 if session.device.type == "cuda" else None)
    ):
        with session.guarded("waiting", str(run.method)):
            waits: list[Counter[str]] = []

            def watch(_: Epoch, waits: list[Counter[str]] = waits) -> None:
                waits.append(
                    Counter(f"{Path(w.filename).name}:{w.lineno}" for w in seen if "synchroniz" in str(w.message))
                )
                seen.clear()

            with warnings.catch_warnings(record=True) as seen, _watched(session.device):
                warnings.simplefilter("always")
                execute(run, RunSettings(session.device, cache_features="off"), watch)
            steps = -(-run.task.sizes["train"] // run.recipe.batch_size)
            last = waits[-1]
            rows.append(
                {"method": str(run.method), "steps": steps, "waits_in_last_epoch": last.total(),
                 "within_steps": last.total() >= steps, "lines": "; ".join(f"{line} x{n}" for line, n in last.items())}
            )  # fmt: skip
    session.save("waiting", rows)
    bad = [row["method"] for row in rows if row["within_steps"]]
    session.say(f"waiting: {len(rows)} methods, steps of {len(bad)} wait for the device {', '.join(bad)}")


@contextmanager
def _watched(device: torch.device) -> Iterator[None]:
    """Inside, calls that wait for a CUDA device are warned of."""
    if device.type == "cuda":
        torch.cuda.set_sync_debug_mode("warn")
    try:
        yield
    finally:
        if device.type == "cuda":
            torch.cuda.set_sync_debug_mode("default")


def _on(session: Session, cores: int) -> list[str]:
    """Several processes share the device, since small networks leave it idle."""
    return ["--device", session.device.type, *_workers(min(6, cores // 2))]


def _workers(count: int) -> list[str]:
    """The words for so many; a single one needs no process beside the command's own on a CPU."""
    return ["--workers", str(count)] if count > 1 else []


def _start(words: Sequence[str], results: Path) -> subprocess.Popen[str]:
    results.mkdir(parents=True)
    log = (results / "log.txt").open("w")
    words = [sys.executable, str(ROOT / "bench.py"), *words, "--results", str(results), "--out", str(results / "out")]
    return subprocess.Popen(
        words, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


def _finish(session: Session, what: str, process: subprocess.Popen[str], results: Path) -> list[Record]:
    """The records of a command that is over, and a row for each run that failed."""
    started = time.monotonic()
    try:
        code = process.wait(timeout=max(30.0, session.left))
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    records, _ = load_all(results)
    statuses = Counter(record.status for record in records)
    session.say(f"{what}: {dict(statuses)}, exit code {code}, waited {time.monotonic() - started:.0f} s")
    if code:
        log = (results / "log.txt").read_text()
        session.failed("command line", what, f"exit code {code}", log[-6000:])
    return records


def _told(record: Record) -> Row:
    """What a run on the device gave."""
    epochs = record.cost.epoch_seconds
    return {
        "method": record.identity.method,
        "task": record.identity.task,
        "status": record.status,
        "reason": record.reason,
        "test_accuracy": record.score.test_accuracy,
        "last_train_loss": record.score.train_losses[-1] if record.score.train_losses else None,
        "planned_allocated_bytes": record.cost.planned_peak_bytes,
        "allocated_bytes": record.cost.peak_bytes,
        "reserved_bytes": record.cost.reserved_bytes,
        "last_epoch_seconds": epochs[-1] if epochs else None,
        "feature_cache": record.speedups.feature_cache,
        "feature_cache_reason": record.speedups.feature_cache_reason,
        "feature_cache_same": record.speedups.feature_cache_same,
    }


def _against(record: Record, expected: Record | None) -> Row:
    """A run's numbers beside those of the same run on a CPU, if it was done there."""
    row = _told(record)
    if expected is None:
        return row | {"cpu_test_accuracy": None, "loss_difference": None}
    pairs = zip(record.score.train_losses, expected.score.train_losses, strict=False)
    return row | {
        "cpu_test_accuracy": expected.score.test_accuracy,
        "loss_difference": max((abs(one - other) for one, other in pairs), default=None),
    }


def _drawn(data: Path, images: int) -> Path:
    """Images of coarse noise in the layout of VTAB-1k's text lists."""
    classes = next(task.classes for task in suite("vtab").tasks if task.name == TASK)
    random = np.random.default_rng(0)
    folder = data / TASK
    for split, count in (("train800val200", images), ("test", min(images, TESTED))):
        (folder / "images" / split).mkdir(parents=True)
        lines = []
        for number in range(count):
            name = f"images/{split}/{number:06d}.jpg"
            coarse = Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8))
            coarse.resize((300, 260)).save(folder / name)
            lines.append(f"{name} {number % classes}\n")
        (folder / f"{split}.txt").write_text("".join(lines))
    return data
