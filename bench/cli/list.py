"""Lists what can be named on the command line: methods, tasks, suites, backbones, recipes, and other kinds.

Methods, recipes and reports are read from their files; only for the other kinds torch is imported.
"""

from __future__ import annotations

import dataclasses
import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from bench.cli.method_texts import METHODS, MethodText, SettingText, method_texts
from bench.errors import UsageError
from results.text import numbered

if TYPE_CHECKING:
    from datasets.transforms.preprocessing import Preprocessing

__all__ = ["KINDS", "catalogue", "document"]

Row = dict[str, Any]  # the name first, then the headings of the kind
FAMILIES = (  # in the order in which they are shown; those that are not here follow
    "bounds", "selective tuning", "prompts", "adapters", "low-rank updates", "side networks", "intermediate features",
)  # fmt: skip

KINDS: dict[str, tuple[str, ...]] = {  # and the headings behind the name
    "methods": (
        "family", "what it is", "paper", "venue", "year", "entangled", "parameters", "counts", "page", "settings",
    ),
    "tasks": ("classes", "train/test images", "suite", "group", "headline elsewhere"),
    "suites": ("size", "what it is"),
    "backbones": ("what it is",),
    "recipes": ("what it is",),
    "spaces": ("what it is",),
    "preprocessings": ("what is done to images",),
    "reports": ("what it is",),
}  # fmt: skip


def catalogue(name: str | None, reports: Mapping[str, str], word: str | None = None) -> list[RenderableType]:
    """The tables of a kind, of one name, or of everything; of backbones with `word` in their names, where it is given.

    Raises UsageError where nothing is named so.
    """
    shown: list[RenderableType] = []
    for kind, rows in _found(name, reports, word).items():
        if kind != "methods":
            shown.append(_table(kind, rows))
        elif name in (None, kind):
            shown += _method_tables()
        else:
            shown += [_method_page(method_texts()[row["name"]]) for row in rows]
    return shown


def document(name: str | None, reports: Mapping[str, str], word: str | None = None) -> str:
    """The same as one JSON document: for each kind a list of objects, by name and heading. Raises UsageError."""
    return json.dumps(_found(name, reports, word), indent=1, ensure_ascii=False)


def _found(name: str | None, reports: Mapping[str, str], word: str | None = None) -> dict[str, list[Row]]:
    """The rows of a kind, or all rows of that name, or everything, by kind."""
    if word is not None:
        return {"backbones": _searched(name, word)}
    if name is not None and name not in KINDS:
        return _named(name, reports)
    return {kind: _rows(kind, reports) for kind in KINDS if name in (None, kind)}


def _named(name: str, reports: Mapping[str, str]) -> dict[str, list[Row]]:
    """A method is answered at once, without what is slow to import."""
    if name in method_texts():
        return {"methods": [row for row in _method_rows() if row["name"] == name]}
    rows = {kind: _rows(kind, reports) for kind in KINDS}
    found = {kind: [row for row in known if row["name"] == name] for kind, known in rows.items()}
    if any(found.values()):
        return {kind: named for kind, named in found.items() if named}
    from methods.spec import guess

    known = [*KINDS, *(row["name"] for every in rows.values() for row in every)]
    raise UsageError(f"nothing is named {name!r}; {guess(name, known)}see: python bench.py list")


def _rows(kind: str, reports: Mapping[str, str]) -> list[Row]:
    if kind == "methods":
        return _method_rows()
    values: Sequence[tuple[str, ...]] = list(reports.items()) if kind == "reports" else VALUES[kind]()
    return [dict(zip(("name", *KINDS[kind]), row, strict=True)) for row in values]


def _table(kind: str, rows: Sequence[Row]) -> Table:
    table = Table(title=kind, title_justify="left")
    table.add_column("name", no_wrap=True)
    for heading in KINDS[kind]:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(escape(str(value)) for value in row.values()))
    return table


def _method_rows() -> list[Row]:
    renamed = {"what it is": "what"}
    rows = [dataclasses.asdict(text) for text in _by_family()]
    return [{key: row[renamed.get(key, key)] for key in ("name", *KINDS["methods"])} for row in rows]


def _by_family() -> list[MethodText]:
    def order(text: MethodText) -> tuple[int, str]:
        return FAMILIES.index(text.family) if text.family in FAMILIES else len(FAMILIES), text.family

    return sorted(method_texts().values(), key=order)


