"""Says how a copy of a task lies on disk: the lists and image folders of a layout, and what was seen of a copy."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from datasets.files.listing import Listing, Listings
from datasets.files.lists import Lines

__all__ = ["Layout", "Look"]


@dataclass(frozen=True)
class Layout:
    """How a copy names the lists of each split (several are read one after another) and the folder of its images."""

    name: str
    lists: Mapping[str, tuple[str, ...]]
    images: tuple[str, ...] = (".", "images")  # the first below which a listed image lies


@dataclass(frozen=True)
class Look:
    """What there is of a task: its folder, and of each split that has one the list and the folder of the images."""

    folder: Path | None
    layout: str = ""
    splits: Mapping[str, Lines] = field(default_factory=dict)
    images: Mapping[str, Path] = field(default_factory=dict)
    missing: tuple[str, ...] = ()  # list files that ought to be there
    training: tuple[str, ...] = ("train",)  # the splits that hold training lists, one a seed
    names: tuple[str, ...] = ()  # of the classes, where the copy has any
    source: Callable[[Mapping[str, Listing]], Listings] = Listings  # made of the listing of each split

    @property
    def complete(self) -> bool:
        """Whether there is something to train on and something to score."""
        return {*self.training, "test"} <= self.splits.keys()
