"""The structured tasks of the demo: where a thing lies and which way it points, whatever it looks like."""

from functools import cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from datasets.drawing import (
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

ROWS = 4
ANGLES = 8


@cache
def location(split: str) -> Pictures:
    """Give one object of any shape, size and colour; the label is the cell of a 4 x 4 grid that holds its middle."""
    random = seeded(5, split)
    labels = balanced(random, 400 if split == "train" else 1000, ROWS**2)
    cell = np.stack([labels % ROWS, labels // ROWS])[..., None, None]
    middle = (cell + 0.5 + random.uniform(-0.38, 0.38, cell.shape)) / ROWS * 2 - 1
    radius = uniform(random, 0.16, 0.34, len(labels))
    return Pictures(_scene(random, _objects(random, middle, radius)), labels)


def _objects(random: Generator, middle: Array, radius: Array) -> Array:
    """Cover a disc, a square, a triangle, a ring or a cross."""
    x, y = plane()
    count = len(radius)
    across, along = turned(x - middle[0], y - middle[1], uniform(random, 0, 2 * np.pi, count))
    across, along = across / radius, along / radius
    far = np.hypot(across, along)
    sides = np.maximum(np.abs(across), np.abs(along))
    corner = np.maximum(np.maximum(-along * 2, along + np.abs(across) * 1.732), 0)
    cross = np.maximum(np.minimum(np.abs(across), np.abs(along)) / 0.35, sides)
    ring = np.abs(far - 0.75) * 3
    return _soft(np.choose(random.integers(5, size=(count, 1, 1)), [far, sides / 0.85, corner, cross, ring]), radius)


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
    """Paint a thing on an uneven ground, with specks of its own colour strewn about to distract."""
    count = len(cover)
    below, above = two_colours(random, count, apart=0.25)
    specks = (random.random(cover.shape) < uniform(random, 0, 0.04, count)) * 0.8
    uneven = 0.5 * (clouds(random, count, 1.2) - 0.5)
    return finished(random, blend(np.maximum(cover, specks), below + uneven[..., None], above), noise=0.1)
