"""Every method on a tiny network of every family: it trains, leaves what is frozen, and says why where it cannot."""

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from bench.cost.plan import plan, training_peak
from bench.train.network import build, build_on_meta
from bench.train.optimizer import optimizer_of
from bench.train.step import loss_of
from methods import METHODS, Network
from methods.backbones.chain import steps_of
from methods.backbones.families import FAMILIES, Family
from methods.backbones.registry import find
from methods.recipe import Recipe
from methods.spec import parse
from tests.methods.small import disturb
from tools.backbones_table import PAGE, family_table, reason, written

CLASSES, IMAGES = 3, 3
SETTINGS = {
    "dtl": ":start=2",
    "dtl_plus": ":start=2",
    "vpt_shallow": ":tokens=3",
    "vpt_deep": ":tokens=3",
    "vera": ":rank=8",
}
EVERYWHERE = {"dtl", "lora", "vpt_shallow", "vpt_deep", "bitfit", "adapter", "ssf", "lst", "vqt", "synqt"}
PEOPLE_USE = ("MAE", "DINOv2", "DINOv2 reg", "CLIP", "SigLIP", "SigLIP gap")
ROTARY = {"lora", "bitfit", "vpt_shallow", "adapter", "dtl", "lst", "linear", "full"}

every_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.title)


def network_of(family: Family, name: str, **recipe: object) -> Network:
    """The tiny network with the method; Unsupported where it cannot carry it."""
    torch.manual_seed(0)
    return build(
        find(f"random:tiny {family.title}"), parse(name + SETTINGS.get(name, ""))[0], CLASSES, Recipe(**recipe)
    )


def batch(family: Family) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(1)
    side = family.settings["img_size"]
    return torch.randn(IMAGES, 3, side, side, generator=random), torch.tensor([0, 1, 2])


def carried(family: Family) -> list[str]:
    """The methods that run on it; the others give a reason, on the meta device, before any weights are there."""
    return [name for name in METHODS if not reason(family.title, name)]


@every_family
def test_the_chain_is_the_network_and_holds_every_parameter(family: Family) -> None:
    torch.manual_seed(0)
    vit = find(f"random:tiny {family.title}").load()
    vit.reset_classifier(CLASSES)
    x, steps = batch(family)[0], steps_of(vit)
    for step in steps:
        x = step.run(x)
    torch.testing.assert_close(x, vit(batch(family)[0]), rtol=0, atol=0)
    assert sorted(id(p) for step in steps for p in step.parameters()) == sorted(map(id, vit.parameters()))


@every_family
def test_what_people_use_carries_the_methods_that_they_compare(family: Family) -> None:
    wanted = (
        EVERYWHERE | ROTARY if family.title in PEOPLE_USE else ROTARY if family.title == "DINOv3" else {"linear", "dtl"}
    )
    assert wanted <= set(carried(family))


@every_family
def test_every_method_trains_and_leaves_what_is_frozen(family: Family) -> None:
    images, labels = batch(family)
    for name in carried(family):
        network = network_of(family, name, drop_path=0.1).train()
        before = {key: value.detach().clone() for key, value in network.named_parameters()}
        learns = {key for key, value in network.named_parameters() if value.requires_grad}
        optimizer = optimizer_of(network, Recipe(learning_rate=1e-2, decay="all"))
        losses = []
        for _ in range(2):
            loss = loss_of(network, network(images), labels)
            loss.backward()
            losses.append(float(loss.detach()))
            optimizer.step()
            optimizer.zero_grad()
        moved = {key for key, value in network.named_parameters() if not torch.equal(value, before[key])}
        assert moved <= learns, (name, sorted(moved - learns)[:3])
        assert {key for key in learns if "head" in key} <= moved, name
        assert all(loss == loss for loss in losses), name


@every_family
def test_methods_start_as_the_backbone_extract_the_same_again_and_merge_into_it(family: Family) -> None:
    images = batch(family)[0].double()
    torch.manual_seed(0)
    vit = find(f"random:tiny {family.title}").load()
    vit.reset_classifier(CLASSES)
    for name in carried(family):
        (method,) = parse(name + SETTINGS.get(name, ""))
        network = network_of(family, name, drop_path=0.5, backbone_dropout=0.5).double().eval()
        if method.starts_as_backbone:
            vit.get_classifier().load_state_dict(network.head.state_dict())
            torch.testing.assert_close(network(images), vit.double()(images), rtol=1e-6, atol=1e-6, msg=name)
        disturb(network, 0.1)
        expected = network(images)
        first, again, kept = (
            [leaf for leaf in tree_leaves(features) if isinstance(leaf, Tensor)]
            for features in (
                network.extract(images),
                network.extract(images),
                network.features(network.hidden_states(images)),
            )
        )
        assert all(map(torch.equal, first, again)), name
        assert all(map(torch.equal, first, kept)), name
        assert torch.equal(network.adapt(network.extract(images)), expected), name
        torch.testing.assert_close(method.merge(network).eval()(images), expected, rtol=1e-6, atol=1e-6, msg=name)


@every_family
@pytest.mark.parametrize("name", ["lora", "dtl", "lst"])
def test_planned_bytes_are_counted_bytes(family: Family, name: str) -> None:
    if name not in carried(family):
        pytest.skip("is unsupported here")
    recipe = Recipe(batch_size=IMAGES)
    real = training_peak(network_of(family, name), *batch(family), recipe)
    bones = build_on_meta(find(f"random:tiny {family.title}"), parse(name + SETTINGS.get(name, ""))[0], CLASSES, recipe)
    assert plan(bones, family.settings["img_size"], recipe).breakdown() == real.breakdown()


def test_the_page_has_todays_table() -> None:
    """`python -m tools.backbones_table` writes it."""
    page = PAGE.read_text(encoding="utf-8")
    assert written(page, {"families": family_table()}) == page
