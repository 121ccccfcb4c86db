"""The natural tasks of the demo: scanned handwritten digits, and pieces of two photographs; scikit-learn ships both."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from datasets.demo.drawing import SIZE, Pictures, balanced, seeded

Box = tuple[int, int, int, int]  # left, top, right, bottom
SMALLEST, LARGEST = 20, 40


@dataclass(frozen=True)
class Region:
    """A kind of surface: the photograph it is in and two places, apart from each other, that show it."""

    photograph: int
    train: Box
    test: Box


REGIONS = (
    Region(0, (0, 0, 92, 150), (340, 0, 560, 150)),  # sky
    Region(0, (180, 68, 310, 130), (76, 246, 340, 288)),  # roof
    Region(0, (100, 188, 320, 244), (84, 289, 340, 336)),  # gallery
    Region(0, (345, 215, 430, 300), (435, 205, 550, 275)),  # lake
    Region(0, (578, 150, 640, 285), (575, 290, 640, 427)),  # dark tree
    Region(0, (380, 325, 470, 427), (475, 300, 560, 427)),  # pale bush
    Region(0, (0, 350, 100, 427), (105, 352, 205, 427)),  # green bush
    Region(1, (185, 120, 240, 300), (375, 120, 430, 300)),  # outer petals
    Region(1, (255, 175, 303, 265), (306, 175, 352, 265)),  # inner petals
    Region(1, (0, 64, 150, 300), (470, 40, 640, 300)),  # leaves in the dark
)


@cache
def digits(split: str) -> Pictures:
    """Give handwritten digits, enlarged from 8 to 32 pixels."""
    from sklearn.datasets import load_digits  # a second to import, and the demo is not always what is wanted

    scans = load_digits()
    order = seeded(1, "train").permutation(len(scans.target))
    rows = order[:400] if split == "train" else order[400:1400]
    enlarged = [_enlarged(scan) for scan in (scans.images[rows] / 16 * 255).astype(np.uint8)]
    return Pictures(np.stack(enlarged), scans.target[rows].astype(np.int64))


def _enlarged(scan: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(scan).resize((SIZE, SIZE), Image.Resampling.BICUBIC).convert("RGB"))


@cache
def photos(split: str) -> Pictures:
    """Give pieces of surfaces under changing light; a test piece never overlaps a training piece."""
    from sklearn.datasets import load_sample_images

    random = seeded(2, split)
    labels = balanced(random, 400 if split == "train" else 1000, len(REGIONS))
    photographs = [Image.fromarray(photograph) for photograph in load_sample_images().images]
    pieces = [_piece(random, photographs, REGIONS[label], split) for label in labels]
    return Pictures(_lit(random, np.stack(pieces)), labels)


def _piece(random: Generator, photographs: list[Image.Image], region: Region, split: str) -> NDArray[np.uint8]:
    left, top, right, bottom = region.train if split == "train" else region.test
    side = int(random.integers(SMALLEST, LARGEST + 1))
    x, y = int(random.integers(left, right - side + 1)), int(random.integers(top, bottom - side + 1))
    piece = photographs[region.photograph].crop((x, y, x + side, y + side))
    turned = piece if random.random() < 0.5 else piece.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(turned.resize((SIZE, SIZE), Image.Resampling.BICUBIC))


def _lit(random: Generator, pieces: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Change white balance, exposure and contrast, so that the mean colour does not give the surface away."""
    count = len(pieces)
    values = pieces / 255.0
    mean = values.mean((1, 2), keepdims=True)
    contrast = random.uniform(0.7, 1.6, (count, 1, 1, 1))
    grey = mean.mean(-1, keepdims=True)
    faded = grey + (mean - grey) * random.uniform(0, 1, (count, 1, 1, 1))
    light = 0.5 + (faded - 0.5) * 0.5 + random.uniform(-0.15, 0.15, (count, 1, 1, 3))
    lit = light + (values - mean) * contrast
    return np.clip(np.rint(lit * 255), 0, 255).astype(np.uint8)
