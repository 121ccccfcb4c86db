"""The trade-off figure: labels cover nothing, nothing is cut off, and the frontier is what no other row beats."""

from itertools import combinations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.transforms import Bbox

from bench.cli.method_texts import method_texts
from reports.figures import style
from reports.figures.scatter import Point, frontier, staircase
from reports.figures.style import FAMILIES, look, shown
from reports.formats.files import write
from reports.tables.table import Figure
from reports.views.tradeoff import report
from results import Cost, frame


@pytest.fixture(scope="module")
def figure(runs: pd.DataFrame) -> Figure:
    (figure,) = report(runs)
    return figure


@pytest.fixture(scope="module")
def crowd(make) -> Figure:
    """As many methods as the published tables have, within three points of each other."""
    names = [name for _, markers in FAMILIES.values() for name in markers]
    costs = [
        Cost(trainable=10_000 * (3 + i % 7), planned_peak_bytes=2**20 * (900 + 211 * (i % 9)))
        for i in range(len(names))
    ]
    records = [make(name, seed=0, accuracy=0.7 + i * 7 % 11 / 400, cost=costs[i]) for i, name in enumerate(names)]
    (figure,) = report(frame(records))
    return figure


def labels(figure: Figure) -> list[list[Bbox]]:
    """The boxes of the labels of each panel."""
    return [[text.get_window_extent() for text in axes.texts] for axes in figure.drawing.axes]


@pytest.mark.parametrize("name", ["figure", "crowd"])
def test_labels_do_not_overlap(name: str, request: pytest.FixtureRequest) -> None:
    for panel in labels(request.getfixturevalue(name)):
        assert len(panel) >= 5
        assert not [pair for pair in combinations(panel, 2) if Bbox.intersection(*pair) is not None]


@pytest.mark.parametrize("name", ["figure", "crowd"])
def test_labels_stay_within_their_panel(name: str, request: pytest.FixtureRequest) -> None:
    figure = request.getfixturevalue(name)
    for axes, panel in zip(figure.drawing.axes, labels(figure), strict=True):
        assert all(axes.bbox.padded(1).contains(*corner) for box in panel for corner in box.corners())


@pytest.mark.parametrize("name", ["figure", "crowd"])
def test_nothing_is_cut_off(name: str, request: pytest.FixtureRequest) -> None:
    drawing = request.getfixturevalue(name).drawing
    drawn = drawing.get_tightbbox()
    width, height = drawing.get_size_inches()
    assert drawn.xmin >= 0
    assert drawn.ymin >= 0
    assert drawn.xmax <= width
    assert drawn.ymax <= height


def test_the_figure_fits_two_columns_of_a_paper(figure: Figure) -> None:
    assert figure.drawing.get_figwidth() == 7.0
    assert figure.drawing.axes[0].get_xlabel() == "peak memory, planned (MiB)"
    assert figure.drawing.axes[1].get_xlabel() == "trainable parameters, with head (M)"
    assert figure.drawing.axes[1].get_xscale() == "log"


def test_methods_that_lack_a_task_are_drawn_on_those_that_all_have(figure: Figure) -> None:
    assert [len(panel) for panel in labels(figure)] == [7, 7]
    assert "On the 4 of 6 tasks that all methods shown have, without dtd, clevr_count." in figure.caption


def test_methods_without_an_average_are_named_not_drawn(make) -> None:
    tasks = ("cifar100", "dtd", "clevr_count")
    complete = [make(name, task) for name in ("lora", "ssf") for task in tasks]
    (drawn,) = report(frame([*complete, make("dtl", "dtd")]))
    assert "Without an average, not shown: dtl." in drawn.caption
    assert "Bars:" not in drawn.caption  # of one seed


def test_measured_memory_is_shown_when_all_methods_have_it(make) -> None:
    measured = Cost(trainable=10, planned_peak_bytes=1, peak_bytes=2**31)
    records = [make(cost=measured), make("dtl", cost=measured)]
    assert report(frame(records))[0].drawing.axes[0].get_xlabel() == "peak memory, measured on CUDA (MiB)"
    records.append(make("ssf"))
    assert report(frame(records))[0].drawing.axes[0].get_xlabel() == "peak memory, planned (MiB)"


def test_fonts_are_embedded(figure: Figure, tmp_path) -> None:
    (pdf,) = (path for path in write(figure, tmp_path) if path.suffix == ".pdf")
    assert b"/FontFile2" in pdf.read_bytes()
    assert b"/Type3" not in pdf.read_bytes()


