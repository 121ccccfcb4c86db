"""Takes features from all depths of a frozen vision transformer and pools them (docs/methods/head2toe.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from timm.models import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

from methods.backbones.chain import pool

__all__ = ["ClassToken", "Taps", "pooled"]

ClassToken = Literal["pooled", "apart", "only"]


class Taps(nn.Module):
    """Turns images (B×3×H×W) into pooled and normalised features (B×M) of the frozen backbone, or a choice of them."""

    order: Tensor | None

    def __init__(self, vit: VisionTransformer, size: int, class_token: ClassToken) -> None:
        super().__init__()
        self.vit, self.size, self.class_token = vit, size, class_token
        self.widths = self._sizes()  # features of each group
        self.counts = self.widths  # those of them that stay
        self.required_states = (f"taps {size} {class_token}",)
        self.register_buffer("order", None)  # those that stay, counted from the start of their group

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        return self._normalised(self._groups(images))

    @torch.no_grad()
    def hidden_states(self, images: Tensor) -> dict[str, Tensor]:
        """Return all pooled features (B×M) under one name."""
        return {self.required_states[0]: torch.cat(list(self._groups(images)), dim=1)}

    @torch.no_grad()
    def features(self, states: Mapping[str, Tensor]) -> Tensor:
        """Return what `forward` returns, from these features."""
        return self._normalised(iter(states[self.required_states[0]].split(self.widths, dim=1)))

    @torch.no_grad()
    def narrow(self, selected: Tensor) -> None:
        """Keep these features of the M, in this order inside each group."""
        ends = torch.tensor(self.counts, device=selected.device).cumsum(0)
        group = torch.bucketize(selected, ends, right=True)
        starts = ends.roll(1).index_fill(0, ends.new_zeros(1), 0)
        self.order = (selected - starts[group])[group.argsort(stable=True)]
        self.counts = group.bincount(minlength=len(ends)).tolist()

    def _normalised(self, groups: Iterator[Tensor]) -> Tensor:
        """Select the features that stay and normalise each group to length 1."""
        if self.order is not None:
            chosen = self.order.split(self.counts)
            groups = (group[:, some] for group, some in zip(groups, chosen, strict=True))
        return torch.cat([functional.normalize(group, dim=1) for group in groups], dim=1)

    def _groups(self, images: Tensor) -> Iterator[Tensor]:
        """Yield the pooled groups as the blocks run, so that nothing is kept at full length."""
        vit = self.vit
        patches = vit.patch_embed(images)
        yield self._pool(torch.cat([vit.cls_token.expand(len(patches), -1, -1), patches], dim=1))
        tokens = vit.norm_pre(vit.patch_drop(vit._pos_embed(patches)))
        yield self._pool(tokens)
        for block in vit.blocks:
            normed = block.norm1(tokens)
            yield self._pool(normed)
            mixed = block.attn(normed)
            del normed
            yield self._pool(mixed)
            tokens = tokens + block.drop_path1(block.ls1(mixed))
            del mixed
            hidden = block.mlp.act(block.mlp.fc1(block.norm2(tokens)))
            yield self._pool(hidden)
            added = block.mlp.drop2(block.mlp.fc2(block.mlp.norm(block.mlp.drop1(hidden))))
            del hidden
            yield self._pool(added)
            tokens = tokens + block.drop_path2(block.ls2(added))
        yield self._pool(vit.norm(tokens))
        yield pool(vit, tokens)

    def _pool(self, tokens: Tensor) -> Tensor:
        return pooled(tokens, self.size, self.class_token)

    def _sizes(self) -> list[int]:
        vit = self.vit
        sequences = [vit.embed_dim] * 2
        for block in vit.blocks:
            sequences += [vit.embed_dim, vit.embed_dim, block.mlp.fc1.out_features, vit.embed_dim]
        sequences.append(vit.embed_dim)
        length = vit.patch_embed.num_patches + 1
        empty = (torch.empty(1, length, width, device="meta") for width in sequences)
        return [*(self._pool(tokens).shape[1] for tokens in empty), vit.embed_dim]


def pooled(tokens: Tensor, size: int, class_token: ClassToken) -> Tensor:
    """Pool tokens (B×N×c) to about `size` numbers an image: means of windows without overlap, the last tokens left out.

    The class token is pooled like any other, or kept apart in front of the others, or all that is taken.
    """
    if class_token == "only":
        return tokens[:, 0].clone()
    if class_token == "apart":
        return torch.cat([tokens[:, 0], pooled(tokens[:, 1:], size, "pooled")], dim=1)
    length, width = tokens.shape[1:]
    if width >= size:
        return tokens.mean(dim=1)
    window = max(1, int(length / (size / width)))  # a sequence with fewer numbers than `size` stays whole
    windows = tokens[:, : length // window * window].unflatten(1, (-1, window))
    return windows.mean(dim=2).flatten(1)
