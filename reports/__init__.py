"""SHOWN: one file per table or figure; a report is a function from the table of records to tables and figures."""

from reports.discovery import COST_REPORTS, MEASURED_REPORTS, PUBLISHED, REPORTS, find, pick
from reports.everything import show_costs, write_all, write_published
from reports.tables.table import Cell, Column, Figure, Table

__all__ = [
    "COST_REPORTS",
    "MEASURED_REPORTS",
    "PUBLISHED",
    "REPORTS",
    "Cell",
    "Column",
    "Figure",
    "Table",
    "find",
    "pick",
    "show_costs",
    "write_all",
    "write_published",
]
