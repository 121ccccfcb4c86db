"""LoRA adds a low-rank update to the attention projections (Hu et al., ICLR 2022), as the PETL tables on ViT use it.

`target=qkv` is NOAH's module, source of the published row: one down-projection shared by query, key and value.
`target=qv` is PETL-ViT's: a pair for the query and a pair for the value. Both have 36,864·rank parameters on ViT-B/16.
docs/methods/lora.md has the equations and what the sources do differently.
"""

from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional

from methods.backbones.chain import KINDS, Vit, chain_of
from methods.base import Entangled, Method, Network, Unsupported
from methods.parts.activations import merge_norm
from methods.parts.lean_layers import packed_bits, unpacked_bits
from methods.settings import Count, Fraction, Layer, Number


class LowRank(nn.Module):
    """Computes `scale · up(down(x))` without biases; `up` starts at zero, so the network starts as the backbone."""

    norm_scale: Tensor | None
    norm_shift: Tensor | None

    def __init__(self, width: int, outputs: int, rank: int, scale: float, dropout: float, drop_code: bool) -> None:
        super().__init__()
        self.down = nn.Linear(width, rank, bias=False)  # Kaiming-uniform with a = √5, the default
        self.up = nn.Linear(rank, outputs, bias=False)
        self.dropout = nn.Dropout(dropout)
        self.scale = scale
        self.drop_code = drop_code
        nn.init.zeros_(self.up.weight)
        self.register_buffer("norm_scale", None)  # of a norm before the layer, if the update takes them over
        self.register_buffer("norm_shift", None)

    def forward(self, x: Tensor) -> Tensor:
        code = self._code(x)
        return self.up(code) if self.scale == 1 else self.up(code) * self.scale

    def absorb(self, norm: nn.LayerNorm) -> None:
        """Take over scale and shift of the norm that x comes from: x is before them, and the code stays the same."""
        self.norm_scale = norm.weight.detach()
        self.norm_shift = None if norm.bias is None else norm.bias.detach()

    def matrix(self) -> Tensor:
        """Return the update as one matrix (outputs×width)."""
        return self.scale * self.up.weight @ self.down.weight

    def _code(self, x: Tensor) -> Tensor:
        drops = not self.drop_code and self.training and self.dropout.p > 0
        if self.norm_scale is None:
            code = self.down(self.dropout(x)) if drops else self.down(x)
        elif drops:
            code = DroppedCode.apply(x, self.down.weight, self.norm_scale, self.norm_shift, self.dropout.p)
        else:
            shift = None if self.norm_shift is None else self.down.weight @ self.norm_shift
            code = functional.linear(x, self.down.weight * self.norm_scale, shift)
        return self.dropout(code) if self.drop_code else code


class DroppedCode(Function):
    """Computes `down(dropout(scale · x + shift))` and keeps x and one bit an element for it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, down: Tensor, scale: Tensor, shift: Tensor | None, rate: float) -> Tensor:
        read, mask = torch.native_dropout(_affine(x, scale, shift), rate, True)
        ctx.save_for_backward(x, packed_bits(mask), down, scale, shift)
        ctx.share = 1 / (1 - rate) if rate < 1 else 0.0
        return functional.linear(read, down)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, bits, down, scale, shift = ctx.saved_tensors
        gradient, kind = gradients[0], gradients[0].dtype  # there is no autocast here
        mask = unpacked_bits(bits, x.shape)
        read = _affine(x, scale, shift).mul_(mask).mul_(ctx.share).to(kind)
        for_down = (gradient.flatten(0, -2).T @ read.flatten(0, -2)).to(down.dtype)
        del read
        for_x = (
            (gradient @ down.to(kind)).mul_(mask).mul_((ctx.share * scale).to(kind))
            if ctx.needs_input_grad[0]
            else None
        )
        return for_x if for_x is None else for_x.to(x.dtype), for_down, None, None, None


def _affine(x: Tensor, scale: Tensor, shift: Tensor | None) -> Tensor:
    return x * scale if shift is None else torch.addcmul(shift, x, scale)


class Adapted(nn.Module):
    """Adds low-rank updates to some parts of a frozen projection to queries, keys and values."""

    def __init__(self, frozen: nn.Linear, updates: dict[str, LowRank]) -> None:
        super().__init__()
        self.frozen = frozen
        self.updates = nn.ModuleDict(updates)

    def forward(self, x: Tensor) -> Tensor:
        output = self.frozen(x)
        for name, update in self.updates.items():
            output[..., self._rows(name)].add_(update(x))  # in place: nothing keeps the projection's output
        return output

    def absorb(self, norm: nn.LayerNorm) -> bool:
        """Take over scale and shift of the norm whose output is read, if all updates can; the output stays the same."""
        if not all(isinstance(update, LowRank) for update in self.updates.values()):
            return False
        merge_norm(norm, self.frozen)
        for update in self.updates.values():
            update.absorb(norm)
        return True

    def merged(self) -> nn.Linear:
        """Return one linear layer with the same output."""
        weight, bias = self.frozen.weight.detach().clone(), self.frozen.bias
        for name, update in self.updates.items():
            matrix, rows = update.matrix(), self._rows(name)
            scale, shift = (getattr(update, name, None) for name in ("norm_scale", "norm_shift"))
            weight[rows].add_(matrix if scale is None else matrix * scale)
            if shift is not None:
                bias[rows].add_(matrix @ shift)
        self.frozen.weight = nn.Parameter(weight, requires_grad=False)
        return self.frozen

    def _rows(self, name: str) -> slice:
        """Return the rows of `name` ("q", "k", "v" or "qkv") in the projection's output."""
        width = self.frozen.out_features // 3
        first = "qkv".index(name)
        return slice(first * width, (first + len(name)) * width)


