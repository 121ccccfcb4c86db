"""A case: one method under stated conditions, whose cost is asked for."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch

from bench.cost.checkpointing import recompute
from bench.cost.rules import TODAY, Rules
from bench.train.network import build, skeleton
from methods import Method, Network
from methods.backbones.registry import Backbone
from methods.recipe import Recipe
from results import Conditions

__all__ = ["Case"]

DEFAULT = Recipe()


@dataclass(frozen=True)
class Case:
    """Of the recipe only what costs anything is read: batch, precision, attention, optimiser and dropout."""

    backbone: Backbone
    method: Method
    classes: int = 100
    recipe: Recipe = DEFAULT
    checkpointing: bool = False
    rules: Rules = TODAY
    protocol: str = ""

    def training(self) -> Network:
        """The network as it is trained, on the meta device. Raises Unsupported."""
        network = skeleton(self.backbone, self.method, self.classes, self.recipe)
        return recompute(network) if self.checkpointing else network

    def inference(self) -> Network:
        """The network as it is used when training is over, merged, on the meta device."""
        with torch.device("meta"):
            network = skeleton(self.backbone, self.method, self.classes, self.recipe)
            return self.method.merge(network)

    def real(self, device: torch.device, merged: bool) -> Network:
        """The same with random weights, which cost what others do, on `device`."""
        backbone = dataclasses.replace(self.backbone, weights=None)
        network = build(backbone, self.method, self.classes, self.recipe)
        network = self.method.merge(network) if merged else recompute(network) if self.checkpointing else network
        return network.to(device)

    @property
    def image_size(self) -> int:
        """Input side in pixels."""
        return self.backbone.image_size

    def conditions(self) -> Conditions:
        """What the record says about it."""
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
