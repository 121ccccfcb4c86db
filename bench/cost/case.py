"""A case: one method under stated conditions, whose cost is asked for; and the cases that publications measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from bench.cost.checkpointing import recompute
from bench.cost.cuda_rules import TODAY, Rules
from bench.train.network import build, build_on_meta
from methods import METHODS, Method, Network
from methods.backbones.registry import Backbone, find
from methods.recipe import Recipe
from methods.spec import parse
from results import Conditions, quoted

__all__ = ["BACKBONE", "Case", "published_cases"]

DEFAULT = Recipe()
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


@dataclass(frozen=True)
class Case:
    """One method under conditions.

    Of the recipe only what costs anything is read: batch, precision, attention, optimiser and dropout.
    """

    backbone: Backbone
    method: Method
    classes: int = 100
    recipe: Recipe = DEFAULT
    checkpointing: bool = False
    rules: Rules = TODAY
    protocol: str = ""

    def training(self) -> Network:
        """Return the network as it is trained, on the meta device. Raises Unsupported."""
        network = build_on_meta(self.backbone, self.method, self.classes, self.recipe)
        return recompute(network) if self.checkpointing else network

    def inference(self) -> Network:
        """Return the network as it is used when training is over, merged, on the meta device."""
        with torch.device("meta"):
            network = build_on_meta(self.backbone, self.method, self.classes, self.recipe)
            return self.method.merge(network)

    def real(self, device: torch.device, merged: bool) -> Network:
        """Return the network with random weights, which cost what others do, on `device`."""
        backbone = dataclasses.replace(self.backbone, weights=None)
        network = build(backbone, self.method, self.classes, self.recipe)
        network = self.method.merge(network) if merged else recompute(network) if self.checkpointing else network
        return network.to(device)

    @property
    def image_size(self) -> int:
        """Input side in pixels."""
        return self.backbone.image_size

    def conditions(self) -> Conditions:
        """Return what the record says about the case."""
        recipe, rules = self.recipe, self.rules
        return Conditions(
            backbone=self.backbone.name,
            method=str(self.method),
            classes=self.classes,
            batch_size=recipe.batch_size,
            precision=recipe.precision,
            attention=recipe.attention,
            optimizer=recipe.optimizer,
            checkpointing=self.checkpointing,
            autograd=rules.autograd,
            gradients=rules.gradients,
            scores=rules.scores,
            drop_path=recipe.drop_path,
            backbone_dropout=recipe.backbone_dropout,
            protocol=self.protocol,
            activations=recipe.activations,
            optimizer_in_backward=recipe.optimizer_in_backward,
        )


def published_cases(protocol: str) -> list[Case]:
    """Return one case for each method that a publication printed: under the rules of its day, and under today's.

    A method that is not there yet is left out.
    """
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
