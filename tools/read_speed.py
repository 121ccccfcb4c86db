"""Compares how fast our DataLoader gives test images with plain Pillow in as many processes.

`python -m tools.read_speed` draws images, or reads those of `--folder`, and prints the ratio within one call, over
several rounds, since other work on a machine changes the seconds. Bar: 0.7 of plain Pillow.
"""

from __future__ import annotations

import argparse
import multiprocessing
import multiprocessing.pool
import statistics
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from bench.data.loader import Streamed, clean_processes
from bench.machine import cores
from datasets import PRESETS
from datasets.files.listing import listing
from datasets.transforms.decoding import ENDINGS

__all__ = ["measure"]

PIECE = 16  # images that a process of the plain reader takes at a time


def draw(folder: Path, count: int, side: int) -> None:
    """Smooth noise, which compresses about as photographs do."""
    for number in range(count):
        coarse = np.random.default_rng(number).integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((side, side * 3 // 4), Image.Resampling.BICUBIC)
        image.save(folder / f"{number:06d}.jpg", quality=90)


def plain(path: Path, size: int) -> None:
    """What anyone would write."""
    with Image.open(path) as image:
        np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC))


def measure(folder: Path, size: int, workers: int, rounds: int) -> dict[str, list[float]]:
    """Images per second in each round, each way."""
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS)
    images = listing(folder, [(path.name, 0) for path in paths])
    rates: dict[str, list[float]] = {"plain": [], "loader": []}
    for _ in range(rounds):
        with _pool(workers) as pool:
            started = time.perf_counter()
            pool.map(partial(plain, size=size), paths, PIECE)
            rates["plain"].append(len(paths) / (time.perf_counter() - started))
        started = time.perf_counter()
        for _ in Streamed(images, PRESETS["synqt"], size, workers).batches():
            pass
        rates["loader"].append(len(paths) / (time.perf_counter() - started))
    return rates


def _pool(workers: int) -> multiprocessing.pool.Pool:
    """Started, so that its start is not in its time; that of our processes is in ours."""
    pool = clean_processes().Pool(workers)
    pool.map(abs, range(workers))
    return pool


def main(words: Sequence[str]) -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--folder", type=Path, help="images to read instead of drawn ones")
    options.add_argument("--count", type=int, default=2000)
    options.add_argument("--side", type=int, default=400, help="of the drawn images, in pixels")
    options.add_argument("--size", type=int, default=224)
    options.add_argument("--workers", type=int, default=cores())
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args(words)
    with TemporaryDirectory() as drawn:
        if given.folder is None:
            draw(Path(drawn), given.count, given.side)
        rates = measure(given.folder or Path(drawn), given.size, given.workers, given.rounds)
    for name, values in rates.items():
        seen = ", ".join(f"{value:.0f}" for value in values)
        sys.stdout.write(f"{name:<7} {statistics.median(values):8.0f} images/s ({seen})\n")
    ratios = [ours / theirs for ours, theirs in zip(rates["loader"], rates["plain"], strict=True)]
    sys.stdout.write(f"loader / plain: {statistics.median(ratios):.2f}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
