"""A vision transformer, plain or hierarchical (Swin), as the list of steps it is: embedding, blocks, pooling, head.

A method that changes blocks changes these steps; how many of the leading ones learn nothing decides what is frozen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile

from timm.models import SwinTransformer, VisionTransformer
from torch import Tensor, nn

from methods.backbones.chain import chain_of

__all__ = ["Step", "embed", "leading_frozen", "pool", "steps_of"]


@dataclass(frozen=True)
class Step:
    """A part of the forward pass, and what gives the parameters that it uses: steps are made often, these rarely."""

    run: Callable[[Tensor], Tensor]
    parameters: Callable[[], Iterable[nn.Parameter]]


def steps_of(vit: VisionTransformer | SwinTransformer) -> list[Step]:
    """Embedding, one step a block (one a part, where a method put a sequence there), pooling with the norm, head."""
    head = vit.get_classifier()
    parts = [part for link in chain_of(vit) for module in (link.merge, link.block) for part in _parts(module)]
    after = [getattr(vit, name, None) for name in ("norm", "fc_norm", "attn_pool")]
    return [
        Step(lambda images: embed(vit, images), lambda: _others(vit, [*parts, *after, head])),
        *(Step(part, part.parameters) for part in parts),
        Step(lambda tokens: pool(vit, tokens), lambda: _parameters(after)),
        Step(head, head.parameters),
    ]


def embed(vit: VisionTransformer | SwinTransformer, images: Tensor) -> Tensor:
    """Images (B×3×H×W) to tokens (B×N×D): patches, class token, positions; in Swin a map of patches (B×H×W×D)."""
    if isinstance(vit, SwinTransformer):
        return vit.patch_embed(images)
    tokens = vit._pos_embed(vit.patch_embed(images))
    return vit.norm_pre(vit.patch_drop(tokens))


def pool(vit: VisionTransformer | SwinTransformer, tokens: Tensor) -> Tensor:
    """Tokens (B×N×D) to the feature that the head reads (B×D), with the final norm.

    A class token is taken out before the norm, which treats every token alike; a copy of it lets the others go.
    """
    if isinstance(vit, SwinTransformer) or vit.global_pool != "token":
        return vit.forward_head(vit.norm(tokens), pre_logits=True)
    return vit.head_drop(vit.fc_norm(vit.norm(tokens[:, 0].clone())))


def leading_frozen(steps: Sequence[Step]) -> int:
    """How many steps at the start have no parameter that learns."""
    return sum(1 for _ in takewhile(lambda step: not any(p.requires_grad for p in step.parameters()), steps))


def _parts(module: nn.Module | None) -> Iterable[nn.Module]:
    if module is None:
        return ()
    return module if isinstance(module, nn.Sequential) else (module,)


def _others(vit: nn.Module, modules: Iterable[nn.Module | None]) -> Iterable[nn.Parameter]:
    elsewhere = {id(p) for p in _parameters(modules)}
    return (p for p in vit.parameters() if id(p) not in elsewhere)


def _parameters(modules: Iterable[nn.Module | None]) -> tuple[nn.Parameter, ...]:
    return tuple(p for module in modules if module is not None for p in module.parameters())
