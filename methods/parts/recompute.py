"""Makes cheap outputs of layers again in the backward pass rather than keeping them.

A layer norm's output, for one, is kept only for the weights that read it, and follows from its input, which is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

__all__ = ["Recomputing"]


class Output:
    """Makes one output once for all that read it, and frees it when the last one has it."""

    def __init__(self, make: Callable[[], Tensor]) -> None:
        self.make = make
        self.readers = 0
        self.made: Tensor | None = None

    @torch.no_grad()
    def read(self) -> Tensor:
        """Return the output; make it first if it is not there."""
        made = self.made if self.made is not None else self.make()
        self.readers -= 1
        self.made = made if self.readers > 0 else None
        return made


class Ledger:
    """Lists the outputs that autograd must not keep, by storage, while a block runs; closed otherwise."""

    def __init__(self) -> None:
        self.outputs: dict[int, tuple[Tensor, Output]] | None = None  # the tensor is held so that its key stays its own

    def enter(self, tensor: Tensor, make: Callable[[], Tensor]) -> None:
        """Keep `tensor` and its views no longer from here on; `make` gives an equal one of the same layout."""
        if self.outputs is not None:
            self.outputs[tensor.untyped_storage()._cdata] = tensor, Output(make)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Open the ledger: what is entered inside is not kept."""
        self.outputs = {}
        try:
            with saved_tensors_hooks(self._pack, _unpack):
                yield
        finally:
            self.outputs = None

    def _pack(self, tensor: Tensor) -> Any:
        assert self.outputs is not None
        _, output = self.outputs.get(tensor.untyped_storage()._cdata, (None, None))
        if output is None:
            return tensor
        output.readers += 1
        return output, tensor.size(), tensor.stride(), tensor.storage_offset()


class Remade(nn.Module):
    """Runs a layer and enters its output in the ledger."""

    def __init__(self, layer: nn.Module, ledger: Ledger) -> None:
        super().__init__()
        self.layer = layer
        self.ledger = ledger

    def forward(self, x: Tensor) -> Tensor:
        output = self.layer(x)
        source = x.detach()
        self.ledger.enter(output, lambda: self.layer(source))
        return output

    def merged(self) -> nn.Module:
        """Return the layer itself."""
        return self.layer


class Recomputing(nn.Module):
    """Runs `block` and makes the outputs of its layers `names` again; these layers must be deterministic.

    With `lean` false it runs as it is, and so it does inside activation checkpointing, which makes everything again,
    and when compiled, where the compiler chooses.
    """

    def __init__(self, block: nn.Module, *names: str) -> None:
        super().__init__()
        self.block = block
        self.lean = True
        self._ledger = Ledger()
        for name in names:
            block.set_submodule(name, Remade(block.get_submodule(name), self._ledger))

    def forward(self, x: Tensor, **given: Tensor) -> Tensor:
        if not self.lean or torch.compiler.is_compiling() or not torch.is_grad_enabled() or _hooked():
            return self.block(x, **given)
        with self._ledger.opened():
            return self.block(x, **given)

    def merged(self) -> nn.Module:
        """Return the block itself."""
        return self.block


def _unpack(packed: Any) -> Tensor:
    if isinstance(packed, Tensor):
        return packed
    output, *layout = packed
    return output.read().as_strided(*layout)


def _hooked() -> bool:
    """Return whether other hooks decide what is kept: of nested hooks only the innermost ones are called."""
    return torch._C._autograd._top_saved_tensors_default_hooks(False) is not None
