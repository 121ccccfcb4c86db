"""SHOWN: one file per table or figure; a report is a function from the table of records to tables and figures.

`__all__` is for one's own code (docs/python.md).
"""

from reports.discovery import COST_REPORTS as COST_REPORTS
from reports.discovery import MEASURED_REPORTS as MEASURED_REPORTS
from reports.discovery import PUBLISHED as PUBLISHED
from reports.discovery import REPORTS, find
from reports.discovery import pick as pick
from reports.drawing import draw
from reports.everything import cost_conditions as cost_conditions
from reports.everything import show_costs as show_costs
from reports.everything import write_all as write_all
from reports.everything import write_published as write_published
from reports.tables.table import Cell as Cell
from reports.tables.table import Column as Column
from reports.tables.table import Figure, Table

__all__ = ["REPORTS", "Figure", "Table", "draw", "find"]
