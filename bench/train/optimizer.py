"""Builds the optimiser of a recipe over the tensors of a network that learn."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from bench.errors import UsageError
from bench.train.schedule import base_rate
from methods.recipe import Recipe

__all__ = ["SENTENCES", "InBackward", "check_installed", "optimizer_of", "release", "set_rate"]

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


def optimizer_of(network: nn.Module, recipe: Recipe) -> Optimizer:
    """Make one fused optimiser of two groups, what decays and what does not; or one a tensor, in backward.

    On the meta device its states are only laid out. Raises UsageError where no package has an 8-bit optimiser.
    """
    named = [(name, p) for name, p in network.named_parameters() if p.requires_grad]
    decayed = [p for name, p in named if _decays(recipe, name, p)]
    groups: Groups = [
        {"params": decayed, "weight_decay": recipe.weight_decay},
        {"params": _without([p for _, p in named], decayed), "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    make = partial(LaidOut, recipe=recipe) if any(p.is_meta for _, p in named) else partial(_optimizer, recipe=recipe)
    return InBackward(groups, make) if recipe.optimizer_in_backward else make(groups)


def check_installed(recipe: Recipe) -> None:
    """Raise UsageError unless there is a package for the optimiser of the recipe."""
    if recipe.optimizer == "adamw8bit":
        _eight_bit()


def release(optimizer: Optimizer) -> None:
    """Let go of the tensors, where the optimiser has a hold on them."""
    if isinstance(optimizer, InBackward):
        optimizer.release()


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Give all tensors this learning rate from the next step on."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):  # as torchao has it
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def _optimizer(groups: Groups, recipe: Recipe) -> Optimizer:
    rate = base_rate(recipe)
    if recipe.optimizer == "sgd":
        return SGD(groups, lr=rate, momentum=recipe.momentum, fused=True)
    if recipe.optimizer == "adamw8bit":
        return _eight_bit()(groups, lr=rate, eps=recipe.eps)
    kind = {"adamw": AdamW, "adam": Adam}[recipe.optimizer]
    return kind(groups, lr=rate, eps=recipe.eps, fused=True)


def _eight_bit() -> Callable[..., Optimizer]:
    for module, name in EIGHT_BIT.items():
        try:
            found: Callable[..., Optimizer] = getattr(importlib.import_module(module), name)
        except ImportError:
            continue
        return found
    raise UsageError(
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


class LaidOut(Optimizer):
    """Lays out, on the meta device, the states that the recipe's optimiser keeps, without computing anything.

    Those of torch's own are what its fused kernels keep, which update in place. AdamW with 8-bit states is as torchao
    documents it: for each moment of a tensor of at least 4,096 numbers, divisible by 256, a byte a number, a float32
    scale for each 256 of them and a table of 256 float32; a step holds one tensor's moments in float32.
    """

    def __init__(self, groups: Groups, recipe: Recipe) -> None:
        super().__init__(groups, {"lr": base_rate(recipe)})
        self._recipe = recipe

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Make the states at the first step; with 8 bits, hold one tensor's moments at a time at every step."""
        for parameter in (p for group in self.param_groups for p in group["params"] if p.grad is not None):
            state = self.state[parameter]
            if not state:
                self._lay_out(parameter, state)
            if isinstance(state.get("exp_avg"), tuple):
                moments = [torch.zeros_like(parameter, dtype=torch.float32) for _ in range(2)]
                del moments

    def _lay_out(self, parameter: Tensor, state: dict[str, Any]) -> None:
        if self._recipe.optimizer == "sgd":
            if self._recipe.momentum:
                state["momentum_buffer"] = torch.empty_like(parameter)
            return
        state["step"] = parameter.new_zeros(())
        small = self._recipe.optimizer != "adamw8bit" or parameter.numel() < 4096 or parameter.numel() % 256
        for moment in ("exp_avg", "exp_avg_sq"):
            state[moment] = torch.zeros_like(parameter) if small else _quantised(parameter)


def _quantised(parameter: Tensor) -> tuple[Tensor, ...]:
    """Codes, scales and table of one moment."""
    codes = torch.zeros_like(parameter, dtype=torch.uint8)
    return codes, parameter.new_zeros(parameter.numel() // 256), parameter.new_zeros(256)


def _decays(recipe: Recipe, name: str, parameter: nn.Parameter) -> bool:
    """`matrices` leaves out one-dimensional tensors (NOAH), `not_biases` those called bias (VPT, DTL)."""
    if recipe.decay == "matrices":
        return parameter.ndim > 1
    return recipe.decay == "all" or not name.endswith("bias")


def _without(parameters: Iterable[nn.Parameter], others: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    left_out = {id(p) for p in others}
    return [p for p in parameters if id(p) not in left_out]
