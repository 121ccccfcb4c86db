"""What the drawn tasks of the demo share: coordinates, random colours, smooth noise, sensor noise."""

from dataclasses import dataclass

import numpy as np
from numpy.random import PCG64, Generator
from numpy.typing import NDArray
from PIL import Image

from datasets.base import Example

SIZE = 32
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Pictures:
    """Drawn images (uint8, N x H x W x 3) and their labels, before anyone asks for tensors."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def examples(self) -> list[Example]:
        """Give them one by one, as a task wants them."""
        return [(Image.fromarray(image), int(label)) for image, label in zip(self.images, self.labels, strict=True)]


def seeded(seed: int, split: str) -> Generator:
    """Give the stream of random numbers that belongs to one split of one task, for ever."""
    return Generator(PCG64([seed, ("train", "test").index(split)]))


def balanced(random: Generator, count: int, classes: int) -> NDArray[np.int64]:
    """Give labels in random order, every class as often as the others."""
    return random.permutation(np.arange(count) % classes)


def uniform(random: Generator, low: float, high: float, count: int) -> Array:
    """Give one number per picture, shaped to go with its pixels."""
    return random.uniform(low, high, (count, 1, 1))


def plane() -> tuple[Array, Array]:
    """Give the coordinates x and y of every pixel centre, from -1 to 1."""
    axis = (np.arange(SIZE) + 0.5) / SIZE * 2 - 1
    y, x = np.meshgrid(axis, axis, indexing="ij")
    return x, y


def turned(x: Array, y: Array, angle: Array) -> tuple[Array, Array]:
    """Rotate coordinates."""
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def clouds(random: Generator, count: int, roughness: float = 1.5) -> Array:
    """Draw smooth noise between 0 and 1 whose waves fall off with their frequency."""
    wave = np.fft.fftfreq(SIZE, 1 / SIZE)
    radius = np.maximum(np.hypot(wave[:, None], wave[None]), 1)
    noise = np.fft.ifft2(np.fft.fft2(random.normal(0, 1, (count, SIZE, SIZE))) / radius**roughness).real
    low, high = noise.min((1, 2), keepdims=True), noise.max((1, 2), keepdims=True)
    return np.asarray((noise - low) / (high - low))


def two_colours(random: Generator, count: int, apart: float) -> tuple[Array, Array]:
    """Give two colours per picture (N x 1 x 1 x 3) whose brightness differs by at least `apart`."""
    first = random.uniform(0, 1, (count, 1, 1, 3))
    second = random.uniform(0, 1, (count, 1, 1, 3))
    gap = (second - first).mean(-1, keepdims=True)
    missing = np.maximum(apart - np.abs(gap), 0) * np.where(gap < 0, -1, 1)
    return first - missing / 2, second + missing / 2


def blend(cover: Array, below: Array, above: Array) -> Array:
    """Lay one colour or picture over another where `cover` (N x H x W) says so."""
    return np.asarray(below + (above - below) * cover[..., None])


def finished(random: Generator, pictures: Array, noise: float) -> NDArray[np.uint8]:
    """Add sensor noise of up to the given strength and round to bytes."""
    strength = random.uniform(0, noise, (len(pictures), 1, 1, 1))
    noisy = pictures + random.normal(0, 1, pictures.shape) * strength
    return np.clip(np.rint(noisy * 255), 0, 255).astype(np.uint8)
