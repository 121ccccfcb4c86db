"""Muon: momentum whose step is made orthogonal by five Newton-Schulz iterations (Jordan et al., 2024).

torch has it too, one matrix at a time in bfloat16; here the equal matrices of all blocks go together, as suits a CPU.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

__all__ = ["Muon", "optimizers_for", "orthogonal"]


class Muon(torch.optim.Optimizer):
    """Steps for weight matrices; vectors, embeddings and heads belong to another optimizer."""

    def __init__(
        self, matrices: Iterable[nn.Parameter], lr: float, decay: float = 0.02, momentum: float = 0.95
    ) -> None:
        super().__init__(list(matrices), {"lr": lr, "decay": decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Move every matrix against its orthogonalised Nesterov momentum."""
        for group in self.param_groups:
            for shape in sorted({tuple(matrix.shape) for matrix in group["params"]}):
                self._move([matrix for matrix in group["params"] if matrix.shape == shape], group)

    def _move(self, alike: list[nn.Parameter], group: dict[str, float]) -> None:
        gradient = torch.stack([matrix.grad for matrix in alike if matrix.grad is not None])
        kept = self.state[alike[0]]
        mean = kept.setdefault("mean", torch.zeros_like(gradient)).lerp_(gradient, 1 - group["momentum"])
        rows, columns = alike[0].shape
        scale = max(1.0, rows / columns) ** 0.5
        for matrix, direction in zip(alike, orthogonal(gradient.lerp(mean, group["momentum"])), strict=True):
            matrix.mul_(1 - group["lr"] * group["decay"]).sub_(direction, alpha=group["lr"] * scale)


def orthogonal(matrices: Tensor, steps: int = 5) -> Tensor:
    """Bring the singular values of each matrix near one."""
    if matrices.shape[1] > matrices.shape[2]:
        return orthogonal(matrices.mT, steps).mT
    x = matrices / (torch.linalg.matrix_norm(matrices, keepdim=True) + 1e-7)
    for _ in range(steps):
        square = x @ x.mT
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x  # the coefficients of the authors' note
    return x


def optimizers_for(
    blocks: nn.Module, net: nn.Module, rate: float, matrix_rate: float
) -> tuple[torch.optim.Optimizer, ...]:
    """Give AdamW for the net, but Muon for the matrices of its blocks."""
    matrices = [weight for weight in blocks.parameters() if weight.ndim == 2]
    apart = {id(matrix) for matrix in matrices}
    rest = [weight for weight in net.parameters() if id(weight) not in apart]
    return torch.optim.AdamW(rest, lr=rate, weight_decay=0.03, fused=True), Muon(matrices, lr=matrix_rate)
