"""The conditions under which the publications measured, as cases: one for each method that they printed and we have."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bench.cost.case import Case
from bench.cost.rules import TODAY, Rules
from methods import METHODS, Method
from methods.backbones.registry import find
from methods.recipe import Recipe
from methods.spec import parse
from results import quoted

__all__ = ["published_cases"]

BACKBONE = "random:vit_base_patch16_224"
# See docs/memory.md. VPT: PyTorch 1.7 on one A100; DTL: its own loop frees gradients after the forward pass.
RULES = {
    "vpt": (Rules("legacy", "zeroed", "held"), TODAY),
    "dtl": (Rules("legacy", "freed_after"), Rules(gradients="freed_after")),
    "synqt": (TODAY,),
}
# They make again in the backward pass what the released code keeps: no form of them ran under the rules of the day.
RECOMPUTING = ("dtl", "dtl_plus", "fact_tk", "fact_tt", "ssf")
WITHOUT_DROP_PATH = ("bitfit", "linear", "vpt_deep", "vpt_shallow")  # of DTL's Figure 1; the others' codes have 0.1


def published_cases(protocol: str) -> list[Case]:
    """Under the rules of the day and under today's; a method that is not there yet is left out."""
    methods = list(dict.fromkeys(_methods(protocol)))
    return [
        Case(find(BACKBONE), method, 100, RECIPES[protocol](method.name), rules=rules, protocol=protocol)
        for method in methods
        for rules in RULES[protocol]
        if rules.autograd == "current" or method.name not in RECOMPUTING
    ]


def _methods(protocol: str) -> Iterator[Method]:
    for row in quoted("cost").query("protocol == @protocol").to_dict("records"):
        if row["method"] in METHODS:
            yield from parse(":".join(filter(None, (row["method"], row["setting"]))))


def _vpt(method: str) -> Recipe:
    """Explicit attention in fp32; linear probing and prompts by SGD, full fine-tuning with dropout 0.1."""
    by_sgd = method in ("linear", "side_tuning", "vpt_deep", "vpt_shallow")
    return Recipe(
        batch_size=64,
        attention="eager",
        optimizer="sgd" if by_sgd else "adamw",
        backbone_dropout=0.1 if method == "full" else 0.0,
    )


def _dtl(method: str) -> Recipe:
    drop_path = 0.0 if method in WITHOUT_DROP_PATH else 0.1
    return Recipe(batch_size=32, attention="eager", precision="fp16", drop_path=drop_path)


def _synqt(method: str) -> Recipe:
    """Neither the batch nor the attention kernel is stated."""
    return Recipe(batch_size=64)


RECIPES: dict[str, Callable[[str], Recipe]] = {"vpt": _vpt, "dtl": _dtl, "synqt": _synqt}
