"""A session on one device: the sizes it works at, the time it has left, and results that are saved at once."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from rich.console import Console

from bench.provenance import where
from methods import Method
from methods.backbones.registry import Backbone, find
from methods.spec import parse_list
from results import load_measured, save_measured
from tools.gpu.screen import Screen

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["DRY", "FULL", "Session", "Sizes", "planners"]

# In order of worth: a session that is cut off has answered for these first.
FIRST = ("full", "linear", "bitfit", "lora", "vpt_deep", "dtl", "dtl_plus", "lst", "synqt", "vqt", "head2toe")
Row = dict[str, Any]


@dataclass(frozen=True)
class Sizes:
    """How large the work of each stage is."""

    backbone: str
    batches: tuple[int, ...]  # of planned against measured memory
    batch: int  # of speed
    steps: int  # timed steps
    images: int  # training images of whole runs
    epochs: int  # of whole runs
    tasks: str | None  # of the embedded suite; None for all
    methods: str
    compiler: str  # torch.compile's backend
    pretrain_kinds: int  # categories of each family of formulas
    pretrain_each: int  # pictures of a category
    pretrain_steps: int | None  # None for as many as there is time for
    probe_epochs: int | None  # of the linear probe; None for those of the suite


FULL = Sizes("random:vit_base_patch16_224", (64, 8), 64, 20, 1000, 2, None, "all", "inductor", 100, 300, None, None)
DRY = Sizes("random:demo", (2,), 2, 3, 8, 2, "digits", "linear,lora", "aot_eager", 2, 3, 2, 1)


@dataclass
class Session:
    """What all stages share. `failures` holds one row for everything that went wrong; nothing stops the session."""

    device: torch.device
    sizes: Sizes
    results: Path
    minutes: float
    commit: str | None = None  # of a copy of the checkout without its history
    screen: Screen | None = None  # None: plain lines
    started: float = field(default_factory=time.monotonic)
    failures: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._screen = self.screen or Screen(Console(), (), self.minutes)

    @property
    def left(self) -> float:
        """Seconds until the session should be over."""
        return self.started + 60 * self.minutes - time.monotonic()

    @property
    def backbone(self) -> Backbone:
        """The backbone of memory, speed and whole runs."""
        return find(self.sizes.backbone)

    @property
    def methods(self) -> list[Method]:
        """All methods with their defaults, the ones that matter most first."""
        found = parse_list(self.sizes.methods)
        rank = {name: index for index, name in enumerate(FIRST)}
        return sorted(found, key=lambda method: rank.get(method.name, len(FIRST)))

    def say(self, text: str) -> None:
        """One line on the screen, with the seconds since the start."""
        self._screen.say(text)

    def save(self, subject: str, rows: Sequence[Row]) -> Path:
        """Write the rows of this device as `measured/gpu_<subject>.csv`; rows of other devices stay."""
        made = where(self.device)
        about = {
            "device": made.device,
            "driver": made.driver,
            "date": made.date,
            "commit": self.commit or made.commit,
            "dirty": made.dirty,
            "command": made.command,
            **{name: made.versions.get(name) for name in ("python", "torch", "timm")},
        }
        if subject != "failures":
            self._screen.saved(len(rows))
        name = f"gpu_{subject}"
        before = load_measured(self.results, name)
        others: list[Row] = []
        if before is not None:
            kept = before[before["device"] != made.device]
            others = kept.astype(object).where(kept.notna(), None).to_dict("records")  # type: ignore[assignment]
        return save_measured(self.results, name, [*others, *({**row, **about} for row in rows)])

    def measured(self, subject: str) -> pd.DataFrame | None:
        """What was saved of this device, now or in an earlier session."""
        found = load_measured(self.results, f"gpu_{subject}")
        return None if found is None else found[found["device"] == where(self.device).device]

    def failed(self, stage: str, what: str, error: str, trace: str) -> None:
        """Keep what went wrong, and say it."""
        self.failures.append({"stage": stage, "what": what, "error": error, "trace": trace})
        self.save("failures", self.failures)
        self._screen.failed()
        self.say(f"FAILED {stage} {what}: {error[:180]}")

    @contextmanager
    def guarded(self, stage: str, what: str = "") -> Iterator[None]:
        """Note an error as a row and go on: one method that fails must not cost the rest of the session."""
        try:
            yield
        except Exception as error:
            lines = str(error).strip().splitlines() or [""]
            trace = "".join(traceback.format_exception(error)[-4:])
            self.failed(stage, what, f"{type(error).__name__}: {lines[0]}", trace)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    def run(self, stage: str, work: Callable[[Session], None]) -> None:
        """Do a stage, if there is time left, and say how long it took."""
        if self.left <= 0:
            self._screen.left_out(stage)
            return
        self._screen.begin(stage)
        with self.guarded(stage):
            work(self)
        self._screen.end(stage)


class _Here(Executor):
    """Does at once, in this process, what it is given."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@contextmanager
def planners(device: torch.device) -> Iterator[Executor]:
    """Processes of one thread that plan on the CPU while the device measures; without a device, this process."""
    if device.type == "cpu":
        yield _Here()
        return
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    count = max(1, min(12, len(os.sched_getaffinity(0)) - 4))
    pool = ProcessPoolExecutor(count, mp_context=get_context("spawn"))
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before
