"""Whether a run computes its frozen features once: what there is to keep, why not, and how much it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from bench.run import Run
from bench.settings import RunSettings
from bench.train.network import build_on_meta
from datasets.transforms.preprocessing import PRESETS
from methods import Method
from methods.backbones.registry import Backbone
from methods.recipe import Recipe
from methods.states import EMBEDDED, IMAGES

__all__ = ["Wanted", "wanted_of", "why_not"]


@dataclass(frozen=True)
class Wanted:
    """The states that a method needs, and whether they are random in training."""

    sizes: Mapping[str, int]  # bytes of one image by name, in float32, which is the most they can take
    random: bool

    @property
    def pays(self) -> bool:
        """Whether more than the embedding is computed once."""
        return not {EMBEDDED}.issuperset(self.sizes)


def why_not(run: Run, settings: RunSettings) -> str | None:
    """Return why a run computes its frozen features in every epoch; None where it keeps them, if they fit.

    `auto` leaves out what does not pay. Raises Unsupported when the backbone cannot carry the method.
    """
    if settings.cache_features == "off":
        return "switched off"
    wanted = wanted_of(run.backbone, run.resolved, run.recipe)
    if not wanted.sizes:
        return "everything learns"
    if PRESETS[run.recipe.preprocessing].augmentation:
        return "training images are augmented anew in every epoch"
    if settings.cache_features == "auto" and not wanted.pays:
        return "no more than the embedding is frozen"
    if wanted.random:
        return "the frozen part is random in training"
    return None


@cache
def wanted_of(backbone: Backbone, method: Method, recipe: Recipe) -> Wanted:
    """Return what a run's first stage needs, seen on the meta device; later stages need the same. Raises Unsupported.

    The number of classes changes nothing. States that change from epoch to epoch in training count as random.
    """
    network, size = build_on_meta(backbone, method, 2, recipe), backbone.image_size
    network.train()
    with Draws() as draws:
        states = network.hidden_states(torch.empty(2, 3, size, size, device="meta"))
    sizes = {name: 4 * state[0].numel() for name, state in states.items() if name != IMAGES}  # images are at hand
    return Wanted(sizes, draws.seen)


class Draws(TorchDispatchMode):
    """Notices operators that draw random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags and "attention" not in func.__name__:
            self.seen = True  # attention is so tagged with a dropout of 0 too; on meta it is made of other operators
        return func(*args, **(kwargs or {}))
