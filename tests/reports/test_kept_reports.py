"""What is shown of kept features: SynQT's weights, and the plane that t-SNE makes of features."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from reports import find
from reports.tables.kept_features import pick
from reports.views.feature_importance import shares
from reports.views.tsne import embedded
from results import Record, frame, save_kept

TASKS = ("cifar", "dtd", "eurosat", "clevr_count")


def with_kept(root: Path, record: Record, images: int = 12, weights: bool = False) -> Record:
    random = np.random.default_rng(record.identity.seed)
    labels = np.arange(images) % 3
    arrays = {"labels": labels, "features": (random.normal(size=(images, 5)) + 9 * labels[:, None]).astype(np.float32)}
    if weights:
        arrays["weights"] = random.uniform(-0.17, 1, (images, 36)).astype(np.float32)
    return dataclasses.replace(record, kept={"features": save_kept(root, record.identity, "features", arrays)})


@pytest.fixture
def kept(make, tmp_path: Path) -> pd.DataFrame:
    records = [make(method, task) for method in ("linear", "vqt:tokens=1", "synqt", "lora") for task in TASKS]
    return frame([with_kept(tmp_path, one, weights=one.identity.method == "synqt") for one in records], tmp_path)


def test_weights_have_a_panel_a_task_in_three_groups(kept: pd.DataFrame) -> None:
    (figure,) = find("feature_importance")(kept)
    panels = [axes for axes in figure.drawing.axes if axes.images]
    assert [axes.get_title(loc="left").split(" ")[0] for axes in panels] == list(TASKS)
    picture = np.ma.filled(panels[0].images[0].get_array(), np.nan)
    assert picture.shape == (12, 3 * 12 + 2 * 2)
    assert np.isnan(picture[:, [12, 13, 26, 27]]).all()
    assert np.nanmin(picture) >= 0
    assert "synqt" in figure.name


def test_features_have_a_row_a_task_and_a_column_a_method(kept: pd.DataFrame) -> None:
    (figure,) = find("tsne")(kept)
    titles = [axes.get_title() for axes in figure.drawing.axes]
    assert titles == ["class token (linear)", "vqt:tokens=1", "synqt", *[""] * 6]
    assert [axes.get_ylabel() for axes in figure.drawing.axes[::3]] == list(TASKS[:3])
    assert all(sorted(text.get_text() for text in axes.texts) == ["0", "1", "2"] for axes in figure.drawing.axes)


def test_the_plane_is_the_same_again_and_keeps_groups_apart() -> None:
    features = np.repeat(np.eye(3) * 50, 10, axis=0) + np.random.default_rng(0).normal(size=(30, 3))
    one, other = embedded(features, 5.0), embedded(features, 5.0)
    assert np.array_equal(one, other)
    middles = [one[i : i + 10].mean(axis=0) for i in (0, 10, 20)]
    spread = max(np.linalg.norm(one[i : i + 10] - middles[i // 10], axis=1).max() for i in (0, 10, 20))
    assert min(np.linalg.norm(middles[a] - middles[b]) for a, b in ((0, 1), (1, 2), (0, 2))) > spread


def test_images_are_picked_evenly_and_in_the_order_of_their_classes() -> None:
    labels = np.arange(100) % 4
    chosen = pick(labels, 50)
    assert len(set(chosen.tolist())) == 50
    assert (np.diff(labels[chosen]) >= 0).all()
    assert pick(labels[:3], 50).tolist() == [0, 1, 2]


def test_shares_count_absolute_weights() -> None:
    assert shares(np.array([0.9, -0.1, 0.5, 0.1])) == (0.25, 0.5)


def test_a_file_that_is_gone_or_changed_is_passed_over(make, tmp_path: Path) -> None:
    records = [with_kept(tmp_path, make("synqt", task), weights=True) for task in TASKS]
    table = frame(records, tmp_path)
    table["kept_features"][0].unlink()
    table["kept_features"][1].write_bytes(b"other")
    (figure,) = find("feature_importance")(table)
    assert len([axes for axes in figure.drawing.axes if axes.images]) == 2
    assert find("feature_importance")(frame(records)) == []
    few = [with_kept(tmp_path, make("linear", seed=9), images=3)]
    assert find("tsne")(frame(few, tmp_path)) == []
