"""LoRA-FA trains low-rank updates whose down-projection is frozen at its random start (Zhang et al., 2023).

    y = W x + bias + scale · B (A x)      A (rank×inputs) frozen, uniform within ±1/√inputs; B (outputs×rank) from zero

B learns, so that a layer keeps the code A x (rank numbers a token) where LoRA keeps x. Query, key and value have
updates of their own, as if their projections were three layers. A is part of the network: it is a buffer, and stored.
See docs/methods/lora_fa.md.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from timm.models import VisionTransformer
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional

from methods import lora
from methods.base import Entangled, Method, Network
from methods.parts.requirements import blocks_of, check_layers
from methods.settings import Count, Number

TARGETS = {"qv": ("q", "v"), "qkv": ("qkv",), "all": ("q", "k", "v")}  # of the projection
OTHERS = ("attn.proj", "mlp.fc1", "mlp.fc2")  # what `all` has besides


class FrozenDown(nn.Module):
    """Computes `scale · B (A x)`, where only B learns."""

    down: Tensor

    def __init__(self, inputs: int, outputs: int, rank: int, scale: float) -> None:
        super().__init__()
        self.register_buffer("down", nn.init.kaiming_uniform_(torch.empty(rank, inputs), a=math.sqrt(5)))
        self.up = nn.Parameter(torch.zeros(outputs, rank))
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        code = functional.linear(x, self.down)
        return functional.linear(code if self.scale == 1 else code * self.scale, self.up)

    def matrix(self) -> Tensor:
        """Return the update as one matrix (outputs×inputs)."""
        return self.scale * self.up @ self.down


class Joint(Function):
    """Computes `W x + bias + scale · B (A x)`; forms the gradient of x in one tensor, not in two and their sum."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, update: FrozenDown, up: Tensor) -> Tensor:
        code = functional.linear(x, update.down)
        ctx.save_for_backward(code, weight, update.down, up)
        ctx.scale = update.scale
        return functional.linear(x, weight, bias).add_(functional.linear(code, up), alpha=update.scale)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        code, weight, down, up = ctx.saved_tensors
        rows, kind = gradient.flatten(0, -2), gradient.dtype  # there is no autocast here
        for_up = (rows.T @ code.flatten(0, -2).to(kind)).mul_(ctx.scale) if ctx.needs_input_grad[4] else None
        for_x = None
        if ctx.needs_input_grad[0]:
            for_x = (rows @ weight.to(kind)).addmm_(rows @ up.to(kind), down.to(kind), alpha=ctx.scale)
            for_x = for_x.unflatten(0, gradient.shape[:-1])
        return for_x, None, None, None, for_up


class Updated(nn.Module):
    """Adds its update to a frozen linear layer."""

    def __init__(self, frozen: nn.Linear, update: FrozenDown) -> None:
        super().__init__()
        self.frozen = frozen
        self.update = update

    def forward(self, x: Tensor) -> Tensor:
        return Joint.apply(x, self.frozen.weight, self.frozen.bias, self.update, self.update.up)

    def merged(self) -> nn.Linear:
        """Return one linear layer with the same output."""
        self.frozen.weight = nn.Parameter(self.frozen.weight + self.update.matrix(), requires_grad=False)
        return self.frozen


class LoraFa(Method, name="lora_fa"):
    """LoRA-FA is LoRA with frozen, random down-projections, so that layers keep less; it merges into the backbone.

    Family: low-rank updates
    Paper: Zhang et al., arXiv 2023
    Entangled: yes
    Parameters: 73,728 (18,432 · rank; 82,944 · rank with target=all)

    The paper is about language models and draws the down-projection from a normal distribution; it is uniform here, as
    in the code behind the vision results.

    Settings:
        rank: Rank of the update.
        target: `qv` updates queries and values, `all` also keys, the attention's output and both layers of the MLP;
            with `qkv` queries, keys and values share one down-projection.
        scale: Factor of the update: 1 in the code behind the vision results, alpha/rank in others.
    """

    starts_as_backbone = True
    rank: Count = 4
    target: Literal["qv", "qkv", "all"] = "qv"
    scale: Number = 1.0

    def attach(self, vit: VisionTransformer) -> Network:
        """Add an update to each target of each block."""
        for block in blocks_of(vit):
            check_layers(block, "attn.qkv", *(OTHERS if self.target == "all" else ()))
            qkv = block.attn.qkv
            width, names = qkv.out_features // 3, TARGETS[self.target]
            updates = {name: FrozenDown(qkv.in_features, width * len(name), self.rank, self.scale) for name in names}
            block.attn.qkv = lora.Adapted(qkv, updates)
            for layer in OTHERS if self.target == "all" else ():
                frozen = block.get_submodule(layer)
                update = FrozenDown(frozen.in_features, frozen.out_features, self.rank, self.scale)
                block.set_submodule(layer, Updated(frozen, update))
        return Entangled(vit)
