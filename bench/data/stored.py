"""A split as frozen states that were computed before: its rows take the place of the images in training and testing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.data.batches import Normaliser
from bench.data.loader import sent
from methods.states import IMAGES

__all__ = ["Rows", "Stored"]

CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class Rows:
    """States of all images by name, wherever they are kept; indexing gives those of some images on `target`."""

    states: Mapping[str, Tensor]
    target: torch.device
    pixels: Tensor | None = None  # where the images themselves are among the states
    normalise: Normaliser | None = None

    @property
    def device(self) -> torch.device:
        """Where indices are wanted: beside the states, so that nobody waits for them."""
        return CPU if any(state.device == CPU for state in self.states.values()) else self.target

    def __getitem__(self, chosen: Tensor | slice) -> dict[str, Tensor]:
        rows = {name: self._fetch(state, chosen) for name, state in self.states.items()}
        if self.pixels is not None and self.normalise is not None:
            rows[IMAGES] = self.normalise(self._fetch(self.pixels, chosen))
        return rows

    def _fetch(self, state: Tensor, chosen: Tensor | slice) -> Tensor:
        return sent(state[chosen if isinstance(chosen, slice) else sent(chosen, state.device)], self.target)


@dataclass(frozen=True, eq=False)
class Stored:
    """Rows and labels (int64, N, on the device); stands where a `Split` does."""

    images: Rows
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, batch_size: int) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
        """The split in order, a batch at a time."""
        for start in range(0, len(self), batch_size):
            part = slice(start, start + batch_size)
            yield self.images[part], self.labels[part]
