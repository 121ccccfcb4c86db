"""The structured tasks of the demo: how many things there are and which way one points, whatever they look like."""

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

ROWS = 3
MOST = 6
ANGLES = 8


@cache
def count(split: str) -> Pictures:
    """Give one to six discs and squares in different cells of a 3 x 3 grid; the label is how many."""
    random = seeded(9, split)
    labels = balanced(random, 400 if split == "train" else 1000, MOST)
    x, y = plane()
    cells = np.argsort(random.random((len(labels), ROWS**2)), 1)
    cover = np.zeros((len(labels), *x.shape))
    for thing in range(MOST):
        cell = np.stack([cells[:, thing] % ROWS, cells[:, thing] // ROWS])[..., None, None]
        middle = (cell + 0.5) / ROWS * 2 - 1 + random.uniform(-0.08, 0.08, cell.shape)
        radius = uniform(random, 0.14, 0.26, len(labels))
        across, along = np.abs(x - middle[0]) / radius, np.abs(y - middle[1]) / radius
        disc = random.random((len(labels), 1, 1)) < 0.5
        reach = np.where(disc, np.hypot(across, along), np.maximum(across, along) / 0.85)
        cover = np.maximum(cover, _soft(reach, radius) * (labels >= thing)[:, None, None])
    return Pictures(_scene(random, cover), labels)


@cache
def orientation(split: str) -> Pictures:
    """Give one elongated object anywhere; the label is which eighth of the half circle it points to."""
    random = seeded(6, split)
    labels = balanced(random, 400 if split == "train" else 1000, ANGLES)
    angle = (labels[:, None, None] + random.uniform(-0.4, 0.4, (len(labels), 1, 1))) * np.pi / ANGLES
    x, y = plane()
    middle = random.uniform(-0.5, 0.5, (2, len(labels), 1, 1))
    across, along = turned(x - middle[0], y - middle[1], angle)
    length, width = uniform(random, 0.4, 0.6, len(labels)), uniform(random, 0.08, 0.2, len(labels))
    bar = np.maximum(np.abs(across) / length, np.abs(along) / width)
    oval = np.hypot(across / length, along / width)
    reach = np.where(random.random((len(labels), 1, 1)) < 0.5, bar, oval)
    return Pictures(_scene(random, _soft(reach, width)), labels)


def _soft(reach: Array, radius: Array) -> Array:
    """Turn a reach, one on the border, into a cover whose border is about a pixel wide."""
    return np.asarray(1 / (1 + np.exp(np.clip((reach - 1) * radius / 0.02, -30, 30))))


def _scene(random: Generator, cover: Array) -> NDArray[np.uint8]:
    """Paint things on an uneven ground under sensor noise."""
    below, above = two_colours(random, len(cover), apart=0.4)
    uneven = 0.2 * (clouds(random, len(cover), 1.2) - 0.5)
    return finished(random, blend(cover, below + uneven[..., None], above), noise=0.05)
