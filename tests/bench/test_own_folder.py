"""One's own folder, from call to caption: what was understood is said, and bad images thin out no class unseen."""

import dataclasses
import io
import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

import results
from bench.cli.data import app
from bench.cli.grid import grid
from bench.cli.own_images import best_within, close
from bench.data.splits import load_split
from bench.errors import UsageError
from bench.grid.request import Request, runs_of
from bench.settings import LoaderSettings, RunSettings
from reports.tables.captions import conditions
from reports.tables.comparison import comparisons
from results import Record, frame

SKIP = LoaderSettings(workers=0, on_bad_image="skip")
FAIL = LoaderSettings(workers=0)


@pytest.fixture(autouse=True)
def forgetful(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "seen"))


def folder(root: Path, *splits: str, each: int = 10) -> Path:
    for split in splits or (".",):
        for name, colour in (("cat", 200), ("dog", 20)):
            (root / split / name).mkdir(parents=True)
            for number in range(each):
                Image.new("RGB", (8, 8), (colour, number, 0)).save(root / split / name / f"{number}.png")
    return root


def damage(*files: Path) -> None:
    for file in files:
        file.write_bytes(file.read_bytes()[:40])


def do(
    suite: str, root: Path, loader: LoaderSettings = FAIL, backbone: str = "random:test_vit"
) -> tuple[str, list[Record]]:
    """What is said, and the records."""
    said = io.StringIO()
    request = Request("linear", f"folder:{suite}", None, backbone, "common", epochs=1)
    grid(request, root, RunSettings(torch.device("cpu"), loader=loader), Console(file=said, width=200))
    return said.getvalue(), [results.load(path) for path in sorted((root / "runs").rglob("*.json"))]


def test_what_was_understood_is_said_before_training_in_the_record_and_in_the_caption(tmp_path: Path) -> None:
    pets = folder(tmp_path / "pets", "training_set", "dev", each=3)
    (pets / "training_set/cat/notes.txt").write_text("no image")
    said, (record,) = do(str(pets), tmp_path / "r")
    line = "2 classes (cat, dog), 6 + 6 images, trained on training_set/, scored on dev/; "
    assert said.index(f"pets: {line}") < said.index("1 run done now")
    assert record.understood == line + "no images by their endings, and left out: 1 file (.txt)"
    (one,) = comparisons(frame([record]))
    assert f"pets: {record.understood}." in conditions(one)
    assert record.where.folder is not None
    assert record.where.folder.endswith("/pets")
    assert not conditions(dataclasses.replace(one, runs=frame([dataclasses.replace(record, understood="")]))).count(
        "cat"
    )


def test_the_embedded_checkpoint_is_called_a_toy(tmp_path: Path) -> None:
    pets = str(folder(tmp_path / "pets", each=3))
    assert "a toy that sees 32 x 32 pixels" in do(pets, tmp_path / "r", backbone="demo")[0]
    assert "a toy" not in do(pets, tmp_path / "r")[0]


def test_what_is_present_but_unreadable_fails_by_its_name_or_is_counted(tmp_path: Path) -> None:
    pets = folder(tmp_path / "pets", "train", "test", each=4)
    for number in range(3):
        (pets / f"train/cat/more{number}").symlink_to(tmp_path / "gone")
    with pytest.raises(
        UsageError, match=r"train/cat/more0 and 2 more .*No such file .*data check folder:\S+pets names all"
    ):
        do(str(pets), tmp_path / "r")
    _, (record,) = do(str(pets), tmp_path / "r", SKIP)
    assert (record.score.skipped_images, record.cost.train_images) == ({"train": 3}, 8)


def test_a_class_that_loses_every_image_is_an_error(tmp_path: Path) -> None:
    pets = folder(tmp_path / "pets", "train", "test", each=4)
    damage(*(pets / "test/dog").iterdir())
    with pytest.raises(UsageError, match=r"of class dog no image of the test split .* test/dog/0.png: is no image"):
        do(str(pets), tmp_path / "r", SKIP)
    damage(*(pets / "train/cat").iterdir())
    with pytest.raises(UsageError, match="of class cat no image of the train split can be decoded"):
        do(str(pets), tmp_path / "r", SKIP)


