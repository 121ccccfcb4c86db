"""The folders import each other in one direction only, ours are the ones imported, and --help loads nothing large."""

import ast
import graphlib
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ALLOWED = {
    "bench.py": {"bench"},
    "bench": {"methods", "datasets", "results"},  # and the top floor, bench/cli, which shows reports too
    "methods": set(),
    "datasets": set(),
    "results": set(),
    "reports": {"results"},
    "tools": {"bench", "methods", "datasets", "results"},
}
OURS = {*ALLOWED, "tests"} - {"bench.py"}
HEAVY = {"torch", "timm", "torchvision"}


def sources(part: str) -> list[Path]:
    found = [ROOT / part] if part.endswith(".py") else sorted((ROOT / part).rglob("*.py"))
    assert found
    return found


def imported(path: Path) -> Iterator[str]:
    """The first words of everything that a file imports, also inside functions and under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").split(".")[0] if node.level == 0 else path.parent.name


@pytest.mark.parametrize("part", ALLOWED)
def test_imports_go_in_one_direction(part: str) -> None:
    forbidden = OURS - {part} - ALLOWED[part]
    found = [(path, name) for path in sources(part) for name in imported(path) if name in forbidden]
    assert not [(str(path), name) for path, name in found if (path.parent.name, name) != ("cli", "reports")]


@pytest.mark.parametrize("part", ["reports", "results"])
def test_records_and_reports_do_without_torch(part: str) -> None:
    assert not {str(path) for path in sources(part) if {*imported(path)} & HEAVY}
    assert not [path for path in sources(part) if "safetensors.torch" in path.read_text()]  # that of numpy is light


FLOORS = {
    "bench": 0, "bench.data": 1, "bench.train": 2, "bench.prepare": 2,
    "bench.features": 3, "bench.cost": 3, "bench.runner": 4, "bench.grid": 5, "bench.tune": 6, "bench.cli": 7,
    "datasets.transforms": 1, "datasets.files": 2, "datasets.demo": 2, "datasets.suites": 3,
    "methods.backbones": 1, "methods.parts": 2,
    "reports.tables": 1, "reports.figures": 1, "reports.formats": 2, "reports.views": 3,
}  # fmt: skip


def room(module: str) -> str:
    """The room that a module belongs to; files of a top folder are its ground."""
    words = module.split(".")
    return ".".join(words[:2]) if (ROOT / words[0] / words[1]).is_dir() else words[0]


@pytest.mark.parametrize("name", FLOORS)
def test_a_room_imports_only_from_the_floors_below(name: str) -> None:
    folder = ROOT.joinpath(*name.split("."))
    bad = []
    for path in folder.glob("*.py"):
        nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
        for module in (node.module or "" for node in nodes):
            if module.startswith(f"{name.split('.')[0]}.") and path.name != "__init__.py":
                other = room(module)
                if other in FLOORS and other != name and FLOORS[other] >= FLOORS[name]:
                    bad.append((path.name, module))
    assert not bad


def test_no_module_imports_itself_through_others() -> None:
    """Also not for types alone, nor inside a function."""
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for part in OURS - {"tests"}
        for path in sources(part)
    }
    graph: dict[str, set[str]] = {name: set() for name in modules}
    for name, path in modules.items():
        for node in (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)):
            for whole in (f"{node.module}.{alias.name}" for alias in node.names):
                graph[name].add(whole if whole in modules else node.module or "")
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the modules


def test_methods_print_nothing() -> None:
    for path in sources("methods"):
        names = [node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)]
        assert "print" not in names, path


@pytest.mark.parametrize("name", sorted(OURS - {"tests"}))
def test_ours_are_the_packages_of_the_checkout(name: str) -> None:
    assert importlib.import_module(name).__file__ == str(ROOT / name / "__init__.py")


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--help"], "--methods"),
        (["list", "methods"], "LoRA adds a low-rank update"),
        (["list", "lora", "--json"], '"default": 8'),
        (["list", "recipes"], "common"),
    ],
)
def test_help_and_lists_answer_without_torch(words: list[str], shown: str) -> None:
    program = (
        f"import runpy, sys; sys.argv = ['bench.py', *{words}]\n"
        "try: runpy.run_path('bench.py', run_name='__main__')\n"
        "finally: print('loaded', sorted({'torch', 'timm', 'pandas', 'matplotlib'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert shown in done.stdout
    assert "loaded []" in done.stdout
