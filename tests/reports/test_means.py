"""The averages, to the digits that were published."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.tables.summary import group_means, mean_of_group_means, plain_mean

SIZES = {"natural": 7, "specialized": 4, "structured": 8}
TASKS = [f"{group}-{place}" for group, size in SIZES.items() for place in range(size)]
GROUPS = {group: [task for task in TASKS if task.startswith(group)] for group in SIZES}

# ViT-B/16, ImageNet-21k, test accuracy (%), as printed in the VPT paper (Jia et al., 2022).
FULL = "68.9 87.7 64.3 97.2 86.9 87.4 38.8 79.7 95.7 84.2 73.9 56.3 58.6 41.7 65.5 57.5 46.7 25.7 29.1"
LINEAR = "63.4 85.0 63.2 97.0 86.3 36.6 51.0 78.5 87.5 68.6 74.0 34.3 30.6 33.2 55.4 12.5 20.0 9.6 19.2"
BITFIT = "72.8 87.0 59.2 97.5 85.3 59.9 51.4 78.7 91.6 72.9 69.8 61.5 55.6 32.4 55.9 66.6 40.0 15.7 25.1"

scores = st.lists(st.floats(0, 1), min_size=19, max_size=19)


def row(printed: str) -> dict[str, float | None]:
    return dict(zip(TASKS, map(float, printed.split()), strict=True))


@pytest.mark.parametrize(
    ("printed", "groups", "headline", "plain"),
    [
        (FULL, "75.89 83.38 47.64", "68.97", "65.57"),
        (LINEAR, "68.93 77.15 26.85", "57.64", "52.94"),
        (BITFIT, "73.30 78.25 44.10", "65.22", "62.05"),
    ],
)
def test_published_rows(printed: str, groups: str, headline: str, plain: str) -> None:
    values = row(printed)
    assert " ".join(f"{mean:.2f}" for mean in group_means(values, GROUPS).values()) == groups
    assert f"{mean_of_group_means(values, GROUPS):.2f}" == headline
    assert f"{plain_mean(values.values()):.2f}" == plain


@given(scores, st.sampled_from(TASKS))
def test_a_missing_task_leaves_no_average_over_it(values: list[float], task: str) -> None:
    known: dict[str, float | None] = dict(zip(TASKS, values, strict=True)) | {task: None}
    means = group_means(known, GROUPS)
    assert {group for group, mean in means.items() if mean is None} == {task.partition("-")[0]}
    assert mean_of_group_means(known, GROUPS) is None
    assert plain_mean(known.values()) is None
    del known[task]
    assert mean_of_group_means(known, GROUPS) is None


def test_nothing_has_no_mean() -> None:
    assert plain_mean([]) is None
    assert mean_of_group_means({}, {}) is None


@given(scores)
def test_groups_weigh_the_same(values: list[float]) -> None:
    known = dict(zip(TASKS, values, strict=True))
    weighted = sum(known[task] / (3 * SIZES[group]) for group, tasks in GROUPS.items() for task in tasks)
    assert mean_of_group_means(known, GROUPS) == pytest.approx(weighted)


def test_the_published_headline_follows_from_the_published_group_means() -> None:
    # The source averaged unrounded accuracies, so that its digits differ a little from those above.
    assert f"{plain_mean([75.88, 83.36, 47.64]):.2f}" == "68.96"
