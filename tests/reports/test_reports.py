"""What every report is held to, whichever it is; and the command that writes them."""

import importlib
import io
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.text import Text
from PIL import Image
from rich.console import Console

from reports import REPORTS, Table, find, write_all
from reports.discovery import READS
from reports.formats import latex
from reports.formats.files import write
from results import Cost, Record, frame, save

TOP = Path(__file__).parents[2]
RUN_REPORTS = [name for name in REPORTS if READS[name] == ("runs",)]
OF_OTHER_SUITES = [name for name in RUN_REPORTS if hasattr(importlib.import_module(f"reports.views.{name}"), "SUITE")]
FED = [
    name for name in RUN_REPORTS if name not in ("feature_importance", "tsne", "energy")
]  # by records that keep nothing
ODD = r"50%_of $x$ & {y} #1 \z ~^ <b> | `a` *b* [c]"


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=100)


def said(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_reports_are_found_with_a_sentence_each() -> None:
    assert {"accuracy", "tradeoff"} <= set(REPORTS)
    assert not {"base", "means", "discovery"} & set(REPORTS)
    assert all(REPORTS.values())


@pytest.mark.parametrize("name", FED)
def test_writes_all_its_formats_with_the_caption_beside_the_picture(
    name: str, runs: pd.DataFrame, tmp_path: Path
) -> None:
    items = find(name)(runs)
    assert bool(items) != (name in OF_OTHER_SUITES)
    for item in items:
        paths = write(item, tmp_path)
        assert all(path.stat().st_size > (5000 if path.suffix in (".png", ".pdf") else 200) for path in paths)
        assert item.name.startswith(f"{name}-demo-vit_b16-common")
        assert "recipe common" in item.caption
        assert "torch 2.11.0" in item.caption
        if isinstance(item, Table):
            assert {path.suffix for path in paths} == {".md", ".tex", ".csv"}
            continue
        png, pdf, tex = paths
        assert (png.suffix, pdf.suffix, tex.suffix) == (".png", ".pdf", ".tex")
        with Image.open(png) as picture:
            assert picture.info["Description"] == item.caption
        assert latex.escaped(item.caption) in tex.read_text()
        assert pdf.name in tex.read_text()
        texts = " ".join(text.get_text() for text in item.drawing.findobj(Text))
        assert "recipe common" not in texts
        assert "torch" not in texts


def starved(make) -> dict[str, list[Record]]:
    return {
        "no records": [],
        "one record": [make()],
        "nothing worked": [make(status="unsupported"), make("dtl", status="diverged")],
        "no scores": [make(accuracy=None)],
        "no costs": [make(cost=Cost()), make("dtl", cost=Cost())],
        "zero costs": [make(cost=Cost(trainable=0, planned_peak_bytes=0))],
        "odd names": [make(ODD, ODD, suite=ODD, backbone=ODD)],
    }


@pytest.mark.parametrize("name", RUN_REPORTS)
def test_never_fails_for_want_of_numbers(name: str, make, tmp_path: Path, console: Console) -> None:
    for case, records in starved(make).items():
        items = find(name)(frame(records))
        assert bool(records) or not items, case
        assert all(write(item, tmp_path) for item in items), case


@pytest.mark.parametrize("name", RUN_REPORTS)
def test_needs_no_column_beyond_the_identity(name: str, runs: pd.DataFrame) -> None:
    columns = ["backbone", "method", "suite", "task", "recipe", "seed", "group", "classes", "status", "reason"]
    find(name)(runs[columns])
    find(name)(runs[[*columns, "test_accuracy"]])


def test_the_command_writes_files_and_shows_tables(tmp_path: Path, grid: list[Record], console: Console) -> None:
    root = tmp_path / "results"
    for record in grid:
        if record.identity.method in ("full", "lora:rank=4") and record.identity.task in ("cifar", "clevr_count"):
            save(root, record)
    paths = write_all(root, None, tmp_path / "out", console)
    assert {path.suffix for path in paths} == {".md", ".tex", ".csv", ".png", ".pdf", ".html"}
    assert all(path.parent == tmp_path / "out" for path in paths)
    assert "lora:rank=4" in said(console)
    write_all(root, ["accuracy"], tmp_path / "out", console)
    assert "oom" in said(console)


def test_the_command_takes_some_of_the_records(root: Path, tmp_path: Path, console: Console) -> None:
    some = [path for path in root.rglob("*.json") if path.name.startswith("dtl-")]
    write_all(root, ["accuracy"], tmp_path / "out", console, some)
    assert "dtl" in said(console)
    assert "bitfit" not in said(console)


def test_a_suite_with_a_report_of_its_own_is_shown_once_in_a_call(make, tmp_path: Path) -> None:
    root = tmp_path / "results"
    save(root, make())
    save(root, make(suite="vtab"))
    save(root, make(suite="domain:mask", task="imagenet_v2"))

    def written(*names: str) -> set[str]:
        paths = write_all(root, names or None, tmp_path / "-".join(names), Console(file=io.StringIO()))
        return {path.stem for path in paths if path.suffix == ".md"}

    of_vtab, of_domain = "vtab-vit_b16-common", "domain-mask-vit_b16-common"
    general = {f"accuracy-{name}" for name in ("demo-vit_b16-common", of_vtab, of_domain)}
    assert written("accuracy") == general
    assert written("accuracy", "vtab") == general - {f"accuracy-{of_vtab}"} | {of_vtab}
    everything = written()
    assert {of_vtab, of_domain, "accuracy-demo-vit_b16-common"} <= everything
    assert not everything & {f"accuracy-{of_vtab}", f"accuracy-{of_domain}"}


def test_nothing_is_said_of_a_table_that_stands_elsewhere(make, tmp_path: Path, console: Console) -> None:
    save(tmp_path, make(suite="vtab"))
    write_all(tmp_path, ["accuracy", "vtab"], tmp_path / "out", console)
    assert "nothing to show" not in said(console)


def test_damaged_records_are_named(root: Path, tmp_path: Path, console: Console) -> None:
    broken = next(iter(sorted(root.rglob("*.json"))))
    broken.write_bytes(b"{")
    assert write_all(root, ["accuracy"], tmp_path, console)
    assert str(broken) in said(console)


def test_without_records_it_says_what_to_do(tmp_path: Path, console: Console) -> None:
    assert write_all(tmp_path / "results", None, tmp_path / "out", console) == []
    assert "no records in" in said(console)
    assert "run python bench.py first" in said(console)
    assert not (tmp_path / "out").exists()


def test_an_unknown_report_is_an_error_that_names_the_known_ones(tmp_path: Path, console: Console) -> None:
    with pytest.raises(ValueError, match=r"no report 'acuracy'; known: .*accuracy, "):
        write_all(tmp_path, ["acuracy"], tmp_path, console)


def test_a_report_that_cannot_be_fed_says_so(tmp_path: Path, make, console: Console) -> None:
    save(tmp_path, make(status="unsupported"))
    assert write_all(tmp_path, ["tradeoff"], tmp_path / "out", console) == []
    assert "tradeoff: a trade-off takes two methods" in said(console)


def test_items_of_one_name_do_not_overwrite_each_other(tmp_path: Path, make, console: Console) -> None:
    for suite in ("a b", "a-b"):
        for method in ("lora", "dtl"):
            save(tmp_path, make(method, suite=suite))
    paths = write_all(tmp_path, ["accuracy", "tradeoff"], tmp_path / "out", console)
    assert len(set(paths)) == len(paths) == 12


@pytest.mark.parametrize(
    ("imports", "absent"),
    [
        ("import reports, results", {"torch", "pandas", "matplotlib", "rich.table"}),
        ("import reports; [reports.find(name) for name in reports.REPORTS]", {"torch", "methods", "bench", "datasets"}),
    ],
)
def test_imports_stay_light(imports: str, absent: set[str]) -> None:
    code = f"{imports}; import sys; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=TOP
    ).stdout.split()
    assert not absent & set(loaded)
