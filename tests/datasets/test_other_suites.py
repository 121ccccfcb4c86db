"""FGVC, few-shot, domain generalisation and one's own folder: layouts, class counts, draws, masks and options."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from datasets import PRESETS, Task, locate, suite
from datasets.files.listing import Listing
from tests.datasets.made import write

PLAIN = PRESETS["checkpoint"]


def listing(task: Task, split: str) -> Listing:
    found = task.source(split)
    assert isinstance(found, Listing)
    return found


def image(path: Path) -> None:
    write(path, seed=len(str(path)), size=4)


def lists(folder: Path, named: Mapping[str, list[tuple[str, int]]], images: str = "images") -> None:
    """NOAH's lists below annotations/."""
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    for name, entries in named.items():
        for path, _ in entries:
            image(folder / images / path)
        (folder / "annotations" / name).write_text("".join(f"{path} {label}\n" for path, label in entries))


# FGVC


@pytest.mark.parametrize(
    ("name", "folder", "images"),
    [
        ("cub", "CUB_200_2011", "images"),
        ("nabirds", "nabirds", "images"),
        ("oxford_flowers", "OxfordFlowers", "."),
        ("stanford_dogs", "Stanford-dogs", "Images"),
        ("stanford_cars", "stanford_cars", "."),
    ],
)
def test_fgvc_json_splits_whose_ids_become_classes(name: str, folder: str, images: str, tmp_path: Path) -> None:
    fgvc = suite("fgvc")
    (task,) = [task for task in fgvc.tasks if task.name == name]
    ids = [3 * label + 1 for label in range(task.classes)]  # as they are, with gaps and not from zero
    for split, count in (("train", task.classes), ("val", 2), ("test", 3)):
        entries = {f"{split}/{number}.png": ids[-1 - number] for number in range(count)}
        for path in entries:
            image(tmp_path / folder / images / path)
        (tmp_path / folder / f"{split}.json").write_text(json.dumps(entries))
    (found,) = locate(fgvc, [task], tmp_path)
    assert listing(found, "train").labels == tuple(reversed(range(task.classes)))
    assert found.load("test", PLAIN, 4).labels.tolist() == [task.classes - 1 - number for number in range(3)]
    assert found.sizes == {"train": task.classes, "val": 2, "test": 3}


def test_fgvc_has_the_published_sizes() -> None:
    assert [(task.classes, *task.sizes.values()) for task in suite("fgvc").tasks] == [
        (200, 5394, 600, 5794),
        (555, 21536, 2393, 24633),
        (102, 1020, 1020, 6149),
        (120, 10800, 1200, 8580),
        (196, 7329, 815, 8041),
    ]


# few-shot


def few_shot_copy(root: Path, shots: int) -> None:
    """Pets with as many images a class; each seed draws its own."""
    named = {
        f"train_meta.list.num_shot_{shots}.seed_{seed}": [
            (f"a class/{seed} {number}.png", number % 37) for number in range(37 * shots)
        ]
        for seed in range(3)
    }
    lists(root / "few-shot/oxford-pets", named | {"val_meta.list": [("v.png", 1)], "test_meta.list": [("t.png", 36)]})


def test_few_shot_has_the_published_sizes_and_the_defect() -> None:
    few = suite("few_shot")
    tasks = {task.name: task for task in few.tasks}
    assert len(tasks) == 25
    assert [sum(task.group == group for task in few.tasks) for group in few.groups] == [5] * 5
    sets = ("aircraft", "food101", "flowers102", "pets", "cars")
    assert [tasks[f"{name}-shots16"].sizes["train"] for name in sets] == [1600, 1616, 1632, 592, 3136]
    assert [tasks[f"{name}-shots1"].sizes["test"] for name in sets] == [3333, 30300, 2463, 3669, 8041]
    assert tasks["pets-shots1"].sizes["train"] == 74
    assert [name for name, task in tasks.items() if task.note] == ["pets-shots1"]


def test_a_seed_of_a_run_takes_the_list_of_that_seed(tmp_path: Path) -> None:
    few_shot_copy(tmp_path, 2)
    few = suite("few_shot")
    (task,) = locate(few, [task for task in few.tasks if task.name == "pets-shots2"], tmp_path)
    drawn = [task.drawn(seed) for seed in range(3)]
    assert [listing(each, "train").names[0] for each in drawn] == [f"a class/{seed} 0.png" for seed in range(3)]
    assert [each.draw for each in drawn] == [0, 1, 2]
    assert len({each.revision for each in drawn}) == 1  # so that a table takes the seeds together
    assert all(each.sizes["train"] == 74 and listing(each, "test").labels == (36,) for each in drawn)
    with pytest.raises(ValueError, match=r"pets-shots2 has lists for the seeds 0\.\.2, not for 3"):
        task.drawn(3)


def test_a_list_of_one_seed_alone_is_not_enough(tmp_path: Path) -> None:
    few_shot_copy(tmp_path, 1)
    (tmp_path / "few-shot/oxford-pets/annotations/train_meta.list.num_shot_1.seed_2").unlink()
    few = suite("few_shot")
    with pytest.raises(ValueError, match="pets-shots1"):
        locate(few, [task for task in few.tasks if task.name == "pets-shots1"], tmp_path)


# domain generalisation


@pytest.fixture(scope="module")
def imagenets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("domain")
    train = {
        f"train_meta.list.num_shot_16.seed_{seed}": [(f"train/{seed}/{number}.png", 10 * number) for number in range(5)]
        for seed in range(3)
    }
    lists(root / "few-shot/imagenet", train | {"val_meta.list": [("val/0.png", 999)]})
    for name in ("imagenetv2", "imagenet-sketch", "imagenet-a", "imagenet-r"):
        lists(root / "few-shot" / name, {"val_meta.list": [("an image.png", 7), ("other.png", 30)]})
    return root


def test_every_target_has_the_training_images_of_imagenet(imagenets: Path) -> None:
    domain = suite("domain")
    found = locate(domain, domain.tasks, imagenets)
    assert [len(listing(task, "test")) for task in found] == [1, 2, 2, 2, 2]
    assert {listing(task.drawn(1), "train").names for task in found} == {tuple(f"train/1/{n}.png" for n in range(5))}
    assert all(task.scored == () for task in found)
    assert found[3].load("test", PLAIN, 4).labels.tolist() == [7, 30]


def test_the_mask_is_an_option_and_another_suite(imagenets: Path) -> None:
    masked = suite("domain:mask")
    assert masked.name == "domain:mask"
    assert [task.drawn(2).scored for task in locate(masked, masked.tasks, imagenets)] == [(999,), *[(7, 30)] * 4]
    with pytest.raises(ValueError, match="no option 'masks'"):
        suite("domain:masks")


def test_targets_without_their_source_are_not_there(imagenets: Path, tmp_path: Path) -> None:
    lists(tmp_path / "imagenet-a", {"val_meta.list": [("an image.png", 7)]})
    domain = suite("domain")
    look = domain.look(domain.tasks[3], tmp_path)  # type: ignore[misc]
    assert not look.complete
    assert any("imagenet/annotations/train_meta" in name for name in look.missing)
