"""OUTCOME: records of runs, and the papers' published numbers."""

from results.costs import Conditions, CostRecord, Figures, cost_frame, load_costs, save_cost
from results.frame import frame
from results.kept import (
    KEPT,
    NotKept,
    drop_unkept,
    has_kept,
    kept_path,
    kept_paths,
    load_kept,
    read_kept,
    root_of,
    save_kept,
)
from results.measured import load_measured, save_measured
from results.quoted import quoted
from results.record import Cost, Identity, Record, Score, Speedups, Where
from results.store import Damaged, load, load_all, path_of, save, set_aside, slug, write_whole
from results.text import numbered, readable

__all__ = [
    "KEPT",
    "Conditions",
    "Cost",
    "CostRecord",
    "Damaged",
    "Figures",
    "Identity",
    "NotKept",
    "Record",
    "Score",
    "Speedups",
    "Where",
    "cost_frame",
    "drop_unkept",
    "frame",
    "has_kept",
    "kept_path",
    "kept_paths",
    "load",
    "load_all",
    "load_costs",
    "load_kept",
    "load_measured",
    "numbered",
    "path_of",
    "quoted",
    "read_kept",
    "readable",
    "root_of",
    "save",
    "save_cost",
    "save_kept",
    "save_measured",
    "set_aside",
    "slug",
    "write_whole",
]
