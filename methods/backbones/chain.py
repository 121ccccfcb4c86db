"""Shows every backbone as one chain of steps: embedding, blocks, pooling with the final norm, head.

The chain is the same for timm's plain transformers (`VisionTransformer`, `Eva`, `Beit`: tokens B×N×D) and for its
hierarchical ones (`SwinTransformer`, `SwinTransformerV2`: maps of patches B×H×W×D in stages), so a method that walks it
need not know which network it has. A method that changes blocks changes these steps; how many of the leading ones learn
nothing decides what is frozen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile

import torch
from timm.models import Beit, Eva, SwinTransformer, SwinTransformerV2, VisionTransformer
from torch import Tensor, nn

__all__ = [
    "HIERARCHICAL", "KINDS", "PLAIN", "Link", "Step", "Vit", "chain_of", "embed", "final_norm", "leading_frozen",
    "pool", "steps_of",
]  # fmt: skip

Vit = VisionTransformer | Eva | Beit | SwinTransformer | SwinTransformerV2
PLAIN = (VisionTransformer, Eva, Beit)
HIERARCHICAL = (SwinTransformer, SwinTransformerV2)
KINDS = (*PLAIN, *HIERARCHICAL)


@dataclass(frozen=True)
class Link:
    """A block with its stage (from 0), its width, and what downsamples its patches before it: None inside a stage.

    `positions` gives what timm's block is given beside its tokens: rotary positions in Eva, a bias in Beit.
    """

    block: nn.Module
    stage: int
    width: int
    downsample: nn.Module | None = None
    positions: Callable[[], dict[str, Tensor]] = dict

    @property
    def run(self) -> Callable[[Tensor], Tensor]:
        """From the block's tokens (B×N×D, or B×H×W×D) to its output."""
        return self.with_positions(self.block)

    def with_positions(self, block: nn.Module) -> Callable[[Tensor], Tensor]:
        """Return a block, or the last part of one, that is given its positions; itself where there are none."""
        return block if self.positions is dict else lambda tokens: block(tokens, **self.positions())


@dataclass(frozen=True)
class Step:
    """A part of the forward pass, and what gives the parameters that it uses: steps are made often, these rarely."""

    run: Callable[[Tensor], Tensor]
    parameters: Callable[[], Iterable[nn.Parameter]]


def chain_of(vit: Vit) -> list[Link]:
    """Return the blocks in order; those of a plain transformer are one stage."""
    if isinstance(vit, PLAIN):
        given = _positions(vit)
        return [Link(block, 0, vit.embed_dim, None, given(i)) for i, block in enumerate(vit.blocks)]
    return [
        Link(block, number, block.dim, stage.downsample if number and not i else None)
        for number, stage in enumerate(vit.layers)
        for i, block in enumerate(stage.blocks)
    ]


def steps_of(vit: Vit) -> list[Step]:
    """Return embedding, one step a block (one a part, if a method put a sequence there), pooling and norm, head."""
    head, chain = vit.get_classifier(), chain_of(vit)
    after = [getattr(vit, name, None) for name in ("norm", "fc_norm", "attn_pool")]
    between: list[tuple[Callable[[Tensor], Tensor], nn.Module]] = []
    for link in chain:
        *parts, block = link.block if isinstance(link.block, nn.Sequential) else (link.block,)
        before = [link.downsample, *parts] if link.downsample is not None else parts
        between += [*((module, module) for module in before), (link.with_positions(block), block)]
    return [
        Step(lambda images: embed(vit, images), lambda: _others(vit, [*(m for _, m in between), *after, head])),
        *(Step(run, module.parameters) for run, module in between),
        Step(lambda tokens: pool(vit, tokens), lambda: _parameters(after)),
        Step(head, head.parameters),
    ]


def embed(vit: Vit, images: Tensor) -> Tensor:
    """Turn images (B×3×H×W) into tokens (B×N×D): patches, class and register tokens, positions; in Swin a map."""
    if isinstance(vit, HIERARCHICAL):
        return vit.patch_embed(images)
    if isinstance(vit, Beit):
        patches = vit.patch_embed(images)
        tokens = torch.cat([vit.cls_token.expand(len(patches), -1, -1), patches], dim=1)
        return vit.pos_drop(tokens if vit.pos_embed is None else tokens + vit.pos_embed)
    if isinstance(vit, Eva):
        return vit.norm_pre(vit._pos_embed(vit.patch_embed(images))[0])  # rotary positions are given to each block
    return vit.norm_pre(vit.patch_drop(vit._pos_embed(vit.patch_embed(images))))


def pool(vit: Vit, tokens: Tensor) -> Tensor:
    """Turn tokens (B×N×D) into the feature that the head reads (B×D), with the final norm.

    A class token is taken out before the norm, which treats every token alike; a copy of it lets the others go.
    """
    if isinstance(vit, HIERARCHICAL) or vit.global_pool != "token":
        return vit.forward_head(vit.norm(tokens), pre_logits=True)
    return vit.head_drop(vit.fc_norm(vit.norm(tokens[:, 0].clone())))


def final_norm(vit: Vit) -> nn.Module:
    """Return the last norm, which timm keeps before the pooling (`norm`) or after it (`fc_norm`)."""
    return vit.fc_norm if isinstance(vit.norm, nn.Identity) else vit.norm


def leading_frozen(steps: Sequence[Step]) -> int:
    """Return how many steps at the start have no parameter that learns."""
    return sum(1 for _ in takewhile(lambda step: not any(p.requires_grad for p in step.parameters()), steps))


def _positions(vit: VisionTransformer | Eva | Beit) -> Callable[[int], Callable[[], dict[str, Tensor]]]:
    """Return what each block (by index) is given beside tokens: computed once, when it is first asked for."""
    made: list[Tensor] = []

    def once(make: Callable[[], Tensor]) -> Tensor:
        if not made:
            made.append(make())
        return made[0]

    if isinstance(vit, Eva) and vit.rope is not None:
        if vit.rope_mixed:  # every block has frequencies of its own
            return lambda i: lambda: {"rope": once(lambda: _rotary(vit))[i]}
        return lambda _: lambda: {"rope": once(lambda: _rotary(vit))}
    if isinstance(vit, Beit) and (bias := vit.rel_pos_bias) is not None:
        return lambda _: lambda: {"shared_rel_pos_bias": once(bias)}
    return lambda _: dict


def _rotary(vit: Eva) -> Tensor:
    """Sines and cosines of the patches' places, as timm's own forward pass has them."""
    fixed = getattr(vit.rope, "feat_shape", None) is not None
    return vit.rope.get_embed() if fixed else vit.rope.get_embed(shape=vit.patch_embed.grid_size)


def _others(vit: nn.Module, modules: Iterable[nn.Module | None]) -> Iterable[nn.Parameter]:
    elsewhere = {id(p) for p in _parameters(modules)}
    return (p for p in vit.parameters() if id(p) not in elsewhere)


def _parameters(modules: Iterable[nn.Module | None]) -> tuple[nn.Parameter, ...]:
    return tuple(p for module in modules if module is not None for p in module.parameters())
