"""One's own folder: how it is laid out is seen, or it is refused; nothing in it is left out without a word."""

import os
import shutil
import unicodedata
from pathlib import Path

import pytest
from PIL import Image

from datasets import PRESETS, Suite, Task, locate, suite
from datasets.validation import for_tuning
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
    assert (task.name, task.classes, dict(task.sizes)) == ("birds", 3, {"train": 12, "test": 12, "val": 12})
    assert listing(task, "test").names[0] == "test/class 0/te0.png"
    assert task.load("test", PLAIN, 4).labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    (again,) = locate(found, found.tasks, tmp_path)
    assert again == task
    assert again.names == ("class 0", "class 1", "class 2")


def test_without_test_the_val_folder_is_scored(tmp_path: Path) -> None:
    own(tmp_path, "train", "val", each=2)
    assert listing(only(suite(f"folder:{tmp_path}")), "test").names[0].startswith("val/")


def test_tuning_scores_the_val_folder_beside_test(tmp_path: Path) -> None:
    own(tmp_path, "train", "val", "test", each=4)
    task = only(suite(f"folder:{tmp_path}:shots=2"))
    divided = for_tuning(task, 0.2)
    assert dict(divided.sizes) == {"train": 6, "test": 12}
    assert {name.partition("/")[0] for name in listing(divided, "test").names} == {"val"}
    assert {name.partition("/")[0] for name in listing(divided, "train").names} == {"train"}
    os.rename(tmp_path / "val/class 1/va0.png", tmp_path / "val/class 1/other.png")
    other = only(suite(f"folder:{tmp_path}:shots=2"))
    assert other.revision == task.revision
    assert for_tuning(other, 0.2).revision != divided.revision


@pytest.mark.parametrize(
    ("folder", "instead", "sentence"),
    [
        ("val/class 1", None, r"tuning scores val/, which has no images of class 1; mend it, or take the folder away"),
        ("val/class 1", "val/class 9", r"tuning scores val/, which has no images of class 1; mend it"),
        (None, "val/class 9", r"tuning scores val/, where class 9 has no training images; mend it"),
        (None, "train/class 1/link.png", r"train/class 1/link.png and val/class 1/va0.png there are one file; mend it"),
    ],
)
def test_a_val_folder_that_tuning_cannot_use(
    folder: str | None, instead: str | None, sentence: str, tmp_path: Path
) -> None:
    own(tmp_path, "train", "val", "test", each=2)
    if folder:
        shutil.rmtree(tmp_path / folder)
    if instead and instead.endswith(".png"):
        os.link(tmp_path / "val/class 1/va0.png", tmp_path / instead)
    elif instead:
        image(tmp_path / instead / "a.png")
    task = only(suite(f"folder:{tmp_path}"))
    with pytest.raises(ValueError, match=sentence):
        for_tuning(task, 0.2)


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
        ("{root}/train/class 0", "has 10 images directly in it and no folders of classes"),
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


def test_files_that_are_left_out_are_counted(tmp_path: Path) -> None:
    own(tmp_path, "train", "test", each=2)
    (tmp_path / "train/class 0/tr0.png").rename(tmp_path / "train/class 0/tr0.jfif")
    for name in ("a.heic", "b.heic", ".hidden"):
        (tmp_path / "train/class 1" / name).write_bytes(b"x")
    task = only(suite(f"folder:{tmp_path}"))
    assert task.sizes["train"] == 6
    assert "left out: 2 files (.heic)" in task.understood


@pytest.mark.parametrize("ending", [".pgm", ".PPM", ".TIF", ".JpEg", ".avif", ".jp2", ".tga", ".QOI"])
def test_kinds_that_are_decoded_are_found_by_their_ending_in_any_case(ending: str, tmp_path: Path) -> None:
    own(tmp_path, each=4)
    picture = Image.new("L" if ending == ".pgm" else "RGB", (4, 4), 120)
    picture.save(tmp_path / "class 0" / f"more{ending}", Image.registered_extensions()[ending.lower()])
    task = only(suite(f"folder:{tmp_path}:seed=1"))
    assert task.sizes["train"] + task.sizes["test"] == 13
    assert len(task.load("train", PLAIN, 4)) == task.sizes["train"]


# What is understood of layouts in use, and what is refused; each case is a list of images, as split/class/name.

