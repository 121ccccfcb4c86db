"""From a record and the weights kept of its run back to the network, every stage of it replayed without training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from bench.errors import UsageError
from bench.runner.artifacts import learned
from bench.train.network import build
from methods import METHODS, Method, Network
from methods.backbones.registry import Backbone, find
from methods.backbones.weights import WeightsError
from methods.recipe import Recipe
from results import Record

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Rebuilt", "rebuild"]


@dataclass(frozen=True)
class Rebuilt:
    """A trained network, and what prepares its images."""

    network: Network
    backbone: Backbone
    recipe: Recipe


def rebuild(record: Record, arrays: Mapping[str, np.ndarray], backbone: str | None) -> Rebuilt:
    """Return the network as the run left it; `backbone` says where the weights are, if not where the name says.

    Raises UsageError where they are not the run's, or where this code makes another network of the record.
    """
    source = _backbone(record, backbone)
    try:
        method = METHODS[record.identity.method.partition(":")[0]](**record.method)
        recipe = Recipe(**record.recipe)
        network = build(source, method, record.classes, recipe)
    except WeightsError as error:
        raise UsageError(str(error)) from error
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"this code cannot make the network of the record ({error}); {_advice(record)}") from error
    return Rebuilt(_replayed(record, method, network, arrays, source.weights is None), source, recipe)


def _backbone(record: Record, text: str | None) -> Backbone:
    name, wanted = record.identity.backbone, record.identity.changes.get("weights")
    try:
        backbone = find(text or name)
        if wanted == backbone.digest() and backbone.name == name:
            mean, std = (record.preprocessing.get(key) for key in ("mean", "std"))
            then = (tuple(mean), tuple(std)) if mean and std else backbone.row_statistics
            return replace(backbone, normalise=then)
    except (ValueError, WeightsError) as error:
        raise UsageError(str(error)) from error
    raise UsageError(f"the run had weights {wanted} of {name}, not these; name their file with --backbone {name}=FILE")


def _replayed(
    record: Record, method: Method, network: Network, arrays: Mapping[str, np.ndarray], everything: bool
) -> Network:
    """Return the network of the last stage. Each stage is made from the trained one before it, as in training."""
    for stage, network in enumerate(method.stages(network)):  # noqa: B020 - a stage is made of the one before it
        own = {name.partition(".")[2]: array for name, array in arrays.items() if name.startswith(f"{stage}.")}
        wanted = learned(network, everything and not stage)
        if {name: tuple(tensor.shape) for name, tensor in wanted.items()} != {n: a.shape for n, a in own.items()}:
            raise UsageError(f"the kept weights do not fit the network that this code makes; {_advice(record)}")
        _fill(wanted, own)
    return network


@torch.no_grad()
def _fill(wanted: Mapping[str, Tensor], arrays: Mapping[str, np.ndarray]) -> None:
    for name, tensor in wanted.items():
        tensor.copy_(torch.from_numpy(arrays[name].copy()))


def _advice(record: Record) -> str:
    then = record.where
    changed = ", with the changes that were not committed then" if then.dirty else ""
    return f"use the code of {then.commit or then.date}{changed}"
