"""Provenance is enough to run a thing again and tells nothing about who ran it."""

import dataclasses
import getpass
import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import bench.provenance
from bench.provenance import ROOT, last_parts, where
from results import Where

CPU = torch.device("cpu")


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> Where:
    """Where, after a call that names paths of all kinds."""
    words = [
        "/home/somebody/checkout/bench.py",
        *("--results", "/home/somebody/secret/results", "--data=/mnt/private/vtab"),
        *("--backbone", "vit_base_patch16_224=/home/somebody/ViT-B_16.npz"),
        *("--weights", "../somebody/x.npz", "--data=~/somebody/images", "--methods", "lora:layer=1..12"),
        *("--out", str(ROOT / "reports" / "out"), "--tasks", "digits"),
        *("--suite", "folder:/home/somebody/birds:shots=5:train=a/b:test=/home/somebody/birds/c"),
    ]
    monkeypatch.setattr(sys, "argv", words)
    return where(CPU)


def test_the_command_can_be_given_again_and_shows_no_path_outside_the_project(called: Where) -> None:
    assert called.command == (
        "python bench.py --results results --data=vtab --backbone vit_base_patch16_224=ViT-B_16.npz "
        "--weights x.npz --data=images --methods lora:layer=1..12 --out reports/out --tasks digits "
        "--suite folder:birds:shots=5:train=a/b:test=c"
    )


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/home/somebody/work/2024/pets", "work/2024/pets"),
        ("/home/somebody/pets", "pets"),
        ("/mnt/a/b/c/pets", "b/c/pets"),
        ("/scratch/USER/pets/../cats", "cats"),
        ("ROOT/data/pets", "data/pets"),
    ],
)
def test_the_end_of_a_path_names_nobody(path: str, kept: str) -> None:
    assert last_parts(Path(path.replace("ROOT", str(ROOT)).replace("USER", getpass.getuser()))) == kept


def test_a_module_is_called_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.find_spec("tools.side_by_side")
    assert spec is not None
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", spec)
    monkeypatch.setattr(sys, "argv", [spec.origin, "--on", "embedded"])
    assert where(CPU).command == "python -m tools.side_by_side --on embedded"


def test_nobody_is_named(called: Where) -> None:
    text = json.dumps(dataclasses.asdict(called))
    assert not re.search(r"(^|[\s\"'=:])/\w", text)
    assert "somebody" not in text
    assert not re.search(rf"\b{re.escape(getpass.getuser())}\b", text)
    assert str(Path.home()) not in text


def test_versions_date_and_device_are_there(called: Where) -> None:
    assert called.versions["torch"] == torch.__version__.split("+")[0] or called.versions["torch"] == torch.__version__
    assert {"python", "torch", "torchvision", "timm", "numpy"} <= called.versions.keys()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", called.date)
    assert re.fullmatch(r"cpu \(\w+, \d+ threads?\)", called.device)
    assert called.driver is None


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit, in place of the project."""
    identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    (tmp_path / "file").write_text("one")
    for words in (["init", "-q"], ["add", "file"], [*identity, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    monkeypatch.setattr(bench.provenance, "ROOT", tmp_path)
    bench.provenance.commit.cache_clear()
    yield tmp_path
    bench.provenance.commit.cache_clear()


@pytest.mark.parametrize(("change", "dirty"), [(None, False), ("file", True), ("untracked", True)])
def test_the_commit_and_whether_it_was_changed(checkout: Path, change: str | None, dirty: bool) -> None:
    if change:
        (checkout / change).write_text("two")
    found = where(CPU)
    assert re.fullmatch("[0-9a-f]{40}", found.commit or "")
    assert found.dirty is dirty


def test_without_git_there_is_no_commit(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    found = where(CPU)
    assert (found.commit, found.dirty) == (None, None)
