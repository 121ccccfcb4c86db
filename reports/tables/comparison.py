"""Which runs may stand in one table, and which in one line of it: mixed protocols never share an average."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reports.tables.copies import copies
from reports.tables.order import natural
from results import slug

__all__ = ["PROTOCOL", "Comparison", "comparisons", "label", "present", "values", "with_options"]

PROTOCOL = ("epochs", "batch_size", "precision", "attention", "preprocessing", "reported")
OPTIONS = {"regelu2": "ReGELU2", "ms_ln": "MS-LN", "velora": "VeLoRA"}  # that cut what is kept, as tables name them
PER_TASK = ("recipe_epochs", "recipe_batch_size")  # of the protocol, what a recipe may set for each task


@dataclass(frozen=True)
class Comparison:
    """The runs of one suite, backbone and recipe. The column `line` of `runs` labels the line each belongs to.

    Each folder of one's own images is a suite of its own, `folder:NAME`.
    """

    suite: str
    backbone: str
    weights: str  # digest of the weight file, or ""
    recipe: str
    runs: pd.DataFrame
    copy: int = 1  # of the suite's images and labels, where there are several
    copies: int = 1
    file: str = ""  # of the weights, where the user named one

    @property
    def network(self) -> str:
        """The backbone as the user named it, with the name of the weight file."""
        return f"{self.backbone}={self.file}" if self.file else self.backbone

    @property
    def name(self) -> str:
        """Fit for a file name."""
        parts = [self.suite, self.network, self.recipe, *([f"copy{self.copy}"] if self.copies > 1 else [])]
        return "-".join(map(slug, parts))

    @property
    def differing(self) -> list[str]:
        """The protocol fields that are not the same in all lines; a table shows each in a column."""
        return [field for field in PROTOCOL if len(values(self.runs, f"recipe_{field}")) > 1]


def comparisons(runs: pd.DataFrame) -> list[Comparison]:
    """The runs taken apart by suite, its copy, backbone, weights and recipe, each part with its lines labelled."""
    if runs.empty:
        return []
    runs = runs.assign(suite=_suites(runs))
    digests = runs["weights"] if "weights" in runs else pd.Series(None, index=runs.index, dtype=object)
    numbers = pd.concat([copies(part) for _, part in runs.groupby("suite", sort=False)])
    known = runs.assign(weights=[digest if present(digest) else "" for digest in digests], copy=numbers)
    counts = known.groupby("suite")["copy"].max().to_dict()
    parts = known.groupby(["suite", "backbone", "weights", "recipe", "copy"], sort=False)
    return [
        Comparison(
            str(suite),
            str(backbone),
            str(digest),
            str(recipe),
            _labelled(part),
            int(str(copy)),
            counts[suite],
            _file(part, str(backbone)) if digest else "",
        )
        for (suite, backbone, digest, recipe, copy), part in parts
    ]


def _suites(runs: pd.DataFrame) -> list[str]:
    """Those of the records; folders have nothing in common, so that no table holds one to the tasks of another."""
    pairs = zip(runs["suite"], runs["task"], strict=True)
    return [f"{suite}:{task}" if suite == "folder" else suite for suite, task in pairs]


def _file(runs: pd.DataFrame, backbone: str) -> str:
    """The name of the weight file of the backbone, where a command named one."""
    for command in values(runs, "where_command"):
        found = re.search(rf"--backbone[ =]'?{re.escape(backbone)}=([^\s']+)", command)
        if found is not None:
            return found[1].rpartition("/")[2]
    return ""


def label(column: str) -> str:
    """A setting in words, from the name of its column."""
    field = column.split("_", 1)[-1]
    return {"reported": "source reports"}.get(field, field.replace("_", " "))


def values(runs: pd.DataFrame, column: str) -> list[str]:
    """The distinct values of a column as text, in order; none where the column is missing."""
    if column not in runs:
        return []
    known: Iterable[Any] = runs[column].tolist()
    with contextlib.suppress(TypeError):  # lists and dictionaries have no hash
        known = set(known)
    return sorted({_text(value) for value in known if present(value)}, key=natural)


def present(value: Any) -> bool:
    """Whether a cell of the frame holds anything: pandas writes a missing number as NaN, which differs from itself."""
    return value is not None and value != {} and bool(value == value)


def with_options(rows: pd.DataFrame, prefix: str = "") -> list[str]:
    """The method of each row, followed by the options that cut its memory: `full + ReGELU2 + 8-bit AdamW`.

    They stand in the columns `activations`, `optimizer` and `optimizer_in_backward`, each name after `prefix`.
    """
    nothing: list[Any] = [None] * len(rows)
    columns = (
        list(rows.get(f"{prefix}{name}", nothing)) for name in ("activations", "optimizer", "optimizer_in_backward")
    )
    return [
        " + ".join([str(method), *_options(*options)])
        for method, *options in zip(rows["method"], *columns, strict=True)
    ]


def _options(activations: Any, optimizer: Any, in_backward: Any) -> list[str]:
    words = activations.split(",") if isinstance(activations, str) and activations else []
    named = [
        OPTIONS.get(name, name) + (f" ({more})" if more else "") for name, _, more in (w.partition(":") for w in words)
    ]
    named += ["8-bit AdamW"] * (optimizer == "adamw8bit")
    return named + ["step in backward"] * (in_backward is True or in_backward == 1)


def _labelled(part: pd.DataFrame) -> pd.DataFrame:
    """The runs with their lines, in the order they came."""
    lines: dict[Any, str] = {}
    for _, runs in part.assign(method=with_options(part, "recipe_")).groupby("method", sort=False):
        mixed = _mixed(runs)
        named = runs[["method", *mixed]].to_dict("records")  # far quicker than a row of the frame at a time
        lines |= {place: _line(row, mixed) for place, row in zip(runs.index, named, strict=True)}
    return part.assign(line=pd.Series(lines))


def _mixed(runs: pd.DataFrame) -> list[str]:
    """The settings in which runs of one method differ, so that averaging them would mix protocols.

    A recipe may set rates, tokens and the like for each task, and then the length and batch of training too; no setting
    may differ within a task, and the rest of the protocol nowhere.
    """
    settings = [
        column for column in runs.columns if column.startswith(("recipe_", "method_")) or column == "preprocessing"
    ]
    differing = [column for column in settings if len(values(runs, column)) > 1]
    within = {column for column in differing if _differs_within_a_task(runs, column)}
    protocol = {f"recipe_{field}" for field in PROTOCOL} | {"preprocessing"}
    by_task = [column for column in differing if column not in protocol | within]
    anywhere = protocol - set(PER_TASK) if by_task else protocol
    mixed = [column for column in differing if column in within | anywhere]
    return [column for column in mixed if column != "preprocessing" or "recipe_preprocessing" not in mixed]


def _differs_within_a_task(runs: pd.DataFrame, column: str) -> bool:
    return any(len(values(task, column)) > 1 for _, task in runs.groupby("task", sort=False))


def _line(row: Mapping[Any, Any], mixed: list[str]) -> str:
    settings = ", ".join(f"{label(column)} {_text(row[column])}" for column in mixed)
    return f"{row['method']} ({settings})" if settings else str(row["method"])


def _text(value: Any) -> str:
    if not present(value):
        return "unknown"
    if isinstance(value, float):
        return f"{value:g}"  # whole numbers become floats in a column that has gaps
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(item)}" for key, item in sorted(value.items()))
    return value if isinstance(value, str) else json.dumps(value, default=str)
