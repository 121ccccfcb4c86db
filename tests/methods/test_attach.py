"""`attach` makes of any timm model the network that the bench trains: what must be frozen is, and nothing else."""

import pytest
import timm
import torch
from torch.nn import functional

from bench import plan_memory
from bench.cost.plan import plan
from bench.train.network import build_on_meta
from methods import METHODS, Unsupported, attach
from methods.recipe import Recipe
from tests.methods.small import CLASSES, SIZE, SMALL, batch, network_of, plain


def shapes(network: torch.nn.Module) -> dict[str, tuple[torch.Size, bool]]:
    return {name: (p.shape, p.requires_grad) for name, p in network.named_parameters()}


@pytest.mark.parametrize("spec", ["lora:rank=4", "full", "linear", "dtl", "vpt_deep"])
def test_exactly_that_learns_which_the_bench_trains(spec: str) -> None:
    vit = plain().requires_grad_(True)  # as timm gives it
    network = attach(vit, spec, CLASSES).train()
    assert shapes(network) == shapes(network_of(spec))
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    for _ in range(2):  # in the first, what is multiplied by zeros gets no gradient
        images, labels = batch()
        functional.cross_entropy(network(images), labels).backward()
        optimizer.step()
    changed = {name for name, p in network.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {name for name, p in network.named_parameters() if p.requires_grad}


def test_what_is_no_transformer_and_what_is_several_methods_is_said() -> None:
    with pytest.raises(Unsupported, match="not for ResNet"):
        attach(timm.create_model("test_resnet"), METHODS["lora"](), 3)
    with pytest.raises(ValueError, match="stands for 2 methods"):
        attach(plain(), "lora:rank=1/2", 3)


def test_a_plan_of_one_s_own_module_is_that_of_the_bench_and_changes_nothing() -> None:
    network = network_of("lora").eval()
    images, labels = batch(8)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    found = plan_memory(network, (images, labels))
    recipe = Recipe(batch_size=8)
    theirs = plan(build_on_meta(SMALL, METHODS["lora"](), CLASSES, recipe), SIZE, recipe)
    assert sum(found.breakdown.values()) == found.peak_bytes
    assert found.peak_bytes == pytest.approx(theirs.total, abs=4 * 512)  # a loop of one's own holds its loss
    assert found.reserved_bytes > found.peak_bytes
    assert not network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_a_plan_of_a_linear_layer_by_hand() -> None:
    layer, x = torch.nn.Linear(128, 64, bias=False), torch.empty(256, 128, device="meta")
    found = plan_memory(layer, [x], lambda module, rows: module(rows).sum(), optimizer="sgd")
    weight = 4 * 128 * 64
    assert found.breakdown["weights"] == found.breakdown["optimizer"] == weight
    assert found.breakdown["batch"] == x.nbytes
    with pytest.raises(ValueError, match="nothing in Linear learns"):
        plan_memory(layer.requires_grad_(False), [x])