class Lora(Method, name="lora"):
    """LoRA adds a low-rank update to the attention projections of each block; it merges into the backbone.

    Family: low-rank updates
    Paper: Hu et al., ICLR 2022
    Entangled: yes
    Parameters: 294,912 (36,864 · rank; 24,576 a block at rank 8)

    On Swin it is our extension: the published rows are of plain transformers.

    Settings:
        rank: Rank of the update.
        target: `qkv` has one down-projection for queries, keys and values, as NOAH, the source of the published row;
            `qv` has a pair for the queries and a pair for the values, as PETL-ViT.
        layer: The one block that is tuned, counted from 1; the blocks below it are extracted. `none` tunes all.
        scale: Factor of the update.
        dropout: Share that is dropped in training: of the input with `qkv`, of the code with `qv`, as in the sources.
        start: `zero` starts as the backbone. `normal` is what NOAH's released code does in effect: both matrices are
            truncated normal with deviation 0.02, so the update is small but not zero at first.
    """

    backbones = KINDS
    rank: Count = 8
    target: Literal["qkv", "qv"] = "qkv"
    layer: Layer | None = None
    scale: Number = 1.0
    dropout: Fraction = 0.1
    start: Literal["zero", "normal"] = "zero"

    @property
    def starts_as_backbone(self) -> bool:  # type: ignore[override]
        """True with `start=zero`, false with NOAH's normal start."""
        return self.start == "zero"

    def attach(self, vit: Vit) -> Network:
        """Replace the qkv projection of each tuned block."""
        for block in self._tuned(vit):
            if not isinstance(projection := getattr(getattr(block, "attn", None), "qkv", None), nn.Linear):
                raise Unsupported("needs one linear projection to queries, keys and values")
            block.attn.qkv = Adapted(projection, self._updates(projection))
            block.attn.qkv_bias_separate = True  # of Eva, Beit and Swin V2, which else read the weight alone
        return Entangled(vit)

    def _tuned(self, vit: Vit) -> Iterator[nn.Module]:
        chain = chain_of(vit)
        if self.layer is not None and self.layer > len(chain):
            raise ValueError(f"lora: layer={self.layer}, but the backbone has {len(chain)} blocks")
        return (link.block for i, link in enumerate(chain, start=1) if self.layer in (None, i))

    def _updates(self, projection: nn.Linear) -> dict[str, LowRank]:
        names = ("qkv",) if self.target == "qkv" else ("q", "v")
        outputs = projection.out_features // 3 * len(names[0])
        updates = {name: self._update(projection.in_features, outputs) for name in names}
        if self.start == "normal":
            for weight in (p for update in updates.values() for p in update.parameters()):
                nn.init.trunc_normal_(weight, std=0.02)
        return updates

    def _update(self, width: int, outputs: int) -> LowRank:
        return LowRank(width, outputs, self.rank, self.scale, self.dropout, drop_code=self.target == "qv")
