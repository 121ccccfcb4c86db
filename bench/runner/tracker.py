"""Sends what a run shows to a tracker that people use already; without one, nothing is imported and nothing is called.

A run's log is found from its record: `where.log` names it. TensorBoard's lies below the results, Trackio's and
Weights & Biases' in their project `petl-bench`, under the path of the record; whoever uses these two has logged in
before. A tracker that fails while a run goes on is told no more, and the run is not touched.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

import torch

import results
from bench.errors import UsageError
from bench.run import Run
from bench.train.loop import Epoch
from results import Record

__all__ = ["TrackerName", "check_tracker", "tracked"]

TrackerName = Literal["off", "tensorboard", "trackio", "wandb"]
logger = logging.getLogger(__name__)

PROJECT = "petl-bench"
Finish = Callable[[Record], Record]  # logs the record, and returns it with the address of its log
Watch = Callable[[Any], None]


class _Tracker(Protocol):
    """One run in a tracker."""

    address: str  # of the log, for the record

    def log(self, values: Mapping[str, float], step: int) -> None: ...

    def close(self, record: Mapping[str, Any]) -> None: ...


def check_tracker(name: TrackerName) -> None:
    """Raise UsageError where the package of the tracker is not installed."""
    if name != "off" and importlib.util.find_spec(name) is None:
        raise UsageError(f"--log {name} needs a package that is not installed; call .venv/bin/pip install {name}")


@contextmanager
def tracked(run: Run, root: Path, name: TrackerName, tell: Watch) -> Iterator[tuple[Watch, Finish]]:
    """Give what is to be told of every epoch, and what is to be done with the record.

    Args:
        run: that is carried out in the context.
        root: the folder of results.
        name: of the tracker; "off" gives `tell` itself.
        tell: is called besides.
    """
    if name == "off":
        yield tell, lambda record: record
        return
    tracker = _opened(run, root, name)
    logged, summary, heard = 0, dict[str, Any](), True

    def send(action: Callable[..., None], *values: Any) -> None:
        """Send to the tracker; one that cannot be reached any more costs the run nothing."""
        nonlocal heard
        try:
            if heard:
                action(*values)
        except Exception as error:
            heard = False
            logger.warning(f"--log {name} takes no more of {run.task.name} {run.method}, which goes on: {error}")

    def watch(event: Any) -> None:
        nonlocal logged
        if isinstance(event, Epoch) and event.of_run > logged:  # what ran out of memory is done again, and logged once
            logged = event.of_run
            send(tracker.log, _values(event), logged)
        tell(event)

    def finish(record: Record) -> Record:
        where = dataclasses.replace(record.where, log=tracker.address)
        summary.update(_flat(record))
        return dataclasses.replace(record, where=where)

    try:
        yield watch, finish
    finally:
        send(tracker.close, summary)


def _values(epoch: Epoch) -> dict[str, float]:
    values = {"train/loss": epoch.loss, "train/accuracy": epoch.accuracy, "epoch_seconds": epoch.seconds}
    if torch.cuda.is_available():
        values["memory/peak_bytes"] = float(torch.cuda.max_memory_allocated())
    return values


def _flat(record: Record) -> dict[str, Any]:
    """Numbers and words of score and cost, by name."""
    known = vars(record.score) | vars(record.cost) | {"status": record.status}
    return {key: value for key, value in known.items() if isinstance(value, int | float | str)}


def _opened(run: Run, root: Path, name: TrackerName) -> _Tracker:
    path = results.path_of(root, run.identity()).relative_to(root / "runs").with_suffix("")
    identity = run.identity()
    settings = {key: value for key, value in vars(identity).items() if key != "changes"}
    settings |= {f"recipe/{key}": value for key, value in dataclasses.asdict(run.recipe).items()}
    settings |= {f"method/{key}": value for key, value in run.settings().items()}
    return _Board(root, path, settings) if name == "tensorboard" else _Hosted(name, root, path, settings)


class _Board:
    """TensorBoard's event files."""

    def __init__(self, root: Path, path: Path, settings: Mapping[str, Any]) -> None:
        writer = importlib.import_module("torch.utils.tensorboard").SummaryWriter
        self.address = str(Path("tensorboard") / path)
        self._writer = writer(str(root / self.address))
        self._writer.add_text("settings", "\n".join(f"    {key}: {value}" for key, value in settings.items()))

    def log(self, values: Mapping[str, float], step: int) -> None:
        for key, value in values.items():
            self._writer.add_scalar(key, value, step)

    def close(self, record: Mapping[str, Any]) -> None:
        for key, value in record.items():
            if isinstance(value, int | float):
                self._writer.add_scalar(f"record/{key}", value, 0)
        self._writer.close()


class _Hosted:
    """Trackio and Weights & Biases, which are called alike."""

    def __init__(self, name: TrackerName, root: Path, path: Path, settings: Mapping[str, Any]) -> None:
        self._module = importlib.import_module(name)
        more = {"dir": str(root)} if name == "wandb" else {}
        run = self._module.init(project=PROJECT, name=str(path), config=dict(settings), **more)
        self.address = str(getattr(run, "url", None) or f"{name}:{PROJECT}/{path}")

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._module.log(dict(values), step=step)

    def close(self, record: Mapping[str, Any]) -> None:
        self._module.log({f"record/{key}": value for key, value in record.items()})
        self._module.finish()
