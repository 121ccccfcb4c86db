"""One's own folder: how it is laid out is seen, or it is refused; nothing in it is left out without a word."""

from pathlib import Path

import pytest
from PIL import Image

from datasets import PRESETS, Suite, Task, locate, suite
from datasets.class_folders import _say
from tests.datasets.test_other_suites import image, listing

PLAIN = PRESETS["checkpoint"]


def own(root: Path, *splits: str, classes: int = 3, each: int = 10) -> Path:
    for split in splits or (".",):
        for label in range(classes):
            for number in range(each):
                image(root / split / f"class {label}" / f"{split.strip('.')[:2]}{number}.png")
    return root


def only(found: Suite) -> Task:
    (task,) = found.tasks
    return task


def test_a_folder_with_train_and_test(tmp_path: Path) -> None:
    own(tmp_path / "birds", "train", "val", "test", each=4)
    (tmp_path / "birds/train/class 1/notes.txt").write_text("no image")
    image(tmp_path / "birds/train/.hidden/a.png")
    found = suite(f"folder:{tmp_path / 'birds'}")
    task = only(found)
    assert (task.name, task.classes, dict(task.sizes)) == ("birds", 3, {"train": 12, "test": 12})
    assert listing(task, "test").names[0] == "test/class 0/te0.png"
    assert task.load("test", PLAIN, 4).labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    (again,) = locate(found, found.tasks, tmp_path)
    assert again == task
    assert again.names == ("class 0", "class 1", "class 2")


def test_without_test_the_val_folder_is_scored(tmp_path: Path) -> None:
    own(tmp_path, "train", "val", each=2)
    assert listing(only(suite(f"folder:{tmp_path}")), "test").names[0].startswith("val/")


def test_one_folder_is_split_by_seed(tmp_path: Path) -> None:
    own(tmp_path)
    first, again, other = (only(suite(f"folder:{tmp_path}{option}")) for option in ("", ":seed=0", ":seed=1"))
    assert dict(first.sizes) == {"train": 24, "test": 6}
    assert not {*listing(first, "train").names} & {*listing(first, "test").names}
    assert first.revision == again.revision != other.revision
    assert listing(first, "test").labels == (0, 0, 1, 1, 2, 2)


def test_shots_are_that_many_of_each_class(tmp_path: Path) -> None:
    own(tmp_path / "a:b", "train", "test", each=6)
    task = only(suite(f"folder:{tmp_path / 'a:b'}:shots=2:seed=3"))
    assert task.name == "a:b-shots2-seed3"
    assert listing(task, "train").labels == (0, 0, 1, 1, 2, 2)
    assert task.sizes["test"] == 18


def test_a_renamed_class_is_another_revision(tmp_path: Path) -> None:
    own(tmp_path, "train", "test", each=2)
    before = only(suite(f"folder:{tmp_path}")).revision
    for split in ("train", "test"):
        (tmp_path / split / "class 2").rename(tmp_path / split / "class 9")
    assert only(suite(f"folder:{tmp_path}")).revision != before


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("", "needs a path"),
        ("gone", "there is no folder"),
        ("{root}:shots=no", "'shots=no' is no whole number"),
        ("{root}:shots=0", "'shots=0' is no whole number"),
        ("{root}:shots=99", "has 10 training images, fewer than shots=99"),
        ("{root}/train/class 0", "has no two folders with images"),
    ],
)
def test_a_folder_that_cannot_be_used_says_why(options: str, says: str, tmp_path: Path) -> None:
    own(tmp_path, "train", "test")
    with pytest.raises(ValueError, match=says):
        suite("folder:" + options.replace("{root}", str(tmp_path)))


def test_a_class_that_is_only_scored_is_an_error(tmp_path: Path) -> None:
    own(tmp_path, "train", "test", each=2)
    image(tmp_path / "test/stranger/a.png")
    with pytest.raises(ValueError, match="class 'stranger' is scored but has no training images"):
        suite(f"folder:{tmp_path}")


@pytest.mark.parametrize(
    ("train", "test"),
    [("Train", "Test"), ("training", "validation"), ("train", "valid"), ("TRAIN", "eval"), ("train", "Val")],
)
def test_names_of_splits_are_known_in_any_case(train: str, test: str, tmp_path: Path) -> None:
    own(tmp_path, train, test, each=2)
    task = only(suite(f"folder:{tmp_path}"))
    assert (task.classes, dict(task.sizes)) == (3, {"train": 6, "test": 6})
    assert listing(task, "test").names[0].startswith(f"{test}/")


def test_the_label_says_how_images_were_drawn(tmp_path: Path) -> None:
    own(tmp_path / "birds")
    options = ("", ":seed=1", ":shots=2", ":seed=4:shots=2")
    names = [only(suite(f"folder:{tmp_path / 'birds'}{option}")).name for option in options]
    assert names == ["birds", "birds-seed1", "birds-shots2", "birds-shots2-seed4"]


@pytest.mark.parametrize(
    ("splits", "says"),
    [
        (("val", "test"), "has test, val but no train"),
        (("train", "Training", "test"), "'Training' and 'train' in .* are both for train"),
        (("train/validation", "test"), "is named like a split, not like a class"),
    ],
)
def test_splits_are_never_taken_for_classes(splits: tuple[str, ...], says: str, tmp_path: Path) -> None:
    own(tmp_path, *splits, each=2)
    with pytest.raises(ValueError, match=says):
        suite(f"folder:{tmp_path}")


def test_a_class_without_an_image_that_is_read_here_is_an_error(tmp_path: Path) -> None:
    own(tmp_path, "train", "test", each=2)
    (tmp_path / "train/raw").mkdir()
    (tmp_path / "train/raw/a.cr2").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"train/raw has no image that is read here \(.*\.jpg"):
        suite(f"folder:{tmp_path}")


def test_files_that_are_left_out_are_counted_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    own(tmp_path, "train", "test", each=2)
    image(tmp_path / "train/class 0/tr0.png")
    (tmp_path / "train/class 0/tr0.png").rename(tmp_path / "train/class 0/tr0.jfif")
    for name in ("a.heic", "b.heic", ".hidden"):
        (tmp_path / "train/class 1" / name).write_bytes(b"x")
    _say.cache_clear()
    assert suite(f"folder:{tmp_path}") is not suite(f"folder:{tmp_path}")
    assert only(suite(f"folder:{tmp_path}")).sizes["train"] == 6
    (said,) = [record.getMessage() for record in caplog.records]
    assert "train/class 1/a.heic and 1 more files below" in said


@pytest.mark.parametrize("ending", [".pgm", ".PPM", ".TIF", ".JpEg", ".avif", ".jp2", ".tga", ".QOI"])
def test_kinds_that_are_decoded_are_found_by_their_ending_in_any_case(ending: str, tmp_path: Path) -> None:
    own(tmp_path, each=4)
    picture = Image.new("L" if ending == ".pgm" else "RGB", (4, 4), 120)
    picture.save(tmp_path / "class 0" / f"more{ending}", Image.registered_extensions()[ending.lower()])
    task = only(suite(f"folder:{tmp_path}:seed=1"))
    assert task.sizes["train"] + task.sizes["test"] == 13
    assert len(task.load("train", PLAIN, 4)) == task.sizes["train"]
