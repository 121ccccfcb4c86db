"""Counting live memory: a dispatch mode that sees every storage when it is made and when it dies.

It works on real tensors and on the meta device and gives the same bytes on both, so a plan needs no memory and no GPU.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, UntypedStorage
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from bench.cost.cuda_rules import attention_bytes, workspace_bytes
from bench.cost.flops import counted

__all__ = ["Allocation", "Event", "Meter", "Peak"]

GRAIN = 512  # the CUDA allocator rounds up to 512 bytes
WORKSPACE = "workspace"  # the kind of a block in a history that cuBLAS takes; its bytes depend on the card
LT_WORKSPACE = 2**20  # of cuBLASLt, which multiplies and adds a bias in one kernel
PRODUCTS = frozenset({torch.ops.aten.mm.default, torch.ops.aten.addmm.default, torch.ops.aten.bmm.default,
                      torch.ops.aten.baddbmm.default})  # fmt: skip


@dataclass
class Allocation:
    """One piece of memory: its bytes, what it turned out to be for and, where that was asked for, who made it."""

    size: int
    kind: str
    shape: tuple[int, ...] = ()
    number_format: str = ""
    operator: str = ""
    module: str = ""
    asked: int = 0  # what CUDA's kernel asks the allocator for, where that is not `size`


Event = tuple[int, Allocation]  # +1 born, -1 died


@dataclass(frozen=True)
class Peak:
    """The highest total of live bytes, and the blocks that were alive then."""

    total: int
    blocks: tuple[Allocation, ...]
    history: tuple[tuple[Event, ...], ...] = field(default=(), repr=False)  # before the first step, and of every step
    frozen_flops: int = 0  # since the past was last forgotten, two for a multiply-add: of what is extracted,
    trained_flops: int = 0  # and of everything else

    def breakdown(self) -> dict[str, int]:
        """Return the bytes by kind; they add up to the total."""
        sizes: dict[str, int] = {}
        for block in self.blocks:
            sizes[block.kind] = sizes.get(block.kind, 0) + block.size
        return sizes

    def largest(self, count: int) -> list[Allocation]:
        """Return the largest blocks, the older one first where two are equal."""
        return sorted(self.blocks, key=lambda block: -block.size)[:count]


class Meter(TorchDispatchMode):
    """Keeps a log of births and deaths of storages; what is alive before it starts must be shown with `add`.

    Kinds can be told late (a gradient is known as one when the backward pass is over): a block keeps its identity
    in the log, so the breakdown at the peak is right in hindsight. With `origin`, which names the module at work,
    each block also knows the operator, shape and module that it came from.
    """

    def __init__(self, origin: Callable[[], str] | None = None) -> None:
        super().__init__()
        self._origin = origin
        self._alive: dict[int, tuple[weakref.ref[UntypedStorage], Allocation]] = {}
        self._log: list[Event] = []
        self._history: list[list[Event]] = [[]]  # one list for each time that the past was forgotten, and one before
        self._flops = {True: 0, False: 0}  # by whether it is frozen
        self._frozen = False
        self._workspaces: dict[
            bool, Allocation
        ] = {}  # of the thread that goes forward, and of the one that goes backward

    def add(self, tensors: Iterable[Tensor], kind: str, name: str = "") -> None:
        """Count the storages of `tensors` if they are new, and say what they are for and what they are called."""
        for tensor in tensors:
            block = self._see(tensor, kind)
            block.kind = kind
            block.module = name or block.module

    def forget_past(self) -> None:
        """Start the log anew from what is alive now: the next peak is that of what follows."""
        self._log = [(1, block) for _, block in self._alive.values()]
        self._history.append([])
        self._flops = {True: 0, False: 0}

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Count the work inside as that of the part that does not learn."""
        self._frozen = True
        try:
            yield
        finally:
            self._frozen = False

    def peak(self) -> Peak:
        """Return the highest moment since the log was started; the first one if there are several."""
        total = highest = moment = 0
        for time, (sign, block) in enumerate(self._log, start=1):
            total += sign * block.size
            if total > highest:
                highest, moment = total, time
        history = tuple(map(tuple, self._history))
        return Peak(highest, tuple(self._living(moment)), history, self._flops[True], self._flops[False])

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result, flops = counted(func, args, kwargs or {})
        for value in tree_iter(result):
            if isinstance(value, Tensor):
                block = self._see(value, "activations", func)
                block.asked = attention_bytes(func, value) or block.asked
        self._flops[self._frozen] += flops
        if func in PRODUCTS:
            self._take_workspace()
        if temporary := workspace_bytes(func, args):
            block = Allocation(temporary, "temporary")
            self._history[-1] += [(1, block), (-1, block)]
        return result

    def _see(self, tensor: Tensor, kind: str, operator: Any = None) -> Allocation:
        storage = tensor.untyped_storage()
        key = storage._cdata
        known = self._alive.get(key)
        if known is not None and known[0]() is not None:
            return known[1]
        block = Allocation(-(-storage.nbytes() // GRAIN) * GRAIN, kind)
        if self._origin is not None:
            self._describe(block, tensor, operator, self._origin)
        self._alive[key] = weakref.ref(storage, lambda _: self._die(key)), block
        self._note(1, block)
        return block

    def _take_workspace(self) -> None:
        """Note that cuBLAS takes a workspace at the first product of each thread, for good."""
        backward = torch._C._current_autograd_node() is not None
        if backward not in self._workspaces:
            self._workspaces[backward] = Allocation(0, WORKSPACE)
            self._history[-1].append((1, self._workspaces[backward]))
            if not backward:
                self._history[-1].append((1, Allocation(LT_WORKSPACE, "workspace of cuBLASLt")))

    def _describe(self, block: Allocation, tensor: Tensor, operator: Any, origin: Callable[[], str]) -> None:
        block.shape, block.number_format = tuple(tensor.shape), str(tensor.dtype).removeprefix("torch.")
        block.operator = "" if operator is None else operator._overloadpacket.__name__
        block.module = "" if operator is None else origin()

    def _die(self, key: int) -> None:
        self._note(-1, self._alive.pop(key)[1])

    def _note(self, sign: int, block: Allocation) -> None:
        self._log.append((sign, block))
        self._history[-1].append((sign, block))

    def _living(self, moment: int) -> list[Allocation]:
        """Return what was alive after the first `moment` entries of the log, in order of birth."""
        living: dict[int, Allocation] = {}
        for sign, block in self._log[:moment]:
            if sign > 0:
                living[id(block)] = block
            else:
                del living[id(block)]
        return list(living.values())
