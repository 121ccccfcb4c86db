"""Checks that a backbone has what a method changes or reads; each raises Unsupported with the reason."""

from __future__ import annotations

from collections.abc import Sequence

from timm.layers import GluMlp, Mlp
from timm.models import VisionTransformer
from timm.models.beit import Block as BeitBlock
from timm.models.eva import EvaBlock
from timm.models.vision_transformer import Attention, Block
from torch import nn

from methods.base import Unsupported

__all__ = [
    "LAYERS", "PRE_NORM", "blocks_of", "check_attention", "check_blocks", "check_class_token", "check_layers",
    "check_pooling",
]  # fmt: skip

LAYERS = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
PRE_NORM = (Block, EvaBlock, BeitBlock)  # x + drop_path1(Attn(norm1 x)), then x + drop_path2(MLP(norm2 x))


def blocks_of(vit: nn.Module, kinds: tuple[type[nn.Module], ...] = (Block,)) -> Sequence[nn.Module]:
    """Return the blocks, if each is of one of these kinds."""
    blocks = getattr(vit, "blocks", [vit])  # those of a hierarchical backbone lie in stages
    if any(type(block) not in kinds for block in blocks):
        raise Unsupported("needs blocks of attention and then MLP, each with a norm before it")
    return blocks


def check_layers(block: nn.Module, *names: str) -> None:
    """Check that the layers of these names, by default all four, are linear, and that the MLP has just two."""
    for name in names or LAYERS:
        owner, child = block.get_submodule(name.partition(".")[0]), name.partition(".")[2]
        if child[:2] == "fc" and type(owner) not in (Mlp, GluMlp):
            raise Unsupported("needs an MLP of two linear layers")
        if type(getattr(owner, child, None)) is not nn.Linear:
            raise Unsupported(f"needs one linear layer as {name}")


def check_blocks(vit: nn.Module) -> None:
    """Check that every block is timm's pre-norm one with plain attention."""
    for block in getattr(vit, "blocks", [vit]):
        if type(block) is not Block or type(block.attn) is not Attention or block.attn.gate is not None:
            raise Unsupported("needs pre-norm blocks with plain attention")


def check_attention(vit: nn.Module) -> None:
    """Check that every block has one attention layer, which says whether it is fused."""
    if not all(hasattr(getattr(block, "attn", None), "fused_attn") for block in vit.blocks):
        raise Unsupported("needs blocks with one attention layer")


def check_class_token(vit: VisionTransformer) -> None:
    """Check that there is exactly one token before the patches."""
    if vit.num_prefix_tokens != 1 or vit.cls_token is None:
        raise Unsupported("needs a class token and no other prefix token")


def check_pooling(vit: VisionTransformer) -> None:
    """Check that the head reads the class token."""
    if vit.cls_token is None or vit.global_pool != "token":
        raise Unsupported("needs a class token that the head reads")
