"""What is kept of a run: enough to make its network again, and the features that reports look at."""

import dataclasses
import io
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from rich.console import Console
from safetensors.torch import save_file

import bench.runner.execute
import results
from bench.cli.predict import command, predict, show
from bench.errors import UsageError
from bench.grid.grid import look
from bench.grid.request import Request, grid_of
from bench.runner.artifacts import _compact, kinds_of
from bench.runner.execute import execute
from bench.runner.restore import rebuild
from bench.settings import Keep, RunSettings
from bench.train.evaluate import Answers
from datasets.transforms.decoding import BadImage, decode
from methods import METHODS, Network
from methods.backbones.registry import BACKBONES, Backbone
from results import Cost, Record
from tests.bench.tiny import CLASSES, examples, run
from tests.methods.small import SMALL, batch, plain

BOTH = frozenset(results.KEPT)
OTHERS = ["vqt:keep=0.3", "synqt:kem=trainable", "lora:start=normal", "vqt:pool=weighted"]


@pytest.fixture(autouse=True)
def unplanned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planning takes most of the time of so small a run, and is tested elsewhere."""
    monkeypatch.setattr(bench.runner.execute, "planned_cost", lambda *_: Cost())


def keeping(kinds: frozenset[str], root: Path = Path()) -> RunSettings:
    return RunSettings(torch.device("cpu"), keep=Keep(kinds, root))


def kept(root: Path, method: str, kinds: frozenset[str] = BOTH, backbone: Backbone = SMALL) -> Record:
    asked = dataclasses.replace(run(method, epochs=1), backbone=backbone)
    record = execute(asked, keeping(kinds, root))
    results.save(root, record)
    return record


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Backbone:
    """The small network with weights in a file, under a name."""
    path = tmp_path / "small.safetensors"
    save_file(plain().state_dict(), path)
    backbone = Backbone("stored", SMALL.architecture, path, "for tests")
    monkeypatch.setitem(BACKBONES, "stored", backbone)
    return backbone


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Network]:
    """The networks that runs end with."""
    seen: list[Network] = []
    tested = bench.runner.execute.evaluate

    def watched(network: Network, *rest: Any) -> Answers:
        seen.append(network)
        return tested(network, *rest)

    monkeypatch.setattr(bench.runner.execute, "evaluate", watched)
    return seen


def outputs(network: Network) -> torch.Tensor:
    with torch.inference_mode():
        return network.eval()(batch()[0])


@pytest.mark.parametrize("method", [*sorted(METHODS), *OTHERS])
def test_the_network_is_made_again(method: str, tmp_path: Path, stored: Backbone, trained: list[Network]) -> None:
    record = kept(tmp_path, method, frozenset({"weights"}), stored)
    torch.manual_seed(99)  # what is random and does not learn would be another
    again = rebuild(record, results.load_kept(tmp_path, record, "weights"), None)
    assert torch.equal(outputs(again.network), outputs(trained[-1]))


@pytest.mark.parametrize("method", ["lora", "head2toe"])
def test_a_backbone_of_random_weights_is_kept_whole(method: str, tmp_path: Path, trained: list[Network]) -> None:
    record = kept(tmp_path, method)
    again = rebuild(record, results.load_kept(tmp_path, record, "weights"), None)
    assert torch.equal(outputs(again.network), outputs(trained[-1]))


def test_features_are_what_the_head_reads(tmp_path: Path) -> None:
    record = kept(tmp_path, "synqt", frozenset({"features"}))
    arrays = results.load_kept(tmp_path, record, "features")
    assert arrays["features"].shape == (10, 10)  # ten images of 24 numbers: as many principal scores
    assert arrays["weights"].shape == (10, 36)
    assert (arrays["weights"] > -0.17).all()
    assert arrays["labels"].tolist() == [i % CLASSES for i in range(10)]
    with pytest.raises(results.NotKept):
        results.load_kept(tmp_path, record, "weights")


def test_predictions_are_the_answers_to_the_test_images_in_their_order(tmp_path: Path) -> None:
    record = kept(tmp_path, "linear", frozenset({"predictions"}))
    arrays = results.load_kept(tmp_path, record, "predictions")
    assert arrays["labels"].tolist() == [i % CLASSES for i in range(10)]
    assert (arrays["predicted"] == arrays["labels"]).mean() == record.score.test_accuracy
    (path,) = results.frame([record], tmp_path)["kept_predictions"]
    assert path.stat().st_size < 500


def test_only_what_learned_is_kept_where_the_backbone_is_a_file(tmp_path: Path, stored: Backbone) -> None:
    record = kept(tmp_path, "linear", backbone=stored)
    assert sorted(results.load_kept(tmp_path, record, "weights")) == ["0.vit.head.bias", "0.vit.head.weight"]


def test_another_weight_file_is_refused(tmp_path: Path, stored: Backbone) -> None:
    record = kept(tmp_path, "linear", backbone=stored)
    other = tmp_path / "other.safetensors"
    save_file(plain(seed=1).state_dict(), other)
    arrays = results.load_kept(tmp_path, record, "weights")
    with pytest.raises(UsageError, match=r"name their file with --backbone stored=FILE"):
        rebuild(record, arrays, f"stored={other}")
    assert rebuild(record, arrays, f"stored={stored.weights}")


def test_principal_scores_keep_every_distance() -> None:
    features = torch.randn(20, 300, generator=torch.Generator().manual_seed(0)) + 5
    scores = _compact(features)
    assert scores.shape == (20, 20)
    assert torch.allclose(torch.cdist(scores, scores), torch.cdist(features, features), atol=1e-3)
    assert torch.equal(_compact(features[:, :8]), features[:, :8])


def test_a_run_that_lacks_what_is_asked_for_is_left_to_do(tmp_path: Path) -> None:
    asked = [run("linear", epochs=1)]
    record = kept(tmp_path, "linear", frozenset({"features"}))
    assert not look(asked, tmp_path, keeping(frozenset())).left
    assert not look(asked, tmp_path, keeping(frozenset({"features"}))).left
    assert look(asked, tmp_path, keeping(BOTH)).left
    results.kept_path(tmp_path, record.identity, "features", record.kept["features"]).unlink()
    assert look(asked, tmp_path, keeping(frozenset({"features"}))).left


def test_predicts_as_the_run_was_tested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = kept(tmp_path, "lora")
    files, labels = [], []
    for number, (image, label) in enumerate(examples("test")):
        image.save(tmp_path / f"{number}.png")
        files.append(tmp_path / f"{number}.png")
        labels.append(label)
    answer = predict(results.path_of(tmp_path, record.identity), files, 3, None, "cpu")
    guessed = [guesses[0].label for guesses in answer.images.values()]
    assert sum(a == b for a, b in zip(guessed, labels, strict=True)) / 10 == pytest.approx(record.score.test_accuracy)
    assert all(sum(g.probability for g in guesses) == pytest.approx(1) for guesses in answer.images.values())


def test_classes_have_the_names_of_their_folders_though_the_images_are_gone(tmp_path: Path) -> None:
    images = tmp_path / "birds"
    for number, (image, label) in enumerate(examples("train")):
        folder = images / f"bird [{label}]"
        folder.mkdir(parents=True, exist_ok=True)
        image.save(folder / f"{number}.png")
    (one,) = grid_of(Request("linear", f"folder:{images}:shots=2", backbone=SMALL.name, recipe="demo", epochs=1))
    record = execute(one, keeping(BOTH, tmp_path))
    path = results.save(tmp_path, record)
    photo = (images / "bird [1]" / "1.png").rename(tmp_path / "1.png")
    shutil.rmtree(images)
    answer = predict(path, [photo], 3, None, "cpu")
    assert {(guess.label, guess.name) for guess in answer.images[str(photo)]} == {(k, f"bird [{k}]") for k in range(3)}
    console = Console(file=io.StringIO(), width=100)
    show(answer, console)
    assert "bird [1]" in console.file.getvalue()
    then = "bench.py --suite folder:birds:shots=2 --epochs 1 --recipe my/own.toml --on-bad-image=skip "
    then += "--set momentum=0.5/0.8,warmup_epochs=2 --set max_grad_norm=none"
    recipe = record.recipe | {"momentum": 0.8, "warmup_epochs": 2}
    identity = dataclasses.replace(record.identity, recipe="own")
    known = dataclasses.replace(record, identity=identity, recipe=recipe)
    again = command(dataclasses.replace(known, where=dataclasses.replace(record.where, command=then)), tmp_path)
    assert "--suite folder:PATH:shots=2 --backbone" in again
    assert "--recipe my/own.toml --seeds" in again
    assert "--set=momentum=0.8,warmup_epochs=2,max_grad_norm=none --on-bad-image skip" in again
    assert (
        predict(results.path_of(tmp_path, kept(tmp_path, "linear").identity), [photo], 1, None, "cpu")
        .images[str(photo)][0]
        .name
        is None
    )


def test_predict_reads_files_as_the_run_did(tmp_path: Path) -> None:
    """Turned by EXIF, transparent, grey, with a palette: accuracies are equal, and what training refuses is refused."""
    modes = ("RGB", "RGBA", "L", "P", "RGB")
    for split in ("train", "test"):
        for number, (image, label) in enumerate(examples(split)):
            exif = Image.Exif()
            exif[0x0112] = 3 if number % 2 else 8
            folder = tmp_path / "pets" / split / f"{label}"
            folder.mkdir(parents=True, exist_ok=True)
            image.convert(modes[number % 5]).save(folder / f"{number}.png", exif=exif.tobytes())
    (one,) = grid_of(Request("lora", f"folder:{tmp_path / 'pets'}", backbone=SMALL.name, recipe="demo", epochs=2))
    record = execute(one, keeping(BOTH, tmp_path))
    assert record.preprocessing["rendering"] == "viewed"
    path, files = results.save(tmp_path, record), sorted((tmp_path / "pets" / "test").glob("*/*.png"))
    answer = predict(path, files, 1, None, "cpu")
    right = [guesses[0].name == Path(name).parent.name for name, guesses in answer.images.items()]
    assert sum(right) / len(right) == pytest.approx(record.score.test_accuracy)
    Image.new("I;16", (8, 8), 30_000).save(tmp_path / "deep.png")
    Image.new("F", (8, 8), 0.5).save(tmp_path / "float.tif")
    Image.new("L", (8, 8)).save(tmp_path / "film.gif", save_all=True, append_images=[Image.new("L", (8, 8), 9)])
    Image.merge("LAB", [Image.new("L", (8, 8), 90)] * 3).save(tmp_path / "print.tif")
    refused = {"deep.png": "more than 8 bits", "float.tif": "more than 8 bits", "film.gif": "animated"}
    refused |= {"print.tif": "kind LAB depend on who converts them", "gone.png": "No such file"}
    answer = predict(path, [*(tmp_path / name for name in refused), files[0]], 1, None, "cpu")
    assert list(answer.images) == [str(files[0])]
    for name, says in refused.items():
        assert f"{name}: cannot be read " in answer.failed[str(tmp_path / name)]
        assert says in answer.failed[str(tmp_path / name)]
        with pytest.raises(BadImage, match=says):
            decode(tmp_path / name)


def test_what_cannot_be_predicted_says_what_to_do(tmp_path: Path) -> None:
    record = kept(tmp_path, "linear", frozenset())
    path = results.path_of(tmp_path, record.identity)
    image = tmp_path / "a.png"
    Image.new("RGB", (8, 8)).save(image)
    with pytest.raises(UsageError, match=r"kept no weights; make them with python bench.py .*--keep weights"):
        predict(path, [image], 5, None, "cpu")
    record = kept(tmp_path, "linear")
    answer = predict(path, [path], 5, None, "cpu")
    assert "cannot be read as an image" in answer.failed[str(path)]
    with pytest.raises(UsageError, match=r"the \.json file of a run"):
        predict(tmp_path / "no.json", [image], 5, None, "cpu")
    with pytest.raises(UsageError, match="had weights None of random:small"):
        predict(path, [image], 5, "demo", "cpu")
    weights = results.kept_path(tmp_path, record.identity, "weights", record.kept["weights"])
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(UsageError, match=r"does not match the checksum .*--force"):
        predict(path, [image], 5, None, "cpu")


def test_kinds_are_checked() -> None:
    assert kinds_of("features, weights,predictions") == BOTH
    assert kinds_of("") == frozenset()
    with pytest.raises(UsageError, match="did you mean 'weights'"):
        kinds_of("weihgts")
