"""Which runs may stand in one table, and which in one line of it: mixed protocols never share an average.

Runs on different copies of a suite's images share no table. The revision of a task says whether two runs saw the same
data; nothing says which revisions of different tasks lie in one copy. Those that one command met are taken for one, and
join an earlier copy that has no other data for their tasks.
"""

from __future__ import annotations

import contextlib
import json
import re
import weakref
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pandas as pd

from reports.tables.table import natural
from results import slug

__all__ = [
    "PROTOCOL", "Comparison", "commits", "comparisons", "copies", "label", "origin", "present", "tasks_by_group",
    "values", "with_options", "written",
]  # fmt: skip

Key = TypeVar("Key", bound=Hashable)
Copy = dict[str, str]  # from the name of a task to its revision

PROTOCOL = ("epochs", "batch_size", "precision", "attention", "preprocessing", "reported")
OPTIONS = {"regelu2": "ReGELU2", "ms_ln": "MS-LN", "velora": "VeLoRA"}  # that cut what is kept, as tables name them
GROUPS = ("natural", "specialized", "structured")  # the order of the published tables; other groups follow
AS_PUBLISHED = ("paper", "osu")  # recipes with settings of publications
PER_TASK = ("recipe_epochs", "recipe_batch_size")  # of the protocol, what a recipe may set for each task


@dataclass(frozen=True)
class Comparison:
    """The runs of one suite, backbone and recipe. The column `line` of `runs` labels the line each belongs to.

    Each folder of one's own images is a suite of its own, `folder:NAME`, or `folder:PARENT/NAME` where two have the
    same name; weight files likewise.
    """

    suite: str
    backbone: str
    weights: str  # digest of the weight file, or ""
    recipe: str
    runs: pd.DataFrame
    copy: str = ""  # of the suite's images and labels, where there are several: its folder, or a revision
    copies: int = 1
    file: str = ""  # of the weights, where the user named one
    mark: str = ""  # what tells the name from that of another comparison, where nothing else does
    computed: dict[str, Any] = field(default_factory=dict, init=False, compare=False, repr=False)  # of these runs

    @property
    def network(self) -> str:
        """The backbone as the user named it, with the name of the weight file."""
        return f"{self.backbone}={self.file}" if self.file else self.backbone

    @property
    def name(self) -> str:
        """Fit for a file name."""
        parts = [self.suite, self.network, self.recipe, self.copy, self.mark]
        return "-".join(slug(part) for part in parts if part)

    @property
    def differing(self) -> list[str]:
        """The protocol fields that are not the same in all lines; a table shows each in a column."""
        return [field for field in PROTOCOL if len(values(self.runs, f"recipe_{field}")) > 1]


_latest: dict[int, tuple[weakref.ref[pd.DataFrame], tuple[Comparison, ...]]] = {}  # by the id of the data frame


def comparisons(runs: pd.DataFrame) -> list[Comparison]:
    """The runs taken apart by suite, its copy, backbone, weights and recipe, each part with its lines labelled.

    They are computed once for a data frame, which may not be changed afterwards.
    """
    known, found = _latest.get(id(runs), (None, ()))
    if known is None or known() is not runs:
        found = tuple(_comparisons(runs))
        _latest.clear()
        _latest[id(runs)] = weakref.ref(runs), found
    return list(found)


def _comparisons(runs: pd.DataFrame) -> list[Comparison]:
    if runs.empty:
        return []
    runs = runs.assign(suite=_suites(runs))
    digests = runs["weights"] if "weights" in runs else pd.Series(None, index=runs.index, dtype=object)
    numbers = pd.concat([copies(part) for _, part in runs.groupby("suite", sort=False)])
    known = runs.assign(weights=[digest if present(digest) else "" for digest in digests], copy=numbers)
    names = {str(suite): _copy_names(part, part["copy"]) for suite, part in known.groupby("suite", sort=False)}
    files = {str(backbone): _files(part, str(backbone)) for backbone, part in known.groupby("backbone", sort=False)}
    parts = known.groupby(["suite", "backbone", "weights", "recipe", "copy"], sort=False)
    found = [
        Comparison(
            str(suite),
            str(backbone),
            str(digest),
            str(recipe),
            _labelled(part),
            names[str(suite)][int(str(copy))],
            len(names[str(suite)]),
            files[str(backbone)][str(digest)],
        )
        for (suite, backbone, digest, recipe, copy), part in parts
    ]
    counts = Counter(comparison.name for comparison in found)
    return [replace(each, mark=_mark(each)) if counts[each.name] > 1 else each for each in found]


