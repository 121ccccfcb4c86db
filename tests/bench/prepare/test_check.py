"""`data check` finds what is planted and names the files; what it has seen it does not decode again."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

import datasets
from bench.prepare.check import Checked, check_task, look_for
from datasets import Task
from datasets.files.inspection import Facts
from datasets.files.layout import Look
from tests.bench.called import Done, called
from tests.datasets.made import json_task, picture, text_task, write

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
    monkeypatch.setattr("bench.data.scan.inspect", lambda path: seen.append(path) or Facts("x"))
    check(copy)
    assert seen == [changed]
    assert first.sound


def test_a_file_that_could_not_be_read_is_looked_at_again(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("bench.data.scan.inspect", lambda path: Facts("", problem="cannot be read (Permission denied)"))
        assert "Permission denied" in found(check(copy))["image"]
    assert check(copy).sound


def test_what_another_decoder_saw_does_not_count(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (copy / "dtd/images/test/000002.png").write_bytes(b"nothing")
    with monkeypatch.context() as patch:
        patch.setattr("PIL.__version__", "1.0")
        patch.setattr("bench.data.scan.inspect", lambda path: Facts("x"))
        assert "image" not in found(check(copy))
    assert "image" in found(check(copy))


def weights(task: Task, look: Look) -> dict[str, str]:
    return {finding.kind: finding.weight for finding in check_task(task, look, 0).findings}


@pytest.mark.parametrize(("name", "weight"), [("dsprites_ori", "note"), ("dtd", "defect")])
def test_dsprites_has_the_same_picture_twice_itself(name: str, weight: str, tmp_path: Path) -> None:
    task = TASKS[name]
    json_task(tmp_path / name, task)
    images = tmp_path / name / "images"
    shutil.copy(images / "train800val200/000001.png", images / "test/000001.png")
    ((_, look),) = look_for(datasets.suite("vtab"), [task], tmp_path)
    assert weights(task, look)["duplicate"] == weight


def test_the_one_shot_lists_of_pets_as_published_are_sound(tmp_path: Path) -> None:
    few = datasets.suite("few_shot")
    (pets,) = [task for task in few.tasks if task.name == "pets-shots1"]
    folder = tmp_path / "few-shot/oxford-pets"
    (folder / "annotations").mkdir(parents=True)
    names = [f"class {label}.jpg" for label in range(37)]
    named = {f"train_meta.list.num_shot_1.seed_{seed}": [name for name in names for _ in range(2)] for seed in range(3)}
    named |= {"val_meta.list": ["v.jpg"], "test_meta.list": ["t.jpg"]}
    for place, (name, files) in enumerate(named.items()):
        for number, file in enumerate(dict.fromkeys(files)):
            write(folder / "images" / str(place) / file, 1000 * place + number)
        text = "".join(f"{place}/{file} {number // 2}\n" for number, file in enumerate(files))
        (folder / "annotations" / name).write_text(text)
    task = dataclasses.replace(pets, sizes={"train": 74, "val": 1, "test": 1})
    ((_, look),) = look_for(few, [task], tmp_path)
    checked = check_task(task, look, 0)
    said = found(checked)
    assert checked.sound
    assert "37 images listed more than once" in said["repeated"]
    assert "one image a class twice" in said["published"]
    assert "all images are JPEGs of quality 75" in said["re-encoded"]
    assert "export" not in said["re-encoded"]


def test_a_damaged_memory_is_forgotten(copy: Path, remembered: Path) -> None:
    check(copy)
    for store in (remembered / "petl-bench").iterdir():
        store.write_text('{"a": 1}')
    assert check(copy).sound


def test_the_command_line(tmp_path: Path) -> None:
    text_task(tmp_path / "vtab" / "kitti", TASKS["kitti"], train=10, test=4)

    def call(*words: str) -> Done:
        where = ("--data", str(tmp_path))
        return called("data", "check", "vtab", *where, *words, columns=200, XDG_CACHE_HOME=str(tmp_path / "c"))

    shown, document = call(), call("--json")
    assert shown.returncode == document.returncode == 1
    assert "kitti: defect: images: train 10 instead of 1,000" in shown.stdout
    assert "0 of 19 tasks are there and sound" in shown.stdout
    tasks = {task["task"]: task for task in json.loads(document.stdout)["tasks"]}
    assert len(tasks) == 19
    assert [name for name, task in tasks.items() if task["found"]] == ["kitti"]
    assert tasks["kitti"]["images"] == {"train": 10, "train800": 8, "val": 2, "test": 4}
