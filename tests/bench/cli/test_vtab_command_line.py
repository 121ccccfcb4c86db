"""End to end: a suite whose images lie in a folder, from the words of a call to records and captions."""

import io
import json
from pathlib import Path

import pytest
import torch
from rich.console import Console

from bench.cli.grid import Launch, grid
from bench.errors import UsageError
from bench.grid.grid import Outcome
from bench.grid.request import Request
from bench.settings import Keep, LoaderSettings, RunSettings
from datasets import suite
from tests.bench.called import called
from tests.datasets.made import suite_copy

TASKS = [task for task in suite("vtab").tasks if task.name in ("dtd", "eurosat", "kitti")]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return suite_copy(tmp_path_factory.mktemp("data"), TASKS, train=12, test=6)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """One task whose files may be damaged."""
    return suite_copy(tmp_path / "data", TASKS[-1:], train=12, test=6)


def run(
    data: Path,
    root: Path,
    loader: LoaderSettings,
    suite: str = "vtab",
    tasks: str | None = "kitti",
    kinds: frozenset[str] = frozenset(),
    said: io.StringIO | None = None,
) -> Outcome:
    request = Request("linear", suite, tasks, "random:test_vit", "common", epochs=1, data=data)
    how = RunSettings(torch.device("cpu"), loader=loader, keep=Keep(kinds, root))
    return grid(request, root, how, Console(file=said or io.StringIO(), width=200))


def records(root: Path) -> list[dict]:
    return [json.loads(path.read_text())["record"] for path in sorted((root / "runs").rglob("*.json"))]


def test_the_command_line_from_call_to_caption(data: Path, tmp_path: Path) -> None:
    names = ",".join(task.name for task in TASKS)
    words = ["--methods", "linear", "--suite", "vtab", "--tasks", names, "--backbone", "random:test_vit"]
    words += ["--epochs", "1", "--device", "cpu", "--decode-workers", "0"]
    words += ["--data", str(data), "--results", str(tmp_path / "results"), "--out", str(tmp_path / "out")]
    done = called(*words, columns=200)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 runs done now" in done.stdout
    assert "than published: dtd (12 + 6 instead of 1,000 + 1,880), eurosat" in done.stdout
    found = records(tmp_path / "results")
    assert [record["identity"]["task"] for record in found] == ["dtd", "eurosat", "kitti"]
    assert all(record["cost"]["train_images"] == 12 and record["cost"]["test_images"] == 6 for record in found)
    assert len({record["identity"]["changes"]["data"] for record in found}) == 3
    caption = (tmp_path / "out/vtab-random-test_vit-paper.md").read_text()
    assert "Images as by vpt: as in the file, squash to 160, bilinear unfiltered, mean 0.485" in caption


def test_a_bad_image_fails_or_is_counted_as_asked(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "seen"))
    (own / "kitti/images/test/000001.jpg").write_bytes(b"no image")
    outcome = run(own, tmp_path / "r", LoaderSettings(workers=0))
    assert "000001.jpg: is no image of a kind" in outcome.failed[0].read_text()
    assert run(own, tmp_path / "r", LoaderSettings(workers=0, on_bad_image="skip")).done == 1
    (record,) = records(tmp_path / "r")
    assert record["score"]["skipped_images"] == {"test": 1}


def test_a_mended_image_makes_a_run_that_skipped_it_begin_again(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it was damaged in its middle, so that sizes and with them the revision stay."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "seen"))
    path, skip = own / "kitti/images/test/000001.jpg", LoaderSettings(workers=0, on_bad_image="skip")
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"\xff\xda", b"\x00\x00"))
    assert [run(own, tmp_path / "r", skip).done for _ in range(2)] == [1, 0]
    path.write_bytes(whole)
    said = io.StringIO()
    assert [run(own, tmp_path / "r", skip, said=said).done for _ in range(2)] == [1, 0]
    assert said.getvalue().count("done again") == 1
    assert "1 run is there but left out damaged images, of which there are fewer or more now" in said.getvalue()
    (record,) = records(tmp_path / "r")
    assert record["score"]["skipped_images"] == {}
    run(own, tmp_path / "r", skip, kinds=frozenset({"weights"}), said=said)
    assert "1 run is there but did not keep all of --keep weights (linear); they are done again" in said.getvalue()


def test_a_file_that_is_gone_is_said_before_work_starts_or_is_counted(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "seen"))
    (own / "kitti/images/train800val200/000001.jpg").unlink()
    with pytest.raises(UsageError, match=r"000001\.jpg cannot be used: .*--data .* names all.*--on-bad-image skip"):
        run(own, tmp_path / "r", LoaderSettings(workers=0))
    run(own, tmp_path / "r", LoaderSettings(workers=0, on_bad_image="skip"))
    assert records(tmp_path / "r")[0]["score"]["skipped_images"] == {"train": 1}


@pytest.mark.parametrize(
    ("suite", "tasks", "says"),
    [
        ("vtab", "cifar,dtd", r"1 of 2 tasks of vtab are not below .* \(cifar\); name the folder with --data"),
        ("demo:x", None, "suite demo has no options"),
    ],
)
def test_what_cannot_be_run_is_said(suite: str, tasks: str | None, says: str, data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=says):
        run(data, tmp_path, LoaderSettings(workers=0), suite, tasks)


def test_half_precision_on_a_cpu_is_said(data: Path, tmp_path: Path) -> None:
    said = io.StringIO()
    request = Request("linear,dtl:start=2", "vtab", "kitti", "random:test_vit", epochs=1, data=data)
    console = Console(file=said, width=200)
    grid(request, tmp_path, RunSettings(torch.device("cpu")), console, Launch(dry_run=True))
    assert "trained in fp16, which is slow on a CPU: 1 of 2 runs" in said.getvalue()
