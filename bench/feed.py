"""What a run reads of its splits: frozen states where they are kept, images elsewhere; and what comes of it."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator
from functools import partial
from importlib.metadata import version

import torch
from torch import Tensor

from bench.autocast import autocast
from bench.caching import wanted_of, why_not
from bench.data import Normaliser, batches
from bench.execution import Execution
from bench.features import Kept, Key, Store, store_of
from bench.recent import pixels_of
from bench.run import Run
from bench.states import Rows, Stored
from bench.streamed import Streamed
from bench.train import TEST_BATCH
from datasets.base import Split
from methods import Network
from methods.states import IMAGES
from results import Speedups

__all__ = ["Feed", "store_for"]


class Feed:
    """Of one run. Raises Unsupported when the backbone cannot carry the method."""

    def __init__(self, run: Run, how: Execution, normalise: Normaliser) -> None:
        self._run, self._how, self._normalise = run, how, normalise
        self._wanted = wanted_of(run.backbone, run.resolved, run.task.classes, run.recipe)
        self._store = store_for(how)
        self._reason = why_not(run, how)
        self._kept: Kept | None = None
        self._same: bool | None = None
        self._seconds = 0.0
        self._tested = False

    def training(self, network: Network, split: Split) -> Split | Stored:
        """The training split for a stage."""
        if self._reason is not None:
            self._store.hold(None)
            return split
        key = _key(self._run, "train", split, self._how.device)
        self._store.hold(key)
        kept = self._states(key, network, split)
        if kept is None:
            self._reason = "the features fit nowhere within the limits"
            return split
        self._same = self._gives_the_same(kept, network, split)
        if not self._same and _exact(self._run, self._how):
            self._reason = "the last digits of an image's features depend on its batch here"
            return split
        self._kept, self._seconds = kept, self._seconds + kept.seconds
        return self._stored(kept, network, split)

    def testing(self, network: Network, split: Split | Streamed) -> Split | Streamed | Stored:
        """The test split: states are kept where it is scored more than once, by this run or by those on its images."""
        if self._how.cache_features == "off" or not self._wanted.pays:
            return split
        if isinstance(split, Streamed) and IMAGES in network.needs:
            return split  # images are needed besides, and those are not in memory
        key = _key(self._run, "test", split, self._how.device)
        if not self._store.asked_before(key) and not 0 < self._run.recipe.evaluate_every < self._run.recipe.epochs:
            return split
        kept = self._states(key, network, split)
        self._tested = kept is not None
        return split if kept is None else self._stored(kept, network, split)

    def speedups(self, peak_bytes: int | None) -> Speedups:
        """What the record says about it."""
        kept, compiled = self._kept, None if self._how.compile == "off" else self._how.compile
        if kept is None:
            return Speedups(feature_cache_reason=self._reason, test_cached=self._tested, compiled=compiled)
        return Speedups(
            feature_cache=", ".join(kept.places),
            feature_cache_bytes=kept.bytes,
            feature_cache_type=", ".join(kept.kinds),
            feature_cache_seconds=self._seconds,
            feature_cache_same=self._same,
            cached_peak_bytes=peak_bytes,
            test_cached=self._tested,
            compiled=compiled,
        )

    @property
    def cached(self) -> bool:
        """Whether training reads states that were computed before."""
        return self._kept is not None

    def _states(self, key: Key, network: Network, split: Split | Streamed) -> Kept | None:
        def images() -> Iterator[Tensor]:
            return (images for images, _ in batches(split, TEST_BATCH, self._how.device))

        observe = partial(self._observe, network.eval())
        return self._store.kept(key, self._wanted.sizes, len(split.labels), images, observe)

    @torch.no_grad()
    def _observe(self, network: Network, images: Tensor) -> dict[str, Tensor]:
        with autocast(self._how.device.type, self._run.recipe.precision):
            return network.observe(self._normalise(images))

    def _gives_the_same(self, kept: Kept, network: Network, split: Split) -> bool:
        """Whether images in other places of batches like those of training have the states that are kept."""
        count, size = len(split.labels), min(len(split.labels), self._run.recipe.batch_size)
        for images in {size, count % size} - {0}:
            chosen = torch.arange(images).flip(0)
            again = self._observe(network, split.images[chosen.to(split.images.device)])
            for name, state in kept.states.items():
                if not torch.equal(state[chosen.to(state.device)].to(again[name].device), again[name]):
                    return False
        return True

    def _stored(self, kept: Kept, network: Network, split: Split | Streamed) -> Stored:
        pixels = split.images if IMAGES in network.needs and isinstance(split, Split) else None
        rows = Rows(kept.states, self._how.device, pixels, self._normalise)
        return Stored(rows, split.labels.to(self._how.device))


def _exact(run: Run, how: Execution) -> bool:
    """Whether last digits are promised: in full precision on a CPU, unless features are to be kept at all costs."""
    return how.device.type == "cpu" and run.recipe.precision == "fp32" and how.cache_features == "auto"


def store_for(how: Execution) -> Store:
    """The store of this process for runs carried out so."""
    return store_of(how.device, how.cache_limits, how.cache_folder)


def _key(run: Run, name: str, split: Split | Streamed, device: torch.device) -> Key:
    backbone, recipe = run.backbone, run.recipe
    drawn = f"seed {run.seed}" if backbone.weights is None else f"timm {version('timm')}"
    labels = hashlib.sha256(split.labels.cpu().numpy().tobytes()).hexdigest()[:8]  # of the images that are left
    place = torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu {platform.machine()}"
    numerics = recipe.precision, recipe.attention, place, version("torch"), str(backbone.statistics)
    weights = backbone.digest() or drawn
    data = *pixels_of(run, name), labels
    return Key(backbone.name, weights, data, numerics, bool(run.task.revision), run.task.source)
