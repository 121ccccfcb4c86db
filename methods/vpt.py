"""Visual Prompt Tuning puts learned tokens between the class token and the patches (Jia et al., ECCV 2022).

Shallow: one set enters before block 1. Deep: each block gets a fresh set in place of the one before. See
docs/methods/vpt.md.

Prompts come after all tokens that stand before the patches: class token, register tokens, or none. They have no place
in the image: rotary positions turn the patches alone. Where tokens are pooled, prompts are left out, as in the paper.
"""

import math

import torch
from timm.models import VisionTransformer
from torch import Tensor, nn

from methods.backbones.chain import PLAIN, Step, Vit
from methods.base import Entangled, Method, Network, Unsupported
from methods.settings import Count, Fraction


class Prompts(nn.Module):
    """Puts prompts after the first `prefix` tokens, in place of `replaced` tokens there.

    The prompts are repeated for the batch before dropout, so each image has its own mask, as in VPT's code.
    """

    def __init__(self, prompts: nn.Parameter, prefix: int, replaced: int, dropout: float) -> None:
        super().__init__()
        self.prompts = prompts  # 1 × tokens × D
        self.prefix = prefix
        self.replaced = replaced
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        prompts = self.dropout(self.prompts.expand(len(x), -1, -1))
        return torch.cat([x[:, : self.prefix], prompts, x[:, self.prefix + self.replaced :]], dim=1)


class Prompted(Entangled):
    """A backbone with prompts, which are left out of what is pooled."""

    def __init__(self, vit: Vit, tokens: int) -> None:
        self.tokens = tokens
        super().__init__(vit)

    def _steps(self) -> list[Step]:
        steps = super()._steps()
        if self.vit.global_pool == "token":  # the others are not read
            return steps
        return [*steps[:-2], Step(self._without, tuple), *steps[-2:]]

    def _without(self, x: Tensor) -> Tensor:
        prefix = self.vit.num_prefix_tokens
        return torch.cat([x[:, :prefix], x[:, prefix + self.tokens :]], dim=1)


def prompts_for(vit: VisionTransformer, tokens: int) -> nn.Parameter:
    """Make a table of prompts (1×tokens×D), uniform in ±√(6 / (3·patch area + D)) as in VPT's code."""
    bound = prompt_bound(vit)
    return nn.Parameter(torch.empty(1, tokens, vit.embed_dim).uniform_(-bound, bound))


def prompt_bound(vit: VisionTransformer) -> float:
    """Return the bound of the uniform start of prompts."""
    height, width = vit.patch_embed.patch_size
    return math.sqrt(6 / (3 * height * width + vit.embed_dim))


class VptShallow(Method, name="vpt_shallow"):
    """VPT-Shallow puts learned prompts between the class token and the patches before block 1.

    Family: prompts
    Paper: Jia et al., ECCV 2022
    Entangled: yes
    Parameters: 76,800 (768 · tokens)

    Settings:
        tokens: Number of prompts; the authors choose it for each task, of 1 … 200.
        dropout: Share of the prompts' entries that is dropped in training.
    """

    backbones = PLAIN
    tokens: Count = 100
    dropout: Fraction = 0.0

    def attach(self, vit: Vit) -> Network:
        """Insert prompts before block 1."""
        return _prompted(vit, self.tokens, self.dropout, deep=False)


class VptDeep(Method, name="vpt_deep"):
    """VPT-Deep puts fresh learned prompts before every block, in place of those of the block before.

    Family: prompts
    Paper: Jia et al., ECCV 2022
    Entangled: yes
    Parameters: 92,160 (9,216 · tokens)

    Settings:
        tokens: Number of prompts before each block; the authors choose it for each task, of 1 … 200.
        dropout: Share of the prompts' entries that is dropped in training.
    """

    backbones = PLAIN
    tokens: Count = 10
    dropout: Fraction = 0.1

    def attach(self, vit: Vit) -> Network:
        """Insert prompts before block 1 and replace them before every later one."""
        return _prompted(vit, self.tokens, self.dropout, deep=True)


def _prompted(vit: Vit, tokens: int, dropout: float, deep: bool) -> Network:
    for i, block in enumerate(vit.blocks):
        attention = getattr(block, "attn", None)
        if hasattr(attention, "window_size") or getattr(vit, "rel_pos_bias", None) is not None:  # of BEiT
            raise Unsupported("needs attention without a bias by relative position, which prompts have none of")
        if hasattr(attention, "num_prefix_tokens"):
            attention.num_prefix_tokens += tokens  # that rotary positions leave as they are
        if i == 0 or deep:
            prompts = Prompts(prompts_for(vit, tokens), vit.num_prefix_tokens, tokens if i else 0, dropout)
            vit.blocks[i] = nn.Sequential(prompts, block)
    return Prompted(vit, tokens)
