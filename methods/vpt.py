"""Visual Prompt Tuning puts learned tokens between the class token and the patches (Jia et al., ECCV 2022).

Shallow: one set enters before block 1. Deep: each block gets a fresh set in place of the one before. See
docs/methods/vpt.md.
"""

import math

import torch
from timm.models import VisionTransformer
from torch import Tensor, nn

from methods.base import Entangled, Method, Network, Unsupported
from methods.settings import Count, Fraction


class Prompts(nn.Module):
    """Puts prompts after the class token, in place of the first `replaced` tokens there: a step before a block.

    The prompts are repeated for the batch before dropout, so each image has its own mask, as in VPT's code.
    """

    def __init__(self, prompts: nn.Parameter, replaced: int, dropout: float) -> None:
        super().__init__()
        self.prompts = prompts  # 1 × tokens × D
        self.replaced = replaced
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        prompts = self.dropout(self.prompts.expand(len(x), -1, -1))
        return torch.cat([x[:, :1], prompts, x[:, 1 + self.replaced :]], dim=1)


def prompts_for(vit: VisionTransformer, tokens: int) -> nn.Parameter:
    """Make a table of prompts (1×tokens×D), uniform in ±√(6 / (3·patch area + D)) as in VPT's code."""
    bound = prompt_bound(vit)
    return nn.Parameter(torch.empty(1, tokens, vit.embed_dim).uniform_(-bound, bound))


def prompt_bound(vit: VisionTransformer) -> float:
    """The bound of the uniform start of prompts."""
    height, width = vit.patch_embed.patch_size
    return math.sqrt(6 / (3 * height * width + vit.embed_dim))


def check_class_token(vit: VisionTransformer) -> None:
    """Raise Unsupported unless there is exactly one token before the patches."""
    if vit.num_prefix_tokens != 1 or vit.cls_token is None:
        raise Unsupported("needs a class token and no other prefix token")


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

    tokens: Count = 100
    dropout: Fraction = 0.0

    def attach(self, vit: VisionTransformer) -> Network:
        """Insert prompts before block 1."""
        check_class_token(vit)
        vit.blocks[0] = nn.Sequential(Prompts(prompts_for(vit, self.tokens), 0, self.dropout), vit.blocks[0])
        return Entangled(vit)


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

    tokens: Count = 10
    dropout: Fraction = 0.1

    def attach(self, vit: VisionTransformer) -> Network:
        """Insert prompts before block 1 and replace them before every later one."""
        check_class_token(vit)
        for i, block in enumerate(vit.blocks):
            replaced = 0 if i == 0 else self.tokens
            vit.blocks[i] = nn.Sequential(Prompts(prompts_for(vit, self.tokens), replaced, self.dropout), block)
        return Entangled(vit)
