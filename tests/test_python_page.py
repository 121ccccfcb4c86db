"""The page on Python and the notebook run as they stand, in their order; the names that they use are public."""

import ast
import importlib
import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE, NOTEBOOK = ROOT / "docs" / "python.md", ROOT / "docs" / "tour.ipynb"


def blocks() -> str:
    """The code of the page, at the lines at which it stands there."""
    text, code = PAGE.read_text(encoding="utf-8"), ""
    for found in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        code += "\n" * (text[: found.start(1)].count("\n") - code.count("\n")) + found[1]
    return code


def cells() -> str:
    """The code of the notebook; lines for a shell (`!python bench.py …`) are left out."""
    kinds = [cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    return "\n".join("".join(cell["source"]) for cell in kinds)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder without results, where a cache of matplotlib and a display are not needed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    yield
    if plt := sys.modules.get("matplotlib.pyplot"):
        plt.close("all")


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(("code", "made"), [(blocks, "mine.pdf"), (cells, "tour-results/tradeoff.png")])
def test_code_of_the_documentation_runs(code, made: str) -> None:
    exec(compile(code(), code.__name__, "exec"), {"__name__": "__main__"})
    assert Path(made).stat().st_size


@pytest.mark.parametrize("code", [blocks, cells])
def test_code_of_the_documentation_takes_public_names_alone(code) -> None:
    taken = [node for node in ast.walk(ast.parse(code())) if isinstance(node, ast.ImportFrom)]
    ours = [node for node in taken if node.module.partition(".")[0] in ("bench", "methods", "results", "reports")]
    assert ours
    for node in ours:
        assert {alias.name for alias in node.names} <= set(importlib.import_module(node.module).__all__), node.module


def test_the_notebook_has_no_outputs() -> None:
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert not [cell for cell in notebook["cells"] if cell.get("outputs") or cell.get("execution_count")]
    assert os.path.getsize(NOTEBOOK) < 20_000
