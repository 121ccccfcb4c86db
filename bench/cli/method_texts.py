"""Reads what every method says of itself from its source file, so that methods are listed without importing torch.

The docstring of a method's class begins with a sentence that says what the method is. Lines that begin with `Family:`,
`Paper:` (authors, venue and year), `Entangled:` and `Parameters:` follow, and a section `Settings:`; any may lack.
"""

from __future__ import annotations

import ast
import inspect
import re
import runpy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["METHODS", "OTHER", "MethodText", "SettingText", "method_texts"]

ROOT = Path(__file__).resolve().parents[2]
METHODS = ROOT / "methods"
OTHER = "other methods"  # the family of a method that names none


@dataclass(frozen=True)
class SettingText:
    """One setting of a method; `values` says in words what is allowed."""

    name: str
    values: str
    default: Any
    meaning: str


@dataclass(frozen=True)
class MethodText:
    """What a method says of itself; what it does not say is empty or None.

    `entangled` is "yes" where gradients pass through the tokens of all blocks of the backbone, "no" where they pass
    through none, "in part" otherwise. `parameters` counts what is trained on ViT-B/16 with default settings, without
    the head.
    """

    name: str
    family: str
    what: str
    paper: str
    venue: str
    year: int | None
    entangled: str
    parameters: int | None
    counts: str  # the parameters as the docstring writes them, with a formula where there is one
    page: str  # the file that explains the method
    settings: tuple[SettingText, ...]


@cache
def method_texts() -> dict[str, MethodText]:
    """Every method of the folder `methods` by its name, in the order of the names."""
    classes = dict(_method_classes())
    found = (_method_text(node, path, classes) for node, path in classes.values())
    return {text.name: text for text in sorted(found, key=lambda text: text.name)}


def _method_classes() -> Iterator[tuple[str, tuple[ast.ClassDef, Path]]]:
    """The classes that are registered under a name, `class Lora(Method, name="lora")`, by the name of the class."""
    for path in sorted(METHODS.glob("*.py")):
        for node in _tree(path).body:
            if isinstance(node, ast.ClassDef) and _registered_name(node):
                yield node.name, (node, path)


def _registered_name(node: ast.ClassDef) -> str | None:
    values = [keyword.value for keyword in node.keywords if keyword.arg == "name"]
    return next((str(value.value) for value in values if isinstance(value, ast.Constant)), None)


def _method_text(node: ast.ClassDef, path: Path, classes: Mapping[str, tuple[ast.ClassDef, Path]]) -> MethodText:
    docstring = ast.get_docstring(node) or ""
    fields = dict(re.findall(r"^(Family|Paper|Entangled|Parameters): (.+)$", docstring, re.MULTILINE))
    paper = re.fullmatch(r"(.+), ([^,]+) (\d{4})", fields.get("Paper", ""))
    count = re.match(r"[\d,]+", fields.get("Parameters", ""))
    page = ROOT / "docs" / "methods" / f"{path.stem}.md"
    return MethodText(
        name=_registered_name(node) or "",
        family=fields.get("Family", OTHER),
        what=" ".join(docstring.partition("\n\n")[0].split()),
        paper=paper[1] if paper else fields.get("Paper", ""),
        venue=paper[2] if paper else "",
        year=int(paper[3]) if paper else None,
        entangled=fields.get("Entangled", ""),
        parameters=int(count[0].replace(",", "")) if count else None,
        counts=fields.get("Parameters", ""),
        page=str(page.relative_to(ROOT)) if page.is_file() else "",
        settings=tuple(_settings(node, path, classes).values()),
    )


def _settings(
    node: ast.ClassDef, path: Path, classes: Mapping[str, tuple[ast.ClassDef, Path]]
) -> dict[str, SettingText]:
    """The annotated fields of a class and of the methods that it derives from, as a dataclass has them."""
    found: dict[str, SettingText] = {}
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in classes:
            found |= _settings(*classes[base.id], classes)
    meanings = _meanings(ast.get_docstring(node) or "")
    for field in node.body:
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        name, hint = field.target.id, _evaluated(field.annotation, path)
        default = field.value and ast.literal_eval(field.value)
        inherited = found[name].meaning if name in found else ""
        found[name] = SettingText(name, _of_settings()["describe"](hint), default, meanings.get(name, inherited))
    for name in meanings.keys() & found.keys():  # one that is inherited may mean something else here
        found[name] = SettingText(name, found[name].values, found[name].default, meanings[name])
    return found


def _meanings(docstring: str) -> dict[str, str]:
    """The section `Settings:` of a docstring, by the name of the setting."""
    _, _, section = docstring.partition("\nSettings:\n")
    lines = inspect.cleandoc(section.partition("\n\n")[0])
    entries = re.findall(r"^(\w+): (.+(?:\n .+)*)", lines, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


def _evaluated(annotation: ast.expr, path: Path) -> Any:
    """The type that an annotation in that file stands for."""
    return eval(ast.unparse(annotation), {}, _Names(path))


class _Names(dict[str, Any]):
    """The types that annotations of a file may name: those of methods/settings.py and what the file takes from others.

    The files themselves are only read.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(_of_settings())
        self.path = path

    def __missing__(self, name: str) -> Any:
        for statement in _tree(self.path).body:
            if isinstance(statement, ast.ImportFrom) and name in [alias.name for alias in statement.names]:
                return _Names(ROOT.joinpath(*(statement.module or "").split(".")).with_suffix(".py"))[name]
            if isinstance(statement, ast.Assign) and name in map(ast.unparse, statement.targets):
                return _evaluated(statement.value, self.path)
        raise KeyError(name)


@cache
def _of_settings() -> dict[str, Any]:
    """What methods/settings.py defines; it needs no other file, and importing it as a module would import them all."""
    return runpy.run_path(str(METHODS / "settings.py"))


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))