def test_shots_are_drawn_among_what_decodes(tmp_path: Path) -> None:
    pets = folder(tmp_path / "pets", each=10)
    (run,) = runs_of(Request("linear", f"folder:{pets}:shots=3", backbone="random:test_vit", recipe="common"))
    first = {split: [pets / name for name in run.task.source(split).names] for split in ("train", "test")}
    damage(first["train"][0], first["test"][0])
    (again,) = runs_of(Request("linear", f"folder:{pets}:shots=3", backbone="random:test_vit", recipe="common"))
    train, test = (load_split(again.task, split, again.preset, 8, SKIP) for split in ("train", "test"))
    assert train.split.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert test.split.labels.tolist() == [0, 0, 1, 1]
    assert (train.skipped, test.skipped) == (1, 1)
    colours = [
        {int(image[1, 0, 0]) for image, label in zip(part.split.images, part.split.labels, strict=True) if not label}
        for part in (train, test)
    ]
    assert not colours[0] & colours[1]
    _, (record,) = do(f"{pets}:shots=3", tmp_path / "r", SKIP)
    assert (record.cost.train_images, record.cost.test_images) == (6, 4)
    damage(*(pets / f"cat/{number}.png" for number in range(7)))
    with pytest.raises(
        UsageError, match=r"class 'cat' has \d training images? that can be decoded, fewer than shots=3"
    ):
        do(f"{pets}:shots=3", tmp_path / "r", SKIP)


def test_a_class_of_few_keeps_a_scored_image(tmp_path: Path) -> None:
    """Whichever image of five is damaged, one is scored and three are trained on."""
    for number in range(5):
        pets = folder(tmp_path / f"pets{number}", each=5)
        damage(pets / f"cat/{number}.png")
        (run,) = runs_of(Request("linear", f"folder:{pets}", backbone="random:test_vit", recipe="common"))
        labels = [load_split(run.task, split, run.preset, 8, SKIP).split.labels.tolist() for split in ("train", "test")]
        assert labels == [[0, 0, 0, 1, 1, 1, 1], [0, 1]]


def test_data_check_says_what_was_understood(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["check", f"folder:{folder(tmp_path / 'pets', each=5)}", "--json"])
    (row,) = json.loads(done.stdout)["tasks"]
    (said,) = [finding["message"] for finding in row["findings"] if finding["kind"] == "layout"]
    assert said.startswith("2 classes (cat, dog), 8 + 2 images")


def test_unbalanced_classes_are_said(tmp_path: Path) -> None:
    parts = folder(tmp_path / "parts", "train", "test", each=10)
    assert "unbalanced" not in do(str(parts), tmp_path / "even")[0]
    for split in ("train", "test"):
        for number in range(1, 10):
            (parts / split / "dog" / f"{number}.png").unlink()
    said, (record,) = do(str(parts), tmp_path / "r")
    assert (
        "parts: the classes are unbalanced: of the training images cat has 90.9 % and dog 9.1 %, and who always" in said
    )
    assert "answers cat is right on 90.9 % of the test images" in said
    assert record.score.mean_class_accuracy is not None


def test_a_grid_of_own_images_ends_with_confusions_and_how_to_predict(tmp_path: Path) -> None:
    pets = f"folder:{folder(tmp_path / 'pets', each=10)}"
    _, (record,) = do(pets.removeprefix("folder:"), tmp_path / "r")

    def closing(*records: Record, budget: int | None = None, suite: str = pets) -> str:
        said = io.StringIO()
        close(records, tmp_path / "r", suite, budget, Console(file=said, width=200))
        return said.getvalue()

    record, better = (
        dataclasses.replace(record, score=dataclasses.replace(record.score, test_accuracy=value)) for value in (0.5, 1)
    )
    large = dataclasses.replace(
        better,
        identity=dataclasses.replace(record.identity, method="full"),
        cost=dataclasses.replace(record.cost, planned_peak_bytes=2**34),
    )
    said = closing(record, large)
    assert "The best method is full: 100.0 % of the test images are right" in said
    assert "cat" in said
    assert f"--methods full --suite {pets} " in said
    assert "--keep weights\nand then: python bench.py predict " in said
    assert "The best method within 12 GiB is linear" in closing(record, large, budget=12 * 2**30)
    assert "No method that has finished every task fits within 0.5 GiB; the smallest" in closing(record, budget=2**29)
    assert closing(record, suite="demo") == ""
    assert "The best method within 12 GiB" in closing(record, suite="demo", budget=12 * 2**30)


def test_a_method_whose_recipe_differs_by_task_can_be_the_best(tmp_path: Path) -> None:
    _, (record,) = do(str(folder(tmp_path / "pets")), tmp_path / "r")

    def one(method: str, task: str, rate: float, accuracy: float) -> Record:
        changes = {"recipe": {"learning_rate": rate}}
        identity = dataclasses.replace(record.identity, method=method, task=task, changes=changes)
        score = dataclasses.replace(record.score, test_accuracy=accuracy)
        return dataclasses.replace(record, identity=identity, score=score)

    by_task = [one("dtl", "a", 0.1, 0.8), one("dtl", "b", 0.2, 0.6)]
    swept = [one("lora", task, rate, 5 * rate) for task in ("a", "b") for rate in (0.1, 0.12)]
    assert best_within([*by_task, *swept], None) == by_task
    assert best_within(swept, None) == [run for run in swept if run.identity.changes["recipe"]["learning_rate"] == 0.12]
