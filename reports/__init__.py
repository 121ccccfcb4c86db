"""SHOWN: one file per table or figure; a report is a function from the table of records to tables and figures."""

from reports.base import Cell, Column, Figure, Table
from reports.discovery import REPORTS, find, pick
from reports.everything import write_all

__all__ = ["REPORTS", "Cell", "Column", "Figure", "Table", "find", "pick", "write_all"]
