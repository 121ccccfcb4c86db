"""A copy of this checkout in which tests may change files, and calls of its own command line."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("tools", "bench", "methods", "datasets", "results", "reports", "tests", "docs")
FILES = ("bench.py", "pyproject.toml", "README.md", "Makefile", "constraints.txt")
CACHES = shutil.ignore_patterns("__pycache__", "*.tmp")
NOT_OURS = shutil.ignore_patterns(
    "__pycache__", "runs", "cost", "features", "kept", "logs", "claims", "slurm", "out", "*.tmp"
)


def copied(place: Path) -> Path:
    """The checkout without results of its own."""
    for name in FOLDERS:
        shutil.copytree(ROOT / name, place / name, ignore=NOT_OURS if name in ("results", "reports") else CACHES)
    for name in FILES:
        shutil.copy(ROOT / name, place / name)
    return place


def python(tree: Path, *words: str, code: int = 0) -> str:
    """What a call in the copy prints, which must end with that exit code."""
    environment = os.environ | {"COLUMNS": "200", "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)
    command = [sys.executable, *words]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True, timeout=280, env=environment)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def replace(file: Path, old: str, new: str) -> None:
    """Change the one place in a file."""
    text = file.read_text()
    assert text.count(old) == 1, (file, old)
    file.write_text(text.replace(old, new))
