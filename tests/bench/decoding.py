"""A process that decodes for ever, by itself or by two workers: `python -m tests.bench.decoding alone|workers`."""

import sys
import tempfile
import time
from pathlib import Path

import torch

import bench.runner.attempt
from bench.data.ahead import ahead
from bench.grid.workers import Workers
from bench.run import Run
from bench.runner.attempt import Tries
from bench.settings import Execution
from tests.bench.tiny import runs


def decode() -> None:
    for _ in ahead(time.sleep, [0.01] * 10**5, 2):
        pass


def planned() -> list[Run]:
    bench.runner.attempt.execute = lambda *_: decode()  # type: ignore[assignment,return-value,misc]
    return runs("linear,lora")


def work(root: Path) -> None:
    workers = Workers(planned, root, [Execution(torch.device("cpu"))] * 2, 1)
    for _ in workers.messages(runs("linear,lora"), Tries(root, root), lambda: False):
        pass


if __name__ == "__main__":
    if sys.argv[1] == "alone":
        decode()
    else:
        work(Path(tempfile.mkdtemp(dir=sys.argv[2])))
