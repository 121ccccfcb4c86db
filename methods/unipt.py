"""UniPT pools every state of the frozen backbone by attention in a side network and adds the result to its feature.

Source: "UniPT: Universal Parallel Tuning for Transfer Learning with Efficient Parameter and Memory" (Diao, Wan, Zhang,
Jia, Lu, Chen; CVPR 2024), in the form that its code has for vision transformers (CLIP4Clip; docs/methods/unipt.md).
With h_0 the embedded tokens, h_i (B×N×D) what block i wrote, and p the class token after the final norm, which is
frozen (k = D/reduction):

    t_i = W_i ReLU(h_i) + b_i            i = 0..L                                            B×N×k
    q   = W_a ReLU(p) + b_a                                                                  B×k
    a_i = ReLU(t_i q), divided by its sum over all tokens (at least 1e-6)                    B×N
    m_i = a_iᵀ t_i + t_i[class token]    s_i = w_g·(q * mean_n t_i) + b_g                    B×k, B
    logits = Head(p + W_u ReLU(Σ_i softmax_i(s) m_i) + b_u)

Everything after t_i is linear in it, so where attention is fused t_i is never made: the rectified states are read with
W_iᵀq and averaged before they are projected. The plain form, --attention eager, makes every t_i. Ours: the classifier,
and the default reduction, which the source chooses for each model.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from methods.backbones.chain import PLAIN, Vit, pool, steps_of
from methods.base import Method, Network, SideNetwork
from methods.parts.requirements import check_attention, check_pooling
from methods.settings import Count
from methods.states import POOLED, read_type, written

__all__ = ["ParallelTuned", "UniPt"]

Features = tuple[list[Tensor], Tensor]  # ReLU(h_0)…ReLU(h_L) and p


class ParallelTuned(SideNetwork):
    """A frozen backbone, whose rectified states are extracted, and the parallel network that pools them."""

    def __init__(self, vit: Vit, width: int) -> None:
        super().__init__(vit)
        states = len(vit.blocks) + 1
        self.down = nn.ModuleList(nn.Linear(vit.embed_dim, width) for _ in range(states))
        self.anchor = nn.Linear(vit.embed_dim, width)
        self.gate = nn.Linear(width, 1)
        self.up = nn.Linear(width, vit.embed_dim)
        self.required_states = (*(written(i) for i in range(states)), POOLED)

    @torch.no_grad()
    def extract(self, images: Tensor) -> Features:
        """Return the rectified states and the pooled feature; a state is freed once the next block has read it."""
        embedding, *blocks = steps_of(self.vit)[:-2]
        rectified, x = [], embedding.run(images)
        for block in blocks:
            output = block.run(x)
            rectified.append(_rectified(x))  # only now, so that a block at work has one copy of what it reads
            x = output
        feature = pool(self.vit, x)
        return [*rectified, _rectified(x)], feature

    @torch.no_grad()
    def features(self, states: Mapping[str, Tensor]) -> Features:
        """Return what `extract` returns, from the states, which are shared and stay as they are."""
        return [_rectified(states[name]) for name in self.required_states[:-1]], states[POOLED]

    def adapt(self, features: Features) -> Tensor:
        """Pool each state under the anchor's query, weigh the results, and classify their sum with the feature."""
        rectified, feature = features
        query = self.anchor(functional.relu(feature))
        read = self._folded if self.vit.blocks[0].attn.fused_attn else self._plain
        pairs = [read(down, x, query) for down, x in zip(self.down, rectified, strict=True)]
        pooled, means = (torch.stack(parts, dim=1) for parts in zip(*pairs, strict=True))  # each B×(L+1)×k
        confidence = self.gate(query.unsqueeze(1) * means).softmax(dim=1)
        mixed = (confidence * pooled).sum(dim=1)
        return self.head(feature + self.up(functional.relu(mixed)))

    def _plain(self, down: nn.Linear, x: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
        """Compute m_i and the mean of t_i (B×k each) by way of t_i."""
        t = down(x)
        weights = _attention(torch.bmm(t, query.unsqueeze(2)).squeeze(2))
        return torch.bmm(weights.unsqueeze(1), t).squeeze(1) + t[:, 0], t.mean(dim=1)

    def _folded(self, down: nn.Linear, x: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
        """Compute m_i and the mean of t_i from x = ReLU(h_i): only x and vectors are kept for the backward pass."""
        scores = torch.bmm(x, (query @ down.weight).unsqueeze(2)).squeeze(2)
        weights = _attention(scores + query @ down.bias.unsqueeze(1))
        read = torch.bmm(weights.unsqueeze(1), x).squeeze(1) + x[:, 0]
        share = weights.sum(dim=1, keepdim=True) + 1  # 2, or 1 where no token has a weight
        pooled = functional.linear(read, down.weight) + share * down.bias
        return pooled, down(x.mean(dim=1))


def _rectified(state: Tensor) -> Tensor:
    """Apply ReLU to a state, in the number format in which products read it."""
    return functional.relu(state.to(read_type(state)))


def _attention(scores: Tensor) -> Tensor:
    """Compute weights of the tokens (B×N) from scores of both signs."""
    weights = functional.relu(scores)
    return weights / weights.sum(dim=1, keepdim=True).clamp_min(1e-6)


class UniPt(Method, name="unipt"):
    """UniPT pools all states of the frozen backbone by attention and adds the result to its feature.

    Family: side networks
    Paper: Diao et al., CVPR 2024
    Entangled: no
    Parameters: 4,430,209 (2,215,489 at reduction 4)

    Nothing starts at zero, so the network does not start as the backbone.

    Settings:
        reduction: How many times narrower than the backbone the pooled states are; 2 is our choice.
    """

    backbones = PLAIN
    reduction: Count = 2

    def attach(self, vit: Vit) -> Network:
        """Put the side network beside the frozen backbone."""
        check_pooling(vit)
        check_attention(vit)
        if vit.embed_dim % self.reduction:
            raise ValueError(f"unipt: reduction={self.reduction} does not divide the backbone's width {vit.embed_dim}")
        return ParallelTuned(vit, vit.embed_dim // self.reduction)
