"""Tables and figures as files, each whole or absent, the same bytes for the same content."""

from __future__ import annotations

import io
from pathlib import Path

from reports.formats import frames, latex
from reports.tables.table import Figure, Table
from results import write_whole

__all__ = ["write"]


def write(item: Table | Figure, folder: Path) -> list[Path]:
    """Write a table as .md, .tex and .csv, a figure as .png, .pdf and, with its caption, .tex; return the paths."""
    contents = _texts(item) if isinstance(item, Table) else _images(item)
    paths = [folder / f"{item.name}{suffix}" for suffix in contents]
    for path, content in zip(paths, contents.values(), strict=True):
        write_whole(path, content)
    return paths


def _texts(table: Table) -> dict[str, bytes]:
    formats = {".md": frames.markdown, ".tex": latex.table, ".csv": frames.csv}
    return {suffix: text(table).encode() for suffix, text in formats.items()}


def _images(figure: Figure) -> dict[str, bytes]:
    return {".png": _saved(figure, "png"), ".pdf": _saved(figure, "pdf"), ".tex": latex.figure(figure).encode()}


def _saved(figure: Figure, kind: str) -> bytes:
    import matplotlib as mpl  # here, so that tables are written without it

    file = io.BytesIO()
    about = {"CreationDate": None, "Subject": figure.caption} if kind == "pdf" else {"Description": figure.caption}
    with mpl.rc_context({"pdf.fonttype": 42}):  # TrueType, which publishers ask for
        figure.drawing.savefig(file, format=kind, dpi=200, metadata=about)
    return file.getvalue()
