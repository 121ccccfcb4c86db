"""A container without a user or a home, a screen that is not UTF-8, a long TMPDIR: everything runs all the same."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.bench.called import called

ROOT = Path(__file__).resolve().parents[2]
SMALL = "--methods", "linear", "--tasks", "digits", "--epochs", "1", "--device", "cpu"
NAMELESS = """
import pwd
def gone(*_): raise KeyError("uid not found")
pwd.getpwuid = pwd.getpwnam = gone
"""


def call(folder: Path, *words: str, environment: dict[str, str], code: int = 0) -> str:
    where = ["--results", str(folder / "results"), "--out", str(folder / "out")] if words[0] == "--methods" else []
    command = [sys.executable, str(ROOT / "bench.py"), *words, *where]
    own = {"OMP_NUM_THREADS": "1", "COLUMNS": "150"} | environment
    done = subprocess.run(command, cwd=folder, capture_output=True, env=own)
    shown = (done.stdout + done.stderr).decode("ascii" if "PYTHONIOENCODING" in environment else "utf-8")
    assert done.returncode == code, shown
    assert "Traceback" not in shown
    return shown


@pytest.fixture
def nameless(tmp_path: Path) -> dict[str, str]:
    """What a container has whose user id is not in the list of users: neither a name nor a home."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(NAMELESS)
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path / "site")}


def test_a_bare_container_does_runs(tmp_path: Path, nameless: dict[str, str]) -> None:
    """All at once: neither user nor home, a screen that is not UTF-8, a TMPDIR too long for the path of a socket."""
    for name in ("a", "b"):
        (tmp_path / "pics" / name).mkdir(parents=True)
        for number in range(4):
            Image.new("RGB", (8, 8), (40 * number, 0, 0)).save(tmp_path / "pics" / name / f"{number}.png")
    long = tmp_path / ("x" * 100)
    long.mkdir()
    bare = nameless | {"PYTHONIOENCODING": "ascii", "TMPDIR": str(long)}
    words = "--suite", "folder:pics", "--backbone", "demo", "--decode-workers", "2", "--workers", "1", "--epochs", "1"
    shown = call(tmp_path, "--methods", "linear", *words, environment=bare)
    assert "1 run done now" in shown
    assert "linear" in shown.partition("wrote")[0]
    assert (tmp_path / "out" / "index.html").is_file()
    assert {path.name for path in tmp_path.iterdir()} == {"site", "pics", long.name, "results", "out"}  # none called ~
    assert (tmp_path / "results" / "cache").is_dir()
    assert "runs/.../lora-....json" in call(tmp_path, "--help", environment=bare)


@pytest.mark.parametrize("words", [("list", "methods"), ("cost", "--planned", "--methods", "linear", "--json")])
def test_no_command_needs_a_user(words: tuple[str, ...], tmp_path: Path, nameless: dict[str, str]) -> None:
    assert "linear" in call(tmp_path, *words, environment=nameless | {"HOME": "/nowhere"})


def test_a_tilde_is_the_home_in_every_path(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "pics").mkdir(parents=True)
    done = called(*SMALL, "--results=~/results", "--out=~/out", "--data=~/data", folder=tmp_path, HOME=str(home))
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"home"}
    assert (home / "out" / "index.html").is_file()
    for words, said in (
        (("--suite", "folder:~/pics", "--dry-run"), str(home / "pics")),
        (("--backbone", "demo=~/w.pth", "--dry-run"), str(home / "w.pth")),
        (("results", "check", "~nobody-here/x"), "write the path without ~"),
    ):
        done = called(*words, folder=tmp_path, HOME=str(home))
        assert done.returncode == 2
        assert said in done.stderr.replace("\n", "")
