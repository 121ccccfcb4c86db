"""Our networks give the numbers that the published code gave with the same tensors."""

import pytest
import torch
from torch.nn import functional

from bench.train.network import count
from methods import Network
from tests.methods.golden import FOLDER, Case, cases, filled

CASES = [case for case in cases() if case.values["config"]["width"] < 768]
WIDE = [case for case in cases() if case.values["config"]["width"] >= 768]
PIECES = {
    "head2toe",
    "regelu2",
    "schedules",
    "velora",
}  # files of numbers that other tests read, since they are not of whole networks


@pytest.fixture(params=CASES, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


@pytest.fixture(params=["fused", "eager"])
def network(request: pytest.FixtureRequest, case: Case) -> Network:
    network = case.network()
    layers = [module for module in network.modules() if hasattr(module, "fused_attn")]
    assert layers
    for layer in layers:
        layer.fused_attn = request.param == "fused"
    return network


def test_the_fill_rule_gives_the_values_of_the_readme() -> None:
    tensor = {"shape": [4], "offset": 0.0, "amplitude": 0.1, "phase": sum(map(ord, "blocks.0.attn.qkv.weight")) % 97}
    expected = [0.09200260381967906, 0.09561160861278066, 0.05425297990269576, -0.012621672981821014]
    assert filled(tensor, 0.7).tolist() == pytest.approx(expected, rel=1e-14)


def test_every_file_of_golden_numbers_has_cases() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == {case.file for case in (*CASES, *WIDE)} | PIECES


def test_tensors_are_those_of_the_case(case: Case) -> None:
    parts = case.parts(case.network())
    trainable = {name: {part.requires_grad for part in group} for name, group in parts.items()}
    in_part = {name for name, kinds in trainable.items() if len(kinds) > 1}
    assert all(case.rows(name) is not None for name in in_part)
    trainable |= {name: {True} for name in in_part}
    assert trainable == {tensor["name"]: {tensor["trainable"]} for tensor in case.values["tensors"]}


def test_logits(case: Case, network: Network) -> None:
    expected = torch.tensor(case.values["logits"], dtype=torch.float64)
    torch.testing.assert_close(network(case.images()), expected, rtol=1e-9, atol=0)


def test_loss_and_gradients(case: Case, network: Network) -> None:
    check_gradients(case, network)


@pytest.mark.slow
@pytest.mark.parametrize("case", WIDE, ids=str)
def test_a_network_of_full_size(case: Case) -> None:
    network = case.network()
    check_gradients(case, network)
    with torch.no_grad():
        test_logits(case, network)


def check_gradients(case: Case, network: Network) -> None:
    loss = functional.cross_entropy(network(case.images()), torch.tensor(case.values["targets"]))
    loss.backward()
    assert loss.item() == pytest.approx(case.values["loss"], rel=1e-9)
    for name, group in case.parts(network).items():
        norm = case.values["grad_l2"].get(name)
        if norm is None:
            assert all(part.grad is None for part in group), name
            continue
        gradient = case.gradient(name, group)
        weights = torch.cos(0.3 * torch.arange(len(gradient), dtype=torch.float64))
        assert gradient.norm().item() == pytest.approx(norm, rel=1e-7, abs=1e-14), name
        probe = (gradient * weights).sum().item()
        assert probe == pytest.approx(case.values["grad_probe"][name], rel=1e-7, abs=1e-9 * norm + 1e-14), name


def test_trainable_counts(case: Case) -> None:
    counts = count(case.network())
    expected = case.values["trainable_count"]
    names = ("total_used", "without_classifier_used") if "total_used" in expected else ("total", "without_head")
    assert (counts.trainable, counts.trainable_without_head) == tuple(expected[name] for name in names)
