"""A few steps of pre-training write a file that the small ViT loads, and the pictures are what their labels say."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from datasets.demo.formulas import Bank, draw_bank
from datasets.demo.pictures import UNLABELLED, compose, label_sizes
from tools.pretrain import BATCH, _optimizers, network, pretrain, write_weights

EMBEDDED = Path(__file__).parents[2] / "methods/weights/demo.safetensors"


@pytest.fixture(scope="module")
def bank() -> Bank:
    return draw_bank(kinds=2, each=3, seed=0)


def test_the_bank_is_drawn_alike_for_one_seed(bank: Bank) -> None:
    again, other = draw_bank(2, 3, seed=0), draw_bank(2, 3, seed=1)
    assert (bank.figure_kinds, bank.ground_kinds) == (6, 2)
    assert torch.equal(bank.figures, again.figures)
    assert torch.equal(bank.grounds, again.grounds)
    assert not torch.equal(bank.figures, other.figures)
    assert all(figure.float().mean() > 3 for figure in bank.figures), "an empty figure teaches nothing"


def test_pictures_and_labels_keep_their_ranges(bank: Bank) -> None:
    pictures, labels = compose(bank, 200, 32, 0.3, torch.Generator().manual_seed(0))
    assert pictures.shape == (200, 3, 32, 32)
    assert 0 <= pictures.min() < pictures.max() <= 1
    for part, size in zip(labels.unbind(1), label_sizes(bank), strict=True):
        assert ((part == UNLABELLED) | ((part >= 0) & (part < size))).all()


def test_easy_pictures_are_light_on_dark_and_grey(bank: Bank) -> None:
    pictures, labels = compose(bank, 50, 32, 1.0, torch.Generator().manual_seed(0))
    assert torch.equal(pictures[:, 0], pictures[:, 2])
    assert labels[:, 2:].unique(dim=0).tolist() == [[26, 0]]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_few_steps_write_a_file_that_loads(bank: Bank, tmp_path: Path) -> None:
    outcome = pretrain(bank, seed=0, steps=2)
    again = pretrain(bank, seed=0, steps=2)
    assert all(torch.equal(value, again.weights[name]) for name, value in outcome.weights.items())
    path = tmp_path / "deep" / "few.safetensors"
    write_weights(outcome, path, "a test")
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    network(0).load_state_dict(load_file(path))
    with safe_open(path, "pt") as file:
        assert file.metadata()["images_seen"] == str(2 * BATCH)


def test_the_embedded_checkpoint_is_small_and_loads() -> None:
    assert EMBEDDED.stat().st_size <= 6_000_000
    weights = load_file(EMBEDDED)
    assert {value.dtype for value in weights.values()} == {torch.float16}
    network(0).load_state_dict(weights)


def test_matrices_of_blocks_belong_to_one_optimizer_and_the_rest_to_the_other() -> None:
    net = network(10)
    rest, matrices = (
        [weight for group in each.param_groups for weight in group["params"]] for each in _optimizers(net)
    )
    assert len(rest) + len(matrices) == len({id(weight) for weight in [*rest, *matrices]}) == len([*net.parameters()])
    assert {id(weight) for weight in matrices} == {id(w) for w in net.blocks.parameters() if w.ndim == 2}
