"""A report's figure takes the place of one's own axes; what cannot be drawn there is said in a sentence."""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from reports import draw
from results import read_costs, read_runs


def test_panels_take_the_place_of_axes(root: Path) -> None:
    figure, (left, right) = plt.subplots(1, 2, layout="constrained")
    caption = draw("tradeoff", left, runs=read_runs(str(root)))
    plt.close(figure)
    assert "recipe common" in caption
    assert figure.axes[0] is right
    (part,) = figure.subfigs
    assert [axes.get_xlabel() for axes in part.axes] == [
        "peak memory, planned (MiB)",
        "trainable parameters, with head (M)",
    ]
    assert max(axes.get_window_extent().x1 for axes in part.axes) < right.get_window_extent().x0
    assert "dtl" in {text.get_text() for axes in part.axes for text in axes.texts}


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("trade", "runs", "no report 'trade'"),
        ("tradeoff", "costs", "reads runs; given was costs"),
        ("convergence", "runs", "lays out a figure of its own"),
        ("accuracy", "runs", "draws nothing of these rows"),
    ],
)
def test_what_cannot_be_drawn_is_said(runs: pd.DataFrame, name: str, kind: str, said: str) -> None:
    figure, axes = plt.subplots()
    plt.close(figure)
    with pytest.raises(ValueError, match=said):
        draw(name, axes, **{kind: runs})


def test_damaged_records_are_left_out_with_a_warning(root: Path) -> None:
    count = len(read_runs(root))
    next((root / "runs").rglob("*.json")).write_text("{")
    with pytest.warns(UserWarning, match="json"):
        assert len(read_runs(root)) == count - 1
    assert read_costs(root).empty
