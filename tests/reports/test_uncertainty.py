"""Intervals cover as often as they say, in simulations of a known truth; and tables know what cannot be told apart."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from reports import Table, find
from reports.formats.frames import raw
from reports.tables.table import METRICS, Cell, Column, Estimate
from reports.tables.uncertainty import alike, average, of_seeds, of_share
from results import Cost, Record, frame, save_kept

DRAWS = 2500


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize(("truth", "images"), [(0.5, 100), (0.9, 300), (0.97, 1000)])
def test_the_interval_of_a_share_covers_the_truth(truth: float, images: int, random: np.random.Generator) -> None:
    shares = random.binomial(images, truth, DRAWS) / images
    estimates = [of_share(float(share), images) for share in shares]
    assert np.mean([one.low <= truth <= one.high for one in estimates]) == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_the_interval_over_seeds_covers_the_truth(seeds: int, random: np.random.Generator) -> None:
    estimates = [of_seeds(scores) for scores in random.normal(0.8, 0.02, (DRAWS, seeds)).tolist()]
    assert np.mean([one.low <= 0.8 <= one.high for one in estimates if one]) == pytest.approx(0.95, abs=0.02)
    assert of_seeds([0.8]) is None


def test_the_interval_of_an_average_over_tasks_covers_the_truth(random: np.random.Generator) -> None:
    truth = {"a": (0.5, 700), "b": (0.8, 400), "c": (0.9, 1000)}
    covered = []
    for _ in range(DRAWS):
        shares = {task: random.binomial(images, share) / images for task, (share, images) in truth.items()}
        cells = {task: Cell(share, estimate=of_share(share, truth[task][1])) for task, share in shares.items()}
        found = average(cells, lambda scores: 0.5 * (scores["a"] or 0) + 0.25 * ((scores["b"] or 0) + scores["c"]))
        assert found is not None
        covered.append(found.low <= 0.675 <= found.high)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.02)


def test_an_interval_is_wilson_s() -> None:
    """Of Wilson (1927): 81 of 263, which Newcombe (1998, table I) prints as 0.2553 to 0.3662."""
    found = of_share(81 / 263, 263)
    assert (round(found.low, 4), round(found.high, 4)) == (0.2553, 0.3662)
    assert of_share(1.0, 20).high == 1.0
    assert 0.8 < of_share(1.0, 20).low < 0.9


def test_equal_methods_are_told_apart_in_one_case_of_twenty(random: np.random.Generator) -> None:
    pairs = random.binomial(500, 0.7, (DRAWS, 2)) / 500
    apart = [not alike(of_share(a, 500), of_share(b, 500)) for a, b in pairs.tolist()]
    assert np.mean(apart) == pytest.approx(0.05, abs=0.02)
    first, second = random.normal(0.7, 0.01, (2, DRAWS, 3)).tolist()
    told = [not alike(a, b) for a, b in zip(map(of_seeds, first), map(of_seeds, second), strict=True) if a and b]
    assert np.mean(told) == pytest.approx(0.04, abs=0.02)  # Welch's test is a little shy with three seeds


def test_seeds_are_compared_by_welch_s_test(random: np.random.Generator) -> None:
    for _ in range(50):
        a, b = random.normal(0.70, 0.01, 3).tolist(), random.normal(0.72, 0.02, 5).tolist()
        expected = stats.ttest_ind(a, b, equal_var=False).pvalue >= 0.05
        one, other = of_seeds(a), of_seeds(b)
        assert one is not None
        assert other is not None
        assert alike(one, other) == expected


def test_values_without_any_spread_are_alike_where_they_are_equal() -> None:
    same, other = of_seeds([0.5, 0.5]), of_seeds([0.6, 0.6])
    assert same is not None
    assert other is not None
    assert alike(same, same)
    assert not alike(same, other)


def kept(make: Any, root: Path, method: str, predicted: np.ndarray, labels: np.ndarray) -> Record:
    right = float((predicted == labels).mean())
    record = make(method, accuracy=right, cost=Cost(test_images=len(labels)))
    arrays = {"labels": labels.astype(np.uint16), "predicted": predicted.astype(np.uint16)}
    record.kept["predictions"] = save_kept(root, record.identity, "predictions", arrays)
    return record


def bold(records: list[Record], root: Path | None = None) -> set[str]:
    (table,) = find("accuracy")(frame(records, root))
    assert isinstance(table, Table)
    place = next(place for place, column in enumerate(table.columns) if column.key == "test_accuracy_cifar")
    return {table.rows[row][0].word for row in table.best(place)}


def test_kept_predictions_tell_methods_apart_that_shares_do_not(make: Any, tmp_path: Path) -> None:
    """A method that is right wherever another is, and on twelve images more, is better; McNemar's test sees it."""
    labels = np.zeros(1000, dtype=int)
    worse, better = (np.where(np.arange(1000) < right, 0, 1) for right in (800, 812))
    other = np.where(np.arange(1000) >= 190, 0, 1)  # right on as many images as the best less two, on others
    records = [kept(make, tmp_path, name, answers, labels) for name, answers in
               (("lora", worse), ("dtl", better), ("full", other))]  # fmt: skip
    assert bold(records) == {"lora", "dtl", "full"}
    assert bold(records, tmp_path) == {"dtl", "full"}
    for path in (tmp_path / "kept").rglob("*lora*"):
        path.unlink()
    assert bold(records, tmp_path) == {"lora", "dtl", "full"}


def test_a_table_has_intervals_where_it_knows_the_test_images_or_seeds(make: Any) -> None:
    one = make("lora", accuracy=0.8, cost=Cost(test_images=1000))
    seeds = [make("dtl", seed=seed, accuracy=0.8 + seed / 100, cost=Cost(test_images=1000)) for seed in (0, 1)]
    (table,) = find("accuracy")(frame([one, *seeds, make("full", accuracy=0.2)]))
    numbers = raw(table).set_index("method")
    low, high = "test_accuracy_cifar_low", "test_accuracy_cifar_high"
    wilson = stats.binomtest(800, 1000).proportion_ci(method="wilson")
    assert list(numbers.loc["lora", [low, high]]) == pytest.approx([wilson.low, wilson.high])
    reach = stats.t.ppf(0.975, 1) * 0.005
    assert list(numbers.loc["dtl", [low, high]]) == pytest.approx([0.805 - reach, 0.805 + reach])
    assert numbers.loc["full", low] is None


def test_what_is_printed_elsewhere_is_bold_alone_where_it_is_best() -> None:
    column = Column("a", "a", metric=METRICS["test_accuracy"])
    ours = [Cell(0.71, alike=True, estimate=Estimate(0.71, 0.1, math.inf, 0.5, 0.9)), Cell(0.70, alike=True)]
    table = Table("t", "", (column,), ((Cell(0.9),), *((cell,) for cell in ours)))
    assert table.best(0) == {0}
    assert Table("t", "", (column,), tuple((cell,) for cell in ours)).best(0) == {0, 1}
