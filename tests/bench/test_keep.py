"""What is kept of a run: enough to make its network again, and the features that reports look at."""

from pathlib import Path

import pytest
import torch
from PIL import Image

import bench.execute
import results
from bench.errors import WrongCall
from bench.execute import execute
from bench.execution import Execution, Keep
from bench.grid import look
from bench.keep import _compact, kinds_of
from bench.predict import predict
from bench.rebuild import rebuild
from methods import METHODS
from results import Cost, Record
from tests.bench.tiny import CLASSES, examples, run
from tests.methods.small import batch

BOTH = frozenset(results.KEPT)
OTHERS = ["vqt:keep=0.3", "synqt:kem=trainable", "lora:start=normal", "vqt:pool=weighted"]


@pytest.fixture(autouse=True)
def unplanned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planning takes most of the time of so small a run, and is tested elsewhere."""
    monkeypatch.setattr(bench.execute, "planned_cost", lambda *_: Cost())


def kept(root: Path, method: str, kinds: frozenset[str] = BOTH) -> Record:
    record = execute(run(method, epochs=1), Execution(torch.device("cpu"), keep=Keep(kinds, root)))
    results.save(root, record)
    return record


@pytest.mark.parametrize("method", [*sorted(METHODS), *OTHERS])
def test_the_network_is_made_again(method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = []
    tested = bench.execute.accuracy
    monkeypatch.setattr(
        bench.execute, "accuracy", lambda network, *rest: trained.append(network) or tested(network, *rest)
    )
    record = kept(tmp_path, method)
    again = rebuild(record, results.load_kept(tmp_path, record, "weights"), None)
    images, _ = batch()
    with torch.inference_mode():
        assert torch.equal(again.network.eval()(images), trained[-1].eval()(images))


def test_features_are_what_the_head_reads(tmp_path: Path) -> None:
    record = kept(tmp_path, "synqt", frozenset({"features"}))
    arrays = results.load_kept(tmp_path, record, "features")
    assert arrays["features"].shape == (10, 10)  # ten images of 24 numbers: as many principal scores
    assert arrays["weights"].shape == (10, 36)
    assert (arrays["weights"] > -0.17).all()
    assert arrays["labels"].tolist() == [i % CLASSES for i in range(10)]
    with pytest.raises(results.NotKept):
        results.load_kept(tmp_path, record, "weights")


def test_only_what_learned_is_kept_where_the_backbone_is_a_file(tmp_path: Path) -> None:
    from bench.run import plan_grid
    from methods.backbone import find
    from methods.spec import parse_list
    from tests.bench.tiny import SUITE

    (asked,) = plan_grid(find("demo"), parse_list("linear"), SUITE, SUITE.tasks[:1], "demo", [0], {"epochs": 1})
    record = execute(asked, Execution(torch.device("cpu"), keep=Keep(BOTH, tmp_path)))
    arrays = results.load_kept(tmp_path, record, "weights")
    assert sorted(arrays) == ["0.vit.head.bias", "0.vit.head.weight"]


def test_principal_scores_keep_every_distance() -> None:
    features = torch.randn(20, 300, generator=torch.Generator().manual_seed(0)) + 5
    scores = _compact(features)
    assert scores.shape == (20, 20)
    assert torch.allclose(torch.cdist(scores, scores), torch.cdist(features, features), atol=1e-3)
    assert torch.equal(_compact(features[:, :8]), features[:, :8])


def test_a_run_that_lacks_what_is_asked_for_is_left_to_do(tmp_path: Path) -> None:
    asked = [run("linear", epochs=1)]
    record = kept(tmp_path, "linear", frozenset({"features"}))
    assert not look(asked, tmp_path, False).left
    assert not look(asked, tmp_path, False, frozenset({"features"})).left
    assert look(asked, tmp_path, False, BOTH).left
    results.kept_path(tmp_path, record.identity, "features").unlink()
    assert look(asked, tmp_path, False, frozenset({"features"})).left


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


def test_what_cannot_be_predicted_says_what_to_do(tmp_path: Path) -> None:
    record = kept(tmp_path, "linear", frozenset())
    path = results.path_of(tmp_path, record.identity)
    image = tmp_path / "a.png"
    Image.new("RGB", (8, 8)).save(image)
    with pytest.raises(WrongCall, match=r"kept no weights; make them with python bench.py .*--keep weights"):
        predict(path, [image], 5, None, "cpu")
    record = kept(tmp_path, "linear")
    with pytest.raises(WrongCall, match="cannot be read as an image"):
        predict(path, [path], 5, None, "cpu")
    with pytest.raises(WrongCall, match=r"the \.json file of a run"):
        predict(tmp_path / "no.json", [image], 5, None, "cpu")
    with pytest.raises(WrongCall, match="had weights None of random:small"):
        predict(path, [image], 5, "demo", "cpu")
    weights = results.kept_path(tmp_path, record.identity, "weights")
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(WrongCall, match=r"does not match the checksum .*--force"):
        predict(path, [image], 5, None, "cpu")


def test_kinds_are_checked() -> None:
    assert kinds_of("features, weights") == BOTH
    assert kinds_of("") == frozenset()
    with pytest.raises(WrongCall, match="known: features, weights"):
        kinds_of("weihgts")
