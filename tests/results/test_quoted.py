"""The published numbers are tidy, and their printed averages are what they are said to be."""

from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pandas as pd
import pytest

from reports.tables.summary import group_means, mean_of_group_means, plain_mean
from results import quoted
from results.tables import SUBJECTS

COLUMNS = [
    "source",
    "table",
    "row",
    "method",
    "setting",
    "backbone",
    "pretraining",
    "task",
    "quantity",
    "value",
    "unit",
    "convention",
    "selection",
    "how",
    "note",
]
NATURAL = ["cifar", "caltech101", "dtd", "oxford_flowers102", "oxford_iiit_pet", "svhn", "sun397"]
SPECIALIZED = ["patch_camelyon", "eurosat", "resisc45", "diabetic_retinopathy"]
STRUCTURED = [
    "clevr_count",
    "clevr_dist",
    "dmlab",
    "kitti",
    "dsprites_loc",
    "dsprites_ori",
    "smallnorb_azi",
    "smallnorb_ele",
]
GROUPS = {"natural": NATURAL, "specialized": SPECIALIZED, "structured": STRUCTURED}
ROW = ["source", "table", "row", "setting", "backbone", "pretraining"]
# Printed averages whose last digits are not those of the average of the printed tasks, and what that gives. VPT
# averaged before it rounded; NOAH's LoRA is cut.
OFF = {
    "VPT / per-task table / Full": ("68.96", "68.97"),
    "VPT / per-task table / Bias": ("65.21", "65.22"),
    "VPT / per-task table / VPT-Deep": ("71.96", "71.97"),
    "NOAH / Table 1 / LoRA-8": ("74.5", "74.6"),
    "VPT / FGVC / Bias": ("88.41", "88.40"),
    "VPT / FGVC / Sidetune": ("78.35", "78.36"),
    "VPT / FGVC / Adapter (r = 64)": ("85.67", "85.66"),
    "VPT / FGVC / VPT-Shallow": ("84.62", "84.66"),
    "VPT / FGVC / VPT-Deep": ("89.11", "89.10"),
}
# Printed as plain means over the tasks; Head2Toe's among means of group means.
PLAIN = {
    "SSF / per-task table / SSF": ("73.10", "75.69"),
    "V-PETL-Bench / README / LST": ("71.70", "74.25"),
    "SynQT / appendix Table 3 / Head2Toe": ("63.3", "66.8"),
}


def rows(subject: str, tasks: int) -> Iterator[tuple[str, pd.DataFrame, dict[str, float | None]]]:
    """Every row that is printed task by task, by name."""
    for key, lines in quoted(subject).groupby(ROW, sort=False):
        scores = lines[lines["quantity"] == "accuracy"]
        if len(scores) == tasks:
            known = dict(zip(scores["task"], scores["value"].astype(float), strict=True))
            yield " / ".join(map(str, key[:3])), lines, known


def rounded(value: float | None, like: str) -> str:
    """As many digits as the printed number has, halves up as on paper."""
    assert value is not None
    return str(Decimal(f"{value:.9f}").quantize(Decimal(like), ROUND_HALF_UP))


def averages(subject: str, tasks: int) -> Iterator[tuple[str, Any, str, str]]:
    """Each average that its row's tasks lead to: the line, the mean of group means and the plain mean of the tasks."""
    for name, lines, scores in rows(subject, tasks):
        selection = lines.loc[lines["quantity"] == "accuracy", "selection"].iloc[0]
        for line in lines[(lines["quantity"] == "average") & (lines["selection"] == selection)].itertuples():
            by_group = mean_of_group_means(scores, GROUPS if tasks == 19 else {"fine": list(scores)})
            yield name, line, rounded(by_group, line.value), rounded(plain_mean(scores.values()), line.value)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_tidy(subject: str) -> None:
    lines = quoted(subject)
    assert list(lines.columns) == COLUMNS + ["protocol"] * (subject == "cost")
    assert not lines.duplicated([*ROW, "method", "task", "quantity", "convention", "selection", "note"]).any()
    assert lines["value"].astype(float).ge(0).all()
    assert set(lines["how"]) <= {"printed", "digitised", "recomputed", "second-hand"}
    assert set(lines["selection"]) <= {"last", "best_on_test", ""}
    assert set(lines["pretraining"]) <= {"in21k", "in21k-augreg", "in1k", "mae", "moco_v3", "dinov2", ""}
    assert (lines["source"] != "").all()


def test_every_average_is_what_its_convention_says_to_the_last_digit_but_for_these() -> None:
    found = [*averages("vtab", 19), *averages("fgvc", 5)]
    assert len(found) > 45
    said = {
        name: (line.value, plain if line.convention == "mean_of_tasks" else group) for name, line, group, plain in found
    }
    off = {name: pair for name, pair in said.items() if pair[0] != pair[1]}
    assert off == OFF
    assert all(abs(float(value) - float(again)) < 0.11 for value, again in off.values())


def test_printed_averages_that_are_no_means_of_group_means() -> None:
    printed = [each for each in averages("vtab", 19) if each[1].how != "recomputed"]
    plain = {
        name: (line.value, group) for name, line, group, _ in printed if abs(float(line.value) - float(group)) > 0.11
    }
    assert plain == PLAIN
    assert {name for name, line, *_ in printed if line.convention != "mean_of_groups"} == set(PLAIN)


def test_group_means_are_those_of_the_tasks() -> None:
    checked = 0
    for name, lines, scores in rows("vtab", 19):
        for line in lines[lines["quantity"] == "group_mean"].itertuples():
            again = group_means(scores, GROUPS)[str(line.task)]
            assert float(str(line.value)) == pytest.approx(again, abs=0.03), (name, line.task)
            checked += 1
    assert checked == 27


def test_the_ablations_average_their_group_means() -> None:
    published = quoted("vtab")
    for table in ("appendix Table 4", "appendix Table 5"):
        for _, lines in published[published["table"] == table].groupby("setting"):
            means = dict(zip(lines["quantity"], lines["value"], strict=False))
            groups = lines.loc[lines["quantity"] == "group_mean", "value"].astype(float)
            assert float(means["average"]) == pytest.approx(groups.mean(), abs=0.05)


def test_a_figure_is_marked_as_read_off() -> None:
    for subject in ("vtab", "cost"):
        lines = quoted(subject)
        figure = lines[(lines["source"] == "DTL") & (lines["table"] == "Figure 1")]
        assert len(figure) >= 11
        assert set(figure["how"]) == {"digitised"}
