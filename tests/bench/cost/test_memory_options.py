"""Options that save memory, on the command line and in training: what they change, and what they must not."""

import dataclasses
import io
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from rich.console import Console
from torch import nn

from bench.cli.cost import CostRequest, cost
from bench.cost.budget import SENTENCES, gainless, options_of
from bench.cost.case import Case
from bench.cost.measure import training_step
from bench.cost.plan import plan
from bench.data.batches import Normaliser
from bench.errors import UsageError
from bench.grid.request import Request, grid_of
from bench.run import Run
from bench.train.loop import Epoch, train
from bench.train.network import build, build_on_meta
from bench.train.optimizer import optimizer_of, release
from datasets.base import Split
from methods.backbones.registry import find
from methods.recipe import Recipe
from methods.spec import parse
from results import Identity
from tests.bench.cli.test_command_line import call, records, where
from tests.bench.tiny import run
from tests.methods.small import CLASSES, SIZE, batch, learning, network_of

VIT_B = find("random:vit_base_patch16_224")
MIB = 2**20
IN_BACKWARD = {"optimizer_in_backward": True}


def trained(spec: str, **recipe: object) -> tuple[list[float], list[torch.Tensor]]:
    """Losses of two epochs and the weights after them."""
    network, losses = network_of(spec), []
    images, labels = batch(12)
    pixels = (images * 40 + 128).clamp(0, 255).to(torch.uint8)

    def note(epoch: Epoch) -> None:
        losses.append(epoch.loss)

    settings = Recipe(epochs=2, batch_size=4, weight_decay=0.1, **recipe)
    normalise = Normaliser.of((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), torch.device("cpu"))
    train(network, Split(pixels, labels), normalise, settings, 0, note)
    return losses, [p.detach() for p in learning(network)]


@pytest.mark.parametrize("spec", ["full", "lora:dropout=0", "fact_tt", "head2toe"])
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_steps_in_the_backward_pass_change_no_result(spec: str, optimizer: str) -> None:
    losses, weights = trained(spec, optimizer=optimizer)
    others, same = trained(spec, optimizer=optimizer, **IN_BACKWARD)
    assert losses == others
    assert all(map(torch.equal, weights, same))


def test_decay_and_rates_reach_steps_in_the_backward_pass() -> None:
    network = network_of("full")
    optimizer = optimizer_of(network, Recipe(weight_decay=0.3, decay="matrices", **IN_BACKWARD))
    decays = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert decays == {id(p): 0.3 if p.ndim > 1 else 0.0 for p in learning(network)}


def test_tensors_that_are_released_are_updated_no_more() -> None:
    network, (images, labels) = network_of("bitfit"), batch()
    optimizer = optimizer_of(network, Recipe(**IN_BACKWARD))
    nn.functional.cross_entropy(network(images), labels).backward()
    assert all(p.grad is None for p in learning(network))
    release(optimizer)
    before = [p.detach().clone() for p in learning(network)]
    nn.functional.cross_entropy(network(images), labels).backward()
    assert all(p.grad is not None for p in learning(network))
    assert all(map(torch.equal, before, learning(network)))


def test_fp16_is_refused_with_steps_in_the_backward_pass() -> None:
    with pytest.raises(ValueError, match="fp16 has to see all gradients"):
        Recipe(precision="fp16", **IN_BACKWARD)


def test_a_measured_step_takes_the_option() -> None:
    case = Case(run().backbone, parse("full")[0], CLASSES, Recipe(batch_size=2, **IN_BACKWARD))
    network = case.real(torch.device("cpu"), merged=False)
    before = [p.detach().clone() for p in learning(network)]
    training_step(network, torch.randn(2, 3, SIZE, SIZE), torch.tensor([0, 1]), case.recipe)()
    assert not any(map(torch.equal, before, learning(network)))


def planned(spec: str, batch_size: int = 8, **recipe: object) -> dict[str, int]:
    training = Recipe(batch_size=batch_size, **recipe)
    parts = plan(build_on_meta(VIT_B, parse(spec)[0], 100, training), 224, training).breakdown()
    return parts | {"total": sum(parts.values())}


def test_eight_bit_states_take_what_is_documented() -> None:
    eight, plain = planned("full", optimizer="adamw8bit"), planned("full")
    assert eight["optimizer"] / MIB == pytest.approx(167.2, abs=0.1)
    assert plain["optimizer"] - eight["optimizer"] == plain["total"] - eight["total"]


def test_steps_in_the_backward_pass_pay_at_small_batches() -> None:
    one, plain = planned("full", 1, **IN_BACKWARD), planned("full", 1)
    assert one["total"] < plain["total"] - 200 * MIB
    assert one["gradients"] < 10 * MIB
    assert planned("full", **IN_BACKWARD)["total"] == pytest.approx(planned("full")["total"], rel=1e-3)


def test_a_missing_package_is_named_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchao.optim", None)
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    with pytest.raises(UsageError, match="needs torchao or bitsandbytes"):
        grid_of(Request(methods="linear", tasks="digits", optimizer="adamw8bit"))
    assert grid_of(Request(methods="linear", tasks="digits", optimizer="adamw8bit"), on_paper=True)


