"""What differs between codes that compute the same: which tensors are kept, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from bench.cost.cuda_rules import SOFTMAX, Autograd

__all__ = ["TODAY", "Rules", "hold_scores"]


@dataclass(frozen=True)
class Rules:
    """`autograd`: today's, or PyTorch 1.7's, which kept both operands of every product and the input of softmax.

    `gradients`: freed before the forward pass (as the training loop here does), after it (DTL's loop), or zeroed
    in place and so never freed (PyTorch before 2.0). `scores`: freed by the softmax, or held until the attention
    layer returns, since a local variable of VPT's released code names them.
    """

    autograd: Autograd = "current"
    gradients: Literal["freed_before", "freed_after", "zeroed"] = "freed_before"
    scores: Literal["freed", "held"] = "freed"


TODAY = Rules()


def hold_scores(network: nn.Module, rules: Rules) -> AbstractContextManager[object]:
    """A context in which the scores are held where the rules say so; to be entered inside that of CudaRules."""
    return _Held(network) if rules.scores == "held" else nullcontext()


class _Held(TorchFunctionMode):
    """Keeps the input of every softmax until the attention layer that it is in is left."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._scores: list[Tensor] = []
        self._hooks: list[Any] = []
        self._layers = [module for module in network.modules() if hasattr(module, "fused_attn")]

    def __enter__(self) -> _Held:
        self._hooks = [layer.register_forward_hook(lambda *_: self._scores.clear()) for layer in self._layers]
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        for hook in self._hooks:
            hook.remove()

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in SOFTMAX:
            self._scores.append(args[0])
        return func(*args, **(kwargs or {}))
