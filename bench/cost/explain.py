"""What a method's peak is made of, tensor by tensor, with the module that made each: what an author could remove."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from rich.markup import escape
from rich.table import Table
from torch import Tensor, nn
from torch.autograd.graph import Node
from torch.utils._pytree import tree_iter

from bench.cost.case import Case
from bench.cost.checkpointing import Recomputed
from bench.cost.live_memory import Allocation
from bench.cost.plan import plan
from methods import Network
from results import numbered

__all__ = ["Origins", "largest_blocks", "show_blocks"]

SHOWN = 20
KEY = "petl_bench_module"  # in the metadata of a node of autograd's graph


def largest_blocks(case: Case) -> list[dict[str, Any]]:
    """List what is alive at the planned peak of a training step: tensors from the largest, weights in one last line.

    A method can remove what it makes; the weights are there whatever it does. Raises Unsupported.
    """
    network = case.training()
    peak = plan(network, case.image_size, case.recipe, case.rules, Origins(network).now)
    made = sorted((block for block in peak.blocks if block.kind != "weights"), key=_order)
    weights = [block for block in peak.blocks if block.kind == "weights"]
    rows = [
        {
            "bytes": block.size,
            "kind": block.kind,
            "module": block.module,
            "operator": block.operator,
            "shape": list(block.shape),
            "dtype": block.number_format,
        }
        for block in made[: SHOWN - 1]
    ]
    tensors, size = numbered(len(weights), "tensor"), sum(block.size for block in weights)
    whole = {"bytes": size, "kind": "weights", "module": tensors}
    return [*rows, whole | {"operator": "", "shape": [], "dtype": ""}]


def _order(block: Allocation) -> tuple[bool, int]:
    """Activations first, each kind from the largest."""
    return block.kind != "activations", -block.size


def show_blocks(method: str, blocks: Sequence[dict[str, Any]]) -> Table:
    """Show the largest blocks of a method as a table."""
    table = Table(
        title=f"{escape(method)}: the largest tensors at the peak, and the weights", title_justify="left", box=None
    )
    for heading in ("MiB", "kind", "made by", "operator", "shape", "dtype"):
        table.add_column(heading, justify="right" if heading == "MiB" else "left", overflow="fold")
    for block in blocks:
        shape = " x ".join(map(str, block["shape"]))
        words = (block["kind"], block["module"], block["operator"], shape, block["dtype"])
        table.add_row(f"{block['bytes'] / 2**20:.1f}", *map(escape, words))
    return table


class Origins:
    """Follows the modules of a network as they are entered and left, and labels the graph that each leaves behind."""

    def __init__(self, network: Network) -> None:
        self._entered: list[str] = []
        for part in ("extract", "adapt"):
            setattr(network, part, self._letting_go(part, getattr(network, part)))
        for name, module in network.named_modules():
            module.register_forward_pre_hook(partial(self._enter, name))
            module.register_forward_hook(self._leave, always_call=True)
            if isinstance(again := vars(module).get("forward"), Recomputed):
                again.forward = self._within(name, again.forward)  # the second time, hooks are not called

    def now(self) -> str:
        """Name the module at work; "backward of" it in the backward pass, "again" where it computes a second time."""
        node: Node | None = torch._C._current_autograd_node()
        name = self._entered[-1] if self._entered else ""
        if node is None:
            return name or "the training step"
        return f"{name}, again" if name else f"backward of {_metadata(node).get(KEY, 'the loss')}"

    def _letting_go(self, name: str, part: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Wrap a part of a network, which may free its argument while it runs, as it may without this wrapper."""

        def run(argument: Any) -> Any:
            held, before = [argument], _nodes(argument)
            del argument
            self._entered.append(name)
            try:
                output = part(held.pop())
                self._label_after(name, before, output)
            finally:
                self._entered.pop()
            return output

        return run

    def _within(self, name: str, part: Callable[..., Any]) -> Callable[..., Any]:
        def run(*inputs: Any, **options: Any) -> Any:
            self._entered.append(name)
            try:
                output = part(*inputs, **options)
                self._label(name, inputs, output)
            finally:
                self._entered.pop()
            return output

        return run

    def _enter(self, name: str, module: nn.Module, inputs: Any) -> None:
        self._entered.append(name)

    def _leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self._label(self._entered.pop(), inputs, output)

    def _label(self, name: str, inputs: Any, output: Any) -> None:
        self._label_after(name, _nodes(inputs), output)

    def _label_after(self, name: str, before: Iterable[Node], output: Any) -> None:
        """Label what was added to the graph after these nodes; inner modules have labelled their part already."""
        seen = set(before)  # held, since a node that nobody holds gives its identity to the next one
        found = list(_nodes(output))
        while found:
            node = found.pop()
            if node not in seen:
                seen.add(node)
                _metadata(node).setdefault(KEY, name)
                found += [earlier for earlier, _ in node.next_functions if earlier is not None]


def _nodes(values: Any) -> Iterable[Node]:
    tensors = (value for value in tree_iter(values) if isinstance(value, Tensor))
    return [tensor.grad_fn for tensor in tensors if tensor.grad_fn is not None]


def _metadata(node: Node) -> dict[str, str]:
    """Return the metadata, a property though its annotation says that it is a method."""
    return node.metadata  # type: ignore[return-value]
