"""The one training loop, for every method, task and device."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from bench.data.batches import Normaliser, batches
from bench.data.epochs import Training, passes, steps_by_epoch, steps_in_epoch
from bench.data.stored import Stored
from bench.data.streamed import TEST_BATCH, Streamed
from bench.train.autocast import autocast, lower_frozen
from bench.train.compile import next_step
from bench.train.loss import loss_of
from bench.train.optimizers import optimizer_of, release
from bench.train.schedules import rate_at
from datasets.base import Split
from methods import Network
from methods.recipe import Recipe

__all__ = ["Diverged", "Epoch", "accuracy", "train"]

Input = Tensor | dict[str, Tensor]  # normalised images, or frozen states by name


class Diverged(Exception):
    """The loss is no longer a finite number; the message says when."""


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave. Loss and accuracy are means over the images seen, before each update.

    The right answer to a mixed image is the class that has the largest share of it.
    """

    number: int  # from 1
    loss: float
    accuracy: float
    seconds: float


def train(
    network: Network,
    split: Training,
    normalise: Normaliser,
    recipe: Recipe,
    seed: int,
    after: Callable[[Epoch], None],
) -> None:
    """Train in place, frozen weights in the recipe's precision; `after` is called, off the clock, after each epoch.

    Raises Diverged after the first epoch whose mean loss is not finite.
    """
    lower_frozen(network, recipe.precision)
    optimizer = optimizer_of(network, recipe)
    scaler = GradScaler(split.labels.device.type, enabled=recipe.precision == "fp16")
    steps = steps_in_epoch(len(split.labels), recipe)
    with closing(passes(split, recipe, seed)) as drawn:
        for number, count in enumerate(steps_by_epoch(recipe, steps)):
            started = time.perf_counter()
            loss, correct = _epoch(network, optimizer, scaler, islice(drawn, count), normalise, recipe, number, steps)
            epoch = Epoch(number + 1, loss, correct, time.perf_counter() - started)
            if not math.isfinite(epoch.loss):
                raise Diverged(f"the loss was {epoch.loss} in epoch {epoch.number} of {recipe.epochs}")
            after(epoch)
    release(optimizer)


@torch.inference_mode()
def accuracy(
    network: Network,
    split: Split | Streamed | Stored,
    normalise: Normaliser,
    recipe: Recipe,
    device: torch.device,
    among: Sequence[int] = (),
) -> float:
    """Share of images whose highest logit, of all or of the classes `among`, is their label, in evaluation mode."""
    network.eval()
    classes = torch.tensor(among, device=device)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    pairs: Iterator[tuple[Any, Tensor]]
    pairs = split.batches(TEST_BATCH) if isinstance(split, Stored) else batches(split, device)
    for images, labels in pairs:
        next_step()
        rows = images if isinstance(images, dict) else normalise(images)
        with autocast(device.type, recipe.precision):
            logits = _logits(network, rows)
        chosen = classes[logits[:, classes].argmax(dim=1)] if among else logits.argmax(dim=1)
        correct += (chosen == labels).sum()
    return correct.item() / len(split.labels)


def _epoch(
    network: Network,
    optimizer: Optimizer,
    scaler: GradScaler,
    drawn: Iterator[tuple[Any, Tensor]],
    normalise: Normaliser,
    recipe: Recipe,
    number: int,
    steps: int,
) -> tuple[float, float]:
    """Mean loss and accuracy of one epoch; they stay on the device until it is over."""
    network.train()
    losses, hits, seen = [], [], 0
    for step, (images, labels) in enumerate(drawn):
        next_step()
        _set_rate(optimizer, network.rate * rate_at(recipe, number, step, steps))
        rows = images if isinstance(images, dict) else normalise(images)
        loss, hit = _step(network, optimizer, scaler, rows, labels, recipe)
        losses.append(loss * len(labels))
        hits.append(hit)
        seen += len(labels)
    return torch.stack(losses).sum().item() / seen, torch.stack(hits).sum().item() / seen


def _step(
    network: Network, optimizer: Optimizer, scaler: GradScaler, rows: Input, labels: Tensor, recipe: Recipe
) -> tuple[Tensor, Tensor]:
    """One update; the loss and the number of right answers, without waiting for the device."""
    with autocast(labels.device.type, recipe.precision):
        logits = _logits(network, rows).float()
        loss = loss_of(network, logits, labels)
    scaler.scale(loss).backward()
    if recipe.max_grad_norm is not None:
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_([p for p in network.parameters() if p.grad is not None], recipe.max_grad_norm)
    scaler.step(optimizer)
    scaler.update()
    optimizer.zero_grad(set_to_none=True)
    right = labels if labels.dim() == 1 else labels.argmax(dim=1)
    return loss.detach(), (logits.detach().argmax(dim=1) == right).sum()


def _logits(network: Network, rows: Input) -> Tensor:
    """Of normalised images, or of frozen states that were computed before."""
    return network.adapt(network.features_of(rows)) if isinstance(rows, dict) else network(rows)


def _set_rate(optimizer: Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):  # as torchao has it
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
