"""Picks features by the group lasso of a linear head; Head2Toe and VQT do so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional

from methods.base import Network
from methods.settings import Range

__all__ = ["Picked", "Probe", "Share", "group_lasso", "strongest"]

Share = Annotated[float, Range(1e-9, 1.0)]  # of features, at least one of which stays


class Probe(Network):
    """Trains a head on features that the frozen `source` makes of images, with `coefficient` times a group lasso."""

    def __init__(self, source: nn.Module, head: nn.Linear, coefficient: float = 0.0) -> None:
        super().__init__()
        self.source = source
        self.head = head
        self.coefficient = coefficient
        self._lasso: Tensor | None = None

    @torch.no_grad()
    def extract(self, images: Tensor) -> Tensor:
        """Return the features (B×M)."""
        return self.source(images)

    @property
    def required_states(self) -> tuple[str, ...]:  # type: ignore[override]
        """The names of the states that the source reads."""
        return self.source.required_states

    def hidden_states(self, images: Tensor) -> dict[str, Tensor]:
        """Return the states that the source reads, by name."""
        return self.source.hidden_states(images)

    @torch.no_grad()
    def features(self, states: Mapping[str, Tensor]) -> Tensor:
        """Return the features (B×M) from the states."""
        return self.source.features(states)

    def adapt(self, features: Tensor) -> Tensor:
        """Return the logits of the head."""
        if not self.coefficient or not torch.is_grad_enabled():
            return self.head(features)
        weight, self._lasso = group_lasso(self.head.weight)
        return functional.linear(features, weight, self.head.bias)

    def regularization_loss(self) -> Tensor | None:
        """Return `coefficient` times the group lasso of the head, once after each `adapt`."""
        lasso, self._lasso = self._lasso, None
        return None if lasso is None else self.coefficient * lasso


class Picked(nn.Module):
    """Takes some of the features that `source` makes."""

    order: Tensor

    def __init__(self, source: nn.Module, order: Tensor) -> None:
        super().__init__()
        self.source = source
        self.required_states = source.required_states
        self.register_buffer("order", order)

    def forward(self, images: Tensor) -> Tensor:
        return self.source(images)[:, self.order]

    def hidden_states(self, images: Tensor) -> dict[str, Tensor]:
        """Return the states that the source reads, by name."""
        return self.source.hidden_states(images)

    def features(self, states: Mapping[str, Tensor]) -> Tensor:
        """Return the chosen features (B×k) from the states."""
        return self.source.features(states)[:, self.order]


class GroupLasso(Function):
    """Returns the weight unchanged, so that the gradient of the lasso is added to the other one in place.

    Autograd would make the two apart and then their sum: three times the weight, which is most of what there is.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return the weight, and Σ_j ‖W_j‖₂ over its columns."""
        norms = torch.linalg.vector_norm(weight, dim=0)
        ctx.save_for_backward(weight, norms)
        return weight.view_as(weight), norms.sum()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Tensor:
        """Return the weight's gradient plus W_j/‖W_j‖₂, which is zero where it is 0/0."""
        weight, norms = ctx.saved_tensors
        gradient, outer = gradients
        return gradient.addcmul_(weight, (outer / norms).masked_fill_(norms == 0, 0))


def group_lasso(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return a head's weight (classes×features), to be used in its place once, and Σ_j ‖W_j‖₂ over the features j."""
    return GroupLasso.apply(weight)


@torch.no_grad()
def strongest(weight: Tensor, share: float) -> Tensor:
    """Return the indices of the features with the largest ‖W_j‖₂, in descending order; of equal ones the first."""
    scores = weight.square().sum(dim=0)
    count = max(1, int(len(scores) * share))
    return scores.argsort(descending=True, stable=True)[:count]
