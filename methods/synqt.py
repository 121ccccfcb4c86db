"""SynQT trains a small path that makes the queries with which frozen blocks are read (Zhang et al., ECCV 2024).

With learned tokens P_i (n×D), H_0 = 0, the two modules below, and keys and values of block i from its own tokens only
(docs/methods/synqt.md):

    Ĥ_i = Synthesis_i(P_i + s_f·H_{i-1})
    H_i, A_i, M_i = token means of Block_i(Ĥ_i), and of what its attention and its MLP added
    logits = Wc·Gathering([H_L, H_1…H_L, A_1…A_L, M_1…M_L]) + bc

In the modules Res_w(x) = x + drop(W2·drop(GELU(W1·x))) of width w; their norms have eps 1e-5; nothing starts at zero.

Stochastic depth of the recipe acts on the frozen tokens and, drawn anew, on the queries. The released model registers
18,469 parameters more and never uses them (twelve norms and a vector): `printed_extra`. Multiply-adds as published
(16.94, 17.20, 18.25 G for n = 1, 4, 16 and 100 classes) are those of the plain form, --attention eager: queries pass
all of qkv, and the last block updates its tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from timm.layers import DropPath
from timm.models import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

from methods.backbones.chain import embed, final_norm
from methods.base import BackboneNetwork, Method, Network, Unsupported
from methods.parts.bypass import Residual
from methods.parts.queries import Kept, kept_of, read, walk
from methods.parts.requirements import check_blocks
from methods.settings import Count, Number
from methods.states import EMBEDDED, written


class Synthesis(nn.Module):
    """Makes the queries of one block (B×n×D) from its tokens plus the carried state:

    z = Res_48(x);  t = LNa(z);  z += s'·drop(Res_8(drop(softmax(Q·Kᵀ/√D))·V));  z += s''·Res_48(LNb(z));  drop(z)
    with Q = Res_8(LNq(t)), K = Res_8(LNk(t)), V = Res_8(LNk(t)) in one head. With n = 1, Q and K get zero gradients.
    """

    def __init__(self, width: int, wide: int, narrow: int) -> None:
        super().__init__()
        self.project = Residual(width, wide, dropout=0.1)
        self.norm_attention, self.norm_query, self.norm_key, self.norm_ffn = (nn.LayerNorm(width) for _ in range(4))
        self.query, self.key, self.value, self.out = (Residual(width, narrow) for _ in range(4))
        self.ffn = Residual(width, wide, dropout=0.1)
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
        self.bottleneck = Residual(width, wide, dropout=0.1)
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


class Synthesised(BackboneNetwork):
    """Extracts the tokens of every block; makes queries that read them in `adapt`.

    Of the paper's head only the classifier is `head`; the rest counts as the method's.
    """

    def __init__(self, vit: VisionTransformer, method: Synqt) -> None:
        super().__init__(vit)
        depth, width = len(vit.blocks), vit.embed_dim
        norm = final_norm(vit)
        assert isinstance(norm, nn.LayerNorm)
        self.trains_blocks = method.kem == "trainable"
        self.required_states = (EMBEDDED,) if self.trains_blocks else tuple(written(i) for i in range(depth))
        self.tokens = nn.Parameter(torch.empty(depth, method.tokens, width).uniform_(-1, 1))
        self.carry_scale = nn.Parameter(torch.full((1,), method.carry_scale))
        self.attention_scales, self.ffn_scales = (
            nn.ParameterList(_scale(value, method.scale == "learned") for _ in vit.blocks)
            for value in (method.attention_scale, method.ffn_scale)
        )
        self.synthesis = nn.ModuleList(
            Synthesis(width, method.bottleneck, method.attention_bottleneck) for _ in vit.blocks
        )
        self.gathering = Gathering(3 * depth + 1, method.bottleneck, norm)
        self.printed_extra = 2 * depth * width + 3 * depth + 1

    @torch.no_grad()
    def extract(self, images: Tensor) -> list[Kept] | Tensor:
        """Return what queries read of each block; the embedded tokens where the blocks learn."""
        tokens = embed(self.vit, images)
        return tokens if self.trains_blocks else self._kept(tokens)

    def features(self, states: Mapping[str, Tensor]) -> list[Kept] | Tensor:
        """Return what `extract` returns, from the states."""
        if self.trains_blocks:
            return states[EMBEDDED]
        return [kept_of(block, states[name]) for block, name in zip(self.vit.blocks, self.required_states, strict=True)]

    def adapt(self, features: list[Kept] | Tensor) -> Tensor:
        """Run queries through the synthesis and the frozen blocks, and the head."""
        return self.head(self.gathering(self._stack(features)))

    def weighed(self, features: list[Kept] | Tensor) -> Tensor:
        """Return the weights (B×3L) that the head gives H_1…H_L, A_1…A_L, M_1…M_L."""
        return self.gathering.weights(self.gathering.refine(self._stack(features)[:, :1])).squeeze(1)

    def _stack(self, features: list[Kept] | Tensor) -> Tensor:
        kept = self._kept(features) if isinstance(features, Tensor) else features
        states, attended, processed = zip(*self._means(kept), strict=True)
        return torch.cat([states[-1], *states, *attended, *processed], dim=1)

    def _kept(self, tokens: Tensor) -> list[Kept]:
        return walk(self.vit, tokens, to_the_end=False)[1]

    def _means(self, kept: list[Kept]) -> Iterator[tuple[Tensor, ...]]:
        """Yield for every block the token means (B×1×D) of its output on the queries and of its two branches."""
        scales = self.attention_scales, self.ffn_scales
        carried = None
        for block, own, synthesis, what, *pair in zip(
            self.vit.blocks, self.tokens.unbind(), self.synthesis, kept, *scales, strict=True
        ):
            count = len(what if isinstance(what, Tensor) else what[0])
            start = own.expand(count, -1, -1) if carried is None else own + self.carry_scale * carried
            carried, *branches = (part.mean(1, keepdim=True) for part in read(block, synthesis(start, *pair), what))
            yield carried, *branches


class Synqt(Method, name="synqt"):
    """SynQT trains a small path that makes queries, with which the frozen blocks are read.

    Family: side networks
    Paper: Zhang et al., ECCV 2024
    Entangled: no
    Parameters: 2,632,045 (2,595,181 + 9,216 · tokens)

    Settings:
        tokens: Learned tokens for each block; the paper chose them for each task.
        attention_scale: Initial value of the scale of the synthesis's attention (s'), chosen for each task.
        ffn_scale: Initial value of the scale of its feed-forward part (s''), chosen for each task.
        carry_scale: Initial value of the scale of the last block's state (s_f), chosen for each task.
        scale: `fixed` keeps the first two scales as they start, an ablation (Table 4 sets them to 1).
        kem: `trainable` trains the blocks that are read, an ablation (Table 5). Whether a copy was meant is not known;
            here they are the backbone's own, so the tokens change with them and the cost is that of full tuning.
        bottleneck: Width of the bottlenecks in the synthesis and before the head.
        attention_bottleneck: Width of the bottlenecks in the synthesis's attention.
    """

    tokens: Count = 4
    attention_scale: Number = 0.1
    ffn_scale: Number = 0.1
    carry_scale: Number = 0.1
    scale: Literal["learned", "fixed"] = "learned"
    kem: Literal["frozen", "trainable"] = "frozen"
    bottleneck: Count = 48
    attention_bottleneck: Count = 8

    def attach(self, vit: VisionTransformer) -> Network:
        """Put the synthesis beside the blocks, and the gathering before the head."""
        check_blocks(vit)
        if not isinstance(final_norm(vit), nn.LayerNorm):
            raise Unsupported("needs a layer norm behind the blocks")
        if self.kem == "trainable":
            vit.blocks.requires_grad_(True)
        return Synthesised(vit, self)


def _scale(value: float, learned: bool) -> nn.Parameter:
    return nn.Parameter(torch.full((1,), value), requires_grad=learned)
