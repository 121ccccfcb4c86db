"""The report on the feature cache: ratios of what was measured, one figure and one table a set of conditions."""

import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from reports import write_all
from reports.tables.table import Figure, Table
from reports.views.speed import report
from results import load_measured, save_measured


def row(method: str, plain: float, cached: float, features: float, **about: Any) -> dict[str, Any]:
    known = {"suite": "synthetic", "backbone": "random:small", "images": 64, "batch_size": 32, "epochs": 10}
    return {
        **known,
        "method": method,
        "device": "cpu",
        "timed": False,
        "uncached_epoch_seconds": plain,
        "cached_epoch_seconds": cached,
        "feature_seconds": features,
        "feature_cache_bytes": None if plain == cached else 2**20,
        "uncached_run_seconds": 10 * plain,
        "cached_run_seconds": 10 * cached + features,
        **about,
    }


ROWS = [row("lora", 2.0, 2.0, 0.0), row("linear", 2.0, 0.1, 1.0), row("lst", 2.0, 0.5, 1.0, suite="demo")]


def test_ratios_are_of_epochs_and_of_whole_runs() -> None:
    items = report(pd.DataFrame(ROWS))
    tables = [item for item in items if isinstance(item, Table)]
    assert [len(table.rows) for table in tables] == [2, 1]
    linear, lora = tables[0].rows  # the one that gains most comes first
    assert [linear[0].word, lora[0].word] == ["linear", "lora"]
    assert [cell.value for cell in linear[-2:]] == pytest.approx([20.0, 10.0])
    assert lora[4].value is None
    assert [cell.value for cell in lora[-2:]] == [1.0, 1.0]
    assert "projected from timed epochs" in tables[0].caption


def test_the_caption_says_whose_numbers_these_are() -> None:
    known = {"date": "2026-11-20", "commit": None, "command": "python -m tools.side_by_side"}
    caption = report(pd.DataFrame([{**ROWS[0], **known}]))[0].caption
    assert "Measured on cpu, 2026-11-20, by `python -m tools.side_by_side`;" in caption
    assert "`make speed` measures this machine" in caption
    assert (
        "Measured on cpu, date not recorded, by a command that was not recorded;"
        in report(pd.DataFrame(ROWS))[0].caption
    )


def test_the_numbers_that_are_shipped_say_when_and_how_they_were_measured() -> None:
    shipped = load_measured(Path(__file__).parents[2] / "results", "speed")
    assert shipped is not None
    assert shipped[["device", "date", "command"]].notna().all(axis=None)
    assert shipped["command"].str.startswith("python -m tools.side_by_side").all()


def test_a_figure_shows_them() -> None:
    (figure, _) = [item for item in report(pd.DataFrame(ROWS)) if isinstance(item, Figure)]
    axes = figure.drawing.axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["linear", "lora"]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([9.0, 0.0])  # from 1


def test_it_is_written_from_what_is_on_disk(tmp_path: Path) -> None:
    save_measured(tmp_path, "speed", ROWS)
    written = write_all(tmp_path, ["speed"], tmp_path / "out", Console(file=io.StringIO()))
    assert {path.suffix for path in written} == {".png", ".pdf", ".csv", ".md", ".tex"}
    assert write_all(tmp_path / "empty", ["speed"], tmp_path / "out", Console(file=io.StringIO())) == []
