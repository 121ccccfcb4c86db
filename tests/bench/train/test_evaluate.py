"""Scores of a network with known logits: by hand, and held to torchmetrics where it sees all logits at once."""

import dataclasses
import math

import pytest
import torch
from torch import Tensor, nn
from torchmetrics.functional.classification import multiclass_accuracy, multiclass_calibration_error

from bench.data.batches import Normaliser
from bench.train.evaluate import Answers, Scoring, evaluate, score_of, temperature_of
from datasets import Split
from methods import Network
from results import Score

CPU = torch.device("cpu")
PLAIN = Normaliser.of((0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255), CPU)


class Known(Network):
    """Gives each image, known by its first two pixels, its row of a table; in training mode, nothing but zeros."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.head, self.logits = nn.Identity(), logits

    def extract(self, images: Tensor) -> Tensor:
        return (images[:, 0, 0, 0] + 256 * images[:, 0, 0, 1]).round().long()

    def adapt(self, features: Tensor) -> Tensor:
        return self.logits[features] * (not self.training)


def answers(logits: Tensor, labels: Tensor, among: tuple[int, ...] = (), temperature: float | None = None) -> Answers:
    network = Known(logits).train()
    found = evaluate(network, images(labels), Scoring(PLAIN, "fp32", CPU, among), temperature)
    assert not network.training
    return found


def images(labels: Tensor) -> Split:
    pixels = torch.zeros(len(labels), 3, 1, 2, dtype=torch.uint8)
    number = torch.arange(len(labels))
    pixels[:, 0, 0] = torch.stack([number % 256, number // 256], dim=1).to(torch.uint8)
    return Split(pixels, labels)


def drawn(classes: int = 12, count: int = 600, scale: float = 2.0) -> tuple[Tensor, Tensor]:
    """Logits, and labels that follow their probabilities at temperature 1."""
    random = torch.Generator().manual_seed(0)
    logits = scale * torch.randn(count, classes, generator=random)
    return logits, logits.softmax(dim=1).multinomial(1, generator=random)[:, 0]


def test_scores_are_those_that_torchmetrics_computes_of_all_logits() -> None:
    logits, labels = drawn()
    found, score = answers(logits, labels), score_of(answers(logits, labels))
    assert found.accuracy() == (logits.argmax(dim=1) == labels).sum().item() / 600
    expected = multiclass_accuracy(logits, labels, 12, average="micro", top_k=5)
    assert score.top5_accuracy == pytest.approx(expected.item())
    assert score.mean_class_accuracy == pytest.approx(multiclass_accuracy(logits, labels, 12).item())
    assert score.negative_log_likelihood == pytest.approx(nn.functional.cross_entropy(logits, labels).item())
    error = multiclass_calibration_error(logits.softmax(dim=1), labels, 12, n_bins=15)
    assert score.calibration_error == pytest.approx(error.item(), rel=1e-5)
    assert sum(map(sum, score.confusion or [])) == 600
    assert [sum(row) for row in score.confusion or []] == labels.bincount(minlength=12).tolist()
    assert (score.temperature, score.calibrated_error, score.calibrated_bins) == (None, None, None)


def test_a_case_by_hand() -> None:
    """Four images: sure and right, sure and wrong, 0.75 and right, 0.6 and right."""
    probabilities = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.25, 0.75], [0.6, 0.4]])
    score = score_of(answers(probabilities.clamp(min=1e-30).log(), torch.tensor([0, 0, 1, 0])))
    assert score.confusion == [[2, 1], [0, 1]]
    assert score.mean_class_accuracy == pytest.approx((2 / 3 + 1) / 2)
    assert score.top5_accuracy is None  # of two classes
    bins = {place: row for place, row in enumerate(score.calibration_bins or []) if row[0]}
    assert list(bins) == [9, 11, 14]
    assert [bins[place] for place in (9, 11, 14)] == [pytest.approx(x) for x in ([1, 0.6, 1], [1, 0.75, 1], [2, 2, 1])]
    assert score.calibration_error == pytest.approx((0.4 + 0.25 + 1) / 4)


def test_a_class_that_is_never_scored_is_no_part_of_the_mean() -> None:
    logits = torch.eye(3)[[0, 0, 2, 1]]
    assert score_of(answers(logits, torch.tensor([0, 0, 0, 1]))).mean_class_accuracy == pytest.approx((2 / 3 + 1) / 2)


def test_an_answer_may_be_chosen_among_some_classes() -> None:
    logits, labels = drawn(13)
    assert answers(logits, labels, tuple(range(13))).accuracy() == answers(logits, labels).accuracy()
    some = (1, 4, 7)
    found = answers(logits, labels, some)
    assert set(found.predicted.tolist()) == {*some}
    assert torch.equal(found.predicted, torch.tensor(some)[logits[:, some].argmax(dim=1)])
    torch.testing.assert_close(found.confidences, logits[:, some].softmax(dim=1).amax(dim=1))
    assert score_of(found).top5_accuracy is None
    assert score_of(found).confusion is not None


def test_the_temperature_undoes_a_scale() -> None:
    logits, labels = drawn(count=4000)
    found = temperature_of(Known(3 * logits), images(labels), Scoring(PLAIN, "fp32", CPU))
    assert found == pytest.approx(3.0, rel=0.1)
    score = score_of(answers(3 * logits, labels, temperature=found))
    assert score.temperature == found
    assert (score.calibrated_error or 1) < 0.2 * (score.calibration_error or 0)
    assert sum(row[0] for row in score.calibrated_bins or []) == 4000
    sure = temperature_of(
        Known(5 * torch.eye(3)[labels % 3]), images(labels % 3), Scoring(PLAIN, "fp32", CPU, (0, 1, 2))
    )
    assert 1 / 20 <= sure < 0.5  # all are right, so the surer the better


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_probabilities_that_are_no_numbers_leave_no_score(value: float) -> None:
    logits, labels = drawn()
    logits[3] = value
    score = score_of(answers(logits, labels))
    absent = dataclasses.replace(score, top5_accuracy=None, mean_class_accuracy=None, confusion=None)
    assert absent == Score()
    assert score.mean_class_accuracy is not None


def test_the_confusions_of_many_classes_are_left_out() -> None:
    score = score_of(answers(*drawn(101)))
    assert score.confusion is None
    assert score.top5_accuracy is not None
