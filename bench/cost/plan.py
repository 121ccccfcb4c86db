"""The planned cost of a training step: two steps on the meta device, of which memory and work are counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from bench.cost.cuda_rules import TODAY, CudaRules, Rules, hold_scores
from bench.cost.live_memory import Meter, Peak
from bench.train.optimizer import InBackward, optimizer_of
from bench.train.step import TrainState, lower_frozen, train_step
from methods import Network
from methods.recipe import Recipe

__all__ = [
    "Rules", "inference_peak", "metered_optimizer", "plan", "plan_inference", "show", "training_peak",
]  # fmt: skip


def plan(
    network: Network,
    image_size: int,
    recipe: Recipe,
    rules: Rules = TODAY,
    module_at_work: Callable[[], str] | None = None,
) -> Peak:
    """Peak and work of a training step with optimiser state, on a network from `build_on_meta`; nothing is computed.

    The batch is one of float32 images on the device. Precision follows CUDA's autocast rules. With
    `module_at_work` the blocks of the peak know where they came from, which takes twice as long.
    """
    labels = torch.empty(recipe.batch_size, dtype=torch.int64, device="meta")
    return training_peak(network, _images(recipe, image_size), labels, recipe, rules, module_at_work)


def plan_inference(network: Network, image_size: int, recipe: Recipe, rules: Rules = TODAY) -> Peak:
    """Peak of a forward pass without a graph, on a network from `build_on_meta` that may have been merged."""
    return inference_peak(network, _images(recipe, image_size), recipe, rules)


def training_peak(
    network: Network,
    images: Tensor,
    labels: Tensor,
    recipe: Recipe,
    rules: Rules = TODAY,
    module_at_work: Callable[[], str] | None = None,
) -> Peak:
    """Peak over the second of two training steps, on meta or real tensors: the first has no optimiser state yet."""
    _lower(network, recipe, rules)
    network.train()
    meter = Meter(module_at_work)
    show(meter, network, images, labels)
    with _counting(network, recipe, rules, meter) as cuda, _kinds_told(network, meter):
        optimizer = metered_optimizer(network, recipe, meter)
        scaler = GradScaler(images.device.type, enabled=False)
        state = TrainState(network, optimizer, scaler, cuda.forward, recipe.max_grad_norm, rules.gradients)
        for _ in range(2):
            meter.forget_past()
            train_step(state, images, labels)
    return meter.peak()


def inference_peak(network: Network, images: Tensor, recipe: Recipe, rules: Rules = TODAY) -> Peak:
    """Peak of one forward pass in evaluation mode; the logits are alive at its end."""
    _lower(network, recipe, rules)
    network.eval()
    meter = Meter()
    show(meter, network, images)
    with torch.no_grad(), _counting(network, recipe, rules, meter) as cuda, cuda.forward():
        network(images)
    return meter.peak()


def _images(recipe: Recipe, size: int) -> Tensor:
    return torch.empty(recipe.batch_size, 3, size, size, device="meta")


def _lower(network: Network, recipe: Recipe, rules: Rules) -> None:
    """Frozen weights as the training loop here has them; a code of others casts them at every use."""
    if rules == TODAY:
        lower_frozen(network, recipe.precision)


@contextmanager
def _counting(network: Network, recipe: Recipe, rules: Rules, meter: Meter) -> Iterator[CudaRules]:
    with CudaRules(recipe.precision, rules.autograd) as cuda, hold_scores(network, rules), meter:
        yield cuda


def show(meter: Meter, network: nn.Module, *batch: Tensor) -> None:
    """Tell the meter what is there before the first step."""
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        meter.add([tensor], "weights", name)
    meter.add(batch, "batch", "the batch")


@contextmanager
def _kinds_told(network: Network, meter: Meter) -> Iterator[None]:
    """Inside, the meter is told what is extracted."""
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


def metered_optimizer(network: nn.Module, recipe: Recipe, meter: Meter) -> Optimizer:
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
