"""Checks a folder of results file by file: what is sound, what is not and why, and what killed processes left."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from filelock import OwnerRecord

from results.claims import holder_of
from results.costs import load_costs
from results.kept import kept_paths
from results.store import Damaged, load, path_of

__all__ = ["Findings", "verify"]


@dataclass
class Findings:
    """Paths are relative to the folder. Complaints say what to do; leftovers and claims harm nothing."""

    records: int = 0
    costs: int = 0
    damaged: dict[str, str] = field(default_factory=dict)
    misplaced: dict[str, str] = field(default_factory=dict)  # sound, but not where its run is looked for
    missing: dict[str, str] = field(default_factory=dict)  # kept files that are gone
    set_aside: list[str] = field(default_factory=list)  # damaged ones of which the run was done again
    stale: list[str] = field(default_factory=list)  # set aside, since settings or code changed
    forced: list[str] = field(default_factory=list)  # set aside by --force
    leftovers: list[str] = field(default_factory=list)  # temporary files of processes that were killed
    claimed: dict[str, str] = field(default_factory=dict)  # runs that somebody is at, and who

    def sound(self) -> bool:
        """Whether every file can be trusted and found."""
        return not (self.damaged or self.misplaced or self.missing)


def verify(root: Path) -> Findings:
    """Read every file below `root`; nothing is changed."""
    found = Findings()
    for path in sorted((root / "runs").rglob("*.json")):
        _verify_record(root, path, found)
    costs, complaints = load_costs(root)
    found.costs = len(costs)
    found.damaged |= dict(complaint.replace(f"{root}/", "").split(": ", 1) for complaint in complaints)
    found.set_aside = [_name(root, path) for path in sorted(root.rglob("*.damaged"))]
    found.stale = [_name(root, path) for path in sorted(root.rglob("*.stale"))]
    found.forced = [_name(root, path) for path in sorted(root.rglob("*.forced"))]
    found.leftovers = [_name(root, path) for path in sorted(root.rglob(".*.tmp"))]
    for path in sorted((root / "claims").rglob("*.claim")):
        found.claimed[_name(root, path)] = _described(holder_of(path))
    return found


def _verify_record(root: Path, path: Path, found: Findings) -> None:
    try:
        record = load(path)
    except (Damaged, OSError) as error:
        found.damaged[_name(root, path)] = str(error).replace(f"{path}: ", "")
        return
    expected = path_of(root, record.identity)
    if expected != path:
        found.misplaced[_name(root, path)] = f"it belongs at {_name(root, expected)}"
        return
    found.records += 1
    for kept in kept_paths(root, record):
        if not kept.is_file():
            found.missing[_name(root, kept)] = f"{_name(root, path)} vouches for it; --keep does the run again"


def _described(holder: OwnerRecord | None) -> str:
    if holder is None:
        return "being written, or left by a process that was killed"
    return f"by process {holder.pid} on {holder.hostname}; if that has ended, the next grid takes the run over"


def _name(root: Path, path: Path) -> str:
    return str(path.relative_to(root))
