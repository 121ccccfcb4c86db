"""The conditions under which numbers were obtained: sentences for a caption, and what the page says was run."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from reports.tables.comparison import PROTOCOL, Comparison, commits, comparisons, label, origin, tasks_by_group, values
from reports.tables.table import in_order
from results import numbered

__all__ = ["Origin", "conditions", "failures", "mixes", "origins", "preprocessing"]

REVISIONS = 3  # that are named
NAMED = 3  # tasks of other sizes than published
COMMANDS = 12  # shown at most


def conditions(comparison: Comparison) -> str:
    """Suite, backbone, recipe and protocol; then seeds, devices, torch and commit."""
    runs = comparison.runs
    groups = tasks_by_group(runs)
    tasks = ", ".join(f"{len(tasks)} {group}" for group, tasks in groups.items())
    tasks += " task" if runs["task"].nunique() == 1 else " tasks"
    weights = f" (weights {comparison.weights})" if comparison.weights else ""
    what = f"{comparison.suite} ({tasks}), backbone {comparison.network}{weights}, recipe {comparison.recipe}"
    what += f" ({origin(comparison.recipe)})" if origin(comparison.recipe) != "fixed" else ""
    return (
        f"{what}: {_protocol(comparison)}. {preprocessing(runs)}{_provenance(runs)}.{_copy(comparison)}"
        f"{_understood(comparison)}{_skipped(runs)}"
    )


def failures(runs: pd.DataFrame) -> tuple[str, ...]:
    """One sentence for each line and reason why runs gave no number."""
    failed = runs[runs["status"] != "ok"].fillna({"reason": ""})
    parts = failed.groupby(["line", "status", "reason"], sort=False)
    return tuple(
        textwrap.shorten(
            f"{line}: {status} on {', '.join(dict.fromkeys(part['task']))}{reason and f' ({reason})'}.", 300
        )
        for (line, status, reason), part in parts
    )


def preprocessing(runs: pd.DataFrame) -> str:
    """What was done to the images, by the name of each preset; nothing where the records do not say."""
    known = {str(row["name"]): row for row in runs.get("preprocessing", ()) if isinstance(row, dict) and row}
    said = "; ".join(f"{name}: {_steps(row)}" for name, row in sorted(known.items()))
    return f"Images as by {said}. " if said else ""


def mixes(runs: pd.DataFrame) -> bool:
    """Whether some were trained on images of two classes each."""
    known = (row.get("augmentation") for row in runs.get("preprocessing", ()) if isinstance(row, dict))
    return any("mixup" in words for words in known if words)


def _steps(row: dict[str, Any]) -> str:
    mean, std = (", ".join(f"{value:g}" for value in dict.fromkeys(row[key])) for key in ("mean", "std"))
    size, decode = row.get("image_size"), {"any": "as in the file", "png": "lossless only"}.get(row["decode"])
    resize = f"{row['resize']} to {size}, {row['interpolation']}".replace("_", " ")
    instead = f", training images instead by {row['augmentation']}" if row.get("augmentation") else ""
    decode = decode or row["decode"]
    decode += ", upright and over white" if row.get("rendering") == "viewed" else ""
    return f"{decode}, {resize}, mean {mean}, std {std}{instead}"


def _copy(comparison: Comparison) -> str:
    """Which copy of the suite this is, by the revisions of its first tasks, where there are several."""
    if comparison.copies == 1:
        return ""
    pairs = comparison.runs[["task", "data"]].dropna().drop_duplicates().to_numpy().tolist()
    named = [f"{task} {revision}" for task, revision in pairs]
    said = ", ".join([*named[:REVISIONS], *(["…"] if len(named) > REVISIONS else [])])
    which = f"One of {comparison.copies} copies of the images and labels, {comparison.copy} ({said})"
    return f" {which}; what was run on another stands apart and is not to be compared."


def _understood(comparison: Comparison) -> str:
    """How one's own folders were read, each way of a folder; of another suite which tasks have not their own sizes."""
    if "understood" not in comparison.runs:
        return ""
    pairs = comparison.runs[["task", "understood"]].drop_duplicates().to_numpy().tolist()
    known = [(task, said) for task, said in pairs if isinstance(said, str) and said]
    if comparison.suite.startswith("folder:") or not known:
        return "".join(f" {task}: {said}." for task, said in known)
    more = f" and {numbered(len(known) - NAMED, 'more task')}" if len(known) > NAMED else ""
    named = ", ".join(f"{task} ({said})" for task, said in known[:NAMED])
    return f" Other numbers of training and test images than published: {named}{more}."


