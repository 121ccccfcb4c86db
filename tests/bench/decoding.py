"""A process that decodes for ever, by itself or by two workers: `python -m tests.bench.decoding alone|workers`."""

import sys
import tempfile
import time
from pathlib import Path

import torch
from torch.utils.data import Dataset

import bench.runner.attempt
from bench.data.loader import load_ahead
from bench.grid.workers import Workers
from bench.run import Run
from bench.runner.attempt import Call, Tries
from bench.settings import RunSettings
from tests.bench.tiny import runs


class Slow(Dataset[None]):
    """Takes a while for each key."""

    def __getitems__(self, keys: list[int]) -> None:
        time.sleep(0.01)


def decode() -> None:
    for _ in load_ahead(Slow(), [[0]] * 10**5, 2):
        pass


def planned() -> list[Run]:
    bench.runner.attempt.execute = lambda *_: decode()  # type: ignore[assignment,return-value,misc]
    return runs("linear,lora")


def work(root: Path) -> None:
    cpu = RunSettings(torch.device("cpu"))
    for _ in Workers(planned, [cpu] * 2, 1).messages(
        runs("linear,lora"), Call(root, cpu, Tries(root, root)), lambda: False
    ):
        pass


if __name__ == "__main__":
    if sys.argv[1] == "alone":
        decode()
    else:
        work(Path(tempfile.mkdtemp(dir=sys.argv[2])))