def _method_tables() -> list[RenderableType]:
    """A table of each family of methods, and what the words in them mean."""
    tables: list[RenderableType] = []
    for family, texts in groupby(_by_family(), key=lambda text: text.family):
        table = Table(title=f"methods: {family}", title_justify="left")
        table.add_column("name", no_wrap=True)
        table.add_column("what it is", overflow="fold")
        for text in texts:
            counts = "" if text.parameters is None else f"{text.parameters:,} parameters"
            table.add_row(text.name, Text.assemble(text.what, "\n", (_facts(text, counts), "dim")))
        tables.append(table)
    legend = (
        "Parameters: trained on ViT-B/16 with default settings, the head excluded. Entangled: gradients pass through "
        "all blocks of the backbone; in part: through the last ones. `python bench.py list NAME` explains the settings."
    )
    return [*tables, Text(legend)]


def _facts(text: MethodText, counts: str) -> str:
    """The paper, whether the method is entangled, and its parameters, in one line; what is not known is left out."""
    paper = f"{text.paper}, {text.venue} {text.year}" if text.year else text.paper
    entangled = {"yes": "entangled", "no": "not entangled", "in part": "entangled in part"}.get(text.entangled, "")
    return "; ".join(part for part in (paper, entangled, counts) if part)


def _method_page(text: MethodText) -> RenderableType:
    """What a method is, and its settings."""
    counts = text.counts and f"parameters on ViT-B/16 without the head: {text.counts}"
    lines = [f" ({text.family})", text.what, _facts(text, counts), text.page and f"Explained in {text.page}."]
    about = Text.assemble((text.name, "bold"), "\n".join(line for line in lines if line))
    if not text.settings:
        return Group(about, Text("It has no settings."))
    table = Table(title="settings", title_justify="left")
    table.add_column("name", no_wrap=True)
    for heading in ("values", "default", "what it is"):
        table.add_column(heading, overflow="fold")
    for setting in text.settings:
        table.add_row(setting.name, setting.values, _default(setting), Text(setting.meaning))
    first = text.settings[0]
    return Group(
        about, table, Text(f"Written as --methods {text.name}:{first.name}={_default(first)}; several with :.")
    )


def _default(setting: SettingText) -> str:
    """As a spec writes it."""
    value = setting.default
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _task_rows() -> list[tuple[str, ...]]:
    import datasets

    return [
        (
            task.name,
            str(task.classes),
            f"{task.sizes['train']}/{task.sizes['test']}",
            suite.name,
            task.group,
            "; ".join(f"{metric.replace('_', ' ')} ({source})" for source, metric in task.metric),
        )
        for suite in datasets.SUITES.values()
        for task in suite.tasks
    ]


def _suite_rows() -> list[tuple[str, ...]]:
    import datasets

    return [(suite.name, numbered(len(suite.tasks), "task"), suite.title) for suite in datasets.SUITES.values()]


def _backbone_rows() -> list[tuple[str, ...]]:
    from methods.backbones.registry import listing

    return list(listing())


def _searched(kind: str | None, word: str) -> list[Row]:
    from methods.backbones.registry import search

    if kind != "backbones":
        raise UsageError(f"{word!r} can be looked for among backbones alone; write: list backbones {word}")
    if not (rows := search(word)):
        raise UsageError(f"no backbone has {word!r} in its name; see: python bench.py list backbones")
    return [dict(zip(("name", *KINDS["backbones"]), row, strict=True)) for row in rows]


def _space_rows() -> list[tuple[str, ...]]:
    from methods.search_space import FOLDER, SPACES

    texts = {name: (FOLDER / f"{name}.toml").read_text(encoding="utf-8") for name in SPACES}
    return [(name, tomllib.loads(text)["about"]) for name, text in texts.items()]


def _recipe_rows() -> list[tuple[str, ...]]:
    files = sorted((METHODS / "recipes").glob("*.toml"))
    return [(file.stem, str(tomllib.loads(file.read_text(encoding="utf-8")).get("about", ""))) for file in files]


def _preprocessing_rows() -> list[tuple[str, ...]]:
    from datasets.transforms.preprocessing import PRESETS

    return [(name, _done(preset)) for name, preset in PRESETS.items()]


def _done(preset: Preprocessing) -> str:
    """Decoding, resizing, interpolation, statistics; and what is done to training images instead."""
    decode = {"any": "as in the file", "png": "lossless only", "jpeg75": "passed through JPEG"}[preset.decode]
    mean, std = (values and ", ".join(f"{v:g}" for v in dict.fromkeys(values)) for values in (preset.mean, preset.std))
    statistics = f"mean {mean}, std {std}" if mean else "mean and std of the checkpoint"
    training = f"; training images by {preset.augmentation.words}" if preset.augmentation else ""
    return f"{decode}; {preset.resize}, {preset.interpolation}; {statistics}{training}".replace("_", " ")


VALUES: dict[str, Callable[[], Sequence[tuple[str, ...]]]] = {
    "tasks": _task_rows,
    "suites": _suite_rows,
    "backbones": _backbone_rows,
    "recipes": _recipe_rows,
    "spaces": _space_rows,
    "preprocessings": _preprocessing_rows,
}
