"""Augmented images follow from seed, epoch and image, whoever makes them; a run on them is as any other."""

import dataclasses
import json
import multiprocessing
import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import bench.data.loader
import bench.runner.execute
from bench.data.batches import passes, shuffled, steps_in_epoch, training_split
from bench.data.loader import Augmented, order_of, seeded
from bench.data.splits import load
from bench.run import Run, plan_grid
from bench.runner.execute import execute
from bench.runner.record import Trace, recorded
from bench.runner.stale import lacking
from bench.settings import LoaderSettings, RunSettings
from datasets import Split, Task, locate, suite
from datasets.transforms.decoding import BadImage
from datasets.transforms.preprocessing import PRESETS
from methods.recipe import Recipe
from methods.spec import parse_list
from results import Cost, Record, save
from results import load as read
from tests.bench.tiny import run as tiny_run
from tests.datasets.made import suite_copy, write
from tests.methods.small import SMALL

CPU = torch.device("cpu")
COUNT = 13  # training images: no multiple of a batch or of a piece
HERE = RunSettings(CPU, loader=LoaderSettings(workers=0))
AWAY = RunSettings(CPU, loader=LoaderSettings(workers=2))


def listed(folder: Path, name: str, count: int, size: int = 24) -> dict[str, int]:
    """Images of noise, each of a class of its own as long as there are classes."""
    entries = {f"{name} {number}.png": number % 5 for number in range(count)}
    for number, path in enumerate(entries):
        write(folder / path, len(name) * 1000 + number, size)
    return entries


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fine-grained set with JSON splits and a few-shot set with NOAH's lists."""
    root = tmp_path_factory.mktemp("data")
    flowers, pets = root / "fgvc/OxfordFlowers", root / "few-shot/oxford-pets"
    for split, count in (("train", COUNT), ("val", 2), ("test", 6)):
        entries = listed(flowers, split, count)
        (flowers / f"{split}.json").write_text(json.dumps(entries))
    (pets / "annotations").mkdir(parents=True)
    names = [f"train_meta.list.num_shot_2.seed_{seed}" for seed in range(3)]
    for name, count in (*((name, COUNT) for name in names), ("val_meta.list", 2), ("test_meta.list", 6)):
        lines = [f"{path} {label}\n" for path, label in listed(pets / "images", name, count).items()]
        (pets / "annotations" / name).write_text("".join(lines))
    return root


def found(name: str, task: str, data: Path) -> Task:
    return locate(suite(name), [each for each in suite(name).tasks if each.name == task], data)[0]


def asked(data: Path, preset: str, seed: int = 0, method: str = "linear", **recipe: object) -> Run:
    """Two epochs of batches of five."""
    name, task = ("fgvc", "oxford_flowers") if preset == "vpt_fgvc" else ("few_shot", "pets-shots2")
    there = dataclasses.replace(suite(name), tasks=(found(name, task, data),))
    values = {"epochs": 2, "batch_size": 5, "preprocessing": preset, **recipe}
    return plan_grid(SMALL, parse_list(method), there, there.tasks, "common", [seed], values)[0]


def batches(run: Run, how: RunSettings, **recipe: object) -> list[tuple[Tensor, Tensor]]:
    """All that is trained on."""
    split, skipped = training_split(run, how)
    assert isinstance(split, Augmented)
    assert skipped == 0
    drawn = passes(split, dataclasses.replace(run.recipe, **recipe), run.seed)
    return list(drawn)


