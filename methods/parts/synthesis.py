"""Provides the trainable parts of SynQT: bottlenecks, the synthesis of queries, and the weighing of features.

See docs/methods/synqt.md; norms here have eps 1e-5. `Res_w(x) = x + drop(W2·drop(GELU(W1·x)))`.
"""

from __future__ import annotations

import torch
from timm.layers import DropPath
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Bottleneck", "Gathering", "Synthesis"]


class Bottleneck(nn.Module):
    """Returns `x + drop(up(drop(GELU(down(x)))))`; nothing starts at zero."""

    def __init__(self, width: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.down = nn.Linear(width, hidden)
        self.up = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.dropout(self.up(self.dropout(functional.gelu(self.down(x)))))


class Synthesis(nn.Module):
    """Makes the queries of one block (B×n×D) from its tokens plus the carried state:

    z = Res_48(x);  t = LNa(z);  z += s'·drop(Res_8(drop(softmax(Q·Kᵀ/√D))·V));  z += s''·Res_48(LNb(z));  drop(z)
    with Q = Res_8(LNq(t)), K = Res_8(LNk(t)), V = Res_8(LNk(t)) in one head. With n = 1, Q and K get zero gradients.
    """

    def __init__(self, width: int, wide: int, narrow: int) -> None:
        super().__init__()
        self.project = Bottleneck(width, wide, 0.1)
        self.norm_attention, self.norm_query, self.norm_key, self.norm_ffn = (nn.LayerNorm(width) for _ in range(4))
        self.query, self.key, self.value, self.out = (Bottleneck(width, narrow) for _ in range(4))
        self.ffn = Bottleneck(width, wide, 0.1)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: Tensor, attention_scale: Tensor, ffn_scale: Tensor) -> Tensor:
        x = self.project(x)
        x = x + attention_scale * self._attend(self.norm_attention(x))
        x = x + ffn_scale * self.ffn(self.norm_ffn(x))
        return self.dropout(x)

    def _attend(self, normed: Tensor) -> Tensor:
        query, normed = self.query(self.norm_query(normed)), self.norm_key(normed)
        key, value = self.key(normed), self.value(normed)
        weights = (query @ key.transpose(1, 2) * query.shape[-1] ** -0.5).softmax(dim=-1)
        return self.dropout(self.out(self.dropout(weights) @ value))


class Gathering(nn.Module):
    """Makes one vector (B×D) of features (B×F×D), with weights that the first of them gives:

    g_j = f_j + Res_48(LNo(f_j));  w = tanh(drop(GELU(Wg·g_0 + bg)));  LNh((g_0 + Σ w_j·g_j) / F)
    The last norm starts as a copy of the backbone's, apart from its eps. In training, whole g_j but g_0 are dropped.
    """

    def __init__(self, features: int, wide: int, norm: nn.LayerNorm) -> None:
        super().__init__()
        width = norm.normalized_shape[0]
        self.norm = nn.LayerNorm(width)
        self.bottleneck = Bottleneck(width, wide, 0.1)
        self.drop = DropPath(0.3)
        self.gate = nn.Linear(width, features - 1)
        self.dropout = nn.Dropout(0.1)
        self.last_norm = nn.LayerNorm(width)
        self.last_norm.load_state_dict(norm.state_dict())

    def forward(self, features: Tensor) -> Tensor:
        first, *_ = gathered = self.refine(features).split([1, features.shape[1] - 1], dim=1)
        rest = self.drop(gathered[1].flatten(0, 1)).view_as(gathered[1])  # a vector of an image at a time
        weighed = self.weights(first).transpose(1, 2) * rest
        return self.last_norm((first.squeeze(1) + weighed.sum(1)) / features.shape[1])

    def weights(self, first: Tensor) -> Tensor:
        """Return the weights (B×1×F-1) of all features but the first, between -0.1685 and 1."""
        return torch.tanh(self.dropout(functional.gelu(self.gate(first))))

    def refine(self, features: Tensor) -> Tensor:
        """Add to each feature (B×F×D) the bottleneck of its norm."""
        return features + self.bottleneck(self.norm(features))
