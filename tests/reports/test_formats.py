"""Each format says the same, in its own words, and no name breaks it."""

import csv
import io
import re
from dataclasses import replace

import pytest
from rich.console import Console

from reports import Cell, Column, Table
from reports.formats import frames, latex, terminal
from reports.tables.table import METRICS

ACCURACY, MEMORY = METRICS["test_accuracy"], METRICS["planned_peak_bytes"]
TABLE = Table(
    "accuracy-demo",
    "100% of x_y & more",
    (
        Column("method", "method"),
        Column("planned_peak_bytes", "planned", "peak memory (MiB)", MEMORY),
        Column("test_accuracy_a", "a", "natural", ACCURACY),
        Column("test_accuracy_b_b", "b_b", "natural", ACCURACY),
    ),
    (
        (Cell(word="lora:rank=4"), Cell(3 * 2**20), Cell(0.7234, 0.00412), Cell(2 / 3)),
        (Cell(word="vpt_deep"), Cell(2**20), Cell(0.7231, 0.001), Cell(word="oom")),
        (Cell(word="dtl"), Cell(), Cell(0.6), Cell()),
    ),
    ("vpt_deep: oom on b_b.",),
)


def test_best_is_judged_as_shown() -> None:
    assert [TABLE.best(place) for place in range(4)] == [set(), {1}, {0, 1}, set()]


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0.000"), (1, "0.0000010"), (480, "0.00048"), (499, "0.00050"), (600, "0.001"), (85_798_656, "85.799")],
)
def test_a_count_that_is_not_zero_is_not_shown_as_zero(count: int, shown: str) -> None:
    column = Column("trainable", "with head", metric=METRICS["trainable"])
    assert column.number(Cell(count)) == shown
    assert Column("a", "a", metric=ACCURACY).number(Cell(0.0001)) == "0.0"
    assert Column("a", "a", metric=ACCURACY).number(Cell(-0.0001)) == "0.0"


def test_rows_must_fit_the_columns() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        replace(TABLE, rows=((Cell(),),))


def test_markdown() -> None:
    text = frames.markdown(TABLE)
    lines = [re.sub(" +", " ", line) for line in text.splitlines()]
    assert lines[0] == r"100% of x\_y & more"
    assert lines[2] == r"| method | peak memory (MiB)<br>planned | natural<br>a | natural<br>b\_b |"
    assert lines[4:7] == [
        "| lora:rank=4 | 3 | **72.3** ± 0.4 | 66.7 |",
        r"| vpt\_deep | **1** | **72.3** ± 0.1 | oom |",
        "| dtl | | 60.0 | |",
    ]
    assert lines[-1] == r"- vpt\_deep: oom on b\_b."
    assert len({len(line) for line in text.splitlines()[2:7]}) == 1
    assert [cell.strip("-") for cell in lines[3].strip("|").split("|")] == [":", ":", ":", ":"]


def test_latex() -> None:
    lines = latex.table(TABLE).splitlines()
    assert r"\begin{tabular}{lrrr}" in lines
    blocks = lines.index(r"\toprule") + 1
    assert lines[blocks : blocks + 7] == [
        r" & peak memory (MiB) & \multicolumn{2}{c}{natural} \\",
        r"\cmidrule(lr){2-2} \cmidrule(lr){3-4}",
        r"method & planned & a & b\_b \\",
        r"\midrule",
        r"lora:rank=4 & 3 & \textbf{72.3}{\tiny$\pm$0.4} & 66.7 \\",
        r"vpt\_deep & \textbf{1} & \textbf{72.3}{\tiny$\pm$0.1} & oom \\",
        r"dtl &  & 60.0 &  \\",
    ]
    assert r"\caption{100\% of x\_y \& more vpt\_deep: oom on b\_b.}" in lines


@pytest.mark.parametrize(
    ("plain", "written"),
    [
        ("50% & $1_2 #3 {x}", r"50\% \& \$1\_2 \#3 \{x\}"),
        ("a\\b~c^d", r"a\textbackslash{}b\textasciitilde{}c\textasciicircum{}d"),
        ("<x>\n[y] ±", r"\textless{}x\textgreater{} {[}y] $\pm$"),
        ("lora:rank=4", "lora:rank=4"),
        (
            "by `make speed --on a_b`, |w| `",
            r"by \texttt{make speed -{}-on a\_b}, \textbar{}w\textbar{} \textasciigrave{}",
        ),
    ],
)
def test_latex_escaping(plain: str, written: str) -> None:
    assert latex.escaped(plain) == written


def test_csv_keeps_raw_numbers() -> None:
    rows = list(csv.DictReader(io.StringIO(frames.csv(TABLE))))
    assert rows[0] == {
        "method": "lora:rank=4",
        "planned_peak_bytes": "3145728",
        "test_accuracy_a": "0.7234",
        "test_accuracy_a_std": "0.00412",
        "test_accuracy_b_b": repr(2 / 3),
        "test_accuracy_b_b_status": "",
    }
    assert rows[1]["test_accuracy_b_b"] == ""
    assert rows[1]["test_accuracy_b_b_status"] == "oom"


def shown(width: int, table: Table = TABLE) -> str:
    console = Console(file=io.StringIO(), width=width)
    terminal.show(table, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [30, 40, 80, 200])
def test_terminal_shows_every_cell_at_any_width(width: int) -> None:
    text = shown(width)
    assert all(len(line) <= width for line in text.splitlines())
    assert all(word in text for word in ("lora:rank=4", "72.3±0.4", "66.7", "oom", "60.0"))


def test_terminal_repeats_the_methods_where_columns_go_below() -> None:
    assert shown(200).count("lora:rank=4") == 1
    assert shown(40).count("lora:rank=4") == 2


def test_terminal_reads_no_markup() -> None:
    odd = replace(TABLE, rows=(), caption="[red]x[/red]", notes=("[bold]",))
    assert "[red]x[/red]" in shown(80, odd)


def test_a_long_table_is_shown_without_its_details_and_says_so() -> None:
    columns = Column("method", "method"), Column("a", "main", metric=ACCURACY), Column("b", "fine", metric=ACCURACY)
    columns = (*columns[:2], replace(columns[2], detail=True))
    few, many = (
        Table("t", "", columns, tuple((Cell(word=f"m{row}"), Cell(0.5), Cell(0.25)) for row in range(count)))
        for count in (9, 110)
    )
    screens = [Console(file=io.StringIO(), width=80) for _ in range(2)]
    for table, console in zip((few, many), screens, strict=True):
        terminal.show(table, console, "the files below")
    short, long = (console.file.getvalue() for console in screens)
    assert "25.0" in short
    assert "Not shown" not in short
    assert "25.0" not in long
    assert "m99 " in long
    assert "m100" not in long
    assert "Not shown here: 10 rows, 1 column; the files below hold the whole table." in long


def test_words_wider_than_the_terminal_leave_the_methods_readable() -> None:
    console = Console(file=io.StringIO(), width=40)
    columns = Column("method", "method"), Column("chosen", "best values")
    terminal.show(Table("t", "", columns, ((Cell(word="adaptformer"), Cell(word="rank 8, " * 20)),)), console)
    assert "adaptformer" in console.file.getvalue()
    assert "…" not in console.file.getvalue()
