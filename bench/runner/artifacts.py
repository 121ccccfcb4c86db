"""What is kept of a run beside its record, when it is asked for: features of test images, answers, what learned."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from bench.data.batches import batches, picked
from bench.data.loader import Streamed
from bench.names import check
from bench.run import Run
from bench.settings import Keep
from bench.train.evaluate import Answers, Scoring
from bench.train.step import autocast
from datasets.base import Split
from methods import Network
from results import KEPT, save_kept

__all__ = ["IMAGES", "Keeper", "kinds_of", "learned"]

IMAGES = 500  # test images whose features are kept, at equal distances through the split

Arrays = dict[str, np.ndarray]


def kinds_of(text: str) -> frozenset[str]:
    """`features,weights` as a set; raises UsageError."""
    kinds = frozenset(word.strip() for word in text.split(",") if word.strip())
    check("kind of files to --keep", sorted(kinds), KEPT)
    return kinds


class Keeper:
    """Collects what learned, stage by stage, and writes what is to be kept when the run is over."""

    def __init__(self, keep: Keep, everything: bool) -> None:
        self._keep, self._everything = keep, everything
        self._weights: Arrays = {}
        self._stages = 0

    def after_stage(self, network: Network) -> None:
        """A stage has been trained; the next one may be made from it."""
        if "weights" in self._keep.kinds:
            tensors = learned(network, self._everything and not self._stages)
            self._weights |= {f"{self._stages}.{name}": _array(tensor) for name, tensor in tensors.items()}
        self._stages += 1

    def write(
        self, run: Run, network: Network, split: Split | Streamed, scoring: Scoring, answers: Answers
    ) -> dict[str, str]:
        """Write the files, ahead of the record, and return their checksums for it."""
        contents = {"weights": self._weights} if "weights" in self._keep.kinds else {}
        if "features" in self._keep.kinds:
            contents["features"] = _features(network, split, scoring)
        if "predictions" in self._keep.kinds:
            columns = {"labels": answers.labels, "predicted": answers.predicted}
            contents["predictions"] = {name: column.cpu().numpy().astype(np.uint16) for name, column in columns.items()}
        return {kind: save_kept(self._keep.root, run.identity(), kind, arrays) for kind, arrays in contents.items()}


def learned(network: Network, everything: bool = False) -> dict[str, Tensor]:
    """Return tensors that training changes, by name: parameters that learn, and buffers, such as running means.

    `everything` where the rest comes from no file either.
    """
    frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    return {name: tensor for name, tensor in network.state_dict().items() if everything or name not in frozen}


@torch.inference_mode()
def _features(network: Network, split: Split | Streamed, scoring: Scoring) -> Arrays:
    """Return, of some images, label, what the head reads, and how it weighs features if the method has weights."""
    indices = torch.linspace(0, len(split) - 1, min(IMAGES, len(split))).round().long()
    some = picked(split, indices.tolist())
    read: list[Tensor] = []
    weights: list[Tensor] = []
    hook = network.head.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0].flatten(1).float().cpu()))
    network.eval()
    for images, _ in batches(some, scoring.device):
        with autocast(scoring.device.type, scoring.precision):
            features = network.extract(scoring.normalise(images))
            network.adapt(features)
            given = network.weighed(features)
        weights += [] if given is None else [given.float().cpu()]
    hook.remove()
    arrays = {"labels": some.labels.numpy(), "features": _compact(torch.cat(read)).numpy()}
    return arrays | ({"weights": torch.cat(weights).numpy()} if weights else {})


def _compact(features: Tensor) -> Tensor:
    """Features (n×M) as they are, or, where M > n, their n principal scores, which keep every distance."""
    if features.shape[1] <= len(features):
        return features
    centred = features.double() - features.double().mean(dim=0)
    values, vectors = torch.linalg.eigh(centred @ centred.T)
    return (vectors * values.clamp(min=0).sqrt()).flip(1).float().contiguous()


def _array(tensor: Tensor) -> np.ndarray:
    tensor = tensor.detach().cpu()
    return np.array(
        (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    )  # a copy: training may go on
