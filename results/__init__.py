"""OUTCOME: records of runs, and the papers' published numbers. `__all__` is for one's own code (docs/python.md)."""

from results.costs import Conditions as Conditions
from results.costs import CostRecord as CostRecord
from results.costs import Figures as Figures
from results.costs import cost_frame as cost_frame
from results.costs import load_costs as load_costs
from results.costs import save_cost as save_cost
from results.frame import frame as frame
from results.kept import KEPT as KEPT
from results.kept import NotKept as NotKept
from results.kept import drop_unkept as drop_unkept
from results.kept import has_kept as has_kept
from results.kept import kept_path as kept_path
from results.kept import kept_paths as kept_paths
from results.kept import load_kept as load_kept
from results.kept import read_kept as read_kept
from results.kept import root_of as root_of
from results.kept import save_kept as save_kept
from results.reading import read_costs, read_runs
from results.record import BALANCE as BALANCE
from results.record import CALIBRATION_BINS as CALIBRATION_BINS
from results.record import MOST_CLASSES as MOST_CLASSES
from results.record import Cost as Cost
from results.record import Identity as Identity
from results.record import Record
from results.record import Score as Score
from results.record import Speedups as Speedups
from results.record import Where as Where
from results.store import Damaged as Damaged
from results.store import load, save
from results.store import load_all as load_all
from results.store import path_of as path_of
from results.store import set_aside as set_aside
from results.store import slug as slug
from results.store import write_whole as write_whole
from results.tables import load_measured as load_measured
from results.tables import quoted
from results.tables import save_measured as save_measured
from results.text import numbered as numbered
from results.text import readable as readable
from results.text import size_unit as size_unit
from results.text import sized as sized

__all__ = ["Record", "load", "quoted", "read_costs", "read_runs", "save"]
