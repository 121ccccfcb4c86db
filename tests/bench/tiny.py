"""A suite of two tasks of a few drawn images, and runs on it that take a fraction of a second."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from bench.run import Run, plan_grid
from datasets import Suite, Task
from datasets.base import Example
from methods.spec import parse_list
from tests.methods.small import SMALL

CLASSES = 3


def examples(split: str) -> Iterator[Example]:
    """Images of one channel each, which is the class, with noise."""
    count, seed = {"train": (12, 0), "test": (10, 1)}[split]
    random = np.random.default_rng(seed)
    for i in range(count):
        pixels = random.integers(0, 100, (32, 32, 3), dtype=np.uint8)
        pixels[..., i % CLASSES] += 150
        yield Image.fromarray(pixels), i % CLASSES


def task(name: str = "colours") -> Task:
    return Task(name, "natural", CLASSES, {"train": 12, "test": 10}, examples)


SUITE = Suite("tiny", "Two tasks of colours", ("natural",), (task("colours"), task("shades")), "demo", "random:small")


def runs(methods: str = "linear", tasks: int = 1, seeds: tuple[int, ...] = (0,), **recipe: Any) -> list[Run]:
    """Runs of the suite; two epochs of batches of four unless said otherwise."""
    values = {"epochs": 2, "batch_size": 4, **recipe}
    return plan_grid(SMALL, parse_list(methods), SUITE, SUITE.tasks[:tasks], "demo", seeds, values)


def run(method: str = "linear", seed: int = 0, **recipe: Any) -> Run:
    """One of them."""
    return runs(method, seeds=(seed,), **recipe)[0]
