"""`data check` finds what is planted and names the files; what it has seen it does not decode again."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import datasets
from bench.data_check import Checked, check_task, look_for
from datasets.inspection import Facts
from tests.datasets.made import json_task, picture, text_task

ROOT = Path(__file__).resolve().parents[2]
TASKS = {task.name: task for task in datasets.suite("vtab").tasks}
DTD = dataclasses.replace(TASKS["dtd"], sizes={"train": 50, "test": 47})


@pytest.fixture(autouse=True)
def remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "remembered"))
    return tmp_path / "remembered"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    json_task(folder / "dtd", DTD, train=50, test=47)
    return folder


@pytest.fixture
def copy(sound: Path, tmp_path: Path) -> Path:
    shutil.copytree(sound, tmp_path / "data")
    return tmp_path / "data"


def check(data: Path, workers: int = 0) -> Checked:
    ((task, look),) = look_for(datasets.suite("vtab"), [DTD], data)
    return check_task(task, look, workers)


def found(checked: Checked) -> dict[str, str]:
    return {finding.kind: " ".join([finding.message, *finding.files]) for finding in checked.findings}


def test_a_sound_copy_is_sound(copy: Path) -> None:
    checked = check(copy)
    assert checked.sound
    assert found(checked).keys() <= {"missing list"}  # the JSON copies have no lists of the two parts
    assert checked.sizes == {"train": 50, "test": 47}


def test_ten_planted_defects_are_found_and_named(copy: Path) -> None:
    folder = copy / "dtd"
    images, lists = folder / "images", folder / "test.json"
    entries = json.loads(lists.read_text())
    shutil.copy(images / "train800val200/000007.png", images / "test/000001.png")  # 1: trained on and scored
    whole = (images / "test/000002.png").read_bytes()
    (images / "test/000002.png").write_bytes(whole[:-40])  # 2: truncated
    (images / "test/000003.png").write_bytes(b"")  # 3: empty
    Image.new("I;16", (8, 8), 300).save(images / "test/000004.png")  # 4: sixteen bits
    frames = [picture(1), picture(2)]
    frames[0].save(images / "test/000005.png", "PNG", save_all=True, append_images=frames[1:])  # 5: animated
    (images / "test/000006.png").unlink()  # 6: gone
    entries[7] = {"test/000007.png": 47}  # 7: no such class
    entries[8] = {"../../secret.png": 0}  # 8: leaves the folder
    entries[9] = entries[10]  # 9: listed twice
    picture(3).save(images / "test/000011.png", "JPEG")  # 10: re-encoded
    lists.write_text(json.dumps(entries))
    checked = check(copy)
    said = found(checked)
    assert not checked.sound
    assert "test/000001.png is train800val200/000007.png" in said["duplicate"]
    for name, why in {"2": "cannot be decoded", "3": "is empty", "4": "more than 8 bits", "5": "animated"}.items():
        assert f"test/00000{name}.png: " in said["image"]
        assert why in said["image"]
    assert "test/000006.png" in said["gone"]
    assert "label 47 of test/000007.png" in said["label"]
    assert "'../../secret.png' leaves the folder" in said["list"]
    assert "test/000010.png" in said["repeated"]
    assert "1 of 90 images are JPEGs of quality 75" in said["re-encoded"]
    assert "4 images" in said["image"]


@pytest.mark.parametrize(
    ("damage", "kind", "says"),
    [
        (lambda folder: shutil.rmtree(folder), "missing task", "no folder"),
        (lambda folder: (folder / "test.json").unlink(), "missing list", "test.json"),
        (lambda folder: (folder / "test.json").write_text("["), "list", "test.json: is no list"),
        (lambda folder: (folder / "test.json").write_text('[{"test/000000.png": 0}]'), "count", "test 1 instead of 47"),
    ],
)
def test_what_is_missing_is_named(damage, kind: str, says: str, copy: Path) -> None:
    damage(copy / "dtd")
    checked = check(copy)
    assert says in found(checked)[kind]
    assert not checked.sound


def test_processes_see_what_one_sees(copy: Path, remembered: Path) -> None:
    (copy / "dtd/images/test/000002.png").write_bytes(b"nothing")
    alone = check(copy)
    shutil.rmtree(remembered)
    assert check(copy, workers=2).findings == alone.findings


def test_the_second_time_only_changed_files_are_decoded(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = check(copy)
    changed = copy / "dtd/images/test/000002.png"
    os.utime(changed, ns=(0, 1))
    seen = []
    monkeypatch.setattr("bench.data_scan.inspect", lambda path: seen.append(path) or Facts("x"))
    check(copy)
    assert seen == [changed]
    assert first.sound


def test_a_damaged_memory_is_forgotten(copy: Path, remembered: Path) -> None:
    check(copy)
    for store in (remembered / "petl-bench").iterdir():
        store.write_text('{"a": 1}')
    assert check(copy).sound


def test_the_command_line(tmp_path: Path) -> None:
    text_task(tmp_path / "vtab" / "kitti", TASKS["kitti"], train=10, test=4)

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "bench.py", "data", "check", "vtab", "--data", str(tmp_path), *words]
        environment = os.environ | {"COLUMNS": "200", "XDG_CACHE_HOME": str(tmp_path / "c")}
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, env=environment)

    shown, document = call(), call("--json")
    assert shown.returncode == document.returncode == 1
    assert "kitti: defect: images: train 10 instead of 1,000" in shown.stdout
    assert "0 of 19 tasks are there and sound" in shown.stdout
    tasks = {task["task"]: task for task in json.loads(document.stdout)["tasks"]}
    assert len(tasks) == 19
    assert [name for name, task in tasks.items() if task["found"]] == ["kitti"]
    assert tasks["kitti"]["images"] == {"train": 10, "train800": 8, "val": 2, "test": 4}
