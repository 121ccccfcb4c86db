"""A table as LaTeX with booktabs rules, the best of a column in bold; and a figure with its caption."""

from __future__ import annotations

import re
from collections.abc import Iterable

from reports.tables.table import Figure, Table

__all__ = ["escaped", "figure", "text"]

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


def text(table: Table) -> str:
    """A whole `table*` environment, made to fit the width of the page."""
    body = [_line(_cells(table, row)) for row in range(len(table.rows))]
    lines = [
        r"% \usepackage{booktabs, adjustbox, graphicx}",
        r"\begin{table*}",
        r"\centering",
        rf"\caption{{{escaped(' '.join([table.caption, *table.notes]))}}}",
        rf"\label{{tab:{_key(table.name)}}}",
        r"\smallskip",  # LaTeX leaves no space between a caption and what is below it
        r"\begin{adjustbox}{max width=\textwidth}",
        rf"\begin{{tabular}}{{{''.join('l' if column.metric is None else 'r' for column in table.columns)}}}",
        r"\toprule",
        *_headings(table),
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{adjustbox}",
        r"\end{table*}",
    ]
    return "\n".join(lines) + "\n"


def figure(item: Figure) -> str:
    """A `figure*` environment that includes the PDF of the same name, which lies beside it."""
    lines = [
        r"% \usepackage[export]{adjustbox}",
        r"\begin{figure*}",
        r"\centering",
        rf"\includegraphics[max width=\textwidth]{{{item.name}.pdf}}",
        rf"\caption{{{escaped(item.caption)}}}",
        rf"\label{{fig:{_key(item.name)}}}",
        r"\end{figure*}",
    ]
    return "\n".join(lines) + "\n"


def _key(name: str) -> str:
    return "".join(character for character in name if character.isalnum() or character in ".-")


def escaped(plain: str) -> str:
    """One line in which no character is a command, and words between backticks are in type of one width."""
    pieces = re.split(r"`([^`]+)`", " ".join(plain.split()))
    return "".join(
        rf"\texttt{{{_literal(piece)}}}" if place % 2 else _literal(piece) for place, piece in enumerate(pieces)
    )


def _literal(plain: str) -> str:
    return "".join(SPECIAL.get(character, character) for character in plain).replace("--", "-{}-")


def _headings(table: Table) -> list[str]:
    """The blocks with a rule under each, then the labels."""
    blocks = [(table.columns[places[0]].block, places[0] + 1, places[-1] + 1) for places in table.blocks()]
    spans = [rf"\multicolumn{{{last - first + 1}}}{{c}}{{{escaped(block)}}}" for block, first, last in blocks]
    rules = [rf"\cmidrule(lr){{{first}-{last}}}" for block, first, last in blocks if block]
    turned = len(table.columns) > UPRIGHT
    names = [escaped(column.label) for column in table.columns]
    labels = _line([names[0], *(rf"\rotatebox{{90}}{{{name}}}" if turned else name for name in names[1:])])
    return [_line(spans), " ".join(rules), labels] if rules else [labels]


def _cells(table: Table, row: int) -> list[str]:
    return [_cell(table, row, place) for place in range(len(table.columns))]


def _cell(table: Table, row: int, place: int) -> str:
    column, cell = table.columns[place], table.rows[row][place]
    number, spread = escaped(column.number(cell)), column.spread(cell)
    shown = rf"\textbf{{{number}}}" if row in table.best(place) else number
    return shown + (rf"{{\tiny$\pm${spread}}}" if spread else "")


def _line(cells: Iterable[str]) -> str:
    return " & ".join(cells) + r" \\"