def test_a_method_looks_the_same_everywhere() -> None:
    assert look("lora") == look("lora:rank=4") == look("lora:rank=4 (epochs 3)")
    assert look("vpt_deep") != look("vpt_shallow")
    assert look("never_seen") == look("never_seen:rank=4")
    known = [look(name) for _, markers in FAMILIES.values() for name in markers]
    assert len(set(known)) == len(known)


def test_families_are_those_that_the_methods_name() -> None:
    known = {name for _, markers in FAMILIES.values() for name in markers}
    said = {name: text.family for name, text in method_texts().items() if name in known}
    assert len(said) > 25
    assert said == {name: look(name).family for name in said}


@pytest.mark.parametrize("name", ["figure", "crowd"])
def test_labels_cover_no_point(name: str, request: pytest.FixtureRequest) -> None:
    figure = request.getfixturevalue(name)
    for axes, panel in zip(figure.drawing.axes, labels(figure), strict=True):
        points = [line.get_xydata()[0] for line in axes.lines if line.get_marker() not in ("None", "", None, "|", "_")]
        places = axes.transData.transform([point for point in points])
        assert len(places) >= len(panel)
        assert not [place for place in places if any(box.contains(*place) for box in panel)]


def test_the_same_figure_twice_is_the_same_bytes(runs: pd.DataFrame, tmp_path) -> None:
    first, second = (write(report(runs)[0], tmp_path / folder) for folder in "ab")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_many_settings_of_one_method_are_a_line_with_labels_at_its_ends_and_on_the_frontier(make) -> None:
    """Thirty-six settings of LoRA among four other methods."""
    costs = [Cost(trainable=10_000 * (1 + i), planned_peak_bytes=2**20 * (900 + 10 * i)) for i in range(40)]
    specs = [f"lora:rank={1 + i}" for i in range(36)]
    records = [make(s, seed=0, accuracy=0.7 + i * 7 % 36 / 400, cost=costs[i]) for i, s in enumerate(specs)]
    names = ["dtl", "ssf", "linear", "full"]
    records += [make(name, seed=0, accuracy=0.6, cost=costs[36 + i]) for i, name in enumerate(names)]
    (figure,) = report(frame(records))
    for axes, panel in zip(figure.drawing.axes, labels(figure), strict=True):
        written = {text.get_text() for text in axes.texts}
        assert set(names) < written
        assert {"lora:rank=1", "lora:rank=36", "lora:rank=6"} < written  # the ends, and the best
        assert len(written) <= 4 + 8
        assert not [pair for pair in combinations(panel, 2) if Bbox.intersection(*pair) is not None]
        assert any(len(line.get_xdata()) == 36 for line in axes.lines)
    assert "Settings of one method (36 of lora) are joined by a line" in figure.caption


def test_names_in_any_script_are_glyphs_or_words(make) -> None:
    assert shown("plain é ±") == "plain é ±"
    assert shown("\U0001f600") in ("\U0001f600", "<1F600>")
    assert "\u5de6" in shown("\u5de6") or shown("\u5de6\u53f3") == "<5DE6><53F3>"
    with style.panel(shown("\u5de6"), shown("\U0001f600")) as (drawing, _):
        pass
    drawing.draw_without_rendering()  # where a glyph that is missing would warn, which is an error here


numbers = st.none() | st.integers(0, 5).map(float) | st.floats(0, 100)
tables = st.lists(st.tuples(numbers, numbers), max_size=12)


def beats(other: tuple[float, float], row: tuple[float, float]) -> bool:
    return other != row and other[0] <= row[0] and other[1] >= row[1]


@given(tables)
def test_the_rows_no_other_row_beats(rows: list[tuple[float | None, float | None]]) -> None:
    found = frontier(pd.DataFrame(rows, columns=["cost", "score"], dtype=float), "cost", "score")
    known = {(cost, score) for cost, score in rows if cost is not None and score is not None}
    expected = sorted(row for row in known if not any(beats(other, row) for other in known))
    assert list(found.itertuples(index=False, name=None)) == expected


def test_the_staircase_goes_right_then_up() -> None:
    points = [Point("a", 1, 50), Point("b", 4, 40), Point("c", 2, 70)]
    assert staircase(points, 9) == [(1, 50), (2, 50), (2, 70), (9, 70)]
