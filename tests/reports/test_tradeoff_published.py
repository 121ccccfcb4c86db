"""DTL's Figure 1 again: its printed points, ours on top, areas in proportion to memory."""

import dataclasses
from itertools import combinations

import pytest
from matplotlib.transforms import Bbox

from reports import Figure, find
from reports.figures.bubbles import AREA
from results import Cost, Record, frame
from tests.reports.from_print import CLASSES, TASKS, record

NAMES = {"lora": 0.75, "dtl": 0.76, "dtl_plus": 0.77, "ssf": 0.755, "bitfit": 0.65, "fact_tt": 0.757, "lst": 0.74}
PRINTED = ["Full", "BitFit", "VPT", "LST", "AdaptFormer", "LoRA", "NOAH", "FacT", "SSF", "DTL", "DTL+"]


def runs(method: str, accuracy: float, own: int = 50_000, gib: int = 2) -> list[Record]:
    return [
        record(
            method, task, accuracy, group=group, place=place, classes=CLASSES[place],
            cost=Cost(own + 769 * CLASSES[place], own, planned_peak_bytes=gib * 2**30, printed_extra=0),
        )
        for task, (group, place) in TASKS.items()
    ]  # fmt: skip


@pytest.fixture(scope="module")
def figure() -> Figure:
    records = [each for n, (name, score) in enumerate(NAMES.items()) for each in runs(name, score, 20_000 * 4**n)]
    (figure,) = find("tradeoff_published")(frame([*records, *runs("linear", 0.6, own=0)]))
    return figure


def test_printed_points_and_ours_are_labelled(figure: Figure) -> None:
    (axes,) = figure.drawing.axes
    assert [text.get_text() for text in axes.texts] == [*PRINTED, *sorted(NAMES)]
    points = [line for line in axes.lines if line.get_marker() != "None"]
    assert points[1].get_xydata()[0].tolist() == pytest.approx([0.10, 65.2])
    assert points[9].get_markersize() ** 2 == pytest.approx(1.6 * AREA)
    bitfit = points[len(PRINTED)]
    assert bitfit.get_markersize() ** 2 == pytest.approx(2 * AREA)
    assert "missing: linear" in figure.caption


def test_labels_overlap_neither_each_other_nor_the_edge(figure: Figure) -> None:
    (axes,) = figure.drawing.axes
    boxes = [text.get_window_extent() for text in axes.texts]
    assert not [pair for pair in combinations(boxes, 2) if Bbox.intersection(*pair) is not None]
    assert all(axes.bbox.padded(2).contains(*corner) for box in boxes for corner in box.corners())


def test_an_average_over_a_part_of_the_suite_is_no_point() -> None:
    assert find("tradeoff_published")(frame(runs("lora", 0.7)[1:])) == []


def test_it_is_about_one_backbone() -> None:
    other = [
        dataclasses.replace(run, identity=dataclasses.replace(run.identity, backbone="random:vit_base_patch16_224"))
        for run in runs("lora", 0.7)
    ]
    assert find("tradeoff_published")(frame(other)) == []
