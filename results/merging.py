"""Brings the results of another folder into one, and never puts one sound record in the place of another."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from results import costs
from results.kept import kept_paths, root_of
from results.record import Record
from results.store import Damaged, load, path_of, set_aside, write_whole

__all__ = ["Merged", "merge"]


@dataclass
class Merged:
    """What became of the other folder's files; names are those of the runs' records."""

    taken: list[str] = field(default_factory=list)
    same: int = 0  # were here already
    differing: dict[str, str] = field(default_factory=dict)  # the same run with another result; ours was kept
    damaged: list[str] = field(default_factory=list)  # there; left where they are


def merge(root: Path, other: Path) -> Merged:
    """Copy into `root` what only `other` has. A damaged record here gives way to a sound one, and is set aside."""
    merged = Merged()
    for path in sorted((other / "runs").rglob("*.json")):
        try:
            theirs = load(path)
        except (Damaged, OSError) as error:
            merged.damaged.append(str(error))
            continue
        _enter(root, path, theirs, merged)
    rows, complaints = costs.load_costs(other)
    merged.damaged += complaints
    for row in rows:
        _enter_cost(root, row, merged)
    return merged


def _enter(root: Path, path: Path, theirs: Record, merged: Merged) -> None:
    place = path_of(root, theirs.identity)
    ours = _ours(place)
    name = str(place.relative_to(root))
    if ours is None or (_same(ours, theirs) and theirs.kept and not ours.kept):
        _take_kept(root, path, theirs)
        if ours is None and place.is_file():
            set_aside(place)
        write_whole(place, path.read_bytes())
        merged.taken.append(name)
    elif _same(ours, theirs):
        merged.same += 1
    else:
        merged.differing[name] = f"{_told(ours)} here, {_told(theirs)} there"


def _same(ours: Record, theirs: Record) -> bool:
    return (ours.status, ours.score) == (theirs.status, theirs.score)


def _take_kept(root: Path, path: Path, theirs: Record) -> None:
    """What their record vouches for, ahead of the record itself."""
    for there, here in zip(kept_paths(root_of(path), theirs), kept_paths(root, theirs), strict=True):
        if there.is_file():
            write_whole(here, there.read_bytes())


def _ours(place: Path) -> Record | None:
    try:
        return load(place) if place.is_file() else None
    except Damaged:
        return None


def _enter_cost(root: Path, row: costs.CostRecord, merged: Merged) -> None:
    place = costs.path_of(root, row)
    name = str(place.relative_to(root))
    if not place.exists():
        costs.save_cost(root, row)
        merged.taken.append(name)
    elif place.read_bytes() == costs.as_bytes(row):
        merged.same += 1
    else:
        merged.differing[name] = "another row under the same conditions"


def _told(record: Record) -> str:
    accuracy = record.score.test_accuracy
    return f"{record.status}{'' if accuracy is None else f' {100 * accuracy:.2f} %'} of {record.where.date[:10]}"
