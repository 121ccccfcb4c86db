"""The planned peak of training memory: two steps on fake tensors, counted (design.md, section 4)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.nn import functional
from torch.optim import Optimizer

from bench.cuda_rules import Autograd, CudaRules
from bench.meter import Meter, Peak
from bench.optimizers import optimizer_of
from methods import Network
from methods.recipe import Recipe

__all__ = ["Rules", "materialise", "plan", "training_peak"]


@dataclass(frozen=True)
class Rules:
    """What differs between codes that compute the same: which tensors autograd keeps, and when gradients go.

    `gradients`: freed before the forward pass (as the training loop here does), after it (DTL's loop), or zeroed
    in place and so never freed (PyTorch before 2.0).
    """

    autograd: Autograd = "current"
    gradients: Literal["freed_before", "freed_after", "zeroed"] = "freed_before"


TODAY = Rules()


def plan(network: Network, image_size: int, recipe: Recipe, rules: Rules = TODAY) -> Peak:
    """Peak of a training step with optimiser state, on a network from `skeleton`; nothing is computed.

    The batch is one of float32 images on the device. Precision follows CUDA's autocast rules.
    """
    with FakeTensorMode():
        materialise(network)
        images = torch.empty(recipe.batch_size, 3, image_size, image_size)
        labels = torch.empty(recipe.batch_size, dtype=torch.int64)
        return training_peak(network, images, labels, recipe, rules)


def training_peak(network: Network, images: Tensor, labels: Tensor, recipe: Recipe, rules: Rules = TODAY) -> Peak:
    """Peak over the second of two training steps: the first has no optimiser state yet."""
    network.train()
    optimizer = optimizer_of(network, recipe)
    meter = Meter()
    meter.add(network.parameters(), "weights")
    meter.add(network.buffers(), "weights")
    meter.add((images, labels), "batch")
    with CudaRules(recipe.precision, rules.autograd) as cuda, meter:
        for _ in range(2):
            meter.forget_past()
            _step(network, optimizer, images, labels, cuda, meter, rules)
    return meter.peak()


def plan_inference(network: Network, image_size: int, recipe: Recipe, rules: Rules = TODAY) -> Peak:
    """Peak of a forward pass without a graph, on a network from `skeleton` that may have been folded."""
    with FakeTensorMode():
        materialise(network)
        return inference_peak(network, torch.empty(recipe.batch_size, 3, image_size, image_size), recipe, rules)


def inference_peak(network: Network, images: Tensor, recipe: Recipe, rules: Rules = TODAY) -> Peak:
    """Peak of one forward pass in evaluation mode; the logits are alive at its end."""
    network.eval()
    meter = Meter()
    meter.add(network.parameters(), "weights")
    meter.add(network.buffers(), "weights")
    meter.add((images,), "batch")
    with torch.no_grad(), CudaRules(recipe.precision, rules.autograd) as cuda, meter, cuda.forward():
        network(images)
    return meter.peak()


def materialise(module: nn.Module) -> None:
    """Put a tensor of the current mode (fake or real, uninitialised) in place of every meta tensor of `module`."""
    made: dict[int, Tensor] = {}
    for child in module.modules():
        tables: tuple[dict[str, Any], ...] = child._parameters, child._buffers
        for table in tables:
            for key, value in table.items():
                if value is not None and value.is_meta:
                    table[key] = made.setdefault(id(value), _like(value))


def _like(value: Tensor) -> Tensor:
    empty = torch.empty(value.shape, dtype=value.dtype, device="cpu")
    return nn.Parameter(empty, requires_grad=value.requires_grad) if isinstance(value, nn.Parameter) else empty


def _step(
    network: Network, optimizer: Optimizer, images: Tensor, labels: Tensor, cuda: CudaRules, meter: Meter, rules: Rules
) -> None:
    """One training step as in `bench.train`, telling the meter what each tensor is for."""
    if rules.gradients == "freed_before":
        optimizer.zero_grad(set_to_none=True)
    with cuda.forward():
        features = [network.extract(images)]
        meter.add(_tensors(features, without=images), "features")
        loss = functional.cross_entropy(network.adapt(features.pop()).float(), labels)  # nobody else holds them
    if rules.gradients == "freed_after":
        optimizer.zero_grad(set_to_none=True)
    loss.backward()
    meter.add((p.grad for p in network.parameters() if p.grad is not None), "gradients")
    del loss
    optimizer.step()
    meter.add((s for state in optimizer.state.values() for s in _tensors(state)), "optimizer")
    if rules.gradients == "zeroed":
        optimizer.zero_grad(set_to_none=False)


def _tensors(values: object, without: Tensor | None = None) -> Iterator[Tensor]:
    found = (value for value in torch.utils._pytree.tree_iter(values) if isinstance(value, Tensor))
    return (tensor for tensor in found if tensor is not without)
