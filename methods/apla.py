"""APLA trains some rows of the attention's output projection, drawn at random (Sorkhei et al., 2025).

In each block `rows` of the D output features of the projection are drawn from the run's seed, without repeats; these
rows of its weight and entries of its bias learn, from their pre-trained values. The forward pass is the backbone's:

    y = W a + bias,   y[rows] = W[rows] a + bias[rows]      a: the attention's output, which attention keeps anyway

The rows that learn are tensors of their own, so that optimiser and weight decay never see the others. Which they are is
stored with them. What is kept for the backward pass does not depend on `rows`, and nothing is kept below the first
projection. docs/methods/apla.md has counts and sources.
"""

from __future__ import annotations

import torch
from timm.models import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

from methods.base import Entangled, Method, Network
from methods.parts.requirements import blocks_of, check_layers
from methods.settings import Count


class PartlyTuned(nn.Module):
    """A frozen linear layer some of whose rows, `rows`, are replaced by trainable ones."""

    rows: Tensor

    def __init__(self, frozen: nn.Linear, rows: Tensor) -> None:
        super().__init__()
        self.frozen = frozen
        self.register_buffer("rows", rows)
        self.weight = nn.Parameter(frozen.weight.detach()[rows])
        self.bias = None if frozen.bias is None else nn.Parameter(frozen.bias.detach()[rows])

    def forward(self, x: Tensor) -> Tensor:
        return self.frozen(x).index_copy_(-1, self.rows, functional.linear(x, self.weight, self.bias))

    def merged(self) -> nn.Linear:
        """Return the linear layer with the learned rows in their places."""
        self.frozen.weight.index_copy_(0, self.rows, self.weight)
        if self.bias is not None:
            self.frozen.bias.index_copy_(0, self.rows, self.bias)
        return self.frozen


class Apla(Method, name="apla"):
    """APLA trains some rows of the attention's output projection, drawn at random, and adds nothing.

    Family: selective tuning
    Paper: Sorkhei et al., arXiv 2025
    Entangled: yes
    Parameters: 73,824 (9,228 · rows)

    Settings:
        rows: How many output features of each projection are trained; as many as it has are the whole projection. The
            paper and its code say columns, since they write x W.
    """

    starts_as_backbone = True
    rows: Count = 8

    def attach(self, vit: VisionTransformer) -> Network:
        """Draw rows of each block's projection and make them trainable."""
        if self.rows > vit.embed_dim:
            raise ValueError(f"apla: rows={self.rows}, but the backbone is {vit.embed_dim} wide")
        for block in blocks_of(vit):
            check_layers(block, "attn.proj")
            if self.rows == vit.embed_dim:
                block.attn.proj.requires_grad_(True)
            else:
                block.attn.proj = PartlyTuned(block.attn.proj, torch.randperm(vit.embed_dim)[: self.rows])
        return Entangled(vit)
