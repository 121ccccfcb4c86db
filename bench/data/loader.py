"""Loads images: Datasets of decoded and augmented images, read ahead by the worker processes of torch's DataLoader."""

from __future__ import annotations

import contextlib
import hashlib
import multiprocessing
import os
import random
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain, islice, tee
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from datasets.base import Split
from datasets.files.listing import Listing
from datasets.transforms.augmentation import Mixing
from datasets.transforms.decoding import BadImage
from datasets.transforms.preprocessing import Preprocessing

__all__ = [
    "TEST_BATCH", "Augmented", "AugmentedImages", "ImageFiles", "LooseImages", "Mix", "Streamed",
    "clean_processes", "deaf_to_endings", "end_with_parent", "load_ahead", "order_of", "seeded", "sent", "start_server",
]  # fmt: skip

TEST_BATCH = 256  # images that are scored at a time
PIECES = 8  # parts of a batch that workers make one by one, so that several are at the next batch
AHEAD = 2  # parts that each worker may have waiting
FEWEST = 32  # images a worker: where there are fewer, starting it takes longer than decoding them
ENDINGS = {signal.SIGINT, signal.SIGUSR2}  # Ctrl-C, and what submitit has Slurm send to all of a job before its end
IMAGE, BATCH, ORDER = 1, 2, 3  # what random numbers are drawn for; part of every key, so that none are drawn twice


@dataclass(frozen=True, eq=False)
class ImageFiles(Dataset[Tensor]):
    """The images of a listing by their index, decoded and resized as for the test."""

    listing: Listing
    preprocessing: Preprocessing
    size: int

    def __getitem__(self, index: int) -> Tensor:
        """Return one image as uint8, 3 x size x size. Raises BadImage."""
        return self.listing.view(index, self.preprocessing, self.size)


@dataclass(frozen=True, eq=False)
class LooseImages:
    """The images of a suite that draws its own, in memory as they are; they are augmented like those of a Listing."""

    images: tuple[Image.Image, ...]
    labels: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.images)

    def augmented(self, index: int, preprocessing: Preprocessing, size: int) -> Tensor:
        """Return one image as it is trained on once, drawing from the global generators."""
        return preprocessing.augmented(self.images[index], size)


@dataclass(frozen=True, eq=False)
class AugmentedImages(Dataset[Tensor]):
    """Training images by epoch and index, augmented anew in every epoch."""

    originals: Listing | LooseImages
    preprocessing: Preprocessing
    size: int
    seed: int

    def __getitem__(self, key: tuple[int, int]) -> Tensor:
        """Return one image as uint8, 3 x size x size; it follows from seed, epoch and index alone. Raises BadImage."""
        epoch, index = key
        with seeded(IMAGE, self.seed, epoch, index):
            return self.originals.augmented(index, self.preprocessing, self.size)