def _mark(comparison: Comparison) -> str:
    """The revision of the images or, without one, the digest of the weights: a name may be lost in that of a file."""
    return "-".join([*values(comparison.runs, "data")[:1], *filter(None, [comparison.weights])])


def _suites(runs: pd.DataFrame) -> list[str]:
    """Those of the records; folders have nothing in common, so that no table holds one to the tasks of another."""
    pairs = list(zip(runs["suite"], runs["task"], strict=True))
    if "folder" not in set(runs["suite"]):
        return [suite for suite, _ in pairs]
    data, paths = (list(runs.get(key, [None] * len(runs))) for key in ("data", "where_folder"))
    keys = [(task, revision if present(revision) else "") for (_, task), revision in zip(pairs, data, strict=True)]
    last = {key: path for key, path in zip(keys, paths, strict=True) if present(path)}
    parents = {
        key: tail.rpartition("/")[0]
        for task in {task for _, task in pairs}
        for key, tail in _tails({key: path for key, path in last.items() if key[0] == task}).items()
    }
    return [
        ":".join([suite, "/".join(filter(None, [parents.get(key), task]))]) if suite == "folder" else suite
        for (suite, task), key in zip(pairs, keys, strict=True)
    ]


def _files(runs: pd.DataFrame, backbone: str) -> dict[str, str]:
    """The weight file of each digest, by as much of its path as is needed; "" where the user named none."""
    found = {str(digest): _file(part, backbone) if digest else "" for digest, part in runs.groupby("weights")}
    named = _tails({digest: path for digest, path in found.items() if path})
    counts = Counter(named.values())
    return {digest: f"{name} {digest}" if counts[name] > 1 else name for digest, name in ({**found, **named}).items()}


def _file(runs: pd.DataFrame, backbone: str) -> str:
    """The path of the weight file, as far as the records know it."""
    if paths := values(runs, "where_weights"):
        return paths[-1]
    for command in values(runs, "where_command"):
        found = re.search(rf"--backbone[ =]'?{re.escape(backbone)}=([^\s']+)", command)
        if found is not None:
            return found[1].rpartition("/")[2]
    return ""


def tasks_by_group(runs: pd.DataFrame) -> dict[str, list[str]]:
    """Return the tasks of each group by their place in the suite; the groups of VTAB come first, in its order."""
    placed = runs.sort_values("place", kind="stable") if "place" in runs else runs
    seen: dict[str, list[str]] = {}
    for group, task in placed[["group", "task"]].drop_duplicates("task").itertuples(index=False):
        seen.setdefault(group, []).append(task)
    known = [group for group in GROUPS if group in seen]
    return {group: seen[group] for group in dict.fromkeys([*known, *seen])}


def origin(recipe: str) -> str:
    """Say where the hyper-parameters of a recipe come from: validation images, a publication, or neither."""
    if recipe.startswith("tuned:"):
        return "validation-chosen"
    return "as published" if recipe in AS_PUBLISHED else "fixed"


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
    return sorted({written(value) for value in known if present(value)}, key=natural)


def commits(rows: pd.DataFrame, prefix: str = "where_") -> list[str]:
    """The commits of the code that made some rows, the last with a word where files had been changed since."""
    known = [commit[:7] for commit in values(rows, f"{prefix}commit")] or ["unknown"]
    dirty = any(value.lower().strip('"') == "true" for value in values(rows, f"{prefix}dirty"))
    return [*known[:-1], known[-1] + " with uncommitted changes" * dirty]


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
    settings = [name for name in part.columns if name.startswith(("recipe_", "method_")) or name == "preprocessing"]
    varying = [name for name in settings if len(values(part, name)) > 1]  # the others differ within no method
    for _, runs in part.assign(method=with_options(part, "recipe_")).groupby("method", sort=False):
        mixed = _mixed(runs, varying)
        named = runs[["method", *mixed]].to_dict("records")  # far quicker than a row of the frame at a time
        lines |= {index: _line(row, mixed) for index, row in zip(runs.index, named, strict=True)}
    return part.assign(line=pd.Series(lines))


