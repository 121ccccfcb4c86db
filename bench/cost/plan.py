"""Plans what a training step costs: counts the memory and the work of two steps on the meta device.

`plan` takes a network of the bench and its own loop; `plan_memory` takes one's own module and loss, and a loop as
PyTorch's tutorials write it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.nn import functional
from torch.optim import Optimizer

from bench.cost.cuda_rules import TODAY, CudaRules, Rules, hold_scores
from bench.cost.live_memory import Allocation, Meter, Peak
from bench.cost.reserved import allocator_peaks
from bench.train.optimizer import InBackward, optimizer_of
from bench.train.step import TrainState, lower_frozen, train_step
from methods import Network
from methods.recipe import Recipe
from results import size_unit

__all__ = ["MemoryPlan", "plan", "plan_inference", "plan_memory", "training_peak"]


def plan(
    network: Network,
    image_size: int,
    recipe: Recipe,
    rules: Rules = TODAY,
    module_at_work: Callable[[], str] | None = None,
) -> Peak:
    """Plan a training step with optimiser state on a network from `build_on_meta`; nothing is computed.

    The batch is one of float32 images on the device. Precision follows CUDA's autocast rules. With
    `module_at_work` the blocks of the peak know where they came from, which takes twice as long.
    """
    labels = torch.empty(recipe.batch_size, dtype=torch.int64, device="meta")
    return training_peak(network, _images(recipe, image_size), labels, recipe, rules, module_at_work)


def plan_inference(network: Network, image_size: int, recipe: Recipe, rules: Rules = TODAY) -> Peak:
    """Plan a forward pass without a graph, on a network from `build_on_meta` that may have been merged."""
    return inference_peak(network, _images(recipe, image_size), recipe, rules)


def training_peak(
    network: Network,
    images: Tensor,
    labels: Tensor,
    recipe: Recipe,
    rules: Rules = TODAY,
    module_at_work: Callable[[], str] | None = None,
) -> Peak:
    """Find the peak of the second of two training steps, on meta or real tensors: the first has no optimiser state."""
    _lower(network, recipe, rules)
    network.train()
    meter, scaler = Meter(module_at_work), GradScaler(images.device.type, enabled=False)

    def update(optimizer: Optimizer, cuda: CudaRules) -> None:
        state = TrainState(network, optimizer, scaler, cuda.forward, recipe.max_grad_norm, rules.gradients)
        train_step(state, images, labels)

    with _kinds_told(network, meter):
        return _updates_peak(network, (images, labels), recipe, meter, rules, update)


def _updates_peak(
    network: nn.Module,
    batch: Sequence[Tensor],
    recipe: Recipe,
    meter: Meter,
    rules: Rules,
    update: Callable[[Optimizer, CudaRules], None],
) -> Peak:
    """Find the peak of the second of two updates under the rules; `cuda.forward()` stands in for autocast."""
    _show(meter, network, *batch)
    with _counting(network, recipe, rules, meter) as cuda:
        optimizer = _metered_optimizer(network, recipe, meter)
        for _ in range(2):
            meter.forget_past()
            update(optimizer, cuda)
    return meter.peak()


def inference_peak(network: Network, images: Tensor, recipe: Recipe, rules: Rules = TODAY) -> Peak:
    """Find the peak of one forward pass in evaluation mode; the logits are alive at its end."""
    _lower(network, recipe, rules)
    network.eval()
    meter = Meter()
    _show(meter, network, images)
    with torch.no_grad(), _counting(network, recipe, rules, meter) as cuda, cuda.forward():
        network(images)
    return meter.peak()


@dataclass(frozen=True)
class MemoryPlan:
    """What a training step takes on a CUDA device, in bytes; FLOPs count two for a multiply-add."""

    peak_bytes: int  # live tensors at the highest moment of a step with optimiser state
    reserved_bytes: int  # what PyTorch's allocator takes from the card for it: this decides whether it fits
    breakdown: dict[str, int]  # of that moment by what it is for; adds up to the peak
    largest: tuple[Allocation, ...]  # the ten largest tensors of that moment, with shape, number format and operator
    flops: int  # of one training step

    def __str__(self) -> str:
        unit, name = size_unit(self.peak_bytes)
        parts = ", ".join(f"{part} {size / unit:.2f}" for part, size in self.breakdown.items())
        return f"{self.peak_bytes / unit:.2f} {name} at the peak ({parts}), {self.reserved_bytes / unit:.2f} reserved"


def plan_memory(
    module: nn.Module,
    batch: Sequence[Tensor],
    loss: Callable[..., Tensor] | None = None,
    *,
    optimizer: Literal["adamw", "adam", "sgd", "adamw8bit"] = "adamw",
    precision: Literal["fp32", "bf16", "fp16"] = "fp32",
    optimizer_in_backward: bool = False,
) -> MemoryPlan:
    """Plan two training steps of a module on tensors without memory; nothing is computed, and no GPU is needed.

    The module is not changed: a copy without its numbers takes the steps, in training mode, with what
    `requires_grad` says. Frozen weights are cast at every use, as autocast does (the bench's own loop casts them once).
    A forward pass that asks for values (`.item()`, `if x.sum() > 0`) cannot be planned, and neither are workspaces of
    cuDNN.

    Args:
        module: On any device, also made under `torch.device("meta")`.
        batch: The tensors of a batch; only their shapes and formats are read: `torch.empty(…, device="meta")` will do.
        loss: Called with the module and the tensors of the batch; returns a scalar. If None it is the cross-entropy of
            `module(images)`, plus a network's own regularization loss.
        optimizer: SGD has a momentum.
        precision: That of CUDA's autocast around forward pass and loss.
        optimizer_in_backward: Update each tensor as soon as its gradient is there.

    Raises:
        ValueError: Nothing in the module learns, or an option is not known.
    """
    recipe = Recipe(optimizer=optimizer, precision=precision, optimizer_in_backward=optimizer_in_backward)
    copied = _without_numbers(module).train()
    if not any(parameter.requires_grad for parameter in copied.parameters()):
        raise ValueError(f"nothing in {type(module).__name__} learns: no parameter has requires_grad")
    tensors = [tensor.to("meta") for tensor in batch]

    def update(updates: Optimizer, cuda: CudaRules) -> None:
        updates.zero_grad()
        with cuda.forward():
            value = (loss or _cross_entropy)(copied, *tensors)
        value.backward()
        updates.step()

    peak = _updates_peak(copied, tensors, recipe, Meter(lambda: ""), TODAY, update)
    reserved = allocator_peaks(peak).reserved
    return MemoryPlan(peak.total, reserved, peak.breakdown(), tuple(peak.largest(10)), peak.trained_flops)


def _images(recipe: Recipe, size: int) -> Tensor:
    return torch.empty(recipe.batch_size, 3, size, size, device="meta")


def _lower(network: Network, recipe: Recipe, rules: Rules) -> None:
    """Frozen weights as the training loop here has them; a code of others casts them at every use."""
    if rules == TODAY:
        lower_frozen(network, recipe.precision)


@contextmanager
def _counting(network: nn.Module, recipe: Recipe, rules: Rules, meter: Meter) -> Iterator[CudaRules]:
    with CudaRules(recipe.precision, rules.autograd) as cuda, hold_scores(network, rules), meter:
        yield cuda


def _show(meter: Meter, network: nn.Module, *batch: Tensor) -> None:
    """Tell the meter what is there before the first step."""
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        meter.add([tensor], "weights", name)
    meter.add(batch, "batch", "the batch")


@contextmanager
def _kinds_told(network: Network, meter: Meter) -> Iterator[None]:
    """Tell the meter what is extracted inside."""
    extract = network.extract

    def told(images: Tensor) -> Any:
        with meter.frozen():
            features = extract(images)
        meter.add((tensor for tensor in _tensors(features) if tensor is not images), "features")
        return features

    network.extract = told  # type: ignore[method-assign]
    try:
        yield
    finally:
        network.extract = extract  # type: ignore[method-assign]


def _metered_optimizer(network: nn.Module, recipe: Recipe, meter: Meter) -> Optimizer:
    """Make the optimiser of a network, of whose gradients and states the meter is told at every step."""
    optimizer = optimizer_of(network, recipe)

    def gradients() -> Iterator[Tensor]:
        return (p.grad for p in network.parameters() if p.grad is not None)

    def states() -> Iterator[Tensor]:
        return (tensor for state in optimizer.state.values() for tensor in _tensors(state))

    optimizer.register_step_pre_hook(lambda *_: meter.add(gradients(), "gradients"))
    optimizer.register_step_post_hook(lambda *_: meter.add(states(), "optimizer", "the optimizer"))
    if isinstance(optimizer, InBackward):
        optimizer.seen = lambda gradient: meter.add([gradient], "gradients")
    return optimizer


def _tensors(values: object) -> Iterator[Tensor]:
    return (value for value in torch.utils._pytree.tree_iter(values) if isinstance(value, Tensor))


def _without_numbers(module: nn.Module) -> nn.Module:
    """Copy a module with its parameters and buffers on the meta device; no number is copied."""
    known: dict[int, Any] = {}
    for parameter in module.parameters():
        known[id(parameter)] = nn.Parameter(parameter.detach().to("meta"), requires_grad=parameter.requires_grad)
    for buffer in module.buffers():
        known[id(buffer)] = buffer.detach().to("meta")
    return copy.deepcopy(module, known)


def _cross_entropy(module: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    loss = functional.cross_entropy(module(images), labels)
    penalty = module.regularization_loss() if isinstance(module, Network) else None
    return loss if penalty is None else loss + penalty