def same(first: list[tuple[Tensor, Tensor]], second: list[tuple[Tensor, Tensor]]) -> bool:
    pairs = zip(first, second, strict=True)
    return all(torch.equal(a, b) for one, other in pairs for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(("preset", "parts"), [("vpt_fgvc", 2), ("dtl_few_shot", 8), ("noah_few_shot", 3)])
def test_who_makes_the_images_changes_nothing(
    data: Path, preset: str, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.data.loader, "PIECES", parts)
    here, away = (batches(asked(data, preset), how, epochs=4) for how in (HERE, AWAY))
    assert [len(labels) for _, labels in here] == 4 * [5, 5, 3]
    assert same(here, away)


def by_image(drawn: list[tuple[Tensor, Tensor]], order: Iterator[int]) -> dict[int, Tensor]:
    return dict(zip(order, torch.cat([images for images, _ in drawn]), strict=True))


@pytest.mark.parametrize("preset", ["vpt_fgvc", "dtl_few_shot"])
def test_every_epoch_and_seed_has_images_of_its_own_and_an_order_of_its_own(data: Path, preset: str) -> None:
    run = asked(data, preset)
    split = training_split(run, HERE)[0]
    drawn, other = batches(run, HERE), batches(asked(data, preset, seed=1), HERE)
    orders = [order_of(COUNT, seed, epoch).tolist() for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    assert len({tuple(order) for order in orders}) == 3
    assert all(sorted(order) == list(range(COUNT)) for order in orders)
    assert torch.equal(torch.cat([labels for _, labels in drawn[:3]]), split.labels[orders[0]])
    assert torch.equal(torch.cat([labels for _, labels in drawn[3:]]), split.labels[orders[1]])
    first, second, third = (
        by_image(part, iter(order)) for part, order in zip((drawn[:3], drawn[3:], other[:3]), orders, strict=True)
    )
    alike = [torch.equal(a[place], b[place]) for a, b in ((first, second), (first, third)) for place in range(COUNT)]
    assert sum(alike) < 3  # an image may fall on the same crop twice


@pytest.mark.parametrize("preset", ["vpt_fgvc", "dtl_few_shot"])
def test_an_image_follows_from_seed_epoch_and_index_as_it_always_did(data: Path, preset: str) -> None:
    """Runs of today must see the pixels of runs that were recorded before."""
    run = asked(data, preset, seed=2)
    listing, epoch = run.task.source("train"), 1
    index = int(np.random.default_rng((3, 2, epoch)).permutation(COUNT)[0])
    with seeded(1, 2, epoch, index):
        image = listing.augmented(index, PRESETS[preset], 32)
    assert torch.equal(batches(run, HERE)[3][0][0], image)


def test_an_image_does_not_depend_on_its_batch(data: Path) -> None:
    small, large = (batches(asked(data, "dtl_few_shot", batch_size=size), HERE) for size in (4, 13))
    assert torch.equal(torch.cat([images for images, _ in small[:4]]), large[0][0])


def test_an_image_is_cut_out_of_the_file_as_it_is_resized_for_the_test(data: Path) -> None:
    run = asked(data, "vpt_fgvc")
    images, _ = batches(run, HERE)[0]
    listing = run.task.source("train")
    place = int(order_of(COUNT, 0, 0)[0])
    file = Image.open(listing.folder / listing.names[place]).resize((36, 36), Image.Resampling.BILINEAR)
    whole = torch.from_numpy(np.array(file)).permute(2, 0, 1)
    parts = [whole[:, top : top + 32, left : left + 32] for top in range(5) for left in range(5)]
    assert any(torch.equal(images[0], part) or torch.equal(images[0], part.flip(2)) for part in parts)


def test_the_random_numbers_of_the_run_go_on_as_before(data: Path) -> None:
    random.seed(5)
    np.random.seed(5)
    torch.manual_seed(5)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    batches(asked(data, "noah_few_shot"), HERE)
    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == before


def test_keys_that_differ_draw_other_numbers() -> None:
    numbers = set()
    for key in ((1, 0, 0, 0), (1, 0, 0, 1), (1, 0, 1, 0), (1, 1, 0, 0), (2, 0, 0, 0), (1, 2**40, 0, 0)):
        with seeded(*key):
            numbers |= {random.random(), float(np.random.rand()), float(torch.rand(()))}
    assert len(numbers) == 18


def test_a_training_that_ends_early_leaves_no_process(data: Path) -> None:
    split, _ = training_split(asked(data, "dtl_few_shot"), AWAY)
    with closing(passes(split, Recipe(epochs=50, batch_size=4), 0)) as drawn:
        next(drawn)
        assert multiprocessing.active_children()
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("how", [HERE, AWAY])
def test_a_bad_image_fails_with_its_name_or_is_left_out(
    how: RunSettings, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    run = asked(data, "vpt_fgvc")
    listing = run.task.source("train")
    path = listing.folder / listing.names[7]
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[:-30])
        with pytest.raises(BadImage, match=r"^\S.*train 7\.png: the PNG ends too early[^\n]*$"):
            batches(run, how)
        skip = dataclasses.replace(how, loader=dataclasses.replace(how.loader, on_bad_image="skip"))
        split, skipped = training_split(run, skip)
        assert (len(split), skipped) == (COUNT - 1, 1)
    finally:
        path.write_bytes(whole)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planning takes longer than these runs and is not what is tested here."""
    monkeypatch.setattr(bench.runner.execute, "planned_cost", lambda *_: Cost())


WORDS = {"vpt_fgvc": "random_crop", "dtl_few_shot": "random_resized_crop", "noah_few_shot": "random_resized_crop"}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("preset", WORDS)
def test_a_run_from_files_to_record(data: Path, preset: str, tmp_path: Path) -> None:
    run = asked(data, preset, method="lst", evaluate_every=1)
    record = execute(run, HERE)
    assert record.status == "ok"
    assert all(np.isfinite(record.score.train_losses))
    assert all(13 * value == pytest.approx(round(13 * value)) for value in record.score.train_accuracies)
    assert (record.cost.train_images, record.cost.test_images) == (COUNT, 6)
    assert record.preprocessing["augmentation"].startswith(WORDS[preset].replace("_", " "))
    assert read(save(tmp_path, record)) == record
    plain = {key: value for key, value in record.preprocessing.items() if key != "augmentation"}
    assert lacking(run, record, tmp_path, HERE) == ""
    assert "augments otherwise" in lacking(run, dataclasses.replace(record, preprocessing=plain), tmp_path, HERE)
    assert execute(run, AWAY).score == record.score
    assert execute(run, HERE).score == record.score
    assert execute(asked(data, preset, 1, "lst", evaluate_every=1), HERE).score != record.score


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("asked_for", ["auto", "on", "off"])
def test_no_features_are_kept_of_augmented_images(data: Path, asked_for: str) -> None:
    how = dataclasses.replace(HERE, cache_features=asked_for)
    speedups = execute(asked(data, "dtl_few_shot"), how).speedups
    why = "switched off" if asked_for == "off" else "training images are augmented anew in every epoch"
    assert (speedups.feature_cache, speedups.feature_cache_reason) == (None, why)


@pytest.mark.usefixtures("quick")
def test_the_epochs_of_a_later_stage_are_drawn_as_well(data: Path) -> None:
    score = execute(asked(data, "vpt_fgvc", method="vqt:keep=0.5"), HERE).score
    assert len(score.train_losses) == 6


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("preset", WORDS)
def test_images_in_memory_are_augmented_as_well(preset: str) -> None:
    run = tiny_run("linear", preprocessing=preset)
    records: list[Record] = [execute(run, how) for how in (HERE, AWAY)]
    assert records[0].score == records[1].score
    assert records[0].score != execute(tiny_run("linear", preprocessing="checkpoint"), HERE).score
    broken = dataclasses.replace(run.task, sizes={"train": 99, "test": 10})
    with pytest.raises(ValueError, match="should have 99 images but has 12"):
        execute(dataclasses.replace(run, task=broken), HERE)


def test_what_is_not_augmented_is_trained_on_as_before(tmp_path: Path) -> None:
    """The same pixels, on the device, in the order of a generator with the run's seed; and nothing new is recorded."""
    vtab = suite("vtab")
    (dtd,) = [task for task in vtab.tasks if task.name == "dtd"]
    there = dataclasses.replace(vtab, tasks=tuple(locate(vtab, [dtd], suite_copy(tmp_path, [dtd], train=12, test=6))))
    for preset in ("vpt", "noah", "dtl", "synqt", "checkpoint"):
        values = {"epochs": 2, "batch_size": 5, "preprocessing": preset}
        (run,) = plan_grid(SMALL, parse_list("linear"), there, there.tasks, "common", [3], values)
        split, _ = training_split(run, HERE)
        assert isinstance(split, Split)
        assert torch.equal(split.images, run.task.load("train", PRESETS[preset], 32).images)
        assert split.images is load(run, "train", HERE.loader, in_memory=True).split.images
        order = torch.Generator().manual_seed(3)
        plain = [pair for _ in range(2) for pair in shuffled(split, 5, False, order)]
        assert same(list(passes(split, run.recipe, 3)), plain)
        assert "augmentation" not in recorded(run, Trace(CPU), "oom").preprocessing


@pytest.mark.parametrize(("images", "steps"), [(3, 1), (4, 1), (9, 2)])
def test_a_last_batch_is_dropped_where_the_recipe_says_so(data: Path, images: int, steps: int) -> None:
    recipe = Recipe(epochs=2, batch_size=4, drop_last=True)
    assert steps_in_epoch(images, recipe) == steps
    sizes = [len(labels) for _, labels in batches(asked(data, "vpt_fgvc"), HERE, batch_size=4, drop_last=True)]
    assert sizes == 6 * [4]
