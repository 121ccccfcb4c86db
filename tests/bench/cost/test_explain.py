"""Who made what is alive at the peak."""

import pytest

from bench.cost.case import Case
from bench.cost.explain import Origins, largest_blocks, show_blocks
from bench.cost.plan import plan
from methods.recipe import Recipe
from methods.spec import parse
from tests.methods.small import CLASSES, SIZE, SMALL


def explained(spec: str, checkpointing: bool = False, batch_size: int = 64):
    recipe = Recipe(batch_size=batch_size)
    case = Case(SMALL, parse(spec)[0], CLASSES, recipe, checkpointing)
    network = case.training()
    return plan(network, SIZE, recipe, module_at_work=Origins(network).now)


@pytest.mark.parametrize("spec", ["full", "vpt_deep", "dtl", "head2toe", "synqt"])
def test_explaining_changes_no_byte(spec: str) -> None:
    """That everything is named, as on real tensors, is tested with the plan of every method."""
    recipe = Recipe(batch_size=4)
    plain = plan(Case(SMALL, parse(spec)[0], CLASSES, recipe).training(), SIZE, recipe)
    assert explained(spec, batch_size=4).breakdown() == plain.breakdown()


def test_a_tensor_has_its_module_operator_and_shape() -> None:
    made = {block.module: block for block in explained("full").blocks}
    layer = made["vit.blocks.3.mlp.fc1"]
    assert (layer.operator, layer.shape, layer.number_format) == ("addmm", (64 * 17, 96), "float32")
    assert layer.size == 64 * 17 * 96 * 4
    assert layer.kind == "activations"


def test_the_backward_pass_is_told_from_the_forward_pass() -> None:
    modules = {block.module for block in explained("lora").blocks}
    assert any(module.startswith("backward of vit.blocks.") for module in modules)
    again = {block.module for block in explained("vpt_deep", checkpointing=True).blocks}
    assert any(module.endswith(", again") for module in again)


def test_the_table_shows_the_twenty_largest() -> None:
    blocks = largest_blocks(Case(SMALL, parse("lora")[0], CLASSES, Recipe(batch_size=8)))
    assert len(blocks) == 20
    kinds = [block["kind"] for block in blocks]
    assert kinds[0] == "activations"
    assert kinds[-1] == "weights"
    assert kinds.count("weights") == 1
    sizes = [block["bytes"] for block in blocks if block["kind"] == "activations"]
    assert sizes == sorted(sizes, reverse=True)
    assert kinds[: len(sizes)] == ["activations"] * len(sizes)
    assert show_blocks("lora", blocks).row_count == 20