@dataclass(frozen=True, eq=False)
class Streamed:
    """A split on disk whose images are decoded each time they are read; `bench.data.batches.batches` reads it."""

    listing: Listing
    preprocessing: Preprocessing
    size: int
    workers: int

    def __len__(self) -> int:
        return len(self.listing)

    @cached_property
    def labels(self) -> Tensor:
        """The labels (int64, N), in the memory of the host."""
        return torch.tensor(self.listing.labels)

    @property
    def size_bytes(self) -> int:
        """The bytes that all images take when they are decoded."""
        return len(self) * 3 * self.size**2

    @cached_property
    def content(self) -> str:
        """Sixteen hexadecimal digits that change when a file is written to, moved or replaced."""
        return hashlib.sha256(repr((self.listing.folder.resolve(), self.listing.stamps)).encode()).hexdigest()[:16]

    def batches(self, batch_size: int = TEST_BATCH, pinned: bool = False) -> Iterator[tuple[Tensor, Tensor]]:
        """Give all images (uint8) and labels in order, in the memory of the host. Raises BadImage."""
        files = ImageFiles(self.listing, self.preprocessing, self.size)
        indices = list(range(len(self)))
        chosen = [indices[start : start + batch_size] for start in range(0, len(self), batch_size)]
        workers = min(self.workers, len(self) // FEWEST)
        yield from zip(_batches(files, chosen, workers, pinned), self.labels.split(batch_size), strict=True)

    def picked(self, indices: list[int]) -> Split:
        """Return some of the images, in memory. Raises BadImage."""
        files = ImageFiles(self.listing, self.preprocessing, self.size)
        return Split(torch.stack([files[index] for index in indices]), self.labels[indices])


@dataclass(frozen=True, eq=False)
class Augmented:
    """A training split whose images are augmented anew in every epoch; it stands where a `Split` does."""

    originals: Listing | LooseImages
    labels: Tensor  # on the device
    preprocessing: Preprocessing
    size: int
    workers: int
    mix: Mix | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, epochs: int, steps: int, batch_size: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Give the batches of all epochs, on the device: images and labels, or mixed images and shares of classes.

        One epoch follows the other without a pause: the workers are at the next one while the last is tested. Raises
        BadImage.
        """
        device, labels = self.labels.device, torch.tensor(self.originals.labels)
        images = AugmentedImages(self.originals, self.preprocessing, self.size, seed)
        drawn, wanted = tee(self._drawn(epochs, steps, batch_size, seed))
        loaded = _batches(images, wanted, self.workers, device.type == "cuda")
        for number, (keys, batch) in enumerate(zip(drawn, loaded, strict=True)):
            pair = sent(batch, device), sent(labels[[index for _, index in keys]], device)
            yield pair if self.mix is None else self.mix(*pair, seed, number)

    def _drawn(self, epochs: int, steps: int, batch_size: int, seed: int) -> Iterator[list[tuple[int, int]]]:
        """Give the epoch and the index of every image of each batch."""
        for epoch in range(epochs):
            order = order_of(len(self), seed, epoch).tolist()
            for start in range(0, steps * batch_size, batch_size):
                yield [(epoch, index) for index in order[start : start + batch_size]]


class Mix:
    """Mixes a batch with itself, images and labels, by timm's mixup and CutMix.

    Takes images (uint8) and labels; returns mixed images (float, 0 to 255) and the share of every class in each.
    Sources mix images that are normalised, which is the same: normalising is linear and shares add up to one. timm
    mixes an even number of images; of an odd batch, one alone has its label smoothed only.
    """

    def __init__(self, mixing: Mixing, classes: int) -> None:
        from timm.data.mixup import Mixup  # here, since it takes longer than all that workers which only decode need

        self._smoothing, self._classes = mixing.label_smoothing, classes
        self._mixup = Mixup(mixing.mixup, mixing.cutmix, label_smoothing=mixing.label_smoothing, num_classes=classes)

    def __call__(self, images: Tensor, labels: Tensor, *key: int) -> tuple[Tensor, Tensor]:
        from timm.data.mixup import mixup_target

        mixed, even = images.float(), len(images) - len(images) % 2
        with seeded(BATCH, *key):
            _, shares = self._mixup(mixed[:even], labels[:even])  # mixes in place
        alone = mixup_target(labels[even:], self._classes, smoothing=self._smoothing)
        return mixed, torch.cat([shares, alone])


@contextlib.contextmanager
def seeded(*key: int) -> Iterator[None]:
    """Let python, numpy and torch (on the CPU) draw by the key within the context, and go on as before afterwards.

    Not `torch.manual_seed`, which seeds the devices as well, where a network's own numbers are drawn.
    """
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    words = np.random.SeedSequence(key).generate_state(8)
    random.seed(words.tobytes())
    np.random.seed(words)
    torch.default_generator.manual_seed(int(words[:2].view(np.uint64)[0]))
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])


def order_of(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """Return the indices of `count` images as they are shuffled for one epoch."""
    return np.random.default_rng((ORDER, seed, epoch)).permutation(count)


def sent(rows: Tensor, device: torch.device) -> Tensor:
    """Return rows on a device, copied from pinned memory that the allocator guards, so that the host need not wait.

    "cuda" and "cuda:0" are not equal; a run has one device, so that the type decides.
    """
    if rows.device.type == device.type:
        return rows
    return rows.to(device) if device.type == "cpu" else rows.pin_memory().to(device, non_blocking=True)


class _Pieces(Dataset[Any]):
    """Gives several images of a Dataset as one array.

    Arrays come from a worker through a pipe, where tensors would need /dev/shm, which is small in some containers. A
    bad image is returned and not raised, since the DataLoader would add a worker's traceback to what it says.
    """

    def __init__(self, images: Dataset[Tensor]) -> None:
        self.images = images

    def __getitems__(self, keys: list[Any]) -> NDArray[np.uint8] | BadImage:
        try:
            return torch.stack([self.images[key] for key in keys]).numpy()
        except BadImage as error:
            return error


def _batches(images: Dataset[Tensor], batches: Iterable[list[Any]], workers: int, pinned: bool) -> Iterator[Tensor]:
    """Give each batch of images (uint8, B x 3 x size x size) by their keys, in order. Raises BadImage."""
    whole, divided = tee(batches)
    pieces = load_ahead(_Pieces(images), chain.from_iterable(map(_pieces_of, divided)), workers)
    for batch in whole:
        loaded = list(islice(pieces, len(_pieces_of(batch))))
        for piece in loaded:
            if isinstance(piece, BadImage):
                raise piece
        rows = torch.empty(len(batch), *loaded[0].shape[1:], dtype=torch.uint8, pin_memory=pinned)
        np.concatenate(loaded, out=rows.numpy())
        yield rows


def _pieces_of(batch: list[Any]) -> list[list[Any]]:
    length = -(-len(batch) // PIECES)
    return [batch[start : start + length] for start in range(0, len(batch), length)]


def load_ahead(dataset: Dataset[Any], batches: Iterable[list[Any]], workers: int) -> Iterator[Any]:
    """Give what a Dataset's `__getitems__` has for each batch of keys, in order, made by worker processes ahead of use.

    Without workers it is made here; so it is in a process that may have no children (multiprocessing's daemons).
    """
    processes: dict[str, Any] = {}
    if workers > 0 and not multiprocessing.current_process().daemon:
        start_server()
        processes = {
            "num_workers": workers,
            "prefetch_factor": AHEAD,
            "worker_init_fn": _attend,
            "multiprocessing_context": clean_processes(),
        }
    generator = torch.Generator()  # else a seed is drawn from that of the run, and reading changes training
    return iter(DataLoader(dataset, batch_sampler=batches, collate_fn=_same, generator=generator, **processes))


def clean_processes(*modules: str) -> ForkServerContext:
    """Return the context of processes that are forked from a clean server, since this one may hold CUDA and threads.

    A server that is not running yet imports once, for all of them, what takes long, and the `modules` besides.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "PIL.Image", __name__, *modules])
    return context


def start_server(*modules: str) -> None:
    """Start the server once; it and what it forks are deaf to endings, since the run in progress is to be finished."""
    clean_processes(*modules)
    with deaf_to_endings():
        forkserver.ensure_running()


@contextlib.contextmanager
def deaf_to_endings() -> Iterator[None]:
    """Inside, processes are started that never hear Ctrl-C or that a job's time is over: this one says what they mean.

    What arrives meanwhile is heard afterwards.
    """
    resource_tracker.ensure_running()  # else it is started next, and lifts the block
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDINGS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent(end: Callable[[], object]) -> None:
    """Call `end`, on a thread, when the process that wanted this one is gone, however it went.

    The system's parent does not tell: that of a process from a server is the server.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        end()

    threading.Thread(target=wait, daemon=True).start()


def _attend(number: int) -> None:
    """Begin a worker."""
    end_with_parent(partial(os._exit, 1))


def _same(result: Any) -> Any:
    return result
