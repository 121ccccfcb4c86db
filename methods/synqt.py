"""SynQT trains a small path that makes the queries with which frozen blocks are read (Zhang et al., ECCV 2024).

With learned tokens P_i (n×D), H_0 = 0, the parts of parts/synthesis.py, and keys and values of block i from its own
tokens only (docs/methods/synqt.md):

    Ĥ_i = Synthesis_i(P_i + s_f·H_{i-1})
    H_i, A_i, M_i = token means of Block_i(Ĥ_i), and of what its attention and its MLP added
    logits = Wc·Gathering([H_L, H_1…H_L, A_1…A_L, M_1…M_L]) + bc

Stochastic depth of the recipe acts on the frozen tokens and, drawn anew, on the queries. The released model registers
18,469 parameters more and never uses them (twelve norms and a vector): `printed_extra`. Multiply-adds as published
(16.94, 17.20, 18.25 G for n = 1, 4, 16 and 100 classes) are those of the plain form, --attention eager: queries pass
all of qkv, and the last block updates its tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from timm.models import VisionTransformer
from torch import Tensor, nn

from methods.backbones.chain import embed, final_norm
from methods.base import Method, Network, Unsupported
from methods.parts.queries import Kept, check_blocks, kept_of, read, walk
from methods.parts.synthesis import Gathering, Synthesis
from methods.settings import Count, Number
from methods.states import EMBEDDED, hidden_states, written


class Synthesised(Network):
    """Extracts the tokens of every block; makes queries that read them in `adapt`."""

    def __init__(self, vit: VisionTransformer, method: Synqt) -> None:
        super().__init__()
        depth, width = len(vit.blocks), vit.embed_dim
        norm = final_norm(vit)
        assert isinstance(norm, nn.LayerNorm)
        self.vit = vit
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

    @property
    def head(self) -> nn.Module:  # type: ignore[override]
        """The trainable classifier; the rest of the paper's head counts as the method's."""
        return self.vit.get_classifier()

    @torch.no_grad()
    def extract(self, images: Tensor) -> list[Kept] | Tensor:
        """Return what queries read of each block; the embedded tokens where the blocks learn."""
        tokens = embed(self.vit, images)
        return tokens if self.trains_blocks else self._kept(tokens)

    def hidden_states(self, images: Tensor) -> dict[str, Tensor]:
        """Return what each block read, by name."""
        return hidden_states(self.vit, images, self.required_states)

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
