"""Curves over epochs: means of curves of one length, with a name at every end that covers no other."""

import dataclasses
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports import find
from reports.figures.labels import STEP, apart
from reports.views.convergence import curve
from results import Record, Score, frame


def trained(record: Record, losses: list[float], epochs: int, evaluations: list[list[float]] | None = None) -> Record:
    score = Score(0.5, None, evaluations or [], losses, [1 - loss / 4 for loss in losses])
    return dataclasses.replace(record, score=score, recipe=record.recipe | {"epochs": epochs})


def test_the_curve_is_the_mean_at_the_same_epochs() -> None:
    assert curve([[[1, 2.0], [2, 1.0]], [[1, 4.0], [2, 2.0]]]).tolist() == [[1, 3], [2, 1.5]]
    assert curve([[[1, 2.0], [2, 1.0]], [[1, 4.0]]]) is None
    assert curve([[[1, 2.0]]]) is None
    assert curve([]) is None


def test_the_last_stage_is_shown_and_its_epochs_count_from_one(make) -> None:
    records = [
        trained(make("lora"), [3.0, 2.0, 1.0], 3, [[3.0, 0.7]]),
        trained(make("head2toe"), [3.0, 2.0, 1.0, 2.5, 1.5, 0.5], 3, [[5.0, 0.2], [6.0, 0.4]]),
    ]
    (figure,) = find("convergence")(frame(records))
    loss, accuracy, test = figure.drawing.axes
    assert [line.get_xydata().tolist() for line in loss.lines] == [
        [[1, 2.5], [2, 1.5], [3, 0.5]],
        [[1, 3.0], [2, 2.0], [3, 1.0]],
    ]
    assert accuracy.lines[0].get_ydata()[-1] == pytest.approx(100 * (1 - 0.5 / 4))
    assert [line.get_xydata().tolist() for line in test.lines] == [[[2, 20], [3, 40]]]
    assert [[3, 70]] in [line.get_xydata().round(6).tolist() for line in accuracy.lines]  # tested once, in the end
    assert "test accuracy after the last epoch" in figure.caption


def test_what_is_right_of_a_mixed_image_is_said_where_images_are_mixed(make) -> None:
    plain = trained(make("lora"), [2.0, 1.0], 2)
    steps = {"name": "a", "interpolation": "bicubic", "resize": "crop", "mean": [0.5], "std": [0.5], "decode": "any"}
    said = []
    for words in ("random crop, flip 0.5", "random crop, mixup 0.8, CutMix 1, label smoothing 0.1"):
        how = steps | {"augmentation": words}
        (figure,) = find("convergence")(frame([dataclasses.replace(plain, preprocessing=how)]))
        said.append("counts the class with the larger share" in figure.caption)
    assert said == [False, True]


def test_many_methods_are_shown_family_by_family_over_all_others(make) -> None:
    methods = ["full", "bitfit", "linear", "dtl", "lst", "lora", "ssf", "adapter", "vera", "my_own"]
    records = [trained(make(name), [2.0, 1.0 + i / 100], 2) for i, name in enumerate(methods)]
    (figure,) = find("convergence")(frame(records))
    rows = list(zip(*[iter(figure.drawing.axes)] * 2, strict=True))
    families = ["bounds", "selective tuning", "adapters", "low-rank updates", "side networks", "other methods"]
    assert [loss.get_ylabel() for loss, _ in rows] == families
    own = [2, 2, 1, 2, 2, 1]
    for (loss, _), count in zip(rows, own, strict=True):
        others, *lines = sorted(loss.lines, key=lambda line: -len(line.get_xdata()))
        assert len(others.get_xdata()) == 3 * (len(methods) - count)  # two epochs and a gap each
        assert len(lines) == count
    named = [[text.get_text() for text in last.get_legend().get_texts()] for _, last in rows]
    assert named == [["full", "linear"], ["bitfit", "ssf"], ["adapter"], ["lora", "vera"], ["dtl", "lst"], ["my_own"]]
    assert "family by family" in figure.caption
    figure.drawing.draw_without_rendering()
    for _, last in rows:
        box = last.get_legend().get_window_extent()
        assert box.x0 >= last.bbox.x1
        assert box.x1 <= figure.drawing.bbox.x1


@given(st.lists(st.floats(0, 200), max_size=25))
def test_places_are_apart_in_order_and_inside(wanted: list[float]) -> None:
    places = apart(wanted, STEP, 0, 200)
    for (one, a), (other, b) in pairwise(sorted(zip(wanted, places, strict=True))):
        assert b - a >= STEP - 1e-6 or one == other
    assert all(-1e-6 <= place <= 200 + 1e-6 for place in places)
