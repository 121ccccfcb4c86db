"""What a run reads of its splits: frozen states where they are kept, images elsewhere; and what comes of it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from bench.data.batches import Normaliser, batches, picked
from bench.data.epochs import Training
from bench.data.loader import TEST_BATCH, Augmented, Streamed
from bench.data.stored import Rows, Stored
from bench.features.eligibility import wanted_of, why_not
from bench.features.key import key_of
from bench.features.same import Same, compared
from bench.features.store import Kept, Key, Store, store_of
from bench.run import Run
from bench.settings import RunSettings
from bench.train.step import autocast
from datasets.base import Split
from methods import Network
from methods.states import IMAGES
from results import Speedups

__all__ = ["Feed", "store_for"]


class Feed:
    """Of one run. Raises Unsupported when the backbone cannot carry the method."""

    def __init__(self, run: Run, settings: RunSettings, normalise: Normaliser) -> None:
        self._run, self._settings, self._normalise = run, settings, normalise
        self._wanted = wanted_of(run.backbone, run.resolved, run.task.classes, run.recipe)
        self._store = store_for(settings)
        self._reason = why_not(run, settings)
        self._kept: Kept | None = None
        self._same: Same | None = None
        self._seconds = 0.0
        self._read = False
        self._tested: bool | None = None

    def training(self, network: Network, split: Split | Augmented) -> Training:
        """The training split for a stage."""
        self._kept = None
        if self._reason is None and isinstance(split, Split):
            self._kept = kept = self._training_states(network, split)
            if kept is not None:
                self._seconds, self._read = self._seconds + kept.seconds, True
                return self._stored(kept, network, split)
        self._store.hold(None)
        return split

    def _training_states(self, network: Network, split: Split) -> Kept | None:
        """Those of the training split, if they may be read; else the reason is noted."""
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
        """The test split: states are kept where it is scored more than once, by this run or by those on its images."""
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
        """What the record says about it, apart from compilation."""
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
        """What the device keeps of runs that came before, and of the test split: no part of this run's training."""
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
        """Images in other places of batches like those of training: a full one, and the last one."""
        size = min(count, self._run.recipe.batch_size)
        return [list(reversed(range(images))) for images in sorted({size, count % size} - {0})]

    def _compared(self, kept: Kept, network: Network, split: Split | Streamed, indices: list[int]) -> Same:
        """The states kept of these images, and what a batch of them has now."""
        again = self._hidden_states(network.eval(), picked(split, indices).images.to(self._settings.device))
        rows = ((state[indices], again[name]) for name, state in kept.states.items())
        return min(compared(before, now, self._run.recipe.precision) for before, now in rows)

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


def _exact(run: Run, settings: RunSettings) -> bool:
    """Whether last digits are promised: in full precision on a CPU, unless features are to be kept at all costs."""
    return settings.device.type == "cpu" and run.recipe.precision == "fp32" and settings.cache_features == "auto"


def store_for(settings: RunSettings) -> Store:
    """The store of this process for runs carried out so."""
    return store_of(settings.device, settings.cache_limits, settings.cache_folder, settings.features_since)
