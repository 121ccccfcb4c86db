"""The memory of a machine is what a container or Slurm leaves of it."""

from pathlib import Path

import pytest
import torch

import bench.machine
from bench.machine import memory_of


def put(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.mark.parametrize(
    ("own", "limits", "least"),
    [
        ("0::/job/step\n", {"job/memory.max": "3000\n", "job/step/memory.max": "max\n"}, 3000),
        ("0::/../other\n", {"memory.max": "2000"}, 2000),
        ("4:cpu,memory:/job\n1:cpu:/\n", {"memory/job/memory.limit_in_bytes": "1000"}, 1000),
        ("4:memory:/hidden\n", {"memory/memory.limit_in_bytes": "4000"}, 4000),  # seen from inside a container
    ],
)
def test_control_groups_bound_it(
    own: str, limits: dict[str, str], least: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "own", own)
    for name, text in limits.items():
        put(tmp_path / "groups" / name, text)
    monkeypatch.setattr(bench.machine, "OWN", tmp_path / "own")
    monkeypatch.setattr(bench.machine, "GROUPS", tmp_path / "groups")
    assert memory_of(torch.device("cpu")) == least


def test_without_groups_it_is_the_machines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(bench.machine, "OWN", tmp_path / "none")
    assert memory_of(torch.device("cpu")) > 2**20
