"""The optimiser of a recipe over the tensors of a network that learn."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from bench.errors import WrongCall
from bench.train.schedules import base_rate
from methods.recipe import Recipe

__all__ = ["SENTENCES", "InBackward", "check_installed", "optimizer_of", "release"]

Groups = list[dict[str, Any]]
EIGHT_BIT = {
    "torchao.optim": "AdamW8bit",
    "bitsandbytes.optim": "AdamW8bit",
}  # by module, the one to be preferred first
SENTENCES = {
    "adamw8bit": "AdamW's moments of tensors of 4,096 numbers or more are quantised to 8 bits, so training differs a "
    "little",
    "optimizer_in_backward": "each tensor is updated in the backward pass, which frees its gradient; no result changes",
}


def optimizer_of(network: nn.Module, recipe: Recipe, planned: bool = False) -> Optimizer:
    """One fused optimiser with two groups, what decays and what does not; or one for each tensor, in backward.

    `planned`, 8-bit states are only laid out as memory. Raises WrongCall where no package has an 8-bit optimiser.
    """
    named = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    decayed = [p for name, p in named if _decays(recipe, name, p)]
    groups: Groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": _without([p for _, p in named], decayed), "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if recipe.optimizer_in_backward:
        return InBackward(groups, lambda own: _optimizer(own, recipe, planned))
    return _optimizer(groups, recipe, planned)


def check_installed(recipe: Recipe) -> None:
    """Raise WrongCall unless there is a package for the optimiser of the recipe."""
    if recipe.optimizer == "adamw8bit":
        _eight_bit()


def _optimizer(groups: Groups, recipe: Recipe, planned: bool) -> Optimizer:
    rate = base_rate(recipe)
    if recipe.optimizer == "sgd":
        return SGD(groups, lr=rate, momentum=recipe.momentum, fused=True)
    if recipe.optimizer == "adamw8bit":
        made: Optimizer = (Planned8bit if planned else _eight_bit())(groups, lr=rate, eps=recipe.epsilon)
        return made
    kind = {"adamw": AdamW, "adam": Adam}[recipe.optimizer]
    return kind(groups, lr=rate, eps=recipe.epsilon, fused=True)


def _eight_bit() -> Callable[..., Optimizer]:
    for module, name in EIGHT_BIT.items():
        try:
            found: Callable[..., Optimizer] = getattr(importlib.import_module(module), name)
        except ImportError:
            continue
        return found
    raise WrongCall(
        "--optimizer adamw8bit needs torchao or bitsandbytes, and neither is installed; pip install torchao, or take "
        "--optimizer adamw"
    )


class InBackward(Optimizer):
    """Updates each tensor as soon as its gradient is there, by an optimiser of its own, and frees the gradient.

    `seen` is called with each gradient before that, for those who count them.
    """

    def __init__(self, groups: Groups, make: Callable[[Groups], Optimizer]) -> None:
        super().__init__(groups, {})
        own = [make([{**group, "params": [p]}]) for group in groups for p in group["params"]]
        for optimizer in own:
            optimizer.state = self.state  # which goes by tensor
        self.param_groups = [group for optimizer in own for group in optimizer.param_groups]
        self.seen: Callable[[Tensor], None] = lambda _: None
        self._handles = [
            optimizer.param_groups[0]["params"][0].register_post_accumulate_grad_hook(partial(self._update, optimizer))
            for optimizer in own
        ]

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Nothing is left to do."""

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Nothing is left to free."""

    def release(self) -> None:
        """Update no longer: the tensors may get another optimiser."""
        for handle in self._handles:
            handle.remove()

    def _update(self, optimizer: Optimizer, parameter: Tensor) -> None:
        assert parameter.grad is not None
        self.seen(parameter.grad)
        optimizer.step()
        parameter.grad = None


class Planned8bit(Optimizer):
    """Lays out the memory of AdamW with 8-bit states, as torchao documents them, without computing anything.

    For each moment of a tensor of at least 4,096 numbers, divisible by 256: a byte a number, a float32 scale for each
    256 of them and a table of 256 float32; other tensors keep float32. A step holds one tensor's moments in float32.
    """

    def __init__(self, groups: Groups, lr: float, eps: float) -> None:
        super().__init__(groups, {"lr": lr, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Make the states at the first step; at every step, one tensor's moments at a time."""
        for parameter in (p for group in self.param_groups for p in group["params"] if p.grad is not None):
            state = self.state[parameter]
            for moment in ("exp_avg", "exp_avg_sq") if not state else ():
                state[moment] = _quantised(parameter)
            state.setdefault("step", parameter.new_zeros(()))
            if len(state["exp_avg"]) > 1:
                moments = [torch.zeros_like(parameter, dtype=torch.float32) for _ in range(2)]
                del moments


def _quantised(parameter: Tensor) -> tuple[Tensor, ...]:
    """Codes, scales and table of one moment; or the moment as it is."""
    size = parameter.numel()
    if size < 4096 or size % 256:
        return (torch.zeros_like(parameter),)
    codes = torch.zeros_like(parameter, dtype=torch.uint8)
    return codes, parameter.new_zeros(size // 256), parameter.new_zeros(256)


def release(optimizer: Optimizer) -> None:
    """Let go of the tensors, where the optimiser has a hold on them."""
    if isinstance(optimizer, InBackward):
        optimizer.release()


def _decays(recipe: Recipe, name: str, parameter: nn.Parameter) -> bool:
    """`matrices` leaves out one-dimensional tensors (NOAH), `not_biases` those called bias (VPT, DTL)."""
    if recipe.decay == "matrices":
        return parameter.ndim > 1
    return recipe.decay == "all" or not name.endswith("bias")


def _without(parameters: Iterable[nn.Parameter], others: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    left_out = {id(p) for p in others}
    return [p for p in parameters if id(p) not in left_out]
