"""A process that decodes for ever, by itself or by two workers: `python -m tests.bench.decoding alone|workers`."""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from bench.data.ahead import ahead
from bench.grid.worker import Order
from bench.grid.workers import Workers
from bench.runner.attempt import Event, Finished
from bench.settings import Execution
from bench.train.loop import Epoch
from tests.bench.tiny import runs


def decode() -> None:
    for _ in ahead(time.sleep, [0.01] * 10**5, 2):
        pass


def act(order: Order, root: Path, how: Execution, watch: Callable[[Epoch], None]) -> Event:
    decode()
    return Finished("done")


def work(root: Path) -> None:
    crew = Workers(root, [Execution(torch.device("cpu"))] * 2, 1, "", act=act)
    for place, run in enumerate(runs("linear,lora")):
        crew.start(place, run, "", False)
    while True:
        crew.wait(0.1, lambda place, epoch: None)


if __name__ == "__main__":
    if sys.argv[1] == "alone":
        decode()
    else:
        work(Path(tempfile.mkdtemp(dir=sys.argv[2])))
