"""The specialized tasks of the demo: woven, built and grown textures, and stained cells under a microscope."""

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from datasets.demo.drawing import (
    Array,
    Pictures,
    balanced,
    blend,
    clouds,
    finished,
    plane,
    seeded,
    turned,
    two_colours,
    uniform,
)

CELLS = 5
Surface = Callable[[Generator, Array, Array], Array]


def _checks(random: Generator, x: Array, y: Array) -> Array:
    return (np.floor(x) + np.floor(y)) % 2


def _bricks(random: Generator, x: Array, y: Array) -> Array:
    across = x / 2 + np.floor(y) % 2 / 2
    return (np.minimum(across % 1 * 2, y % 1) > 0.2).astype(float)


def _dots(random: Generator, x: Array, y: Array) -> Array:
    across = x + np.floor(y) % 2 / 2
    return (np.hypot(across % 1 - 0.5, y % 1 - 0.5) < 0.33).astype(float)


def _zigzag(random: Generator, x: Array, y: Array) -> Array:
    return ((y + np.abs(x % 2 - 1)) % 1 < 0.5).astype(float)


def _weave(random: Generator, x: Array, y: Array) -> Array:
    over = (np.floor(x) + np.floor(y)) % 2
    return over * np.sin(np.pi * (x % 1)) + (1 - over) * np.sin(np.pi * (y % 1))


def _scales(random: Generator, x: Array, y: Array) -> Array:
    across = x + np.floor(y * 1.5) % 2 / 2
    return np.hypot(across % 1 - 0.5, y * 1.5 % 1) % 0.6 / 0.6


def _rings(random: Generator, x: Array, y: Array) -> Array:
    middle = random.uniform(-1.5, 1.5, (2, len(x), 1, 1))
    return 0.5 + 0.5 * np.sin(2 * np.pi * np.hypot(x - middle[0], y - middle[1]))


def _cracks(random: Generator, x: Array, y: Array) -> Array:
    seeds = random.uniform(-4, 4, (2, len(x), 40, 1, 1))
    apart = np.partition(np.hypot(x[:, None] - seeds[0], y[:, None] - seeds[1]), 1, axis=1)
    return np.clip((apart[:, 1] - apart[:, 0]) * 2.5, 0, 1)


def _marble(random: Generator, x: Array, y: Array) -> Array:
    return 0.5 + 0.5 * np.sin(np.pi * x + 12 * clouds(random, len(x), 1.8))


def _grains(random: Generator, x: Array, y: Array) -> Array:
    return (clouds(random, len(x), 0.5) > 0.62).astype(float)


TEXTURES: tuple[Surface, ...] = (
    _checks, _bricks, _dots, _zigzag, _weave, _scales, _rings, _cracks, _marble, _grains,
)  # fmt: skip


@cache
def textures(split: str) -> Pictures:
    """Give textures turned, stretched and coloured at random, under uneven light and noise."""
    random = seeded(3, split)
    labels = balanced(random, 400 if split == "train" else 1000, len(TEXTURES))
    x, y = plane()
    relief = np.empty((len(labels), *x.shape))
    for kind, surface in enumerate(TEXTURES):
        rows = labels == kind
        count = int(rows.sum())
        across, along = turned(x, y, uniform(random, 0, np.pi, count))
        scale, shift = uniform(random, 2, 3.5, count), random.uniform(0, 2, (2, count, 1, 1))
        relief[rows] = surface(random, across * scale + shift[0], along * scale + shift[1])
    first, second = two_colours(random, len(labels), apart=0.2)
    shade = 0.3 * (clouds(random, len(labels), 2.5) - 0.5)
    return Pictures(finished(random, blend(relief, first, second) + shade[..., None], noise=0.2), labels)


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
