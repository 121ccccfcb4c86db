"""Makes copies of the suites as they are published, from drawn images: layouts, names and class counts are real.

`python -m tests.datasets.made FOLDER` makes all of VTAB-1k there, with 1,000 training and 100 test images a task.
"""

import argparse
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from datasets import Task, suite


def picture(seed: int, size: int = 16) -> Image.Image:
    """An image of noise like no other."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8))


def write(path: Path, seed: int, size: int = 16) -> None:
    """In the format of the path's ending; a JPEG as the export made it, with the library's defaults."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = io.BytesIO()
    picture(seed, size).save(data, "JPEG" if path.suffix == ".jpg" else "PNG")
    path.write_bytes(data.getvalue())


def labels_of(count: int, classes: int) -> list[int]:
    return [index % classes for index in range(count)]


def text_task(folder: Path, task: Task, train: int = 10, test: int = 6, size: int = 16, start: int = 0) -> None:
    """NOAH's export: text lists, numbered JPEGs a split; train800val200 has copies of its two parts."""
    part = max(1, train * 4 // 5)
    splits = {"train800": range(part), "val200": range(part, train), "train800val200": range(train)}
    splits["test"] = range(train, train + test)
    labels = labels_of(train, task.classes) + labels_of(test, task.classes)
    for split, seeds in splits.items():
        names = [f"images/{split}/{number:06d}.jpg" for number in range(len(seeds))]
        for name, seed in zip(names, seeds, strict=True):
            write(folder / name, start + seed, size)
        lines = [f"{name} {labels[seed]}\n" for name, seed in zip(names, seeds, strict=True)]
        (folder / f"{split}.txt").write_text("".join(lines))


def json_task(
    folder: Path, task: Task, train: int = 10, test: int = 6, size: int = 16, start: int = 0, below: str = "images"
) -> None:
    """SynQT's export: lists of one-entry objects, PNGs below images/."""
    for split, first, count in (("train800val200", 0, train), ("test", train, test)):
        names = [f"{split}/{number:06d}.png" for number in range(count)]
        for number, name in enumerate(names):
            write(folder / below / name, start + first + number, size)
        document = [{name: label} for name, label in zip(names, labels_of(count, task.classes), strict=True)]
        (folder / f"{split}.json").write_text(json.dumps(document))


def suite_copy(root: Path, tasks: Sequence[Task], make=text_task, **sizes: int) -> Path:
    """All tasks below `root`, each with images of its own."""
    for place, task in enumerate(tasks):
        make(root / task.name, task, start=100_000 * place, **sizes)
    return root


def main() -> None:
    """Make VTAB-1k in the layout of the JSON lists."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path)
    options.add_argument("--train", type=int, default=1000, help="images a task")
    options.add_argument("--test", type=int, default=100, help="images a task")
    options.add_argument("--size", type=int, default=64, help="of an image, in pixels")
    given = options.parse_args()
    suite_copy(given.folder, suite("vtab").tasks, json_task, train=given.train, test=given.test, size=given.size)


if __name__ == "__main__":
    main()
