"""A container without a user or a home, a screen that is not UTF-8, a long TMPDIR: everything runs all the same."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.bench.called import called

ROOT = Path(__file__).resolve().parents[2]
SMALL = "--methods", "linear,bitfit", "--tasks", "digits", "--epochs", "1", "--device", "cpu"
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


def test_neither_user_nor_home_is_needed(tmp_path: Path, nameless: dict[str, str]) -> None:
    shown = call(tmp_path, *SMALL, "--workers", "2", environment=nameless)
    assert "2 runs done now" in shown
    assert {path.name for path in tmp_path.iterdir()} == {"site", "results", "out"}  # and no folder called ~
    assert (tmp_path / "results" / "cache").is_dir()


@pytest.mark.parametrize("words", [("list", "methods"), ("cost", "--planned", "--methods", "linear", "--json")])
def test_no_command_needs_a_user(words: tuple[str, ...], tmp_path: Path, nameless: dict[str, str]) -> None:
    assert "linear" in call(tmp_path, *words, environment=nameless | {"HOME": "/nowhere"})


def test_a_screen_that_is_not_utf_8_shows_plainer_words(tmp_path: Path) -> None:
    plain = dict(os.environ) | {"PYTHONIOENCODING": "ascii"}
    shown = call(tmp_path, *SMALL, environment=plain)
    assert "2 runs done now" in shown
    assert "linear" in shown.partition("wrote")[0]
    assert (tmp_path / "out" / "index.html").is_file()
    assert "runs/.../lora-....json" in call(tmp_path, "--help", environment=plain)


def test_a_long_tmpdir_is_too_long_for_no_socket(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "pics" / name).mkdir(parents=True)
        for number in range(4):
            Image.new("RGB", (8, 8), (40 * number, 0, 0)).save(tmp_path / "pics" / name / f"{number}.png")
    long = tmp_path / ("x" * 100)
    long.mkdir()
    own = dict(os.environ) | {"TMPDIR": str(long)}
    words = "--suite", "folder:pics", "--backbone", "demo", "--decode-workers", "2", "--workers", "1"
    assert "1 run done now" in call(tmp_path, "--methods", "linear", *words, "--epochs", "1", environment=own)


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
