"""The planned peak of training memory: two steps on fake tensors, counted (docs/memory.md)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.optim import Optimizer

from bench.cost.cuda_rules import CudaRules
from bench.cost.live_memory import Meter, Peak
from bench.cost.origins import Origins
from bench.cost.rules import TODAY, Rules, hold_scores
from bench.train.autocast import lower_frozen
from bench.train.loss import loss_of
from bench.train.optimizers import InBackward, optimizer_of
from methods import Network
from methods.recipe import Recipe

__all__ = ["Rules", "inference_peak", "materialise", "plan", "plan_inference", "training_peak"]


def plan(network: Network, image_size: int, recipe: Recipe, rules: Rules = TODAY, explain: bool = False) -> Peak:
    """Peak of a training step with optimiser state, on a network from `skeleton`; nothing is computed.

    The batch is one of float32 images on the device. Precision follows CUDA's autocast rules. With `explain` the
    blocks of the peak know where they came from, which takes twice as long.
    """
    with FakeTensorMode():
        materialise(network)
        images = torch.empty(recipe.batch_size, 3, image_size, image_size)
        labels = torch.empty(recipe.batch_size, dtype=torch.int64)
        return training_peak(network, images, labels, recipe, rules, explain)


def plan_inference(network: Network, image_size: int, recipe: Recipe, rules: Rules = TODAY) -> Peak:
    """Peak of a forward pass without a graph, on a network from `skeleton` that may have been merged."""
    with FakeTensorMode():
        materialise(network)
        return inference_peak(network, torch.empty(recipe.batch_size, 3, image_size, image_size), recipe, rules)


def training_peak(
    network: Network, images: Tensor, labels: Tensor, recipe: Recipe, rules: Rules = TODAY, explain: bool = False
) -> Peak:
    """Peak over the second of two training steps: the first has no optimiser state yet."""
    _lower(network, recipe, rules)
    network.train()
    optimizer = optimizer_of(network, recipe, planned=True)
    meter = Meter(Origins(network).now if explain else None)
    if isinstance(optimizer, InBackward):
        optimizer.seen = lambda gradient: meter.add([gradient], "gradients")
    _show(meter, network, images, labels)
    with _counting(network, recipe, rules, meter) as cuda:
        for _ in range(2):
            meter.forget_past()
            _step(network, optimizer, images, labels, cuda, meter, rules)
    return meter.peak()


def inference_peak(network: Network, images: Tensor, recipe: Recipe, rules: Rules = TODAY) -> Peak:
    """Peak of one forward pass in evaluation mode; the logits are alive at its end."""
    _lower(network, recipe, rules)
    network.eval()
    meter = Meter()
    _show(meter, network, images)
    with torch.no_grad(), _counting(network, recipe, rules, meter) as cuda, cuda.forward():
        network(images)
    return meter.peak()


def _lower(network: Network, recipe: Recipe, rules: Rules) -> None:
    """Frozen weights as the training loop here has them; a code of others casts them at every use."""
    if rules == TODAY:
        lower_frozen(network, recipe.precision)


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


@contextmanager
def _counting(network: Network, recipe: Recipe, rules: Rules, meter: Meter) -> Iterator[CudaRules]:
    with CudaRules(recipe.precision, rules.autograd) as cuda, hold_scores(network, rules), meter:
        yield cuda


def _show(meter: Meter, network: Network, *batch: Tensor) -> None:
    """Tell the meter what is there before the first step."""
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        meter.add([tensor], "weights", name)
    meter.add(batch, "batch", "the batch")


def _step(
    network: Network, optimizer: Optimizer, images: Tensor, labels: Tensor, cuda: CudaRules, meter: Meter, rules: Rules
) -> None:
    """One training step as in `bench.train.loop`, telling the meter what each tensor is for."""
    if rules.gradients == "freed_before":
        optimizer.zero_grad(set_to_none=True)
    with cuda.forward():
        features = [network.extract(images)]
        meter.add(_tensors(features, without=images), "features")
        loss = loss_of(network, network.adapt(features.pop()).float(), labels)  # nobody else holds the features
    if rules.gradients == "freed_after":
        optimizer.zero_grad(set_to_none=True)
    loss.backward()
    meter.add((p.grad for p in network.parameters() if p.grad is not None), "gradients")
    del loss
    optimizer.step()
    meter.add((s for state in optimizer.state.values() for s in _tensors(state)), "optimizer", "the optimizer")
    if rules.gradients == "zeroed":
        optimizer.zero_grad(set_to_none=False)


def _tensors(values: object, without: Tensor | None = None) -> Iterator[Tensor]:
    found = (value for value in torch.utils._pytree.tree_iter(values) if isinstance(value, Tensor))
    return (tensor for tensor in found if tensor is not without)
