"""VQT trains query tokens that read every frozen block, and a linear head that reads them all (Tu et al., CVPR 2023).

For block l with learned queries P_l (T×D) and frozen tokens h_{l-1} (B×N×D), docs/methods/vqt.md:

    Z_l = Block_l(dropout(P_l)), keys and values from LN1(h_{l-1}) alone     f_l = Z_l as one vector of T·D
    logits = head([c/‖c‖, f_1/‖f_1‖, …, f_L/‖f_L‖])                          c: the backbone's pooled feature

Parameters without the head: D·T a block, 9,216·T on ViT-B/16; the head reads D·(1 + L·T) features.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from timm.models import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

from methods.backbones.chain import embed, pool
from methods.base import Method, Network
from methods.parts.queries import Kept, kept_of, read, walk
from methods.parts.requirements import check_blocks
from methods.parts.selection import Picked, Probe, Share, strongest
from methods.settings import Count, Fraction
from methods.states import POOLED, hidden_states, written
from methods.vpt import prompt_bound

Features = tuple[list[Kept], Tensor]


class Reader(nn.Module):
    """Turns images (B×3×H×W) into features (B×M) by queries that read the frozen backbone."""

    def __init__(self, vit: VisionTransformer, method: Vqt) -> None:
        super().__init__()
        self.vit = vit
        shape, bound = (len(vit.blocks), method.tokens, vit.embed_dim), prompt_bound(vit)
        self.queries = nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
        self.weights = nn.Parameter(torch.ones(shape[:2])) if method.pool == "weighted" else None
        self.dropout = nn.Dropout(method.dropout)
        self.pool, self.normalize = method.pool, method.normalize
        self.required_states = (*(written(i) for i in range(shape[0])), POOLED)
        self.width = vit.embed_dim * (1 + shape[0] * (method.tokens if method.pool == "none" else 1))

    @torch.no_grad()
    def keep(self, images: Tensor) -> Features:
        """Return what queries read of each block, and the backbone's own feature (B×D)."""
        tokens, kept = walk(self.vit, embed(self.vit, images))
        return kept, self._unit(pool(self.vit, tokens))

    def hidden_states(self, images: Tensor) -> dict[str, Tensor]:
        """Return what each block read, and the backbone's own feature, by name."""
        return hidden_states(self.vit, images, self.required_states)

    @torch.no_grad()
    def keep_of(self, states: Mapping[str, Tensor]) -> Features:
        """Return what `keep` returns, from the states."""
        kept = [
            kept_of(block, states[name]) for block, name in zip(self.vit.blocks, self.required_states, strict=False)
        ]
        return kept, self._unit(states[POOLED])

    def features(self, states: Mapping[str, Tensor]) -> Tensor:
        """Return the features that the head reads (B×M), from the states."""
        return self.summarise(self.keep_of(states))

    def summarise(self, features: Features) -> Tensor:
        """Return the features that the head reads (B×M)."""
        kept, own = features
        weights = [None] * len(kept) if self.weights is None else self.weights.unbind()
        summaries = [own]
        for block, queries, what, weight in zip(self.vit.blocks, self.queries.unbind(), kept, weights, strict=True):
            output, _, _ = read(block, self.dropout(queries.expand(len(own), -1, -1)), what)
            summaries.append(self._unit(self._flat(output, weight)))
        return torch.cat(summaries, dim=1)

    def forward(self, images: Tensor) -> Tensor:
        return self.summarise(self.keep(images))

    def _flat(self, output: Tensor, weight: Tensor | None) -> Tensor:
        if weight is not None:
            output = output * weight.unsqueeze(1)
            return output.sum(dim=1)
        return output.mean(dim=1) if self.pool == "mean" else output.flatten(1)

    def _unit(self, features: Tensor) -> Tensor:
        return functional.normalize(features, dim=1) if self.normalize else features


class Queried(Network):
    """Extracts the tokens of every block; queries read them in `adapt`."""

    def __init__(self, reader: Reader, head: nn.Linear) -> None:
        super().__init__()
        self.reader = reader
        self.head = head
        self.required_states = reader.required_states

    def extract(self, images: Tensor) -> Features:
        """Return what queries read of each block, and the backbone's own feature."""
        return self.reader.keep(images)

    def hidden_states(self, images: Tensor) -> dict[str, Tensor]:
        """Return what each block read, and the backbone's own feature, by name."""
        return self.reader.hidden_states(images)

    def features(self, states: Mapping[str, Tensor]) -> Features:
        """Return what `extract` returns, from the states."""
        return self.reader.keep_of(states)

    def adapt(self, features: Features) -> Tensor:
        """Run queries through the frozen blocks, and the head."""
        return self.head(self.reader.summarise(features))


class Vqt(Method, name="vqt"):
    """VQT trains query tokens that read every frozen block, and a linear head on what they read.

    Family: intermediate features
    Paper: Tu et al., CVPR 2023
    Entangled: no
    Parameters: 9,216 (9,216 · tokens)

    Settings:
        tokens: Number of queries for each block.
        dropout: Share of the queries' entries that is dropped in training.
        pool: What the head reads of the queries of a block: all of them (`none`), their `mean`, or a sum with learned
            weights that start at 1 (`weighted`).
        normalize: Whether the vector of each block is divided by its L2 norm.
        keep: Share of the features that the head keeps; below 1 two stages follow at half the rate, queries frozen: a
            fresh head with a group lasso (1e-4) scores the features, and another fresh head reads the strongest.
        embedding_dropout: Share of the embedded tokens' entries that is dropped in training; 0.1 is what the released
            code does, apparently by accident. It makes `extract` random.
    """

    tokens: Count = 1
    dropout: Fraction = 0.1
    pool: Literal["none", "mean", "weighted"] = "none"
    normalize: bool = True
    keep: Share = 1.0
    embedding_dropout: Fraction = 0.0

    def attach(self, vit: VisionTransformer) -> Network:
        """Give each block queries, and the network a head over what they read."""
        check_blocks(vit)
        head = vit.get_classifier()
        vit.reset_classifier(0)
        if self.embedding_dropout:
            vit.pos_drop.p = self.embedding_dropout
        reader = Reader(vit, self)
        return Queried(reader, _head(reader.width, head))

    def stages(self, network: Network) -> Iterator[Network]:
        """Yield the network; if not all features stay, also a head that scores them and one on the strongest."""
        yield network
        if self.keep < 1:
            assert isinstance(network, Queried)
            reader = network.reader.requires_grad_(False)
            scorer = Probe(reader, _head(reader.width, network.head), coefficient=1e-4)
            scorer.lr_scale = 0.5
            yield scorer
            order = strongest(scorer.head.weight, self.keep)
            final = Probe(Picked(reader, order), _head(len(order), scorer.head))
            final.lr_scale = 0.5
            yield final


def _head(features: int, like: nn.Linear) -> nn.Linear:
    """Make a fresh head with the classes of `like`: Kaiming normal by fan-out, and a bias at a prior of 0.01."""
    head = nn.Linear(features, like.out_features, device=like.weight.device, dtype=like.weight.dtype)
    nn.init.kaiming_normal_(head.weight, a=0, mode="fan_out")
    nn.init.constant_(head.bias, -math.log(99))
    return head
