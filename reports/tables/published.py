"""The rows of the publications, and which of them a line of ours may stand beside."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import pandas as pd

from reports.tables.comparison import Comparison
from results import quoted

__all__ = ["SELECTIONS", "Printed", "by_weights", "canonical", "fitting", "published", "tasks", "unknown_weights"]

NETWORKS = {"vit_base_patch16_224": "vit_b16"}  # timm's names, and those of results/published
PRETRAINING = {
    "orig_in21k": "in21k",
    "augreg_in21k": "in21k-augreg",
    "augreg_in1k": "in1k",
    "orig_in21k_ft_in1k": "in21k-in1k",
    "augreg_in21k_ft_in1k": "in21k-augreg-in1k",
    "": "in21k",  # a file of unknown weights: those of most tables, which captions say
}
SELECTIONS = {"last": "last", "best_on_test": "best", "": "epoch unknown"}
HOW = {"digitised": "read off the figure", "second-hand": "read in another source"}
QUANTITIES = ("accuracy", "group_mean", "average", "parameters")
ROW = ["source", "table", "row", "method", "setting", "backbone", "pretraining"]


@dataclass(frozen=True)
class Printed:
    """One row of a publication; numbers are text, in % and millions, and in parentheses where they were not printed."""

    source: str
    row: str
    spec: str  # of our method
    selection: str
    scores: dict[str, str]  # by task
    groups: dict[str, str]
    averages: dict[str, str]  # by convention
    parameters: str
    counted: str  # the convention of the parameters
    notes: tuple[str, ...]

    @property
    def title(self) -> str:
        """Where it was printed, and of which epoch."""
        return f"{self.source} ({SELECTIONS[self.selection]})"


def published(subject: str, comparison: Comparison) -> list[Printed]:
    """The rows for the backbone of a comparison, on weights of the same data; those of SSF are of another recipe."""
    network, _, tag = comparison.backbone.partition(".")
    known = PRETRAINING.get(tag)
    if network not in NETWORKS or known is None:
        return []
    lines = quoted(subject)
    lines = lines[lines["quantity"].isin(QUANTITIES)]
    same = lines["pretraining"].str.removesuffix("-augreg") == known.removesuffix("-augreg")
    fits = lines[same & (lines["backbone"] == NETWORKS[network]) & (lines["method"] != "")]
    return [row for _, part in fits.groupby(ROW, sort=False) for row in _rows(part)]


def by_weights(subject: str) -> dict[tuple[str, str], list[Printed]]:
    """All rows with an accuracy, also of methods that are not here, by backbone and pre-training."""
    lines = quoted(subject)
    found: dict[tuple[str, str], list[Printed]] = {}
    for _, part in lines[lines["quantity"].isin(QUANTITIES)].groupby(ROW, sort=False):
        if rows := list(_rows(part)):
            found.setdefault((part["backbone"].iloc[0], part["pretraining"].iloc[0]), []).extend(rows)
    return found


def tasks(subject: str) -> list[str]:
    """The tasks that were printed, in the order of the file, which is that of the suite."""
    lines = quoted(subject)
    return list(dict.fromkeys(lines.loc[lines["quantity"] == "accuracy", "task"]))


def unknown_weights(comparison: Comparison) -> tuple[str, ...]:
    """What must be said where a weight file is not known by its name."""
    if "." in comparison.backbone:
        return ()
    return ("The name of the backbone does not say what it was pre-trained on; published rows are for ImageNet-21k.",)


def fitting(rows: Iterable[Printed], spec: str) -> list[Printed]:
    """The rows of a method with these settings: those with numbers by task, or else those with averages alone."""
    own = [row for row in rows if canonical(row.spec) == canonical(spec) and (row.groups or row.averages or row.scores)]
    most = max((len(row.scores) for row in own), default=0)
    return [row for row in own if len(row.scores) == most]


def canonical(spec: str) -> tuple[str, frozenset[tuple[str, str]]]:
    """The method and its settings, `1` and `1.0` alike, in any order."""
    name, *settings = spec.split(":")
    pairs = (setting.partition("=")[::2] for setting in settings)
    return name, frozenset((key, _plain(value)) for key, value in pairs)


def _plain(value: str) -> str:
    return f"{float(value):g}" if re.fullmatch(r"\d+(\.\d*)?(e-?\d+)?", value) else value


def _rows(lines: pd.DataFrame) -> Iterator[Printed]:
    """A row, or two where averages of the last epoch and of the best are both printed."""
    selections = lines.loc[lines["quantity"] != "parameters", "selection"]
    for selection in dict.fromkeys(selections):
        yield _row(lines[(lines["selection"] == selection) | (lines["quantity"] == "parameters")], selection)


def _row(lines: pd.DataFrame, selection: str) -> Printed:
    first, parameters = lines.iloc[0], lines[lines["quantity"] == "parameters"]
    return Printed(
        source=f"{first['source']}, {first['table']}",
        row=first["row"],
        spec=":".join(filter(None, (first["method"], first["setting"]))),
        selection=selection,
        scores=_values(lines, "accuracy", "task"),
        groups=_values(lines, "group_mean", "task"),
        averages=_values(lines, "average", "convention"),
        parameters=next(iter(parameters["value"]), ""),
        counted=next(iter(parameters["convention"]), ""),
        notes=_notes(lines),
    )


def _notes(lines: pd.DataFrame) -> tuple[str, ...]:
    """How the numbers were obtained, where they were not read where they were printed; and what is said of them."""
    obtained = [HOW[how] for how in lines["how"] if how in HOW]
    said = [part for note in lines["note"] if note for part in note.split("; ")]
    return tuple(dict.fromkeys([*obtained, *said]))


def _values(lines: pd.DataFrame, quantity: str, key: str) -> dict[str, str]:
    """What was worked out from printed numbers and not printed itself is in parentheses."""
    part = lines[lines["quantity"] == quantity].to_dict("records")
    return {line[key]: f"({line['value']})" if line["how"] == "recomputed" else line["value"] for line in part}
