"""The nouns of the data: a split is images and labels, a task knows its splits, a suite is a list of tasks."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from PIL import Image
from torch import Tensor

from datasets.files.layout import Look
from datasets.transforms.preprocessing import Preprocessing

__all__ = ["MEAN_PER_CLASS", "Example", "NotHere", "Source", "Split", "Suite", "Task", "elsewhere"]

Example = tuple[Image.Image, int]
MEAN_PER_CLASS = (("Kornblith 2019", "mean_class_accuracy"),)  # Do Better ImageNet Models Transfer Better?, CVPR 2019
Source = Callable[[str], Iterable[Example]]  # from the name of a split to its images, in a fixed order, and labels


class NotHere(ValueError):
    """A task's images are not in the folder where they were looked for; the message says what was."""


def elsewhere(task: str) -> Source:
    """Give the source of a task whose images were not looked for yet: it raises NotHere."""

    def nothing(split: str) -> list[Example]:
        raise NotHere(f"the images of {task} lie in a folder; name it with --data")

    return nothing


@dataclass(frozen=True, eq=False)
class Split:
    """Images (uint8, N x 3 x H x W) and labels (int64, N)."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def content(self) -> str:
        """Sixteen hexadecimal digits that change with any pixel."""
        return hashlib.sha256(self.images.cpu().contiguous().numpy().data).hexdigest()[:16]


@dataclass(frozen=True)
class Task:
    """One dataset to adapt to; `sizes` has "train", "test" and perhaps "val".

    `revision` is part of a run's identity. Of images on disk it is made of lists, labels, names and file sizes and not
    of their content, which takes minutes to read: an image that is replaced by one of the same size does not change it.
    What is kept of images (features) does know their content.
    """

    name: str
    group: str
    classes: int
    sizes: Mapping[str, int]
    source: Source = field(repr=False, compare=False)
    revision: str = ""  # changes with images and labels; one for all draws, since the seed says which of them it is
    draw: int = 0  # which of the lists that were drawn, one a seed
    draws: tuple["Task", ...] = field(default=(), repr=False, compare=False)  # one a seed, where lists were drawn
    names: tuple[str, ...] = field(default=(), repr=False, compare=False)  # of the classes, where they are known
    note: str = field(default="", compare=False)  # what is known to be wrong with the published lists
    known: tuple[str, ...] = field(default=(), compare=False)  # kinds of defects that the published copy has too
    viewed: bool = False  # images are read as a viewer shows them (datasets/transforms/preprocessing.py)
    understood: str = field(default="", compare=False)  # how one's own folder was read, or other sizes than published
    masked: bool = False  # an answer is chosen among the classes that the test split has, not among all
    scored: tuple[int, ...] = ()  # those classes, once the images are found; empty for all
    metric: tuple[tuple[str, str], ...] = field(default=(), compare=False)  # (source, its headline) beside accuracy
    split: Literal["test", "val"] = "test"  # what is scored: "val" where settings are chosen (datasets/validation.py)

    def drawn(self, seed: int) -> "Task":
        """Give the task with the training list of that seed; the same task where there is but one list."""
        if not self.draws:
            return self
        if seed >= len(self.draws):
            raise ValueError(
                f"{self.name} has lists for the seeds 0..{len(self.draws) - 1}, not for {seed}; see --seeds"
            )
        return self.draws[seed]

    def load(self, split: str, preprocessing: Preprocessing, size: int) -> Split:
        """Give every image of the split, decoded and squashed to `size` x `size`, with its label."""
        images, labels = [], []
        for image, label in self.examples(split):
            images.append(preprocessing.pixels(image, size))
            labels.append(label)
        return Split(torch.stack(images), torch.tensor(labels))

    def examples(self, split: str) -> Iterator[Example]:
        """Give every image of the split as it is, with its label; raises ValueError where their number is another."""
        if split not in self.sizes:
            raise ValueError(f"task {self.name!r} has no split {split!r}; known: {', '.join(self.sizes)}")
        count = 0
        for example in self.source(split):
            count += 1
            yield example
        if count != self.sizes[split]:
            raise ValueError(f"{self.name} {split} should have {self.sizes[split]} images but has {count}")


@dataclass(frozen=True)
class Suite:
    """Tasks that are reported together, and what they are run with unless another is named.

    Where images lie in a folder, `look` says what there is of a task (datasets/files/copies.py makes a task of that),
    and the sizes in `tasks` are the published ones. `vary` gives the suite with the options behind its
    name, `domain:mask`.
    """

    name: str
    title: str
    groups: tuple[str, ...]
    tasks: tuple[Task, ...]
    recipe: str
    backbone: str
    preprocessing: str | None = None  # else the recipe's
    look: Callable[[Task, Path], Look] | None = field(default=None, repr=False, compare=False)
    vary: Callable[[str], "Suite"] | None = field(default=None, repr=False, compare=False)
    validation: float = 0.2  # share of each class that tuning scores, where no list says which images
