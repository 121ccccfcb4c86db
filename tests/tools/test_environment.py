"""`make setup` says how far it is in the words of what pip says, and refuses what cannot be in one sentence."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.environment import Progress, complaint, pins_of, registries, without_cpu_wheels

ROOT = Path(__file__).parent.parent.parent
SAID = """\
WARNING: Location 'file:///nowhere/six/' is ignored: it is neither a file nor a directory.
Collecting torch==2.11.0 (from petl-bench==0.1.0)
  Downloading torch-2.11.0-cp311-cp311-manylinux_2_28_x86_64.whl (530.6 MB)
Collecting timm>=1.0.26
  Using cached timm-1.0.31-py3-none-any.whl (2.5 MB)
ERROR: No matching distribution found for timm
"""


def test_progress_follows_pip() -> None:
    progress = Progress(wanted=108)
    lines = []
    for line in SAID.splitlines():
        progress.follow(line)
        lines.append(progress.line())
    assert "1 of about 108 packages, 0.00 GB downloaded; downloading torch (530.6 MB)" in lines[2]
    assert "2 of about 108 packages, 0.53 GB downloaded; using cached timm (2.5 MB)" in lines[4]
    assert [text for line in SAID.splitlines() for text in complaint(line)] == [SAID.splitlines()[-1]]


def test_uv_asks_the_registries_of_pip() -> None:
    words = registries({"PIP_INDEX_URL": "https://a/simple", "PIP_EXTRA_INDEX_URL": "https://b https://c"})
    assert words[:6] == [
        "--index-url",
        "https://a/simple",
        *["--extra-index-url", "https://b", "--extra-index-url", "https://c"],
    ]
    assert {"torch", "torchvision", "timm"} <= set(pins_of(ROOT / "constraints.txt"))


def test_a_cpu_build_needs_a_registry_that_has_it() -> None:
    call = [sys.executable, str(ROOT / "tools" / "environment.py")]
    given = {key: value for key, value in os.environ.items() if key != "TORCH_INDEX_URL"} | {"TORCH": "cpu"}
    done = subprocess.run(call, env=given, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: TORCH=cpu needs TORCH_INDEX_URL")
    assert done.stderr.count("\n") == 1


def test_what_a_registry_has_is_asked_before_anything_is_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip = tmp_path / "bin" / "python"
    pip.parent.mkdir()
    monkeypatch.setattr("tools.environment.PLACE", tmp_path)
    said = {}
    for name, needs in {"cpu": ["sympy"], "cuda": ["nvidia-cublas==13"]}.items():
        report = json.dumps({"install": [{"metadata": {"name": "torch", "requires_dist": needs}}]})
        pip.write_text(f"#!/bin/sh\necho '{report}'\n")
        pip.chmod(0o755)
        said[name] = without_cpu_wheels("https://a/simple")
    pip.write_text("#!/bin/sh\nexit 1\n")
    said["empty"] = without_cpu_wheels("https://a/simple")
    assert said["cpu"] == ""
    assert "has only CUDA builds of torch==" in said["cuda"]
    assert "has no wheels of torch==" in said["empty"]
