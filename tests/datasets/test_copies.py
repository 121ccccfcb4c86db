"""Copies as NOAH, DTL, CoOp and VPT leave them are found, and a folder of the right name hides no other."""

import json
from pathlib import Path

import pytest

from datasets import Task, locate, suite
from datasets.files.lists import BadList
from tests.datasets.made import json_task, write
from tests.datasets.test_other_suites import few_shot_copy, image, listing, lists

VTAB, DOMAIN, FGVC = suite("vtab"), suite("domain"), suite("fgvc")
TASKS = {task.name: task for task in (*VTAB.tasks, *DOMAIN.tasks, *FGVC.tasks)}

TRAIN = ["n01440764/n01440764_10026.JPEG", "n01443537/n01443537_10007.JPEG"]
VAL = ["n01751748/ILSVRC2012_val_00000001.JPEG"]
TARGETS = {  # a line of each list as NOAH's repository has it, ImageNet-A with its spaces
    "imagenet-adversarial": "n01498041/0.000116_digital clock _ digital clock_0.865662.jpg",
    "imagenet-rendition": "n01443537/art_0.jpg",
    "imagenetv2": "0/7e7ac1cbc0c3b8c1d4b9b8b0d3e8ed1a.jpeg",
    "imagenet-sketch": "n01440764/sketch_0.JPEG",
}


def png(path: Path) -> None:
    """Content is looked at, and not the ending."""
    write(path.with_suffix(".png"), seed=1, size=4)
    path.with_suffix(".png").rename(path)


def noah(root: Path, folders: tuple[str, str], below: str) -> Path:
    """What is below `data/` of the repository, with ImageNet's images where the code of either source reads them."""
    source = root / "few-shot/imagenet"
    (source / "annotations").mkdir(parents=True)
    for folder, names in zip(folders, (TRAIN, VAL), strict=True):
        for name in names:
            png(source / folder / name)
    for seed in range(3):
        text = "".join(f"{name} {label}\n" for label, name in enumerate(TRAIN))
        (source / f"annotations/train_meta.list.num_shot_16.seed_{seed}").write_text(text)
    (source / "annotations/val_meta.list").write_text(f"{VAL[0]} 65\n")
    for folder, name in TARGETS.items():
        png(root / below / folder / "images" / name)
        (root / below / folder / "annotations").mkdir()
        (root / below / folder / "annotations/val_meta.list").write_text(f"{name} 7\n")
    return root


@pytest.mark.parametrize("folders", [("train", "val"), ("images/train", "images/val")])
@pytest.mark.parametrize("below", ["domain-generalization", "domain_generalization"])
def test_the_published_layout_of_domain_generalisation(folders: tuple[str, str], below: str, tmp_path: Path) -> None:
    noah(tmp_path / "data", folders, below)
    for data in (tmp_path / "data", *([tmp_path] if below == "domain-generalization" else [])):
        found = locate(DOMAIN, DOMAIN.tasks, data)
        assert [listing(task, "test").gone + listing(task.drawn(2), "train").gone for task in found] == [[]] * 5
        assert listing(found[3], "test").names == (TARGETS["imagenet-adversarial"],)


def test_the_flowers_of_coop_lie_in_jpg(tmp_path: Path) -> None:
    named = {f"train_meta.list.num_shot_1.seed_{seed}": [("image_00001.png", 0)] for seed in range(3)}
    few = suite("few_shot")
    rest = {"val_meta.list": [("image_00002.png", 1)], "test_meta.list": [("image_00003.png", 2)]}
    lists(tmp_path / "few-shot/oxford_flowers", named | rest, images="jpg")
    (task,) = locate(few, [task for task in few.tasks if task.name == "flowers102-shots1"], tmp_path)
    assert listing(task, "train").gone == listing(task, "test").gone == []


@pytest.mark.parametrize(("empty", "full"), [("dtd", "vtab/dtd"), ("vtab-1k/dtd", "vtab-1k-png/dtd"), ("DTD", "dtd")])
def test_an_empty_folder_hides_no_full_one(empty: str, full: str, tmp_path: Path) -> None:
    (tmp_path / empty).mkdir(parents=True)
    json_task(tmp_path / full, TASKS["dtd"], train=2, test=1)
    assert locate(VTAB, [TASKS["dtd"]], tmp_path)[0].sizes["test"] == 1


def test_an_empty_folder_hides_no_other_name(tmp_path: Path) -> None:
    (tmp_path / "cifar").mkdir()
    json_task(tmp_path / "cifar100", TASKS["cifar"], train=2, test=1)
    assert locate(VTAB, [TASKS["cifar"]], tmp_path)[0].sizes["test"] == 1


def test_an_empty_folder_alone_is_named(tmp_path: Path) -> None:
    (tmp_path / "dtd").mkdir()
    look = VTAB.look(TASKS["dtd"], tmp_path)  # type: ignore[misc]
    assert (look.folder, look.missing[0]) == (tmp_path / "dtd", "train800val200.txt")


def cub(folder: Path, **splits: dict[str, int]) -> Task:
    for split, entries in splits.items():
        for name in entries:
            image(folder / "CUB_200_2011/images" / name)
        (folder / "CUB_200_2011" / f"{split}.json").write_text(json.dumps(entries))
    return TASKS["cub"]


def test_a_class_id_that_train_lacks_is_named_as_it_stands(tmp_path: Path) -> None:
    task = cub(tmp_path, train={"a.png": 5, "b.png": 9}, val={"c.png": 9}, test={"d.png": 5, "e.png": 7})
    with pytest.raises(BadList, match=r"test\.json: the class id 7 of e\.png is not in train\.json"):
        locate(FGVC, [task], tmp_path)
    cub(tmp_path, test={"d.png": 5})
    assert listing(locate(FGVC, [task], tmp_path)[0], "val").labels == (1,)


def test_more_ids_than_classes_are_named_as_they_stand(tmp_path: Path) -> None:
    entries = {f"{number}.png": 10 * number for number in range(201)}
    task = cub(tmp_path, train=entries, val={"0.png": 0}, test={"0.png": 0})
    with pytest.raises(BadList, match=r"train\.json: the class id 2000 of 200\.png is one more than 200 classes"):
        locate(FGVC, [task], tmp_path)


def test_a_change_of_any_drawn_list_is_another_revision(tmp_path: Path) -> None:
    few_shot_copy(tmp_path, 2)
    few = suite("few_shot")
    chosen = [task for task in few.tasks if task.name == "pets-shots2"]
    before = locate(few, chosen, tmp_path)[0].revision
    path = tmp_path / "few-shot/oxford-pets/annotations/train_meta.list.num_shot_2.seed_1"
    path.write_text(path.read_text().replace(" 3\n", " 4\n"))
    assert locate(few, chosen, tmp_path)[0].revision != before


def test_a_mark_at_the_beginning_of_a_list_is_no_part_of_a_name(tmp_path: Path) -> None:
    json_task(tmp_path / "dtd", TASKS["dtd"], train=2, test=1)
    path = tmp_path / "dtd/test.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert listing(locate(VTAB, [TASKS["dtd"]], tmp_path)[0], "test").gone == []


def test_a_name_that_no_file_can_have_is_a_line_that_cannot_be_used(tmp_path: Path) -> None:
    json_task(tmp_path / "dtd", TASKS["dtd"], train=2, test=1)
    (tmp_path / "dtd/test.json").write_text('[{"\\ud800.png": 0}]')
    with pytest.raises(BadList, match="is no name that a file can have here"):
        locate(VTAB, [TASKS["dtd"]], tmp_path)
