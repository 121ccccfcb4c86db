"""Scores a network on a split: one pass on the device gives a few numbers an image, of which all scores are made."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from bench.data.batches import Normaliser, Stored, batches
from bench.data.loader import TEST_BATCH, Streamed
from bench.train.step import autocast, logits_of
from datasets.base import Split
from methods import Network
from results import CALIBRATION_BINS, MOST_CLASSES, Score

__all__ = ["Answers", "Scoring", "evaluate", "score_of", "temperature_of"]

TOP = 5  # answers that may hold the right class, where there are more than twice as many classes
NEVER = -1e9  # in place of the logit of a class that is no answer: its probability is 0, its gradient no NaN
LARGEST_TEMPERATURE = 20.0  # and its inverse the smallest: of images that are all right, the best would be 0


@dataclass(frozen=True)
class Scoring:
    """How images are scored: normalised how, in what precision, where the network is, and among which classes."""

    normalise: Normaliser
    precision: str
    device: torch.device
    among: Sequence[int] = ()  # classes that an answer is chosen among; empty for all


@dataclass(frozen=True)
class Answers:
    """What a network answered to N images, in the order of their split; every vector has N entries, on the device."""

    labels: Tensor  # int64
    predicted: Tensor  # int64, the class with the highest logit
    in_top: Tensor  # bool, whether the label has one of the five highest logits
    losses: Tensor  # float32, -log of the label's probability
    confidences: Tensor  # float32, the probability of the predicted class
    calibrated: Tensor  # float32, the same with the logits divided by the temperature
    choices: int  # classes that an answer is chosen among
    classes: int
    temperature: float | None

    def accuracy(self) -> float:
        """Return the share of images whose highest logit is their label; waits for the device."""
        return (self.predicted == self.labels).sum().item() / len(self.labels)


@torch.inference_mode()
def evaluate(
    network: Network, split: Split | Streamed | Stored, scoring: Scoring, temperature: float | None = None
) -> Answers:
    """Answer every image of a split in evaluation mode, without waiting for the device.

    Args:
        network: It stays in evaluation mode.
        split: Images, or frozen states of them.
        scoring: How.
        temperature: Divides the logits for `calibrated`; None for 1.
    """
    found, classes = [], 0
    for logits, labels in _logits(network, split, scoring):
        classes = logits.shape[1]
        top = logits.topk(min(TOP, classes)).indices
        found.append(
            (
                labels,
                logits.argmax(dim=1),
                (top == labels[:, None]).any(dim=1),
                functional.cross_entropy(logits, labels, reduction="none"),
                logits.softmax(dim=1).amax(dim=1),
                (logits / (temperature or 1.0)).softmax(dim=1).amax(dim=1),
            )
        )
    vectors = [torch.cat(column) for column in zip(*found, strict=True)]
    labels, predicted, in_top, losses, confidences, calibrated = vectors
    choices = len(scoring.among) or classes
    return Answers(labels, predicted, in_top, losses, confidences, calibrated, choices, classes, temperature)


def temperature_of(network: Network, split: Split | Streamed, scoring: Scoring) -> float:
    """Return the temperature of the lowest negative log-likelihood on a split that was not trained on.

    Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 4.2.
    """
    with torch.inference_mode():
        pairs = list(_logits(network, split, scoring))
    logits, labels = (torch.cat(column).clone() for column in zip(*pairs, strict=True))  # of which gradients may flow
    logarithm = torch.zeros((), device=scoring.device, requires_grad=True)
    optimizer = torch.optim.LBFGS([logarithm], max_iter=50, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = functional.cross_entropy(logits / logarithm.exp(), labels)
        value.backward()
        return value

    optimizer.step(loss)
    found = logarithm.exp().item()
    return min(max(found, 1 / LARGEST_TEMPERATURE), LARGEST_TEMPERATURE) if math.isfinite(found) else 1.0


def score_of(answers: Answers) -> Score:
    """Make the scores of a record, apart from accuracies by epoch; probabilities that are no numbers leave none."""
    from torchmetrics.functional.classification import (  # here, since it takes more than a second to import
        binary_calibration_error,
        multiclass_confusion_matrix,
    )

    labels, predicted, losses = answers.labels.cpu(), answers.predicted.cpu(), answers.losses.cpu()
    matrix = multiclass_confusion_matrix(predicted, labels, answers.classes, validate_args=False)
    images = matrix.sum(dim=1)
    by_class = matrix.diagonal()[images > 0] / images[images > 0].double()
    fields: dict[str, Any] = {
        "top5_accuracy": answers.in_top.double().mean().item() if answers.choices > 2 * TOP else None,
        "mean_class_accuracy": by_class.mean().item(),
        "confusion": matrix.tolist() if answers.classes <= MOST_CLASSES else None,
    }
    loss = losses.double().mean().item()
    if not math.isfinite(loss):
        return Score(**fields)
    below_one = 1 - torch.finfo(torch.float32).eps  # a probability of 1 belongs to the last bin, not behind it
    right = (predicted == labels).long()
    probabilities = {"calibration": answers.confidences}
    if answers.temperature is not None:
        probabilities["calibrated"] = answers.calibrated
    for name, values in probabilities.items():
        confidences = values.cpu().clamp(max=below_one)
        error = binary_calibration_error(confidences, right, CALIBRATION_BINS, validate_args=False)
        fields |= {f"{name}_error": error.item(), f"{name}_bins": _binned(confidences, right)}
    return Score(**fields, negative_log_likelihood=loss, temperature=answers.temperature)


def _binned(confidences: Tensor, right: Tensor) -> list[list[float]]:
    """Count images, add up confidences and count right answers in bins of equal width."""
    edges = torch.linspace(0, 1, CALIBRATION_BINS + 1)
    bins = torch.bucketize(confidences, edges, right=True) - 1
    sums = torch.zeros(CALIBRATION_BINS, 3, dtype=torch.float64)
    rows = torch.stack([torch.ones_like(confidences), confidences, right.float()], dim=1)
    return sums.index_add_(0, bins, rows.double()).tolist()


def _logits(network: Network, split: Split | Streamed | Stored, scoring: Scoring) -> Iterator[tuple[Tensor, Tensor]]:
    """Give logits (B×classes, float32) and labels (B) batch by batch."""
    network.eval()
    device = scoring.device
    allowed = torch.tensor(scoring.among, dtype=torch.int64, device=device) if scoring.among else None
    pairs: Iterator[tuple[Any, Tensor]]
    pairs = split.batches(TEST_BATCH) if isinstance(split, Stored) else batches(split, device)
    for images, labels in pairs:
        rows = images if isinstance(images, dict) else scoring.normalise(images)
        with autocast(device.type, scoring.precision):
            logits = logits_of(network, rows)
        logits = logits.float()
        if allowed is not None:
            logits = torch.full_like(logits, NEVER).index_copy(1, allowed, logits[:, allowed])
        yield logits, labels
