"""Figures and grounds drawn by formula, for pre-training without a single collected image.

A *figure* is a fractal of an iterated function system, a closed contour in polar coordinates or a Bezier stroke; a
*ground* is filtered noise. The parameters of the formula are the category; instances of a category jitter them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.random import PCG64, Generator
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

FIGURE_SIZE = 40
GROUND_SIZE = 64
Points = NDArray[np.float64]


@dataclass(frozen=True)
class Bank:
    """Everything pre-rendered: `each` uint8 maps per category, in order of category."""

    figures: Tensor
    grounds: Tensor
    each: int

    def to(self, device: torch.device) -> "Bank":
        """Return the same maps on a device."""
        return Bank(self.figures.to(device), self.grounds.to(device), self.each)

    @property
    def figure_kinds(self) -> int:
        """How many categories of figures there are."""
        return len(self.figures) // self.each

    @property
    def ground_kinds(self) -> int:
        """How many categories of grounds there are."""
        return len(self.grounds) // self.each


def draw_bank(kinds: int, each: int, seed: int) -> Bank:
    """Draw `kinds` categories of each family of figures, and as many of grounds, with `each` instances."""
    random = Generator(PCG64(seed))
    figures = [family(random, each) for family in (fractal, contour, stroke) for _ in range(kinds)]
    grounds = [ground(random, each) for _ in range(kinds)]
    return Bank(torch.cat(figures), torch.cat(grounds), each)


def fractal(random: Generator, each: int) -> Tensor:
    """Draw one iterated function system by the chaos game, refusing systems that fill too little."""
    while True:
        count = int(random.integers(2, 5))
        maps = _contractions(random, count)
        shifts = random.uniform(-1, 1, (count, 2))
        figures = _rasterise(_orbits(random, maps, shifts, each), width=0.5, gain=0.6)
        if 0.12 < float((figures > 64).float().mean()) < 0.6:
            return figures


def _contractions(random: Generator, count: int) -> Points:
    """Give 2x2 maps whose singular values lie below one, so that every orbit stays bounded."""
    turn, tilt = random.uniform(0, 2 * np.pi, (2, count))
    scale = random.uniform(0.3, 0.85, (count, 2)) * random.choice([-1, 1], (count, 2))
    return _rotation(turn) @ (scale[:, :, None] * _rotation(tilt))


def _rotation(angle: Points) -> Points:
    return np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)], -1).reshape(*angle.shape, 2, 2)


def _orbits(random: Generator, maps: Points, shifts: Points, each: int, walkers: int = 64, steps: int = 30) -> Points:
    """Follow many walkers for a few steps each, in place of one walker for many."""
    share = np.abs(np.linalg.det(maps)) + 0.03
    instance = maps + random.normal(0, 0.03, (each, *maps.shape))
    moves = shifts + random.normal(0, 0.03, (each, *shifts.shape))
    rows = np.arange(each)[:, None]
    place, orbit = np.zeros((each, walkers, 2)), []
    for step in range(steps + 12):
        choice = random.choice(len(maps), (each, walkers), p=share / share.sum())
        place = np.einsum("nwij,nwj->nwi", instance[rows, choice], place) + moves[rows, choice]
        orbit += [place] if step >= 12 else []  # the first steps are still on the way to the attractor
    points = np.concatenate(orbit, 1)
    low, high = np.quantile(points[0], [0.01, 0.99], axis=0)
    return (points - (low + high) / 2) / (high - low).max() * 1.8


def contour(random: Generator, each: int) -> Tensor:
    """Draw one closed curve r(angle) as a disc, an outline or nested rings."""
    waves = np.arange(1, 9)
    strength = random.normal(0, 0.5, 8) / waves**0.7 * (random.random(8) < 0.5)
    phase, rings, width = random.uniform(0, 2 * np.pi, 8), int(random.integers(0, 4)), random.uniform(0.05, 0.12)
    strengths = strength * random.normal(1, 0.1, (each, 8))
    phases = phase + random.normal(0, 0.12, (each, 8))
    axis = (np.arange(FIGURE_SIZE) + 0.5) / FIGURE_SIZE * 2 - 1
    angle, radius = np.arctan2(axis[:, None], axis[None]), np.hypot(axis[:, None], axis[None])
    curve = np.exp(np.einsum("nk,nkhw->nhw", strengths, np.cos(waves[:, None, None] * angle + phases[..., None, None])))
    reach = radius / (curve / curve.max((1, 2), keepdims=True)) / 0.9
    if rings == 0:
        return _to_bytes(1 / (1 + np.exp(np.clip((reach - 1) * 20, -30, 30))))
    lines = [np.exp(-(((reach - ring / rings) * ring / rings / width) ** 2)) for ring in range(1, rings + 1)]
    return _to_bytes(np.max(lines, 0))


def stroke(random: Generator, each: int) -> Tensor:
    """Draw one to three Bezier curves through jittered control points."""
    order = int(random.integers(3, 6))
    control = random.uniform(-1.1, 1.1, (int(random.integers(1, 4)), order, 2))
    if len(control) > 1 and random.random() < 0.6:
        control[1:, 0] = control[:-1, -1]  # one unbroken line
    low, high = control.min((0, 1)), control.max((0, 1))
    control = (control - (low + high) / 2) / (high - low).max() * 2
    controls = control + random.normal(0, 0.07, (each, *control.shape))
    time = np.linspace(0, 1, 100)
    binomial = np.cumprod([1.0] + [(order - k) / k for k in range(1, order)])
    basis = np.stack([binomial[k] * time**k * (1 - time) ** (order - 1 - k) for k in range(order)], 1)
    points = np.einsum("pk,nckj->ncpj", basis, controls).reshape(each, -1, 2)
    return _rasterise(points, width=random.uniform(0.7, 1.6), gain=4)


def ground(random: Generator, each: int) -> Tensor:
    """Draw noise with one frequency, direction, bandwidth and nonlinearity; it repeats at its borders."""
    frequency, direction = random.uniform(1.5, 14), random.uniform(0, np.pi)
    spread, narrow = random.uniform(0.5, 4), random.choice([0.15, 0.4, 10])
    shape: Callable[[Points], Points] = (_soft, np.sign, np.abs, partial(np.maximum, 0))[int(random.integers(4))]
    wave = np.fft.fftfreq(GROUND_SIZE, 1 / GROUND_SIZE)
    angle, radius = np.arctan2(wave[:, None], wave[None]), np.hypot(wave[:, None], wave[None])
    apart = np.abs((angle - direction + np.pi / 2) % np.pi - np.pi / 2)
    filtered = np.exp(-(((radius - frequency) / spread) ** 2) - (apart / narrow) ** 2)
    noise = np.fft.ifft2(np.fft.fft2(random.normal(0, 1, (each, GROUND_SIZE, GROUND_SIZE))) * filtered).real
    drawn = shape(noise / noise.std((1, 2), keepdims=True))
    low, high = drawn.min((1, 2), keepdims=True), drawn.max((1, 2), keepdims=True)
    return _to_bytes((drawn - low) / (high - low))


def _rasterise(points: Points, width: float, gain: float) -> Tensor:
    """Count points per pixel, blur by `width` pixels, and saturate like ink does."""
    cells = np.floor((points + 1) / 2 * FIGURE_SIZE).astype(np.int64)
    inside = ((cells >= 0) & (cells < FIGURE_SIZE)).all(-1)
    flat = (np.arange(len(points))[:, None] * FIGURE_SIZE + cells[..., 1]) * FIGURE_SIZE + cells[..., 0]
    counts = np.bincount(flat[inside], minlength=len(points) * FIGURE_SIZE**2)
    kernel = torch.exp(-((torch.arange(-3, 4) / width) ** 2))
    blur = (kernel[:, None] * kernel)[None, None] / kernel.sum() ** 2
    ink = torch.from_numpy(counts).float().view(-1, 1, FIGURE_SIZE, FIGURE_SIZE)
    return _to_bytes((1 - torch.exp(-gain * functional.conv2d(ink, blur, padding=3)))[:, 0].numpy())


def _soft(values: Points) -> Points:
    return np.clip(values, -2, 2)


def _to_bytes(values: NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(np.clip(values * 255, 0, 255).astype(np.uint8))
