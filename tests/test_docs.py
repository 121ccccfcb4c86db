"""The documentation leads somewhere: every link to a file of the repository exists, every command it names is one."""

import re
from pathlib import Path
from typing import Any

import pytest
import typer.main

from bench.cli.app import app

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
COMMANDS = typer.main.get_command(app)
CALL = re.compile(r"python bench\.py((?: +[^`|#\n]+)?)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
    assert not [link for link in links if not (page.parent / link).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_options_that_calls_name_exist(page: Path) -> None:
    known = {name for command in _commands(COMMANDS) for option in command.params for name in option.opts}
    calls = CALL.findall(page.read_text(encoding="utf-8"))
    assert not [
        (call, word)
        for call in calls
        for word in re.findall(r" (--[a-z][a-z-]*)", call)
        if word not in known | {"--help"}
    ]


def _commands(group: object) -> list[Any]:
    found = [group]
    for command in getattr(group, "commands", {}).values():
        found += _commands(command)
    return found
