"""Whether a network draws random numbers where it should not: seen on the meta device, without computing anything."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from methods import Network

__all__ = ["has_random_states"]


class Draws(TorchDispatchMode):
    """Notices operators that draw random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags and "attention" not in func.__name__:
            self.seen = True  # attention is so tagged with a dropout of 0 too; on meta it is made of other operators
        return func(*args, **(kwargs or {}))


def has_random_states(network: Network, image_size: int) -> bool:
    """Whether the states of an image change from epoch to epoch in training; `network` is on the meta device."""
    network.train()
    with Draws() as draws:
        network.hidden_states(torch.empty(2, 3, image_size, image_size, device="meta"))
    return draws.seen
