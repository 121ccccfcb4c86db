"""LST trains a thin transformer beside the frozen backbone, which reads the blocks through a ladder and alone predicts.

Source: "LST: Ladder Side-Tuning" (Sung, Cho, Bansal; NeurIPS 2022) and its released T5 encoder, carried over to ViT;
no ViT code of the authors exists (docs/methods/lst.md). With h_0 the embedding, h_i (B×N×D) what backbone block i
wrote, and side tokens s (B×N×D/reduction):

    s ← D_0 h_0    for every i:  g = sigmoid(a_i / 0.1)    s ← Side_i(g·s + (1 − g)·D_i h_i)    logits = Head(U LN(s))

All of the backbone is extracted, in evaluation mode also while the side network trains. Our decisions: every
block has its rung, the head reads the class token (`pool=mean`: U LN(s) averaged over the patch tokens alone, the class
token left out, as timm's `avg`), the pruning goes by the weights' size (not by Fisher information).
Where attention is fused, the last rung works on the class token alone, since nothing reads the others; the plain form,
--attention eager, works on all.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from methods.backbones.chain import PLAIN, Vit, final_norm
from methods.base import Method, Network, SideNetwork, Unsupported
from methods.parts.prune import chain_kept, is_plain, narrow_block, narrow_norm
from methods.parts.queries import first_of
from methods.settings import Count
from methods.states import written

TEMPERATURE = 0.1  # of the gates


def projection(inputs: int, outputs: int) -> nn.Linear:
    """Make a linear layer that starts normal with deviation 0.01, its bias at zero."""
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=0.01)
    nn.init.zeros_(layer.bias)
    return layer


class Rung(nn.Module):
    """Mixes side tokens and projected backbone tokens by one gate, half and half at first, then runs the side block."""

    def __init__(self, width: int, narrow_width: int, block: nn.Module) -> None:
        super().__init__()
        self.ladder = projection(width, narrow_width)
        self.gate = nn.Parameter(torch.zeros(1))
        self.block = block

    def forward(self, side: Tensor, tokens: Tensor) -> Tensor:
        """Compute side tokens (B×N×D/r) from the previous ones and the backbone's (B×N×D)."""
        return self.block(self._merged(side, tokens))

    def first(self, side: Tensor, tokens: Tensor) -> Tensor:
        """Compute the first side token (B×1×D/r); if attention is fused, without attention and MLP of the others."""
        merged = self._merged(side, tokens)
        return first_of(self.block, merged) if self.block.attn.fused_attn else self.block(merged)[:, :1]

    def _merged(self, side: Tensor, tokens: Tensor) -> Tensor:
        gate = torch.sigmoid(self.gate / TEMPERATURE)
        return gate * side + (1 - gate) * self.ladder(tokens)


class Ladder(SideNetwork):
    """A frozen backbone and its side network; the backbone's own final norm is not used."""

    def __init__(self, vit: Vit, rungs: list[Rung], norm: nn.LayerNorm, pool: str) -> None:
        super().__init__(vit)
        (width,) = norm.normalized_shape
        self.first = projection(vit.embed_dim, width)
        self.rungs = nn.ModuleList(rungs)
        self.side_norm = norm
        self.up = projection(width, vit.embed_dim)
        self.pool = pool
        self.required_states = tuple(written(i) for i in range(len(vit.blocks) + 1))  # embedding, blocks

    def adapt(self, features: list[Tensor]) -> Tensor:
        """Run the side network from the embedding up, and the head on its class token or the mean of its patches."""
        side = self.first(features[0])
        *rungs, last = self.rungs
        for rung, tokens in zip(rungs, features[1:-1], strict=True):
            side = rung(side, tokens)
        if self.pool == "cls":
            return self.head(self.up(self.side_norm(last.first(side, features[-1]).squeeze(1))))
        side = last(side, features[-1])
        return self.head(self.up(self.side_norm(side[:, self.vit.num_prefix_tokens :]).mean(dim=1)))


class Lst(Method, name="lst"):
    """LST trains a narrow transformer beside the frozen one, which reads its blocks through a gated ladder.

    Family: side networks
    Paper: Sung et al., NeurIPS 2022
    Entangled: no
    Parameters: 2,376,492 (7,406,412 at reduction 4; 856,860 at 16; 345,876 at 32)

    The side blocks have the backbone's heads, narrower, and start from its weights by structural pruning. A backbone
    without a class token is read as with `pool=mean`.

    Settings:
        reduction: How many times narrower than the backbone the side network is.
        pool: The head reads the class token (`cls`) or the mean of the patches (`mean`).
    """

    backbones = PLAIN
    reduction: Count = 8
    pool: Literal["cls", "mean"] = "cls"

    def attach(self, vit: Vit) -> Network:
        """Build the side network from the backbone's blocks."""
        self._check(vit)
        kept = chain_kept(vit, self.reduction)
        width = vit.embed_dim // self.reduction
        pool = "mean" if vit.cls_token is None else self.pool
        blocks = [narrow_block(*pair) for pair in zip(vit.blocks, kept, strict=True)]
        rungs = [Rung(vit.embed_dim, width, block) for block in blocks]
        return Ladder(vit, rungs, narrow_norm(final_norm(vit), kept[-1].written), pool)

    def _check(self, vit: Vit) -> None:
        if not all(map(is_plain, getattr(vit, "blocks", [vit]))):
            raise Unsupported("needs plain pre-norm transformer blocks of one width")
        if not isinstance(final_norm(vit), nn.LayerNorm):
            raise Unsupported("needs a final norm")
        heads = vit.blocks[0].attn.num_heads
        if vit.embed_dim % (self.reduction * heads):
            sizes = f"a width of {vit.embed_dim} and {heads} heads"
            raise ValueError(f"lst: reduction={self.reduction}, but the backbone has {sizes}, which do not divide so")
