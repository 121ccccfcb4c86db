"""Head2Toe trains a linear head on features of all depths, picked by a group lasso (Evci et al., ICML 2022).

Groups (ViT-B/16: N×768, mlp_1 N×3072): embedded patches with the class token; the same with
positions; of each block LN1's output, the attention's and the MLP's before their residual sums, and the MLP's hidden
layer after GELU; the final norm's output; the pooled feature that the head of the backbone reads. (The source's
`cls_embedded` equals the last one with these taps and is left out.) Each is pooled over tokens to at most about
`size` numbers, divided by its L2 norm and laid side by side: 67,584 features at size 768.

Stage 1 trains a linear head W on all of them with `penalty`·Σ_j ‖W_j‖₂; the `fraction` with the largest ‖W_j‖₂ stays.
Stage 2 trains a fresh head on these, gathered before the norm of each group. See docs/methods/head2toe.md.

The batches of an epoch come in the order of the first one, as in the source, under the recipe `paper`. Deviations: the
loss of a last partial batch is a mean like any other (the source divides by the full batch size);
Adam adds its epsilon after the bias correction (TensorFlow before, which moves stage-1 weights by 4e-4 to 4e-3).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal

import torch
from timm.layers import Mlp
from timm.models import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

from methods.backbones.chain import pool
from methods.base import Method, Network, Unsupported
from methods.parts.requirements import check_blocks, check_class_token
from methods.parts.selection import Probe, Share, strongest
from methods.settings import Count, Range

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


class Head2Toe(Method, name="head2toe"):
    """Head2Toe trains a linear head on features of every depth of the frozen backbone, which a group lasso picks.

    Family: intermediate features
    Paper: Evci et al., ICML 2022
    Entangled: no
    Parameters: 0 (the head has 675,900 for 100 classes)

    Settings:
        size: Numbers, at most about, to which each group of features is pooled.
        fraction: Share of the features that stays for the second head.
        penalty: Weight of the group lasso in the first stage.
        class_token: Whether the class token of each sequence is `pooled` with the patches, kept `apart`, or the `only`
            token that is taken.
    """

    size: Count = 768
    fraction: Share = 0.1
    penalty: Annotated[float, Range(0.0)] = 1e-4
    class_token: ClassToken = "pooled"

    def attach(self, vit: VisionTransformer) -> Network:
        """Build the network that taps the backbone and has a head on all features, which scores them."""
        check_blocks(vit)
        check_class_token(vit)
        if not all(type(block.mlp) is Mlp for block in vit.blocks):
            raise Unsupported("needs MLPs of two layers")
        head = vit.get_classifier()
        vit.reset_classifier(0)
        taps = Taps(vit, self.size, self.class_token)
        return Probe(taps, _head(sum(taps.counts), head), self.penalty)

    def stages(self, network: Network) -> Iterator[Network]:
        """Yield the head on all features, then a fresh head on the strongest of them."""
        assert isinstance(network, Probe)
        assert isinstance(network.source, Taps)
        yield network
        selected = strongest(network.head.weight, self.fraction)
        network.source.narrow(selected)
        yield Probe(network.source, _head(len(selected), network.head))


def _head(features: int, like: nn.Linear) -> nn.Linear:
    """Make a fresh head with the classes of `like`: Glorot uniform, its bias at zero."""
    head = nn.Linear(features, like.out_features, device=like.weight.device, dtype=like.weight.dtype)
    nn.init.xavier_uniform_(head.weight)
    nn.init.zeros_(head.bias)
    return head