def test_the_package_that_is_there_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    class AdamW8bit(torch.optim.AdamW):
        def __init__(self, groups: list, lr: float, eps: float) -> None:
            super().__init__(groups, lr=torch.tensor(lr), eps=eps)  # which is then to be filled, as torchao asks

        def step(self, closure: None = None) -> None:
            rates.append([group["lr"].item() for group in self.param_groups])
            super().step()

    rates: list[list[float]] = []
    module = ModuleType("bitsandbytes.optim")
    monkeypatch.setattr(module, "AdamW8bit", AdamW8bit, raising=False)
    monkeypatch.setitem(sys.modules, "torchao.optim", None)
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", module)
    recipe = Recipe(optimizer="adamw8bit", eps=1e-6, weight_decay=0.2)
    optimizer = optimizer_of(network_of("full"), recipe)
    assert isinstance(optimizer, AdamW8bit)
    assert {(group["eps"], group["weight_decay"]) for group in optimizer.param_groups} == {(1e-6, 0.2), (1e-6, 0.0)}
    losses, _ = trained("bitfit", optimizer="adamw8bit")
    assert losses == trained("bitfit")[0]
    assert rates[0] != rates[-1]


def test_options_are_part_of_the_identity_only_where_they_are_on() -> None:
    asked = [{}, {"activations": "regelu2"}, {"activations": "both"}, {"optimizer": "adamw8bit"}, IN_BACKWARD]
    assert len({run("full", **options).identity().digest() for options in asked}) == len(asked)
    assert run("full", activations="ms_ln,regelu2").identity() == run("full", activations="both").identity()
    assert run("full", activations="none", optimizer_in_backward=False).identity() == run("full").identity()
    plain = run("lora").identity()
    assert isinstance(plain, Identity)
    assert not {"activations", "optimizer_in_backward"} & plain.changes["recipe"].keys()


def test_conditions_without_options_have_the_digest_they_had() -> None:
    conditions = Case(VIT_B, parse("lora")[0]).conditions()
    assert conditions.digest() == "9a2d9689"
    assert dataclasses.replace(conditions, activations="regelu2").digest() != conditions.digest()


def case(spec: str, batch_size: int = 8, **recipe: object) -> Case:
    return Case(run().backbone, parse(spec)[0], CLASSES, Recipe(batch_size=batch_size, **recipe))


@pytest.mark.parametrize(
    ("spec", "options", "nothing"),
    [
        ("full", {"activations": "both"}, []),
        ("ssf", {"activations": "regelu2"}, ["regelu2"]),
        ("bitfit", {"activations": "both"}, ["ms_ln"]),
        ("linear", {"activations": "both,velora:fc2:groups=4"}, ["regelu2", "ms_ln", "velora"]),
        ("full", {"batch_size": 64, **IN_BACKWARD}, ["optimizer_in_backward"]),
    ],
)
def test_a_method_that_gains_nothing_is_found(spec: str, options: dict[str, object], nothing: list[str]) -> None:
    assert gainless(case(spec, **options)) == nothing


def test_every_option_has_a_sentence() -> None:
    recipe = Recipe(activations="both,velora:fc2", optimizer="adamw8bit", **IN_BACKWARD)
    assert options_of(recipe).keys() == SENTENCES.keys()
    assert not options_of(Recipe())


def test_cost_says_what_options_change_and_who_gains_nothing(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=300)
    recipe = {"batch_size": 8, "activations": "regelu2", "optimizer_in_backward": True}
    answer = cost(CostRequest("ssf,full", "random:small", classes=5, recipe=recipe, planned=True), tmp_path, console)
    said = console.file.getvalue()
    assert f"regelu2: {SENTENCES['regelu2']}" in said
    assert f"optimizer_in_backward: {SENTENCES['optimizer_in_backward']}" in said
    assert "ssf gains nothing from regelu2" in said
    assert "full gains nothing from regelu2" not in said
    assert {record.conditions.activations for record in answer.records} == {"regelu2"}


def test_options_on_the_command_line_are_kept_and_shown(tmp_path: Path) -> None:
    words = ["--methods", "lora:rank=2", "--tasks", "digits", "--epochs", "1", "--device", "cpu", *where(tmp_path)]
    call(*words, folder=tmp_path)
    less = ["--activations", "regelu2", "--activations", "ms_ln", "--optimizer", "adamw", "--optimizer-in-backward"]
    said = call(*words, *less, folder=tmp_path)
    assert "regelu2: gradients through GELU are approximate" in said
    assert "1 run done now" in said
    assert "lora:rank=2 + ReGELU2 + MS-LN + step in backward" in said
    recipes = [record["recipe"] for record in records(tmp_path).values()]
    assert sorted(recipe["activations"] for recipe in recipes) == ["", "regelu2,ms_ln"]
    again = call(*words, "--activations", "both", "--optimizer-in-backward", "--dry-run", folder=tmp_path)
    assert "1, of which 1 are there and 0 are left" in again
    assert "no option of activations" in call(*words, "--activations", "regelu", folder=tmp_path, code=2)


def test_a_kept_network_with_options_is_made_again() -> None:
    asked: Run = run("lora", activations="ms_ln")
    network = build(asked.backbone, asked.resolved, CLASSES, asked.recipe)
    other = build(asked.backbone, asked.resolved, CLASSES, Recipe(**dataclasses.asdict(asked.recipe)))
    assert network.state_dict().keys() == other.state_dict().keys()