def _skipped(runs: pd.DataFrame) -> str:
    """How many images were left out because they could not be decoded, where any were."""
    left_out = {
        (row.task, split): count
        for row in runs.itertuples()
        for split, count in (getattr(row, "skipped_images", None) or {}).items()
    }
    if not left_out:
        return ""
    said = ", ".join(f"{count} of {task} ({split})" for (task, split), count in left_out.items())
    return f" Left out, since they cannot be decoded: {said}."


def _protocol(comparison: Comparison) -> str:
    fields = {f"recipe_{field}": values(comparison.runs, f"recipe_{field}") for field in PROTOCOL}
    if fields["recipe_reported"] == ["last"]:
        del fields["recipe_reported"]  # goes without saying, since every report shows the last epoch
    same = [f"{label(column)} {known[0]}" for column, known in fields.items() if len(known) == 1]
    other = [f"{label(column)} as listed" for column, known in fields.items() if len(known) > 1]
    return ", ".join(same + other) or "protocol not recorded"


def _provenance(runs: pd.DataFrame) -> str:
    parts = {
        _plural("seed", values(runs, "seed")): values(runs, "seed"),
        _plural("device", values(runs, "where_device")): values(runs, "where_device"),
        "torch": _versions(runs, "torch"),
        _plural("commit", commits(runs)): commits(runs),
    }
    text = "; ".join(f"{name} {', '.join(known)}" for name, known in parts.items() if known)
    return text[:1].upper() + text[1:]


def _plural(word: str, known: list[str]) -> str:
    return word if len(known) == 1 else f"{word}s"


def _versions(runs: pd.DataFrame, package: str) -> list[str]:
    known = [versions for versions in runs.get("where_versions", ()) if isinstance(versions, dict)]
    return sorted({str(versions[package]) for versions in known if package in versions})


@dataclass(frozen=True)
class Origin:
    """Records that belong together: sentences about them, and the commands that made them."""

    title: str
    sentences: Sequence[str]
    commands: Sequence[str]


def origins(runs: pd.DataFrame | None, costs: pd.DataFrame | None) -> list[Origin]:
    """One for each suite, backbone and recipe, and one for the cost records."""
    parts = [_trained(comparison) for comparison in comparisons(runs)] if runs is not None else []
    return [*parts, *([_priced(costs)] if costs is not None and len(costs) else [])]


def _trained(comparison: Comparison) -> Origin:
    runs = comparison.runs
    methods = in_order(dict.fromkeys(map(str, runs["method"])))
    states = ", ".join(f"{count} {status}" for status, count in runs["status"].value_counts().items())
    copy = comparison.copy and f", copy {comparison.copy}"
    title = f"Suite {comparison.suite}{copy}, backbone {comparison.network}, recipe {comparison.recipe}"
    sentences = [f"{numbered(len(runs), 'run')} ({states}).", conditions(comparison), f"Methods: {', '.join(methods)}."]
    return Origin(title, [*sentences, *_machine(runs)], _commands(runs))


def _priced(costs: pd.DataFrame) -> Origin:
    states = ", ".join(f"{count} {status}" for status, count in costs["status"].value_counts().items())
    words = [f"{numbered(len(costs), 'row')} ({states}).", f"Backbones: {', '.join(values(costs, 'backbone'))}."]
    return Origin("Costs without training", [*words, *_machine(costs)], _commands(costs))


def _machine(records: pd.DataFrame) -> list[str]:
    """Machine, versions, code and days; what is not known is left out."""
    versions = sorted({f"{name} {one}" for known in records.get("where_versions", ()) for name, one in known.items()})
    days = sorted(day[:10] for day in values(records, "where_date"))
    parts = {
        "Machine": [*values(records, "where_device"), *values(records, "where_driver")],
        "Versions": versions,
        "Code": values(records, "where_commit"),
        "Days": list(dict.fromkeys([*days[:1], *days[-1:]])),
    }
    return [f"{name}: {', '.join(known)}." for name, known in parts.items() if known]


def _commands(records: pd.DataFrame) -> list[str]:
    commands = values(records, "where_command")
    more = [f"… and {len(commands) - COMMANDS} more"] if len(commands) > COMMANDS else []
    return [*commands[:COMMANDS], *more]