LAYOUTS = {
    "Kaggle": ("training_set/training_set/{} test_set/test_set/{}", "trained on training_set/training_set/, scored on"),
    "Intel": (
        "seg_train/seg_train/{} seg_test/seg_test/{} seg_pred/{}",
        "scored on seg_test/seg_test/; 8 images in seg_pred/",
    ),
    "images": ("train_images/{} test_images/{}", "trained on train_images/, scored on test_images/"),
    "words": ("Train~Set/{} Test~Set/{}", "trained on Train Set/, scored on Test Set/"),
    "camel": ("TrainData/{} ValidData/{}", "trained on TrainData/, scored on ValidData/"),
    "COCO": ("train2017/{} val2017/{}", "trained on train2017/, scored on val2017/"),
    "dev": ("train/{} dev/{}", "trained on train/, scored on dev/"),
    "fruits": ("fruits-train/{} fruits-test/{}", "trained on fruits-train/, scored on fruits-test/"),
    "wrapped": ("data/pets/train/{} data/pets/test/{}", "trained on data/pets/train/, scored on data/pets/test/"),
    "wrapped classes": ("data/pets/{}", "a fifth of each class in data/pets/ scored"),
    "doubled classes": ("cat/cat dog/dog", "2 classes (cat, dog)"),
    "stations": ("train_station test_tube", "2 classes (test_tube, train_station)"),
    "a class called train in splits": ("train/train train/bus test/train test/bus", "2 classes (bus, train)"),
    "three": ("train/{} val/{} test/{}", "scored on test/; 8 images in val/ left out, which tune scores"),
    "only train": ("train/{}", "a fifth of each class in train/ scored"),
    "a class that is not scored": ("train/{} train/cow test/{}", "nothing is scored of cow"),
}
UNCLEAR = {
    "years": ("2023/{} 2024/{}", "folders of the same names .cat, dog.; write folder:ROOT:train=2023:test=2024"),
    "left and right": ("cat/left cat/right dog/left dog/right", "or folder:ROOT:train=. where cat and the others are"),
    "classes above splits": ("cat/train cat/test dog/train dog/test", "put the splits above the classes, test/CLASS"),
    "a class called train": (
        "bus car train",
        "has the folders bus, car, and train has 4 images .* write folder:ROOT:train=.",
    ),
    "a class called valid": (
        "valid invalid",
        "has the folders invalid, and valid has 4 images .* write folder:ROOT:train=.",
    ),
    "train beside classes": ("train/{} bus", "the folders bus beside train: write folder:ROOT:train=. where"),
    "flat test": ("train/{} test", "test has 4 images directly in it .* write folder:ROOT:train=train to score a part"),
    "flat test and val": ("train/{} val/{} test", "write folder:ROOT:train=train:test=val to score val"),
    "flat": (". .", "it has 4 images directly in it and no folders of classes"),
    "flat splits": ("train test", "train has 4 images directly in it and no folders of classes"),
    "loose": ("cat dog .", r"it has 4 images directly in it beside folders of classes \(cat, dog\)"),
    "loose in a split": ("train/{} train test/{}", "train has 4 images directly in it beside folders of classes"),
    "one class": ("cat", "there is one folder with images, cat, and so one class"),
    "one class in splits": ("train/cat test/cat", "there is one folder with images, cat, and so one class"),
    "no train": ("images/{} test/{}", "no train, and beside it images; .* folder:ROOT:train=images:test=test"),
    "classes beside test": ("cat dog test/{}", "no train, and beside it cat, dog; .* folder:ROOT:train=.:test=test"),
    "two for one": ("train/{} training/{} test/{}", "'train' and 'training' in it are both for train"),
    "case": ("train/{} test/Cat test/dog", "'Cat' is scored .*; 'cat', which has some, is written otherwise"),
}


def laid(root: Path, text: str) -> Path:
    """Four images in each place; {} stands for cat and dog."""
    places = text.split(" ")
    both = [place.replace("~", " ").format(name) for place in places for name in ("cat", "dog")]
    for place in dict.fromkeys(both):
        for number in range(4):
            image(root / place / f"{len(place)}{number}.png")
    return root


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_in_use_are_understood_and_said(name: str, tmp_path: Path) -> None:
    text, says = LAYOUTS[name]
    task = only(suite(f"folder:{laid(tmp_path, text)}"))
    assert says in task.understood
    assert task.classes == len(task.names) == (3 if "cow" in text else 2)


@pytest.mark.parametrize("name", UNCLEAR)
def test_what_can_be_read_in_two_ways_is_refused_with_the_call_that_says_it(name: str, tmp_path: Path) -> None:
    text, says = UNCLEAR[name]
    with pytest.raises(ValueError, match=says.replace("ROOT", str(tmp_path))):
        suite(f"folder:{laid(tmp_path, text)}")


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        ("2023/{} 2024/{}", "train=2023:test=2024", "8 + 8 images, trained on 2023/, scored on 2024/"),
        ("2023/{} 2024/{}", "train=2024", "a fifth of each class in 2024/ scored"),
        ("2023/{} 2024/{}", "train=.", "2 classes (2023, 2024)"),
        ("bus car train", "train=.", "3 classes (bus, car, train)"),
        ("train/{} test", "train=train", "a fifth of each class in train/ scored"),
        ("cat dog test/{}", "train=.:test=test", "8 + 8 images, trained on the folder itself, scored on test/"),
        ("2023/{} 2024/{}", "train=2023:test=2024:shots=2:seed=1", "trained on 2 images a class of 2023/"),
    ],
)
def test_a_layout_may_be_said(text: str, options: str, says: str, tmp_path: Path) -> None:
    assert says in only(suite(f"folder:{laid(tmp_path / 'a:b', text)}:{options}")).understood


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("train=2025", "there is no folder 2025 in it, only 2023, 2024"),
        ("train=2023:test=2023", "train and test are both 2023"),
        ("train=.:test=2024/cat", "2024/cat has 4 images directly in it"),
        ("train=", "train= needs a folder"),
        ("test=2023", "test=DIR needs train=DIR"),
        ("train=2023:train=2024", "train= is there twice"),
    ],
)
def test_a_layout_that_is_said_and_not_there(options: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=says):
        suite(f"folder:{laid(tmp_path, '2023/{} 2024/{}')}:{options}")


