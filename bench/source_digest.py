"""Digests of source code, so that a record can say which code made it.

A digest covers what a function or class uses, definition by definition: its own syntax tree, and that of every name it
reads, also in other modules of this checkout. Docstrings, comments, layout, the order of definitions and the files in
which they stand do not count; of other packages, the names that are imported count.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path

from methods import METHODS

__all__ = ["digest_of", "method_digest", "planning_digest", "states_digest"]

ROOT = Path(__file__).resolve().parent.parent
PLANNING = ("bench.cost.record:planned", "bench.cost.measure:measure")  # what the numbers of a cost record come from
STATES = (
    "bench.train.step:autocast", "bench.data.batches:Normaliser", "bench.data.batches:statistics_of",
    "datasets.transforms.decoding:decode", "datasets.transforms.preprocessing:Preprocessing",
    "methods.backbones.registry:Backbone", "methods.backbones.registry:prepare",
    "methods.base:Entangled", "methods.base:Network",
)  # fmt: skip
EFFECTS = ""  # in place of a name: statements that change what is there, and so count for whatever the module has
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
BLOCKS = (ast.If, ast.Try, ast.With)

# Read when this module is imported, as the methods are: a file that is edited while a grid runs is not what runs.
SOURCES = {path: path.read_bytes() for path in sorted((ROOT / "methods").rglob("*.py"))}


def method_digest(name: str) -> str:
    """Return eight hexadecimal digits that change with the code of the method `name` and of the parts it uses.

    Empty where there is no source, as for a method that was typed into an interpreter.
    """
    kind = METHODS[name]
    path = getattr(sys.modules.get(kind.__module__), "__file__", None)
    try:
        return digest_of(f"{path}:{kind.__name__}") if path else ""
    except (OSError, SyntaxError):  # the file was changed or moved since it was imported
        return ""


def planning_digest(name: str) -> str:
    """Return a digest for costs of the method, planned or measured: its code, the code that counts, torch and timm."""
    parts = [method_digest(name), digest_of(*PLANNING), version("torch"), version("timm")]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()[:8]


@cache
def states_digest() -> str:
    """Return a digest for frozen states: of what reads and prepares images, and of all functions `hidden_states`."""
    found: set[str] = set()
    left = [_root(root) for root in STATES]
    for path in SOURCES:
        module = _module(path)
        for statement in (statement for group in module.names.values() for statement in group):
            for part in _of_hidden_states(statement) if isinstance(statement, ast.ClassDef) else ():
                left += _followed(part, path, found)
    return _digest_from(left, found)


@cache
def digest_of(*roots: str) -> str:
    """Return a digest of all that `roots` use; each is a module of this checkout or a file, a colon, a name in it."""
    return _digest_from([_root(root) for root in roots], set())


def _of_hidden_states(statement: ast.ClassDef) -> list[ast.FunctionDef]:
    """Find the function `hidden_states` of a network, and what it calls of its own class."""
    own = {part.name: part for part in statement.body if isinstance(part, ast.FunctionDef)}
    names, left = set[str](), ["hidden_states"]
    while left:
        name = left.pop()
        if name in own and name not in names:
            names.add(name)
            left += [node.attr for node in ast.walk(own[name]) if isinstance(node, ast.Attribute)]
    return [own[name] for name in sorted(names)]


def _digest_from(left: list[tuple[Path, str]], found: set[str]) -> str:
    """Go to all that is used; `found` is the text of what has been so far."""
    seen: set[tuple[Path, str]] = set()
    while left:
        path, name = left.pop()
        if (path, name) in seen:
            continue
        seen.add((path, name))
        module = _module(path)
        left.append((path, EFFECTS))
        for statement in module.names.get(name, ()):
            left += _followed(statement, path, found)
        if name in module.imports:
            left += _targets(module.imports[name], path, found, name)
    return hashlib.sha256("\n".join(sorted(found)).encode()).hexdigest()[:8]


def _followed(statement: ast.stmt, path: Path, found: set[str]) -> tuple[tuple[Path, str], ...]:
    """Enter the text of a statement, and give what it uses."""
    texts, used = _uses(statement, path)
    found |= texts
    return used


@cache
def _uses(statement: ast.stmt, path: Path) -> tuple[set[str], tuple[tuple[Path, str], ...]]:
    """Return the texts that a statement stands for, and what it uses: most methods use the same parts."""
    module, texts = _module(path), {_written(statement)}
    used = [(path, name) for name in _read(statement) if name in module.names or name in module.imports]
    inner = (target for each in _imports(statement) for target in _targets(each, path, texts))
    return texts, (*used, *inner)


@dataclass
class Module:
    """The statements of a module by the names they bind, those that bind none under EFFECTS, and imports by name."""

    names: dict[str, list[ast.stmt]] = field(default_factory=lambda: {EFFECTS: []})
    imports: dict[str, ast.Import | ast.ImportFrom] = field(default_factory=dict)


Import = ast.Import | ast.ImportFrom


def _root(text: str) -> tuple[Path, str]:
    module, _, name = text.rpartition(":")
    path = Path(module) if module.endswith(".py") else _file(module.split("."))
    assert path is not None
    return path, name


@cache
def _module(path: Path) -> Module:
    """Raises SyntaxError where the file on disk is no longer what was imported, and no Python."""
    module = Module()
    for statement in _statements(ast.parse(SOURCES[path] if path in SOURCES else path.read_bytes()).body):
        if isinstance(statement, Import):
            module.imports |= {alias.asname or alias.name.partition(".")[0]: statement for alias in statement.names}
        elif bound := _bound(statement):
            for name in bound:
                module.names.setdefault(name, []).append(statement)
        elif not _is_text(statement):
            module.names[EFFECTS].append(statement)
    return module


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Those of a module, and of its blocks for type checkers and for what may not be installed."""
    for statement in body:
        parts = [getattr(statement, part, []) for part in ("body", "orelse", "finalbody")]
        if isinstance(statement, BLOCKS):
            parts += [handler.body for handler in getattr(statement, "handlers", [])]
            yield from (inner for part in parts for inner in _statements(part))
        else:
            yield statement


