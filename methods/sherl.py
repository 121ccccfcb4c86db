"""SHERL mixes the frozen states of all blocks but the last in a side network; the last block then runs on the mixture.

Source: "SHERL: Synthesizing High Accuracy and Efficient Memory for Resource-Limited Transfer Learning" (Diao, Wan, Jia,
Zhuge, Zhang, Lu, Chen; ECCV 2024), in the form that its code has for BERT (docs/methods/sherl.md). With h_0 the
embedded tokens, h_i (B×N×D) what block i wrote, i = 0..L-1, and k = D/reduction:

    d_i = LN_i(W_i h_i + b_i)            g = d_{L-1} guides, the others are mixed for each token          B×N×k
    ρ_i = Σ_{j<L-1} ReLU(n_i·n_j)        n_i = d_i / (‖d_i‖₂ + 1e-8)                                      B×N
    s_i = ReLU(w·(d_i * g) + c) / ρ_i    α_i = s_i / (Σ_j s_j + 1e-8)      e = Σ_i α_i d_i + g
    y = Dropout(LN_out(W_o ReLU(e) + b_o)) + tanh(γ / 0.1) h_{L-1}
    logits = Head(norm(Block_L(y))[class token])

Block L and the norm are frozen and only pass gradients; block L never runs on the backbone's own states. Where
attention is fused, ρ and s come from products of the d_i with each other, without normalised copies, and block L works
on the class token alone. The plain form, --attention eager, normalises copies and runs all of block L. Ours: the norm,
the class token and the head, since the source has none for images, and the default reduction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from timm.models import VisionTransformer
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from methods.backbones.chain import pool, steps_of
from methods.base import Method, Network, SideNetwork, Unsupported
from methods.parts.queries import first_of
from methods.parts.requirements import check_blocks, check_pooling
from methods.settings import Count, Fraction
from methods.states import read_type, written

__all__ = ["Sherl", "Synthesized"]

TEMPERATURE = 0.1  # of the gate
SMALL = 1e-8  # added to norms and sums


class Synthesized(SideNetwork):
    """A frozen backbone, whose states below the last block are extracted, and the side network that mixes them."""

    def __init__(self, vit: VisionTransformer, width: int, dropout: float) -> None:
        super().__init__(vit)
        depth = len(vit.blocks)
        self.down = nn.ModuleList(nn.Linear(vit.embed_dim, width) for _ in range(depth))
        self.down_norm = nn.ModuleList(nn.LayerNorm(width, eps=1e-5) for _ in range(depth))
        self.guide = nn.Linear(width, 1)
        self.gate = nn.Parameter(torch.zeros(1))
        self.out = nn.Linear(width, vit.embed_dim)
        self.out_norm = nn.LayerNorm(vit.embed_dim, eps=1e-12)
        self.dropout = nn.Dropout(dropout)
        self.required_states = tuple(written(i) for i in range(depth))

    @torch.no_grad()
    def extract(self, images: Tensor) -> list[Tensor]:
        """Return the embedding and what each block but the last wrote, in the number formats in which they are read."""
        features, x = [], images
        for step in steps_of(self.vit)[:-3]:
            x = step.run(x)
            features.append(x.to(read_type(x)))
        return [*features[:-1], x]

    def features(self, states: Mapping[str, Tensor]) -> list[Tensor]:
        """Return what `extract` returns, from the states."""
        *rest, last = (states[name] for name in self.required_states)
        return [*(state.to(read_type(state)) for state in rest), last]

    def adapt(self, features: list[Tensor]) -> Tensor:
        """Mix the states (early route), run the last block on the mixture (late route), and classify."""
        block = self.vit.blocks[-1]
        lean = block.attn.fused_attn
        mixed = self._mix(features, _lean_mixture if lean else _plain_mixture)
        output = self.dropout(self.out_norm(self.out(functional.relu(mixed))))
        tokens = output + torch.tanh(self.gate / TEMPERATURE) * features[-1]
        return self.head(pool(self.vit, first_of(block, tokens) if lean else block(tokens)))

    def _mix(self, features: list[Tensor], mixture: Callable[..., Tensor]) -> Tensor:
        """Mix the states into e (B×N×k)."""
        layers = zip(self.down, self.down_norm, features, strict=True)
        *rest, guide = (norm(down(state)) for down, norm, state in layers)
        kind = read_type(guide)
        states = torch.stack([state.to(kind) for state in rest], dim=2)
        return mixture(states, (guide * self.guide.weight).to(kind), self.guide.bias) + guide


def _plain_mixture(states: Tensor, query: Tensor, bias: Tensor) -> Tensor:
    """Compute Σ α_i d_i (B×N×k) of d_i (B×N×S×k), a query w * g (B×N×k) and c, as released, with normalised copies."""
    normalised = states / (states.norm(dim=3, keepdim=True) + SMALL)
    redundancy = functional.relu(normalised @ normalised.transpose(2, 3)).sum(dim=3)
    scores = functional.relu((states * query.unsqueeze(2)).sum(dim=3) + bias) / redundancy
    weights = scores / (scores.sum(dim=2, keepdim=True) + SMALL)
    return (weights.unsqueeze(3) * states).sum(dim=2)


def _lean_mixture(states: Tensor, query: Tensor, bias: Tensor) -> Tensor:
    """Compute the same mixture from products of the d_i with each other, without copies of them."""
    if torch.is_grad_enabled() and states.requires_grad:
        return _LeanMixture.apply(states, query, bias)
    return _mixed(states, *_products(states, query, bias))


def _products(states: Tensor, query: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Compute d_i·d_j (B×N×S×S) and w·(d_i * g) + c (B×N×S)."""
    return _wide(states @ states.transpose(2, 3)), _wide((states @ query.unsqueeze(3)).squeeze(3)) + bias


