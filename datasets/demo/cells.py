"""A specialized task of the demo: stained cells under a microscope, told apart by their shape."""

from functools import cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from datasets.demo.drawing import Array, Pictures, balanced, blend, clouds, finished, plane, seeded, turned, uniform

CELLS = 5


def _round(x: Array, y: Array) -> Array:
    return 1 - np.hypot(x, y)


def _rod(x: Array, y: Array) -> Array:
    return 1 - np.hypot(x / 1.7, y / 0.55)


def _crescent(x: Array, y: Array) -> Array:
    return np.minimum(1 - np.hypot(x, y), np.hypot(x - 0.6, y) - 0.8)


def _hollow(x: Array, y: Array) -> Array:
    return 0.35 - np.abs(np.hypot(x, y) - 0.8)


def _dividing(x: Array, y: Array) -> Array:
    return 0.7 - np.hypot(np.abs(x) - 0.75, y)


def _budding(x: Array, y: Array) -> Array:
    return np.maximum(0.85 - np.hypot(x + 0.3, y), 0.4 - np.hypot(x - 0.9, y))


def _spiked(x: Array, y: Array) -> Array:
    return 0.8 + 0.45 * np.cos(6 * np.arctan2(y, x)) - np.hypot(x, y)


def _lobed(x: Array, y: Array) -> Array:
    return 0.75 + 0.35 * np.cos(3 * np.arctan2(y, x)) - np.hypot(x, y)


SHAPES = (_round, _rod, _crescent, _hollow, _dividing, _budding, _spiked, _lobed)


@cache
def cells(split: str) -> Pictures:
    """Give fields of stained cells of one shape each; dye, tissue, focus and number of cells vary."""
    random = seeded(4, split)
    labels = balanced(random, 400 if split == "train" else 1000, len(SHAPES))
    cover = _field(random, labels)
    count = len(labels)
    tissue = np.array([0.92, 0.8, 0.88]) + random.normal(0, 0.06, (count, 1, 1, 3))
    dye = np.array([0.45, 0.25, 0.6]) + random.normal(0, 0.12, (count, 1, 1, 3))
    matrix = 0.25 * (clouds(random, count) - 0.5)
    stain = cover * (0.75 + 0.5 * (clouds(random, count, 1) - 0.5))
    return Pictures(finished(random, blend(stain, tissue + matrix[..., None], dye), noise=0.12), labels)


def _field(random: Generator, labels: NDArray[np.int64]) -> Array:
    """Lay two to five cells of the shape of the label into each picture."""
    x, y = plane()
    count = len(labels)
    cover = np.zeros((count, *x.shape))
    present = random.integers(2, CELLS + 1, (count, 1, 1))
    for cell in range(CELLS):
        middle = random.uniform(-0.85, 0.85, (2, count, 1, 1))
        across, along = turned(x - middle[0], y - middle[1], uniform(random, 0, 2 * np.pi, count))
        radius = uniform(random, 0.24, 0.36, count)
        depth = np.stack([SHAPES[k](a, b) for k, a, b in zip(labels, across / radius, along / radius, strict=True)])
        edge = 1 / (1 + np.exp(-np.clip(depth * radius / 0.03, -30, 30)))
        cover = np.maximum(cover, edge * (present > cell))
    return cover