def test_two_spellings_of_a_name_are_one_class(tmp_path: Path) -> None:
    for split, form in (("train", "NFC"), ("test", "NFD")):
        for name in ("café", "thé"):
            image(tmp_path / split / unicodedata.normalize(form, name) / "a.png")
            image(tmp_path / split / unicodedata.normalize("NFC", name) / "b.png")
    task = only(suite(f"folder:{tmp_path}"))
    assert (task.names, dict(task.sizes)) == (("café", "thé"), {"train": 4, "test": 4})


def test_names_that_are_no_text_are_escaped(tmp_path: Path) -> None:
    for name in (b"caf\xe9", b"a\nb"):
        for number in range(3):
            image(tmp_path / os.fsdecode(name) / f"{number}.png")
    task = only(suite(f"folder:{tmp_path}"))
    assert task.names == ("a\nb", "caf\\xe9")
    assert "2 classes (a\\nb, caf\\xe9)" in task.understood
    assert len(task.load("train", PLAIN, 4)) == 4


def test_hidden_and_system_folders_are_left_out_at_any_depth(tmp_path: Path) -> None:
    own(tmp_path, "train", "test", classes=2, each=2)
    for place in (".ipynb_checkpoints", "@eaDir/0.png", "sub/.thumbnails", "sub/$RECYCLE.BIN/x"):
        image(tmp_path / "train/class 0" / place / "copy.png")
    image(tmp_path / "train/__MACOSX/class 0/a.png")
    image(tmp_path / "train/class 0/sub/real.png")
    task = only(suite(f"folder:{tmp_path}"))
    assert dict(task.sizes) == {"train": 5, "test": 4}
    assert "left out: $RECYCLE.BIN, .ipynb_checkpoints, .thumbnails, @eaDir, __MACOSX" in task.understood


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    own(tmp_path / "store", classes=2, each=10)
    root = own(tmp_path / "set", classes=2, each=5)
    for label in range(2):
        (root / f"class {label}" / "more").symlink_to(tmp_path / "store" / f"class {label}")
    for number, place in enumerate((root, tmp_path, root / "class 0", Path("."))):
        (root / "class 0" / f"again{number}").symlink_to(place)
    task = only(suite(f"folder:{root}"))
    assert sum(task.sizes.values()) == 30
    linked = tmp_path / "linked"
    linked.mkdir()
    for label in range(2):
        (linked / f"class {label}").symlink_to(tmp_path / "store" / f"class {label}")
    assert sum(only(suite(f"folder:{linked}")).sizes.values()) == 20


def test_a_file_counts_once_in_its_class_by_whatever_names(tmp_path: Path) -> None:
    root = own(tmp_path / "set", classes=2, each=5)
    before = only(suite(f"folder:{root}"))
    (root / "class 0" / "again").symlink_to(root / "class 0")  # a loop, which ends
    (root / "class 0" / "0 link.png").symlink_to(root / "class 0" / "0.png")
    (root / "class 1" / "hard.png").hardlink_to(root / "class 1" / "0.png")
    task = only(suite(f"folder:{root}"))
    assert dict(task.sizes) == dict(before.sizes)
    assert task.revision == before.revision
    said = "2 further names of files that their class has already: class 0/0 link.png, class 1/hard.png"
    assert said in task.understood
    (root / "class 0" / "other.png").symlink_to(root / "class 1" / "1.png")
    assert only(suite(f"folder:{root}")).understood.endswith("; 1 file in more than one class")


def test_a_file_that_is_trained_on_is_not_scored_by_another_name(tmp_path: Path) -> None:
    root = own(tmp_path, "train", "test", classes=2, each=3)
    (root / "test/class 0/linked.png").symlink_to(root / "train/class 0/tr0.png")
    with pytest.raises(ValueError, match=r"train/class 0/tr0\.png and test/class 0/linked\.png are one file"):
        suite(f"folder:{root}")


def test_what_is_present_but_cannot_be_read_is_never_lost(tmp_path: Path) -> None:
    own(tmp_path, "train", "test", classes=2, each=4)
    before = dict(only(suite(f"folder:{tmp_path}")).sizes)
    (tmp_path / "train/class 0/b.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "train/class 0/more").symlink_to(tmp_path / "gone")
    (tmp_path / "train/class 0/self").symlink_to(tmp_path / "train/class 0/self")
    (tmp_path / "test/class 1/b.png").symlink_to("b.png")
    task = only(suite(f"folder:{tmp_path}"))
    assert dict(task.sizes) == {"train": before["train"] + 3, "test": before["test"] + 1}
    assert sorted(listing(task, "train").gone) == [f"train/class 0/{name}" for name in ("b.png", "more", "self")]
    assert "2 folders or links that cannot be read: train/class 0/more, train/class 0/self" in task.understood