def _bound(statement: ast.stmt) -> list[str]:
    """Names that a definition or a plain assignment gives; none for what changes something that is there."""
    if isinstance(statement, SCOPES):
        return [statement.name]
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    if not isinstance(statement, ast.Assign | ast.AnnAssign):
        return []
    names = [target for outer in targets if outer for target in ast.walk(outer) if isinstance(target, ast.Name)]
    whole = all(isinstance(target, ast.Name | ast.Tuple | ast.List) for target in targets)
    return [name.id for name in names] if whole else []


def _read(statement: ast.stmt) -> set[str]:
    return {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}


def _imports(statement: ast.stmt) -> list[Import]:
    """Those inside of functions."""
    return [node for node in ast.walk(statement) if isinstance(node, Import)]


def _targets(statement: Import, path: Path, found: set[str], name: str | None = None) -> Iterator[tuple[Path, str]]:
    """What an import brings in, or the part of it that is called `name`; names of other packages go to `found`."""
    for alias in statement.names:
        if name not in (None, alias.asname or alias.name.partition(".")[0]):
            continue
        parts = _absolute(statement, path) if isinstance(statement, ast.ImportFrom) else alias.name.split(".")
        file = _file(parts)
        if isinstance(statement, ast.ImportFrom):
            inner = _file([*parts, alias.name])
            if inner is not None and alias.name not in _module(inner).names:
                yield from _everything(inner)
                continue
        if file is None:
            found.add(f"{'.'.join(parts)} {alias.name} as {alias.asname}")
        elif isinstance(statement, ast.Import) or alias.name == "*":
            yield from _everything(file)
        else:
            yield file, alias.name


def _everything(path: Path) -> Iterator[tuple[Path, str]]:
    module = _module(path)
    yield from ((path, name) for name in (*module.names, *module.imports))


def _absolute(statement: ast.ImportFrom, path: Path) -> list[str]:
    """The parts of the module that is imported from; dots count up from the file's own folder."""
    named = statement.module.split(".") if statement.module else []
    if not statement.level:
        return named
    folder = path.parents[statement.level - 1]
    return [*folder.relative_to(ROOT).parts, *named] if folder.is_relative_to(ROOT) else named


def _file(parts: list[str]) -> Path | None:
    """The file of a module of this checkout."""
    base = ROOT.joinpath(*parts)
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


def _is_text(statement: ast.stmt) -> bool:
    """A docstring, or a string that stands where one could."""
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _written(node: object) -> str:
    """Write a syntax tree as text in words that no version of Python changes, without docstrings and line numbers."""
    if isinstance(node, ast.Constant):
        return repr(node.value)
    if isinstance(node, ast.AST):
        fields = ((key, value) for key, value in ast.iter_fields(node) if key not in ("ctx", "type_comment"))
        inner = (f"{key}={_written(value)}" for key, value in fields if value is not None and value != [])
        return f"{type(node).__name__}({', '.join(inner)})"
    if isinstance(node, list):
        kept = [item for item in node if not (isinstance(item, ast.stmt) and _is_text(item))]
        return f"[{', '.join(map(_written, kept))}]"
    return repr(node)