def _mixed(runs: pd.DataFrame, settings: Sequence[str]) -> list[str]:
    """Those of some settings in which runs of one method differ, so that averaging them would mix protocols.

    A recipe may set rates, tokens and the like for each task, and then the length and batch of training too; no setting
    may differ within a task, and the rest of the protocol nowhere.
    """
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
    settings = ", ".join(f"{label(column)} {written(row[column])}" for column in mixed)
    return f"{row['method']} ({settings})" if settings else str(row["method"])


def written(value: Any) -> str:
    """Write one value of a setting, in Python's own types; a whole number as such also where it is a float."""
    if not present(value):
        return "unknown"
    if isinstance(value, float):
        return f"{value:g}"  # whole numbers become floats in a column that has gaps
    if isinstance(value, dict):
        return ", ".join(f"{key} {written(item)}" for key, item in sorted(value.items()))
    return value if isinstance(value, str) else json.dumps(value, default=str)


def copies(runs: pd.DataFrame) -> pd.Series:
    """The number of the copy of each run of one suite, from 1, in the order in which copies came into use.

    Runs whose data have no revision count to the first, and all do where no task has two revisions.
    """
    known: list[Copy] = []
    for met in _met(runs):
        fitting = [
            copy for copy in known if all(copy.get(task, revision) == revision for task, revision in met.items())
        ]
        if fitting:
            max(fitting, key=lambda copy: len(copy.items() & met.items())).update(met)
        else:
            known.append(met)
    pairs = zip(runs["task"], runs.get("data", [None] * len(runs)), strict=True)
    numbers = [
        next((number for number, copy in enumerate(known, 1) if copy.get(task) == revision), 1)
        for task, revision in pairs
    ]
    return pd.Series(numbers, index=runs.index)


def _met(runs: pd.DataFrame) -> Iterator[Copy]:
    """What each command met, the oldest first; a revision at a time where it met two of one task."""
    if "data" not in runs:
        return
    known = runs[runs["data"].notna()]
    dated = known.sort_values("where_date", kind="stable") if "where_date" in known else known
    for _, part in dated.groupby("where_command" if "where_command" in dated else "suite", sort=False):
        pairs = list(dict.fromkeys(zip(part["task"], part["data"], strict=True)))
        alone = len(dict(pairs)) < len(pairs)
        yield from [{task: revision} for task, revision in pairs] if alone else [dict(pairs)]


def _copy_names(runs: pd.DataFrame, numbers: pd.Series) -> dict[int, str]:
    """A name for each copy of one suite: the folder that its commands call --data where no two share one.

    Else the revision of the first task of which the copies have different ones. A copy without others needs no name.
    """
    parts = {int(number): part for number, part in runs.groupby(numbers, sort=True)}
    if len(parts) == 1:
        return dict.fromkeys(parts, "")
    folders = {number: _folder(part) for number, part in parts.items()}
    if all(folders.values()) and len({*folders.values()}) == len(parts):
        return folders
    return {number: _revision(part, runs) for number, part in parts.items()}


def _folder(runs: pd.DataFrame) -> str:
    """What the commands of one copy call --data; nothing where they differ or do not say it."""
    commands = [str(command) for command in runs.get("where_command", ())]
    named = {(re.findall(r"--data[ =](\S+)", command) or [""])[-1] for command in commands}
    return named.pop() if len(named) == 1 else ""


def _revision(part: pd.DataFrame, runs: pd.DataFrame) -> str:
    known = runs[runs["data"].notna()]
    several = known.groupby("task")["data"].nunique()
    differing = part[part["task"].isin(several[several > 1].index)]["data"].dropna()
    return next((f"revision {revision}" for revision in differing), "revision unknown")


def _tails(paths: Mapping[Key, str]) -> dict[Key, str]:
    """The last part of each path, with as many folders before it as tell it from the others that end alike."""
    split = {key: path.split("/") for key, path in paths.items()}
    named = {}
    for key, parts in split.items():
        others = [other for other in split.values() if other != parts]
        count = next((n for n in range(1, len(parts)) if all(parts[-n:] != other[-n:] for other in others)), len(parts))
        named[key] = "/".join(parts[-count:])
    return named
