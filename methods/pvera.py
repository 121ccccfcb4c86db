"""PVeRA is VeRA whose code is drawn from a normal distribution in training (Fillioux et al., WACV 2026).

A and d have 2·rank rows (methods/vera.py); with x a token (D) that attention projects,

    mean, v = d * (A x), cut in two      z = mean + noise · exp(v/2)      y += alpha · b * (B z)

with noise ~ N(0, 1) anew for each token. In evaluation z = mean, and the second half of d has no gradient; the mean
merges into the projection: `merge`. With `kl_divisor` the loss has a term besides, the divergence from N(0, 1)

    Σ over blocks of the mean over targets of mean(½ (mean² + exp v − 1 − v)) / kl_divisor

The authors divide by 10⁶ … 10¹⁶, which turns it off in effect; left out, there is none. See docs/methods/pvera.md.
"""

from __future__ import annotations

from typing import Literal

import torch
from timm.models import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

from methods.base import Entangled, Network
from methods.settings import Number, Positive
from methods.vera import TARGETS, Mixed, Pair, Update, Vera

__all__ = ["Pvera", "noise"]


class Drawn(Update):
    """Makes the update of one target in one block: from a drawn code in training, from its mean in evaluation."""

    def __init__(self, pair: Pair, mixed: Mixed, d: Tensor, measured: bool) -> None:
        super().__init__(pair, mixed)
        self.d = nn.Parameter(d)
        self.measured = measured
        self.divergence: Tensor | None = None  # of the last forward pass in training

    def forward(self, x: Tensor) -> Tensor:
        (pair,) = self.shared
        code, logarithm = (functional.linear(x, pair.down) * self.d).chunk(2, dim=-1)
        if self.training:
            if self.measured:
                terms = code.square() + logarithm.exp() - 1 - logarithm
                self.divergence = terms.mean(dtype=torch.promote_types(terms.dtype, torch.float32)) / 2
            code = code + noise(code) * (logarithm / 2).exp()
        return functional.linear(code, self.mixed(pair.up))

    def matrix(self) -> Tensor:
        """Return the update by the mean as one matrix (outputs×inputs)."""
        (pair,) = self.shared
        means, _ = (self.d.unsqueeze(1) * pair.down).chunk(2)
        return self.mixed(pair.up) @ means


class Variational(Entangled):
    """A network that adds the divergence of its codes to the loss."""

    def __init__(self, vit: VisionTransformer, divisor: float) -> None:
        super().__init__(vit)
        self.divisor = divisor

    def regularization_loss(self) -> Tensor | None:
        """Return the divergence of the last forward pass in training, once; None after one in evaluation."""
        terms = []
        for module in self.modules():
            if isinstance(module, Drawn) and module.divergence is not None:
                terms.append(module.divergence)
                module.divergence = None
        return torch.stack(terms).sum() / self.divisor if terms else None


class Pvera(Vera, name="pvera"):
    """PVeRA is VeRA with codes that are drawn from a normal distribution in training; it merges into the backbone.

    Family: low-rank updates
    Paper: Fillioux et al., WACV 2026
    Entangled: yes
    Parameters: 30,720

    The defaults are those of the authors' code; the PEFT library has `shared=all:alpha=1`, and no term in the loss.
    The network starts as the backbone.

    Settings:
        kl_divisor: What the divergence of the codes from N(0, 1) is divided by before it is added to the loss; the
            authors have 10⁶ … 10¹⁶, which turns it off in effect. `none` adds nothing.
    """

    codes = 2  # a mean and a logarithm of the variance
    shared: Literal["all", "per_target"] = "per_target"
    alpha: Number = 16.0
    kl_divisor: Positive | None = None

    def _update(self, pair: nn.Module, outputs: int) -> Update:
        assert isinstance(pair, Pair)
        return Drawn(pair, Mixed(outputs, self.alpha, None), self._start(), self.kl_divisor is not None)

    def _network(self, vit: VisionTransformer) -> Network:
        if self.kl_divisor is None:
            return Entangled(vit)
        return Variational(vit, self.kl_divisor * len(TARGETS[self.target]))


def noise(like: Tensor) -> Tensor:
    """Draw standard normal numbers in the shape of `like`."""
    return torch.randn_like(like)
