"""Finds a place for a label beside each point, always the same, so that none covers another, a point or the edge."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["Box", "place"]

ROUNDS = 6  # at most; every label is looked at again once all others have a place
RADII = (0, 1, 2, 3.5, 5, 7, 9.5, 12.5, 16, 20, 25, 31, 38, 46, 55)  # times the gap
ANGLES = (
    0,
    180,
    90,
    270,
    45,
    315,
    135,
    225,
    20,
    340,
    160,
    200,
    65,
    295,
    115,
    245,
)  # preferred first: beside, then above


@dataclass(frozen=True)
class Box:
    """A rectangle; all boxes share one unit."""

    left: float
    bottom: float
    right: float
    top: float

    @property
    def middle(self) -> tuple[float, float]:
        """Its centre."""
        return (self.left + self.right) / 2, (self.bottom + self.top) / 2

    def overlap(self, other: Box) -> float:
        """The area shared with another box."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(width, 0.0) * max(height, 0.0)

    def grown(self, by: float) -> Box:
        """The same rectangle with a margin on every side."""
        return Box(self.left - by, self.bottom - by, self.right + by, self.top + by)

    def meets(self, start: tuple[float, float], end: tuple[float, float]) -> bool:
        """Whether the straight line between two places passes through."""
        enter, leave = 0.0, 1.0
        sides = ((self.left, self.right), (self.bottom, self.top))
        for (low, high), begin, finish in zip(sides, start, end, strict=True):
            if begin == finish:
                if not low <= begin <= high:
                    return False
                continue
            first, last = sorted(((low - begin) / (finish - begin), (high - begin) / (finish - begin)))
            enter, leave = max(enter, first), min(leave, last)
        return enter <= leave


def place(
    points: Sequence[Box], sizes: Sequence[tuple[float, float]], frame: Box, lines: Sequence[Box] = (), gap: float = 2.0
) -> list[Box]:
    """A box of the given size for each point, inside the frame; `lines` are covered where that saves a long way."""
    places: dict[int, Box] = {}
    for _ in range(ROUNDS):
        before = dict(places)
        for index, (point, size) in enumerate(zip(points, sizes, strict=True)):
            labels = [box for other, box in places.items() if other != index]
            others = [box for other, box in enumerate(points) if other != index]
            places[index] = _best(point, size, _Taken(frame, others, labels, lines, gap))
        if places == before:
            break
    return [places[index] for index in range(len(points))]


@dataclass(frozen=True)
class _Taken:
    """What a label must stay clear of."""

    frame: Box
    points: Sequence[Box]
    labels: Sequence[Box]
    lines: Sequence[Box]
    gap: float

    def covered(self, box: Box, point: Box) -> float:
        """The area that must not be covered and is, the outside of the frame included."""
        outside = box.overlap(box) - box.overlap(self.frame)
        near, clear = box.grown(self.gap / 2), box.grown(self.gap)  # two labels side by side would read as one
        return outside + sum(map(near.overlap, [point, *self.points])) + sum(map(clear.overlap, self.labels))

    def confusion(self, box: Box, point: Box) -> float:
        """How hard it is to see whose label this is: lines under it, points near it, things between it and its own."""
        under = sum(line.overlap(box) > 0 for line in self.lines)
        near = sum(box.grown(2 * self.gap).overlap(other) > 0 for other in self.points)
        between = sum(other.meets(box.middle, point.middle) for other in [*self.points, *self.labels])
        return self.gap * (3 * under + near + 3 * between)


def _best(point: Box, size: tuple[float, float], taken: _Taken) -> Box:
    """The candidate that covers least, and among those that cover nothing the nearest and clearest."""
    best, least = point, (math.inf, math.inf)
    for distance, box in _candidates(point, size, taken.gap):
        if least[0] == 0 and distance >= least[1]:
            break  # the rest are as far and no clearer
        covered = taken.covered(box, point)
        cost = covered, distance + (taken.confusion(box, point) if covered <= least[0] else 0)
        best, least = (box, cost) if cost < least else (best, least)
    return best


def _candidates(point: Box, size: tuple[float, float], gap: float) -> Iterable[tuple[float, Box]]:
    """Boxes around the point, nearest first; less usual directions count as a little farther."""
    (x, y), (width, height) = point.middle, size
    across, up = (point.right - point.left + width) / 2 + gap, (point.top - point.bottom + height) / 2 + gap
    places = []
    for away in (radius * gap for radius in RADII):
        for rank, angle in enumerate(map(math.radians, ANGLES)):
            left, bottom = (
                x + math.cos(angle) * (across + away) - width / 2,
                y + math.sin(angle) * (up + away) - height / 2,
            )
            places.append((away + rank * gap / 8, Box(left, bottom, left + width, bottom + height)))
    return sorted(places, key=lambda place: place[0])
