"""One training step, for training itself and for its plans, measurements and timing; and what a step is made of."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.nn import functional
from torch.optim import Optimizer

from bench.train.optimizer import optimizer_of
from methods import Network
from methods.recipe import Recipe

__all__ = [
    "KINDS", "Gradients", "Input", "Scores", "TrainState", "autocast", "logits_of", "loss_of", "lower_frozen",
    "train_step",
]  # fmt: skip

torch.backends.cudnn.allow_tf32 = False  # "fp32" means fp32: cuDNN would round what convolutions read to 10 bits
KINDS = {"bf16": torch.bfloat16, "fp16": torch.float16}
PRODUCTS = nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d
Input = Tensor | dict[str, Tensor]  # normalised images, or frozen states by name
Gradients = Literal["freed_before", "freed_after", "zeroed"]  # when a loop frees them: before or after the forward pass


@dataclass
class TrainState:
    """What a training step needs beside the batch.

    `gradients` says when a code frees gradients: at the end of a step and so before the next forward pass (as training
    here does), after the forward pass, or never, since they are zeroed in place.
    """

    network: Network
    optimizer: Optimizer
    scaler: GradScaler
    autocast: Callable[[], AbstractContextManager[object]]
    max_grad_norm: float | None = None
    gradients: Gradients = "freed_before"

    @classmethod
    def of(cls, network: Network, recipe: Recipe, device: str, gradients: Gradients = "freed_before") -> TrainState:
        """Make the state at the start of training; `device` is "cpu", "cuda" or "meta"."""
        scaler = GradScaler(device, enabled=recipe.precision == "fp16" and device != "meta")
        in_precision = partial(autocast, device, recipe.precision)
        return cls(network, optimizer_of(network, recipe), scaler, in_precision, recipe.max_grad_norm, gradients)


@dataclass
class Scores:
    """Adds up the loss and the right answers of an epoch, on the device.

    The right answer to a mixed image is the class that has the largest share of it.
    """

    losses: list[Tensor] = field(default_factory=list)
    hits: list[Tensor] = field(default_factory=list)
    images: int = 0

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Count a batch, without waiting for the device."""
        right = labels if labels.dim() == 1 else labels.argmax(dim=1)
        self.losses.append(loss * len(labels))
        self.hits.append((logits.argmax(dim=1) == right).sum())
        self.images += len(labels)

    def means(self) -> tuple[float, float]:
        """Mean loss and accuracy over the images that were seen; waits for the device."""
        return torch.stack(self.losses).sum().item() / self.images, torch.stack(self.hits).sum().item() / self.images


def train_step(state: TrainState, rows: Input, labels: Tensor, scores: Scores | None = None) -> None:
    """Update the network once, and add to `scores` where they are wanted; nothing waits for the device.

    Args:
        state: The network, its optimiser and how they are used.
        rows: Normalised images (B×3×H×W), or frozen states by name.
        labels: Classes (B), or shares of classes (B×classes).
        scores: Sums of the epoch, of losses and answers before the update.
    """
    network, optimizer, scaler = state.network, state.optimizer, state.scaler
    with state.autocast():
        logits = logits_of(network, rows).float()
        loss = loss_of(network, logits, labels)
    if scores is not None:
        scores.add(loss.detach(), logits.detach(), labels)
    del logits  # what is not needed in the backward pass is not there at the peak
    if state.gradients == "freed_after":
        optimizer.zero_grad(set_to_none=True)
    scaler.scale(loss).backward()
    del loss
    if state.max_grad_norm is not None:
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_([p for p in network.parameters() if p.grad is not None], state.max_grad_norm)
    scaler.step(optimizer)
    scaler.update()
    if state.gradients != "freed_after":
        optimizer.zero_grad(set_to_none=state.gradients == "freed_before")


def logits_of(network: Network, rows: Input) -> Tensor:
    """Return the logits (B×classes) of normalised images, or of frozen states that were computed before."""
    return network.adapt(network.features(rows)) if isinstance(rows, dict) else network(rows)


def loss_of(network: Network, logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy of logits in float32, plus the network's regularization loss if any."""
    loss = functional.cross_entropy(logits, labels)
    penalty = network.regularization_loss()
    return loss if penalty is None else loss + penalty


def autocast(device: str, precision: str) -> AbstractContextManager[object]:
    """Run matrix products of the context in `precision` ("fp32" changes nothing); `device` is "cpu" or "cuda"."""
    return torch.autocast(device, KINDS[precision]) if precision in KINDS else nullcontext()


def lower_frozen(network: nn.Module, precision: str) -> None:
    """Cast the frozen weights of linear layers and convolutions once, in place, to what autocast makes of them.

    Autocast casts a weight that does not learn at every use, and the backward pass keeps the cast beside the weight.
    Products see the same numbers either way. Biases, norms and embeddings, which are small or are added in float32,
    stay as they are, and so does a module that says `keeps_precision`, since it computes with its weights itself.
    """
    if precision not in KINDS:
        return
    apart = (module for module in network.modules() if getattr(module, "keeps_precision", False))
    kept = {id(child) for module in apart for child in module.modules()}
    for module in network.modules():
        if isinstance(module, PRODUCTS) and id(module) not in kept and _is_frozen(module.weight):
            module.weight = nn.Parameter(module.weight.detach().to(KINDS[precision]), requires_grad=False)


def _is_frozen(weight: torch.Tensor) -> bool:
    return isinstance(weight, nn.Parameter) and weight.dtype == torch.float32 and not weight.requires_grad
