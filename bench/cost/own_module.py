"""Plans the memory of one's own module and loss, in a training loop as PyTorch's tutorials write it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn
from torch.nn import functional

from bench.cost.cuda_rules import CudaRules
from bench.cost.live_memory import Allocation, Meter
from bench.cost.plan import metered_optimizer, show
from bench.cost.reserved import allocator_peaks
from methods import Network
from methods.recipe import Recipe
from results import size_unit

__all__ = ["MemoryPlan", "plan_memory"]


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
    meter = Meter(lambda: "")
    show(meter, copied, *tensors)
    with CudaRules(recipe.precision) as cuda, meter:
        updates = metered_optimizer(copied, recipe, meter)
        for _ in range(2):  # the first has no optimiser state yet
            meter.forget_past()
            updates.zero_grad()
            with cuda.forward():
                value = (loss or _cross_entropy)(copied, *tensors)
            value.backward()
            updates.step()
    peak = meter.peak()
    reserved = allocator_peaks(peak).reserved
    return MemoryPlan(peak.total, reserved, peak.breakdown(), tuple(peak.largest(10)), peak.trained_flops)


def _without_numbers(module: nn.Module) -> nn.Module:
    """A copy whose parameters and buffers are on the meta device, of which none was ever copied."""
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
