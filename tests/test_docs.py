"""The documentation leads somewhere: links, cited files, commands and options exist, and each method has its page."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from bench.cli.app import app
from methods import METHODS
from reports import REPORTS

ROOT = Path(__file__).parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = typer.main.get_command(app)
FOLDERS = ("bench", "methods", "datasets", "results", "reports", "tools", "tests", "docs")
CITED = re.compile(r"(?<![\w/.*<{}…~-])((?:[\w-]+/)*[\w-]+\.(?:md|py|toml))\b(?![\w/-])")
HEADINGS = ("What is extracted and adapted", "Parameters on ViT-B/16", "Recipe", "Deviations and open questions")
OF_A_USER = {"results/tuned/NAME.toml", "FILE.toml", "my.toml"}  # files that a call or an example would have
OF_OTHERS = {"--on", "--shard", "--cache", "--cache-limit"}  # options of a tool, and such as are gone
CALL = re.compile(r"python bench\.py((?: +[^`|#\n]+)?)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    words = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", words)
    assert not [link for link in links if not (page.parent / link).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_options_that_pages_name_exist(page: Path) -> None:
    known = {"--help"} | {name for command in _commands(COMMANDS) for name in _options(command)}
    text = page.read_text(encoding="utf-8")
    named = {word for call in CALL.findall(text) for word in re.findall(r" (--[a-z][a-z-]*)", call)}
    named |= set(re.findall(r"`(--[a-z][a-z-]*)", text)) - OF_OTHERS  # as words of a sentence
    assert named <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_reports_that_calls_name_exist(page: Path) -> None:
    calls = re.findall(r"python bench\.py report((?: [a-z_]+)+)", page.read_text(encoding="utf-8"))
    assert {word for words in calls for word in words.split()} <= {*REPORTS}


def test_every_page_is_in_the_navigation_once() -> None:
    pages = [str(page.relative_to(ROOT / "docs")) for page in PAGES if page.is_relative_to(ROOT / "docs")]
    named = re.findall(r"[\w/]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2])
    assert sorted(named) == sorted(pages)


def present() -> set[str]:
    """The paths of the repository's files, from the root and from every folder above them."""
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()]
    files += [path for path in ROOT.iterdir() if path.is_file()]
    parts = [path.relative_to(ROOT).parts for path in files]
    return {"/".join(words[i:]) for words in parts for i in range(len(words))}


def words_of(path: Path) -> Iterator[str]:
    """Docstrings and comments of a Python file; the comments of a recipe; all of a page."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        kinds = ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef
        yield from (ast.get_docstring(node) or "" for node in ast.walk(ast.parse(text)) if isinstance(node, kinds))
        tokens = tokenize.generate_tokens(io.StringIO(text).readline)
        yield from (token.string for token in tokens if token.type == tokenize.COMMENT)
    elif path.suffix == ".toml":
        yield from (line.partition("#")[2] for line in text.splitlines())
        yield from re.findall(r'^about = "(.*)"', text, re.MULTILINE)
    else:
        yield text


def test_every_file_that_is_cited_is_in_the_repository() -> None:
    known = present() | OF_A_USER
    sources = [path for folder in FOLDERS[:-1] for kind in ("*.py", "*.toml") for path in (ROOT / folder).rglob(kind)]
    missing = [
        f"{path.relative_to(ROOT)} cites {cited}"
        for path in [*sources, *PAGES]
        for words in words_of(path)
        for cited in CITED.findall(words)
        if cited not in known
    ]
    assert not missing


@pytest.mark.parametrize("name", METHODS)
def test_a_method_has_a_page(name: str) -> None:
    page = f"{METHODS[name].__module__.rpartition('.')[2]}.md"
    text = (ROOT / "docs" / "methods" / page).read_text(encoding="utf-8")
    assert f"`{name}`" in text.partition("\n")[0]
    for heading in (
        "What is extracted and adapted",
        "Parameters on ViT-B/16",
        "Recipe",
        "Deviations and open questions",
    ):
        assert f"\n## {heading}\n" in text
    assert f"]({page})" in (ROOT / "docs" / "methods" / "README.md").read_text(encoding="utf-8")


def _options(command: Any) -> list[str]:
    return [name for option in command.params for name in (*option.opts, *option.secondary_opts)]


def _commands(group: object) -> list[Any]:
    found = [group]
    for command in getattr(group, "commands", {}).values():
        found += _commands(command)
    return found
