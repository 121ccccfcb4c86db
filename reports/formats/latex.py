"""A table as LaTeX with booktabs rules, the best of a column in bold; and a figure with its caption."""

from __future__ import annotations

import re

from jinja2 import Environment

from reports.formats.frames import shown
from reports.tables.table import Cell, Column, Figure, Table

__all__ = ["escaped", "figure", "table"]

UPRIGHT = 12  # with more columns the labels are turned, as in the published tables

SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "|": r"\textbar{}",
    '"': "''",
    "`": r"\textasciigrave{}",
    "[": "{[}",  # behind a line break it would open an argument
    **{character: "\\" + character for character in "&%$#_{}"},
}

# LaTeX leaves no space between a caption and what is below it, hence \smallskip.
TABLE = r"""% \usepackage{booktabs, adjustbox, graphicx}
\begin{table*}
\centering
\caption{<< caption >>}
\label{tab:<< label >>}
\smallskip
\begin{adjustbox}{max width=\textwidth}
<< tabular >>
\end{adjustbox}
\end{table*}
"""
FIGURE = r"""% \usepackage[export]{adjustbox}
\begin{figure*}
\centering
\includegraphics[max width=\textwidth]{<< name >>.pdf}
\caption{<< caption >>}
\label{fig:<< label >>}
\end{figure*}
"""
ENVIRONMENT = Environment(variable_start_string="<<", variable_end_string=">>", keep_trailing_newline=True)


def table(item: Table) -> str:
    """Write a whole `table*` environment, made to fit the width of the page."""
    caption = escaped(" ".join([item.caption, *item.notes]))
    return _filled(TABLE, item.name, caption=caption, tabular=_tabular(item))


def figure(item: Figure) -> str:
    """Write a `figure*` environment that includes the PDF of the same name, which lies beside it."""
    return _filled(FIGURE, item.name, caption=escaped(item.caption))


def escaped(plain: str) -> str:
    """Escape text: one line in which no character is a command, with words between backticks in typewriter type."""
    pieces = re.split(r"`([^`]+)`", " ".join(plain.split()))
    return "".join(
        rf"\texttt{{{_literal(piece)}}}" if index % 2 else _literal(piece) for index, piece in enumerate(pieces)
    )


def _filled(template: str, name: str, **parts: str) -> str:
    label = "".join(character for character in name if character.isalnum() or character in ".-")
    return ENVIRONMENT.from_string(template).render(name=name, label=label, **parts)


def _tabular(item: Table) -> str:
    """The rows between booktabs rules; where columns have blocks, each block above its columns with a rule under it."""

    def heading(column: Column) -> tuple[str, str]:
        turned = len(item.columns) > UPRIGHT and column is not item.columns[0]
        label = escaped(column.label)
        return escaped(column.block), rf"\rotatebox{{90}}{{{label}}}" if turned else label

    alignment = "".join("l" if column.metric is None else "r" for column in item.columns)
    style = shown(item, _cell, heading).style
    text = str(style.to_latex(hrules=True, multicol_align="c", column_format=alignment)).rstrip()
    rules = _rules(item)  # below the blocks, where Styler has none
    return text.replace("\\\\\n", f"\\\\\n{rules}\n", 1) if rules else text


def _rules(item: Table) -> str:
    blocks = [indices for indices in item.blocks() if item.columns[indices[0]].block]
    return " ".join(rf"\cmidrule(lr){{{indices[0] + 1}-{indices[-1] + 1}}}" for indices in blocks)


def _cell(column: Column, cell: Cell, best: bool) -> str:
    number, spread = escaped(column.number(cell)), column.spread(cell)
    return (rf"\textbf{{{number}}}" if best else number) + (rf"{{\tiny$\pm${spread}}}" if spread else "")


def _literal(plain: str) -> str:
    return "".join(SPECIAL.get(character, character) for character in plain).replace("--", "-{}-")
