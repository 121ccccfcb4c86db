"""OUTCOME: records of runs, and the papers' published numbers."""

from results.frame import frame
from results.record import Cost, Identity, Record, Score, Where
from results.store import Damaged, load, load_all, path_of, save, set_aside, slug, write_whole

__all__ = [
    "Cost",
    "Damaged",
    "Identity",
    "Record",
    "Score",
    "Where",
    "frame",
    "load",
    "load_all",
    "path_of",
    "save",
    "set_aside",
    "slug",
    "write_whole",
]
