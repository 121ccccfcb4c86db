"""A run: one method on one task with one backbone, recipe and seed. What it is follows from these alone."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets.base import Suite, Task
from datasets.transforms.preprocessing import PRESETS, Preprocessing
from methods import Method
from methods.backbones.registry import Backbone
from methods.recipe import Context, Recipe, called, resolve
from results import Identity, path_of

__all__ = ["Run", "context_of", "plan_grid", "record_of"]


@dataclass(frozen=True)
class Run:
    """`method` is as asked for, `resolved` has the recipe's settings for the task."""

    backbone: Backbone
    method: Method
    resolved: Method
    suite: str
    task: Task
    task_order: int  # of the task in its suite
    recipe_name: str
    recipe: Recipe
    seed: int

    def identity(self) -> Identity:
        """Return what the path of the record follows from; only what differs from defaults is in it."""
        changes: dict[str, Any] = {"recipe": self.recipe.changes(), "method": str(self.resolved)}
        if (digest := self.backbone.digest()) is not None:
            changes["weights"] = digest
        preset = PRESETS.get(self.recipe.preprocessing)
        if preset is not None and not preset.mean and (other := self.backbone.other_statistics()) is not None:
            changes["normalise"] = [list(values) for values in other]
        if self.task.revision:
            changes["data"] = self.task.revision
        if self.task.split != "test":
            changes["split"] = self.task.split
        names = self.backbone.name, str(self.method), self.suite, self.task.name, self.recipe_name
        return Identity(*names, self.seed, changes)

    @property
    def preset(self) -> Preprocessing:
        """What is done to the images: the recipe's preset, and one's own images as a viewer shows them."""
        preset = PRESETS[self.recipe.preprocessing]
        if preset.mean is None:  # as the checkpoint was trained
            preset = dataclasses.replace(preset, interpolation=self.backbone.interpolation)
        return dataclasses.replace(preset, rendering="viewed") if self.task.viewed else preset

    def settings(self) -> dict[str, Any]:
        """Return the method's resolved settings."""
        return dataclasses.asdict(self.resolved)


def record_of(run: Run) -> str:
    """Return the path of the run's record below any folder of results, which names the run among processes."""
    return str(path_of(Path(), run.identity()))


def context_of(suite: Suite, backbone: Backbone) -> Context:
    """Return what a recipe is told of a run besides its method and task."""
    return Context(suite.name, backbone.family, suite.preprocessing or None)


def plan_grid(
    backbone: Backbone,
    methods: Sequence[Method],
    suite: Suite,
    tasks: Sequence[Task],
    recipe: str,
    seeds: Sequence[int],
    overrides: Mapping[str, Any],
) -> list[Run]:
    """Return every combination, a task at a time, so that tables fill column by column."""
    runs = []
    context = context_of(suite, backbone)
    orders = {task.name: order for order, task in enumerate(suite.tasks)}
    for seed, task, method in itertools.product(seeds, tasks, methods):
        resolved_recipe, resolved = resolve(recipe, method, task.name, overrides, context)
        drawn, order = task.drawn(seed), orders[task.name]
        runs.append(Run(backbone, method, resolved, suite.name, drawn, order, called(recipe), resolved_recipe, seed))
    return runs
