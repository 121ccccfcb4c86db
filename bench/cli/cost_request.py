"""From the words of `bench.py cost` to cases; what can be wrong with the call is found here, before work starts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args, get_type_hints

from bench.cost.case import Case
from bench.cost.plan import Rules
from bench.errors import WrongCall
from bench.names import check
from bench.train.network import skeleton
from methods import Unsupported
from methods.backbones.registry import find, resized
from methods.backbones.weights import WeightsError
from methods.recipe import Recipe
from methods.spec import parse_list

__all__ = ["CostRequest", "cases_of"]

LARGEST = 1_000_000  # images in a batch; beyond it the bytes of a tensor no longer fit a machine word
RULES = {"current": Rules(), "legacy": Rules("legacy", "zeroed")}  # PyTorch 1.7 zeroed gradients in place

FIELDS = ("batch_size", "precision", "attention", "optimizer", "activations", "optimizer_in_backward")  # of a recipe


@dataclass(frozen=True)
class CostRequest:
    """A call of `cost` as a user words it."""

    methods: str = "all"
    backbone: str = "random:vit_base_patch16_224"
    classes: int = 100
    batch_size: int = 64
    precision: str = "fp32"
    attention: str = "fused"
    optimizer: str = "adamw"
    checkpointing: bool = False
    autograd: str = "current"
    activations: str = ""
    optimizer_in_backward: bool = False
    image_size: int | None = None


def cases_of(request: CostRequest) -> list[Case]:
    """One for each method; raises WrongCall."""
    _check("--batch-size", request.batch_size, LARGEST)
    _check("--classes", request.classes, LARGEST)
    for field, value in (("optimizer", request.optimizer), ("autograd", request.autograd)):
        known = list(RULES) if field == "autograd" else list(get_args(get_type_hints(Recipe)[field]))
        check(field, [value], known)
    try:
        backbone = resized(find(request.backbone), request.image_size)
        methods, recipe = parse_list(request.methods), _recipe(request)
        cases = [
            Case(backbone, method, request.classes, recipe, request.checkpointing, RULES[request.autograd])
            for method in methods
        ]
        for case in cases:
            _try(case)
    except (ValueError, WeightsError) as error:
        raise WrongCall(str(error)) from error
    return cases


def _recipe(request: CostRequest) -> Recipe:
    fields: dict[str, Any] = {key: getattr(request, key) for key in FIELDS}
    return Recipe(**fields)


def _check(option: str, value: int, largest: int) -> None:
    if not 1 <= value <= largest:
        raise WrongCall(f"{option} {value} cannot be planned; give a whole number from 1 to {largest}")


def _try(case: Case) -> None:
    """Attach without weights: ValueError for a setting that does not fit; what is unsupported is a result."""
    try:
        skeleton(case.backbone, case.method, case.classes, case.recipe)
    except Unsupported:
        return
