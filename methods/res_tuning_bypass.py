"""Res-Tuning-Bypass predicts from a path of small adapters beside the frozen backbone, which reads every block.

Source: "Res-Tuning: A Flexible and Efficient Tuning Paradigm via Unbinding Tuner from Backbone" (Jiang, Mao, Huang, Ma,
Lv, Shen, Zhao, Zhou; NeurIPS 2023), as its authors' group released it (docs/methods/res_tuning_bypass.md). With h_0 the
embedded tokens, h_i (B×N×D) what block i wrote, and an adapter of its own for every use:

    A(x) = x + W_2 GELU(W_1 x + c_1) + c_2
    b_0 = h_0    b_i = A_lateral,i(h_i) + A_vertical,i(b_{i-1})    logits = Head(norm(b_L)[class token])

The final norm is frozen. Every step treats each token alone and the head reads the class token, so where attention is
fused only class tokens are extracted and adapted. As released, --attention eager, all tokens are; so they are where the
head reads the mean of the tokens. Of the paper's tuners only this adapter is released, and only the plain sum.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from methods.backbones.chain import PLAIN, Vit, pool, steps_of
from methods.base import Method, Network, SideNetwork, Unsupported
from methods.parts.bypass import Residual
from methods.parts.requirements import check_attention
from methods.settings import Count
from methods.states import written

__all__ = ["Bypassed", "ResTuningBypass"]


def adapter(width: int, units: int) -> Residual:
    """Make A: a bottleneck with GELU that is added to its input."""
    made = Residual(width, units)
    for layer in (made.down, made.up):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.normal_(layer.bias, std=1e-6)
    return made


class Bypassed(SideNetwork):
    """A frozen backbone, whose states are extracted, and the bypass of two adapters a block."""

    def __init__(self, vit: Vit, units: int) -> None:
        super().__init__(vit)
        depth = len(vit.blocks)
        self.lateral = nn.ModuleList(adapter(vit.embed_dim, units) for _ in range(depth))
        self.vertical = nn.ModuleList(adapter(vit.embed_dim, units) for _ in range(depth))
        self.required_states = tuple(written(i) for i in range(depth + 1))

    @torch.no_grad()
    def extract(self, images: Tensor) -> list[Tensor]:
        """Return the embedding and what each block wrote: of every token, or of the class token where it is enough."""
        features, x = [], images
        for step in steps_of(self.vit)[:-2]:
            x = step.run(x)
            features.append(self._needed(x))
        return features

    def features(self, states: Mapping[str, Tensor]) -> list[Tensor]:
        """Return what `extract` returns, from the states."""
        return [self._needed(states[name]) for name in self.required_states]

    def adapt(self, features: list[Tensor]) -> Tensor:
        """Run the bypass from the embedding up, the final norm and the head."""
        bypass, *states = features
        for lateral, vertical, state in zip(self.lateral, self.vertical, states, strict=True):
            bypass = lateral(state) + vertical(bypass)
        return self.head(pool(self.vit, bypass))

    def _needed(self, tokens: Tensor) -> Tensor:
        """Return the class token (B×1×D), copied so that the others can be freed, or all tokens."""
        lean = self.vit.global_pool == "token" and self.vit.blocks[0].attn.fused_attn
        return tokens[:, :1].clone() if lean else tokens


class ResTuningBypass(Method, name="res_tuning_bypass"):
    """Res-Tuning-Bypass trains a path of small adapters that reads every frozen block and alone predicts.

    Family: side networks
    Paper: Jiang et al., NeurIPS 2023
    Entangled: no
    Parameters: 1,198,848 (313,536 at 8 units; 2,379,264 at 64)

    Settings:
        units: Width of each adapter.
        zero_init_last: Whether the last block's two adapters start as the identity; also then the network does not
            start as the backbone, since states are added up.
    """

    backbones = PLAIN
    units: Count = 32
    zero_init_last: bool = False

    def attach(self, vit: Vit) -> Network:
        """Put the bypass beside the frozen backbone."""
        check_attention(vit)
        if getattr(vit, "attn_pool", None) is not None:
            raise Unsupported("needs a backbone that averages tokens or takes one, not one with attention pooling")
        network = Bypassed(vit, self.units)
        if self.zero_init_last:
            for adapter in (network.lateral[-1], network.vertical[-1]):
                nn.init.zeros_(adapter.up.weight)
                nn.init.zeros_(adapter.up.bias)
        return network
