"""`report --published` shows the papers' tables where nothing was ever run."""

import csv
from pathlib import Path

import pytest

from results import quoted
from tests.bench.called import Done, called

TABLES = {
    "vtab": ["in1k", "in21k", "in21k-augreg", "mae", "moco_v3"],
    "fgvc": ["in21k"],
    "few_shot": ["in21k"],
}


def call(folder: Path, *words: str) -> Done:
    places = ["--results", str(folder / "nothing"), "--out", str(folder / "out")]
    return called("report", *words, *places, folder=folder, columns=200)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder without records, after `report --published`."""
    made = tmp_path_factory.mktemp("published")
    done = call(made, "--published")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SynQT" in done.stdout
    assert "no records" not in done.stdout
    return made


@pytest.mark.parametrize("subject", TABLES)
def test_every_printed_accuracy_stands_in_a_table_with_its_digits(folder: Path, subject: str) -> None:
    shown: set[tuple[str, str, str, str]] = set()
    for pretraining in TABLES[subject]:
        text = (folder / "out" / f"{subject}-vit_b16-{pretraining}-published.md").read_text()
        assert "The papers' own numbers" in text
    for path in (folder / "out").glob(f"{subject}-*-published.csv"):
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                shown |= {(row["method"], row["source"], key, value) for key, value in row.items()}
    lines = quoted(subject).query("quantity == 'accuracy'").to_dict("records")
    assert lines
    for line in lines:
        cells = {
            value
            for row, source, key, value in shown
            if (row, source) == (line["row"], f"{line['source']}, {line['table']}")
            and key == f"test_accuracy_{line['task']}"
        }
        assert any(value and abs(100 * float(value) - float(line["value"])) < 1e-6 for value in cells), line


def test_a_table_says_how_its_numbers_were_obtained(folder: Path) -> None:
    text = (folder / "out" / "vtab-vit_b16-in21k-published.md").read_text()
    assert "read in another source" in text
    assert "read off the figure" in text
    assert "(77.99)" in text  # a mean that SynQT did not print
    assert " 82 |" in text  # and a score with fewer digits than its neighbours


def test_a_report_without_published_numbers_is_a_wrong_call(tmp_path: Path) -> None:
    done = call(tmp_path, "vtab", "domain", "--published")
    assert done.returncode == 2
    assert "no published tables of domain; --published knows few_shot, fgvc, vtab" in done.stderr + done.stdout
    assert not list(tmp_path.rglob("*.md"))
