"""The rows of the publications: which there are, their cells, and tables of them alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import pandas as pd

from reports.tables.comparison import Comparison
from reports.tables.ours import AVERAGES, MEAN, Layout, ScoreColumn
from reports.tables.summary import group_means, mean_of_group_means, plain_mean
from reports.tables.table import METRICS, MILLIONS, Cell, Column, Metric, Table
from results import quoted, slug

__all__ = [
    "CONVENTIONS",
    "PARAMETERS",
    "SELECTIONS",
    "Printed",
    "by_weights",
    "canonical",
    "fitting",
    "obtained",
    "printed_cell",
    "published",
    "tables_alone",
    "tasks",
    "unknown_weights",
    "without_best",
]

NETWORKS = {"vit_base_patch16_224": "vit_b16"}  # timm's names, and those of results/published
PRETRAINING = {
    "orig_in21k": "in21k",
    "augreg_in21k": "in21k-augreg",
    "augreg_in1k": "in1k",
    "orig_in21k_ft_in1k": "in21k-in1k",
    "augreg_in21k_ft_in1k": "in21k-augreg-in1k",
    "": "in21k",  # a file of unknown weights: those of most tables, which captions say
}
SELECTIONS = {"last": "last", "best_on_test": "best", "": "epoch unknown"}
HOW = {"digitised": "read off the figure", "second-hand": "read in another source"}
PARAMETERS = Metric("parameters", "M", MILLIONS, 3, None, "parameters as the source counts")
QUANTITIES = ("accuracy", "group_mean", "average", "parameters")
ROW = ["source", "table", "row", "method", "setting", "backbone", "pretraining"]
CONVENTIONS = {
    "cifar_with_linear_head": "CIFAR-100, with a linear head",
    "with_head_mean_of_tasks": "with head, mean of tasks",
    "without_head_mean_of_tasks": "without head, mean of tasks",
    "without_head_mean_of_groups": "without head, mean of groups",
    "without_head": "without head",
    "unexplained": "unexplained",
    "": "",
}
UNSTATED = ScoreColumn(
    "mean", "unstated", Column("test_accuracy_unstated_mean", "not said of what", AVERAGES, MEAN), whole=False
)
LEGEND_ALONE = (
    "The papers' own numbers, or what others reported where the source says so; none was measured here. "
    "Test accuracy (%) with the printed digits, by recipes "
    "of their own: of the last epoch, of the best epoch on test, or of an epoch that is not known. Numbers stand as "
    "they are printed in the source named, but for those that the notes say were read off a figure or in another "
    "source. Means in parentheses follow from the printed numbers and were not printed."
)


@dataclass(frozen=True)
class Printed:
    """One row of a publication; numbers are text, in % and millions, and in parentheses where they were not printed."""

    source: str
    row: str
    spec: str  # of our method
    selection: str
    scores: dict[str, str]  # by task
    groups: dict[str, str]
    averages: dict[str, str]  # by convention
    parameters: str
    counted: str  # the convention of the parameters
    notes: tuple[str, ...]

    @property
    def title(self) -> str:
        """The publication and table, and the epoch that was chosen."""
        return f"{self.source} ({SELECTIONS[self.selection]})"


def published(subject: str, comparison: Comparison) -> list[Printed]:
    """Return the rows for the backbone of a comparison, pre-trained on the same data (SSF's by another recipe)."""
    network, _, tag = comparison.backbone.partition(".")
    known = PRETRAINING.get(tag)
    if network not in NETWORKS or known is None:
        return []
    lines = quoted(subject)
    lines = lines[lines["quantity"].isin(QUANTITIES)]
    same = lines["pretraining"].str.removesuffix("-augreg") == known.removesuffix("-augreg")
    fits = lines[same & (lines["backbone"] == NETWORKS[network]) & (lines["method"] != "")]
    return [row for _, part in fits.groupby(ROW, sort=False) for row in _printed_rows(part)]


def by_weights(subject: str) -> dict[tuple[str, str], list[Printed]]:
    """Return all rows with an accuracy, also of methods that are not here, by backbone and pre-training."""
    lines = quoted(subject)
    found: dict[tuple[str, str], list[Printed]] = {}
    for _, part in lines[lines["quantity"].isin(QUANTITIES)].groupby(ROW, sort=False):
        if rows := list(_printed_rows(part)):
            found.setdefault((part["backbone"].iloc[0], part["pretraining"].iloc[0]), []).extend(rows)
    return found


def tasks(subject: str) -> list[str]:
    """Return the tasks that were printed, in the order of the file, which is that of the suite."""
    lines = quoted(subject)
    return list(dict.fromkeys(lines.loc[lines["quantity"] == "accuracy", "task"]))


def unknown_weights(comparison: Comparison) -> tuple[str, ...]:
    """Return the note that is needed where the name of the backbone does not say its pre-training."""
    if "." in comparison.backbone:
        return ()
    return ("The name of the backbone does not say what it was pre-trained on; published rows are for ImageNet-21k.",)


def fitting(rows: Iterable[Printed], spec: str) -> list[Printed]:
    """Return the rows of a method with these settings: those with most tasks, or else with averages alone."""
    own = [row for row in rows if canonical(row.spec) == canonical(spec) and (row.groups or row.averages or row.scores)]
    most = max((len(row.scores) for row in own), default=0)
    return [row for row in own if len(row.scores) == most]


def canonical(spec: str) -> tuple[str, frozenset[tuple[str, str]]]:
    """Bring a spec to one form: the method and its settings in any order, with `1` and `1.0` alike."""
    name, *settings = spec.split(":")
    pairs = (setting.partition("=")[::2] for setting in settings)
    return name, frozenset((key, _plain(value)) for key, value in pairs)


def _plain(value: str) -> str:
    return f"{float(value):g}" if re.fullmatch(r"\d+(\.\d*)?(e-?\d+)?", value) else value


def _printed_rows(lines: pd.DataFrame) -> Iterator[Printed]:
    """A row, or two where averages of the last epoch and of the best are both printed."""
    selections = lines.loc[lines["quantity"] != "parameters", "selection"]
    for selection in dict.fromkeys(selections):
        yield _printed_row(lines[(lines["selection"] == selection) | (lines["quantity"] == "parameters")], selection)


def _printed_row(lines: pd.DataFrame, selection: str) -> Printed:
    first, parameters = lines.iloc[0], lines[lines["quantity"] == "parameters"]
    return Printed(
        source=f"{first['source']}, {first['table']}",
        row=first["row"],
        spec=":".join(filter(None, (first["method"], first["setting"]))),
        selection=selection,
        scores=_values(lines, "accuracy", "task"),
        groups=_values(lines, "group_mean", "task"),
        averages=_values(lines, "average", "convention"),
        parameters=next(iter(parameters["value"]), ""),
        counted=next(iter(parameters["convention"]), ""),
        notes=_notes_of(lines),
    )


def _notes_of(lines: pd.DataFrame) -> tuple[str, ...]:
    """How the numbers were obtained, where they were not read where they were printed; and what is said of them."""
    obtained = [HOW[how] for how in lines["how"] if how in HOW]
    said = [part for note in lines["note"] if note for part in note.split("; ")]
    return tuple(dict.fromkeys([*obtained, *said]))


def _values(lines: pd.DataFrame, quantity: str, key: str) -> dict[str, str]:
    """What was worked out from printed numbers and not printed itself is in parentheses."""
    part = lines[lines["quantity"] == quantity].to_dict("records")
    return {line[key]: f"({line['value']})" if line["how"] == "recomputed" else line["value"] for line in part}


def printed_cell(row: Printed, layout: Layout, score: ScoreColumn) -> Cell:
    """Return the number as it was printed; a mean that was not printed follows from the tasks, in parentheses."""
    known = {"task": row.scores, "group": row.groups, "mean": row.averages}[score.kind]
    if score.name in known:
        return Cell(_share(known[score.name]), printed=known[score.name])
    value = _mean(row, layout, score) if score.whole else None
    return Cell() if value is None else Cell(value, printed=f"({METRICS['test_accuracy'].scale * value:.2f})")


def _mean(row: Printed, layout: Layout, score: ScoreColumn) -> float | None:
    scores: dict[str, float | None] = {task: _share(text) for task, text in row.scores.items()}
    if score.kind == "group":
        return group_means(scores, layout.groups)[score.name]
    if score.name == "mean_of_groups":
        return mean_of_group_means(scores, layout.groups)
    if score.name == "mean_of_tasks":
        return plain_mean(scores.get(task) for tasks in layout.groups.values() for task in tasks)
    return None


def _share(text: str) -> float:
    return float(text.strip("()")) / METRICS["test_accuracy"].scale


def tables_alone(subject: str, sizes: Mapping[str, int], labels: Mapping[str, str] | None = None) -> list[Table]:
    """Make the tables of the rows in `results/published/<subject>.csv`, which has the tasks in the suite's order.

    `sizes` is how many tasks the suite has in each group, `labels` what columns show instead of a task's name.
    """
    left = iter(tasks(subject))
    groups = {group: list(islice(left, size)) for group, size in sizes.items()}
    layout = Layout(groups, sizes, averages=subject != "few_shot", labels=labels or {})
    return [_table_alone(subject, *weights, rows, layout) for weights, rows in by_weights(subject).items()]


def _table_alone(subject: str, backbone: str, pretraining: str, rows: Sequence[Printed], layout: Layout) -> Table:
    shown = [*layout.score_columns(), UNSTATED]
    about = Column("method", "method"), Column("spec", "named here", detail=True), Column("source", "source")
    counts = Column("parameters", "printed", PARAMETERS.block, PARAMETERS, detail=True)
    columns = (
        *about,
        Column("epoch", "epoch"),
        counts,
        Column("counted", "counted", detail=True),
        *(without_best(score.column) for score in shown),
    )
    lines = [(*_about_printed(row), *(printed_cell(row, layout, score) for score in shown)) for row in rows]
    return Table(
        "-".join(slug(part) for part in (subject, backbone, pretraining, "published") if part),
        f"{subject}, backbone {backbone}, pre-training {pretraining or 'not known'}. {LEGEND_ALONE}",
        columns,
        tuple(lines),
        tuple(obtained(rows)),
    ).without_empty()


def _about_printed(row: Printed) -> tuple[Cell, ...]:
    count = Cell(float(row.parameters.strip("()")) / MILLIONS, printed=row.parameters) if row.parameters else Cell()
    epoch = SELECTIONS[row.selection].removeprefix("epoch ")
    words = row.row, row.spec, row.source, epoch
    return *(Cell(word=word) for word in words), count, Cell(word=CONVENTIONS[row.counted])


def without_best(column: Column) -> Column:
    """Return the column without a best end: where ours and theirs share it, no cell is marked as the best."""
    return replace(column, metric=column.metric and replace(column.metric, better=None))


def obtained(rows: Iterable[Printed]) -> list[str]:
    """Say how numbers were obtained that were not read where they were printed, and other remarks, once a source."""
    alike: dict[tuple[str, ...], dict[str, dict[str, None]]] = {}  # by notes, the rows of each source in their order
    for row in rows:
        if row.notes:
            alike.setdefault(row.notes, {}).setdefault(row.source, {})[row.row] = None
    return [f"{_places(sources)}: {'; '.join(said)}." for said, sources in alike.items()]


def _places(sources: Mapping[str, Iterable[str]]) -> str:
    return "; ".join(f"{source} ({', '.join(rows)})" for source, rows in sources.items())
