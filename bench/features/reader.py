"""Gives a run its training and test data: frozen states that were computed before if there are any, else images."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from functools import partial

import torch
from torch import Tensor

from bench.data.batches import Normaliser, Rows, Stored, Training, batches, picked
from bench.data.loader import TEST_BATCH, Augmented, Streamed
from bench.features.eligibility import wanted_of, why_not
from bench.features.key import key_of
from bench.features.store import Kept, Key, Store, store_of
from bench.run import Run
from bench.settings import RunSettings
from bench.train.step import autocast
from datasets.base import Split
from methods import Network
from methods.states import IMAGES
from results import Speedups

__all__ = ["Feed", "store_for"]

# Of the length of an image's state: about what twelve blocks make of another order of summation, several times over.
ROUNDING = {"fp32": 1e-3, "fp16": 1e-2, "bf16": 5e-2}


class Same(IntEnum):
    """Says how alike kept states are to those that would be computed now; of several, the least counts."""

    NO = 0
    ROUNDED = 1
    EXACT = 2


class Feed:
    """Gives one run its data, and its record what was kept. Raises Unsupported if the backbone lacks what is needed."""

    def __init__(self, run: Run, settings: RunSettings, normalise: Normaliser) -> None:
        self._run, self._settings, self._normalise = run, settings, normalise
        self._wanted = wanted_of(run.backbone, run.resolved, run.recipe)
        self._store = store_for(settings)
        self._reason = why_not(run, settings)
        self._kept: Kept | None = None
        self._same: Same | None = None
        self._seconds = 0.0
        self._read = False
        self._tested: bool | None = None

    def training(self, network: Network, split: Split | Augmented) -> Training:
        """Return the data of a stage: kept states of the training split, or its images."""
        self._kept = None
        if self._reason is None and isinstance(split, Split):
            self._kept = kept = self._training_states(network, split)
            if kept is not None:
                self._seconds, self._read = self._seconds + kept.seconds, True
                return self._stored(kept, network, split)
        self._store.hold(None)
        return split

    def _training_states(self, network: Network, split: Split) -> Kept | None:
        """Return the states of the training split if they may be read; else note the reason."""
        key = key_of(self._run, "train", split, self._settings.device)
        self._store.hold(key)
        kept = self._states(key, network, split)
        if kept is None:
            self._reason = "the features fit nowhere within the limits"
            return None
        self._same = min(self._compared(kept, network, split, indices) for indices in self._tried(len(split.labels)))
        self._reason = self._refused(self._same)
        return kept if self._reason is None else None

    def testing(self, network: Network, split: Split | Streamed) -> Split | Streamed | Stored:
        """Return the test data: states are kept where they are scored more than once, by this run or others."""
        if self._settings.cache_features == "off" or not self._wanted.pays or self._tested is False:
            return split
        if isinstance(split, Streamed) and IMAGES in network.required_states:
            return split  # images are needed besides, and those are not in memory
        key = key_of(self._run, "test", split, self._settings.device)
        if not self._store.asked_before(key) and not 0 < self._run.recipe.evaluate_every < self._run.recipe.epochs:
            return split
        kept = self._states(key, network, split)
        if self._tested is None:  # the last batch is looked at once, as it is read
            last = list(range(len(split.labels)))[(len(split.labels) - 1) // TEST_BATCH * TEST_BATCH :]
            same = None if kept is None else self._compared(kept, network, split, last)
            self._tested = same is not None and self._refused(same) is None
        return self._stored(kept, network, split) if kept is not None and self._tested else split

    def speedups(self, peak_bytes: int | None) -> Speedups:
        """Return what the record says about kept features."""
        kept, tested = self._kept, bool(self._tested)
        if kept is None:
            return Speedups(feature_cache_reason=self._reason, test_cached=tested)
        return Speedups(
            feature_cache=", ".join(kept.tiers),
            feature_cache_bytes=kept.bytes,
            feature_cache_type=", ".join(kept.kinds),
            feature_cache_seconds=self._seconds,
            feature_cache_same=self._same is Same.EXACT,
            cached_peak_bytes=peak_bytes,
            test_cached=tested,
        )

    @property
    def bytes_of_others(self) -> int:
        """Bytes that the device keeps of earlier runs and of the test split: no part of this run's training."""
        return self._store.bytes_beside(self._kept)

    @property
    def cached(self) -> bool:
        """Whether training read states that were computed before, in any stage."""
        return self._read

    def _states(self, key: Key, network: Network, split: Split | Streamed) -> Kept | None:
        def images() -> Iterator[Tensor]:
            return (images for images, _ in batches(split, self._settings.device))

        compute = partial(self._hidden_states, network.eval())
        return self._store.kept(key, self._wanted.sizes, len(split.labels), images, compute)

    @torch.no_grad()
    def _hidden_states(self, network: Network, images: Tensor) -> dict[str, Tensor]:
        with autocast(self._settings.device.type, self._run.recipe.precision):
            return network.hidden_states(self._normalise(images))

    def _tried(self, count: int) -> list[list[int]]:
        """Return images in other places of batches like those of training: a full one, and the last one."""
        size = min(count, self._run.recipe.batch_size)
        return [list(reversed(range(images))) for images in sorted({size, count % size} - {0})]

    def _compared(self, kept: Kept, network: Network, split: Split | Streamed, indices: list[int]) -> Same:
        """Compare the states kept of these images with what a batch of them has now."""
        again = self._hidden_states(network.eval(), picked(split, indices).images.to(self._settings.device))
        rows = ((state[indices], again[name]) for name, state in kept.states.items())
        return min(_likeness(before, now, self._run.recipe.precision) for before, now in rows)

    def _refused(self, same: Same) -> str | None:
        """Why states that are so alike are not read."""
        if same is Same.NO:
            return "an image's features are not those kept, by more than rounding"
        if same is Same.ROUNDED and _exact(self._run, self._settings):
            return "the last digits of an image's features depend on its batch here"
        return None

    def _stored(self, kept: Kept, network: Network, split: Split | Streamed) -> Stored:
        pixels = split.images if IMAGES in network.required_states and isinstance(split, Split) else None
        rows = Rows(kept.states, self._settings.device, pixels, self._normalise)
        return Stored(rows, split.labels.to(self._settings.device))


def _likeness(kept: Tensor, again: Tensor, precision: str) -> Same:
    """Compare the states of some images, kept and computed again."""
    kept = kept.to(again.device)
    if kept.equal(again):
        return Same.EXACT
    now = again.float().flatten(1)
    far = (kept.float().flatten(1) - now).norm(dim=1)
    return Same.ROUNDED if bool((far <= ROUNDING[precision] * now.norm(dim=1)).all()) else Same.NO


def _exact(run: Run, settings: RunSettings) -> bool:
    """Return whether last digits are promised: in full precision on a CPU, unless features are wanted at all costs."""
    return settings.device.type == "cpu" and run.recipe.precision == "fp32" and settings.cache_features == "auto"


def store_for(settings: RunSettings) -> Store:
    """Return the store of this process for runs with these settings."""
    return store_of(settings.device, settings.cache_limits, settings.cache_folder, settings.features_since)