def _mixed(states: Tensor, products: Tensor, scores: Tensor) -> Tensor:
    weights = _Weights(products, scores).weights
    return (weights.to(states.dtype).unsqueeze(2) @ states).squeeze(2)


class _LeanMixture(torch.autograd.Function):
    """Computes the lean mixture; its backward pass makes one tensor of the states' size."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, query: Tensor, bias: Tensor) -> Tensor:
        products, scores = _products(states, query, bias)
        ctx.save_for_backward(states, query, products, scores)
        return _mixed(states, products, scores)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        states, query, products, scores = ctx.saved_tensors
        gradient = gradients[0].to(states.dtype)
        of = _Weights(products, scores)
        d_products, d_scores = of.backward(_wide((states @ gradient.unsqueeze(3)).squeeze(3)))
        d_query = (d_scores.to(states.dtype).unsqueeze(2) @ states).squeeze(2)
        left = torch.stack([of.weights, d_scores], dim=3).to(states.dtype).flatten(0, 1)
        right = torch.stack([gradient, query], dim=2).flatten(0, 1)
        d_states = ((d_products + d_products.transpose(2, 3)).to(states.dtype) @ states).flatten(0, 1)
        return d_states.baddbmm_(left, right).view_as(states), d_query, d_scores.sum().view(1)


class _Weights:
    """Computes α (B×N×S) and its gradients from products d_i·d_j (B×N×S×S) and scores w·(d_i * g) + c (B×N×S)."""

    def __init__(self, products: Tensor, scores: Tensor) -> None:
        self.norms = products.diagonal(dim1=2, dim2=3).sqrt()
        self.sizes = self.norms + SMALL
        self.scales = self.sizes.unsqueeze(2) * self.sizes.unsqueeze(3)
        self.cosines = products / self.scales
        self.redundancy = functional.relu(self.cosines).sum(dim=3)
        self.scores = scores
        self.shares = functional.relu(scores) / self.redundancy
        self.sum = self.shares.sum(dim=2, keepdim=True) + SMALL
        self.weights = self.shares / self.sum

    def backward(self, d_weights: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients of products and scores, from that of the weights."""
        d_shares = (d_weights - (d_weights * self.weights).sum(dim=2, keepdim=True)) / self.sum
        d_cosines = -(d_shares * self.shares / self.redundancy).unsqueeze(3) * (self.cosines > 0)
        d_sizes = -((d_cosines + d_cosines.transpose(2, 3)) * self.cosines).sum(dim=3) / self.sizes
        d_squares = torch.diag_embed(d_sizes / (2 * self.norms))
        return d_cosines / self.scales + d_squares, d_shares / self.redundancy * (self.scores > 0)


def _wide(x: Tensor) -> Tensor:
    """Return x in single precision if it is in half precision."""
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


class Sherl(Method, name="sherl"):
    """SHERL mixes the frozen states below the last block for each token and runs that block on the mixture.

    Family: side networks
    Paper: Diao et al., ECCV 2024
    Entangled: in part
    Parameters: 3,850,370 (1,926,338 at reduction 4)

    Nothing starts at zero but the gate of the last state, so the network does not start as the backbone.

    Settings:
        reduction: How many times narrower than the backbone the mixed states are; 2 is our choice.
        dropout: Share of the side network's output that is dropped in training.
    """

    reduction: Count = 2
    dropout: Fraction = 0.1

    def attach(self, vit: VisionTransformer) -> Network:
        """Put the side network before the last block of the frozen backbone."""
        check_blocks(vit)
        check_pooling(vit)
        if len(vit.blocks) < 2:
            raise Unsupported("needs at least two blocks")
        width, rest = divmod(vit.embed_dim, self.reduction)
        if rest or width < 2:
            needed = (
                f"the backbone's width {vit.embed_dim} by it must be a whole number of at least 2, to be normalised"
            )
            raise ValueError(f"sherl: reduction={self.reduction}, but {needed}")
        return Synthesized(vit, width, self.dropout)
