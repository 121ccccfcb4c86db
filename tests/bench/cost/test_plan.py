"""The planned peak: the bytes of real tensors without one, and the figures regenerated from the papers."""

import pytest
import torch
from torch import Tensor, nn

from bench.cost.cuda_rules import Rules
from bench.cost.explain import Origins
from bench.cost.plan import plan, training_peak
from bench.train.network import build_on_meta
from methods import METHODS, Network
from methods.backbones.registry import find
from methods.recipe import Recipe
from methods.spec import parse
from tests.methods.small import CLASSES, SIZE, SMALL, batch, network_of

IMAGES = 4
GIB = 2**30


def planned(spec: str, **recipe: object) -> int:
    values = Recipe(batch_size=IMAGES, **recipe)
    return plan(build_on_meta(SMALL, parse(spec)[0], CLASSES, values), SIZE, values).total


@pytest.mark.parametrize(
    ("spec", "attention", "precision"),
    [
        *((name, "fused", "bf16") for name in METHODS),
        *((name, "eager", "fp32") for name in METHODS),
        *(("full", "fused", "fp32"), ("full", "eager", "bf16"), ("lora:target=qv", "eager", "bf16")),
    ],
)
def test_meta_tensors_take_the_bytes_of_real_ones(spec: str, attention: str, precision: str) -> None:
    """With fused attention also: every tensor that is alive then has a maker, the same on both."""
    values = {"attention": attention, "precision": precision, "drop_path": 0.1, "backbone_dropout": 0.1}
    recipe = Recipe(batch_size=IMAGES, **values)
    network, bones = network_of(spec, **values), build_on_meta(SMALL, parse(spec)[0], CLASSES, recipe)
    now = [Origins(each).now if attention == "fused" else None for each in (network, bones)]
    real = training_peak(network, *batch(IMAGES), recipe, module_at_work=now[0])
    meta = plan(bones, SIZE, recipe, module_at_work=now[1])
    assert meta.total == real.total
    assert meta.breakdown() == real.breakdown()
    assert sum(meta.breakdown().values()) == meta.total
    if attention == "fused":
        assert all(block.module and block.shape is not None for block in meta.blocks)
        largest = ([(block.size, block.kind, block.module) for block in peak.largest(20)] for peak in (meta, real))
        assert next(largest) == next(largest)


class Head(Network):
    """Nothing but a linear layer."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(inputs, classes)

    def extract(self, images: Tensor) -> Tensor:
        return images

    def adapt(self, features: Tensor) -> Tensor:
        return self.head(features)


def test_a_linear_layer_by_hand() -> None:
    images, inputs, classes = 256, 128, 64
    weights = 4 * (inputs * classes + 128)  # the 64 biases take a whole grain of 512 bytes
    data = 4 * images * inputs + 8 * images
    recipe = Recipe(optimizer="sgd", batch_size=images)
    peak = training_peak(Head(inputs, classes), torch.zeros(images, inputs), torch.zeros(images).long(), recipe)
    assert peak.breakdown() == {
        "weights": weights,
        "optimizer": weights,  # the momentum
        "batch": data,
        # The backward pass of the softmax is the highest moment: its output, the gradient that comes and the one that
        # goes; and the loss and its gradient, a number each.
        "activations": 3 * 4 * images * classes + 2 * 512,
    }


def test_the_first_step_without_optimizer_state_is_not_the_peak() -> None:
    def bytes_of(optimizer: str) -> dict[str, int]:
        return training_peak(
            Head(128, 64), torch.zeros(8, 128), torch.zeros(8).long(), Recipe(optimizer=optimizer)
        ).breakdown()

    assert bytes_of("adamw")["optimizer"] == 2 * bytes_of("sgd")["optimizer"] + 2 * 512  # and two counters of steps


def test_one_layer_takes_less_the_higher_it_sits() -> None:
    peaks = [planned(f"lora:layer={layer}") for layer in (1, 2, 5, 8, 11, 12)]
    assert peaks == sorted(peaks, reverse=True)
    assert len(set(peaks)) == len(peaks)


def test_memory_falls_with_entanglement() -> None:
    assert planned("full") > planned("lora") > planned("partial") > planned("linear")


def test_memory_grows_with_the_prompts_and_the_images() -> None:
    assert planned("vpt_deep:tokens=40") > planned("vpt_deep:tokens=10")
    values = Recipe(batch_size=2 * IMAGES)
    assert plan(build_on_meta(SMALL, parse("lora")[0], CLASSES, values), SIZE, values).total > planned("lora")


def test_what_is_extracted_counts_as_features() -> None:
    recipe = Recipe(batch_size=64)
    breakdown = plan(build_on_meta(SMALL, parse("partial")[0], CLASSES, recipe), SIZE, recipe).breakdown()
    assert breakdown["features"] == 64 * 17 * 24 * 4
    assert breakdown["batch"] == 64 * 3 * SIZE**2 * 4 + 64 * 8


def test_a_plan_needs_no_memory() -> None:
    recipe = Recipe(batch_size=1_000_000)
    assert plan(build_on_meta(SMALL, parse("full")[0], CLASSES, recipe), SIZE, recipe).total > 300 * GIB


TODAY, OLD = Rules(), Rules("legacy", "zeroed")
PROMPTS = {"optimizer": "sgd"}


@pytest.mark.parametrize(
    ("spec", "values", "rules", "expected"),
    [  # batch 64, fp32, 100 classes: regenerated with the classes of the VPT authors
        ("full", {}, TODAY, 9.446),
        ("full", {"backbone_dropout": 0.1}, TODAY, 10.023),
        ("bitfit", {}, TODAY, 5.913),
        ("vpt_deep:tokens=1", PROMPTS, TODAY, 5.947),
        ("vpt_deep:tokens=200", PROMPTS, TODAY, 14.401),
        ("vpt_shallow:tokens=200", PROMPTS, TODAY, 14.278),
        ("full", {"backbone_dropout": 0.1}, OLD, 11.67),
        ("bitfit", {}, OLD, 10.13),
        ("vpt_deep:tokens=200", PROMPTS, OLD, 25.63),
    ],
)
def test_vit_b16_takes_what_the_published_code_takes(
    spec: str, values: dict[str, object], rules: Rules, expected: float
) -> None:
    recipe = Recipe(attention="eager", batch_size=64, **values)
    peak = plan(build_on_meta(find("random:vit_base_patch16_224"), parse(spec)[0], 100, recipe), 224, recipe, rules)
    assert peak.total / GIB == pytest.approx(expected, rel=5e-3)


def test_states_of_no_size_follow_the_rules_of_pytorch_1_7() -> None:
    """SHERL asks of a product of nothing with nothing in which format it comes."""
    recipe = Recipe(attention="eager")
    assert plan(build_on_meta(SMALL, parse("sherl")[0], CLASSES, recipe), SIZE, recipe, OLD).total > planned("sherl")
