"""Head2Toe: its taps, and pooling, norms, penalty, selection and training as in the released code's numbers."""

import json
import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.cost.plan import plan
from bench.train.network import build_on_meta, count
from methods import Unsupported
from methods.backbones.chain import embed
from methods.backbones.registry import ARCHITECTURES, Backbone, find
from methods.head2toe import Head2Toe, Taps, pooled
from methods.parts.selection import Probe, group_lasso, strongest
from methods.recipe import Recipe
from methods.spec import parse
from tests.methods.golden import FOLDER, filled
from tests.methods.small import CLASSES, batch, network_of, plain

GOLDEN: dict[str, Any] = json.loads((FOLDER / "head2toe.json").read_text())
CLASS_TOKEN = {"normal": "pooled", "nopool_cls": "apart", "only_cls": "only"}
SEQUENCES = [row for row in GOLDEN["pooling"] if len(row["array"]["shape"]) == 3]  # maps are for convolutional networks
VIT_B = find("random:vit_base_patch16_224")


def array(tensor: dict[str, Any], name: str | None = None) -> Tensor:
    if name is not None:
        tensor = {"shape": tensor["shape"], "amplitude": 0.1, "offset": 0.0, "phase": sum(map(ord, name)) % 97}
    return filled(tensor, GOLDEN["frequency"])


def probe(values: Tensor) -> float:
    return (values.flatten() * torch.cos(0.3 * torch.arange(values.numel(), dtype=torch.float64))).sum().item()


def exact(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


class Fixed(Taps):
    """Taps of arrays in place of a backbone; "images" are row numbers."""

    def __init__(self, groups: list[Tensor]) -> None:
        nn.Module.__init__(self)
        self.groups = groups
        self.counts = [group.shape[1] for group in groups]
        self.register_buffer("order", None)

    def _groups(self, images: Tensor) -> Iterator[Tensor]:
        return (group[images] for group in self.groups)


@pytest.mark.parametrize(
    "row", SEQUENCES, ids=lambda row: f"{row['array']['name']}-{row['target_size']}-{row['cls_mode']}"
)
def test_pooling(row: dict[str, Any]) -> None:
    expected = row["output"]
    ours = pooled(array(row["array"]), row["target_size"], CLASS_TOKEN[row["cls_mode"]])
    assert list(ours.shape) == expected["shape"]
    assert ours.norm().item() == pytest.approx(expected["l2"], rel=1e-9)
    assert probe(ours) == pytest.approx(expected["probe"], rel=1e-7, abs=1e-12)
    if "values" in expected:
        torch.testing.assert_close(ours, exact(expected["values"]), rtol=1e-9, atol=1e-14)
    else:
        torch.testing.assert_close(ours.flatten()[:8], exact(expected["first8"]), rtol=1e-8, atol=1e-14)
        torch.testing.assert_close(ours.flatten()[-8:], exact(expected["last8"]), rtol=1e-8, atol=1e-14)


def test_normalisation() -> None:
    golden = GOLDEN["normalisation"]
    groups = [array(tensor) for tensor in golden["arrays"]]
    for group, tensor in zip(groups, golden["arrays"], strict=True):
        if tensor["row_1_set_to_zero"]:
            group[1] = 0
    taps = Fixed(groups)
    rows = torch.arange(3)
    torch.testing.assert_close(taps(rows), exact(golden["outputs"]["unit_vector"]["values"]), rtol=1e-9, atol=1e-14)
    taps.order = torch.tensor([i for chosen in golden["selected"] for i in chosen])
    taps.counts = [len(chosen) for chosen in golden["selected"]]
    expected = exact(golden["outputs"]["selected_unit_vector"]["values"])
    torch.testing.assert_close(taps(rows), expected, rtol=1e-9, atol=1e-14)


def test_penalty() -> None:
    golden = GOLDEN["penalty"]
    variant = next(v for v in golden["variants"] if (v["r"], v["p"], v["group_sizes"]) == (2, 1, None))
    kernel = array(golden["kernel"]).requires_grad_()
    value = golden["coefficient"] * group_lasso(kernel.T)[1]
    value.backward()
    assert value.item() == pytest.approx(variant["value"], rel=1e-12)
    assert kernel.grad.norm().item() == pytest.approx(variant["grad_l2"], rel=1e-9)
    assert probe(kernel.grad) == pytest.approx(variant["grad_probe"], rel=1e-7)


def test_penalty_of_features_without_weights() -> None:
    golden = GOLDEN["penalty"]
    kernel = array(golden["kernel"])
    kernel[golden["zero_rows"]["rows"]] = 0
    value = golden["coefficient"] * group_lasso(kernel.requires_grad_().T)[1]
    value.backward()
    assert value.item() == pytest.approx(golden["zero_rows"]["value"], rel=1e-12)
    assert kernel.grad[golden["zero_rows"]["rows"]].tolist() == golden["zero_rows"]["grad_at_zero_rows"]
    assert kernel.grad.isfinite().all()


def test_the_penaltys_gradient_is_autograds_added_to_that_of_the_loss() -> None:
    ours = torch.randn(4, 9, dtype=torch.float64).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    x = torch.randn(3, 9, dtype=torch.float64)
    weight, lasso = group_lasso(ours)
    (functional.linear(x, weight).square().sum() + 0.3 * lasso).backward()
    (functional.linear(x, theirs).square().sum() + 0.3 * theirs.norm(dim=0).sum()).backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-12, atol=1e-12)
    assert torch.autograd.gradcheck(lambda w: group_lasso(w)[1], theirs.detach().requires_grad_())


@pytest.mark.parametrize("fraction", [0.1, 0.25, 1.0])
def test_selection(fraction: float) -> None:
    golden = GOLDEN["selection"]
    expected = next(
        row
        for row in golden["topk"]
        if (row["keep_fraction"], row["offset"], row["mean_interpolation"]) == (fraction, 0, 0)
    )
    kernel = array(golden["kernel"])
    torch.testing.assert_close(kernel.square().sum(1), exact(golden["scores"]["connectivity_l2"]), rtol=1e-12, atol=0)
    selected = strongest(kernel.T, fraction)
    assert selected.tolist() == expected["selected"]
    taps = Fixed([torch.zeros(1, size) for size in golden["group_sizes"]])
    taps.narrow(selected)
    assert [chosen.tolist() for chosen in taps.order.split(taps.counts)] == expected["per_group"]


@pytest.mark.parametrize("row", [row for row in GOLDEN["selection_ties"]["topk"] if row["offset"] == 0])
def test_of_equal_features_the_first_is_taken(row: dict[str, Any]) -> None:
    weight = exact([GOLDEN["selection_ties"]["scores"]]).sqrt()
    assert strongest(weight, row["keep_fraction"]).tolist() == row["selected"]


def tensorflow_adam(parameters: list[nn.Parameter], rate: Callable[[int], float]) -> Callable[[int], None]:
    """Adam with the epsilon before the bias correction; a function that makes step t."""
    moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in parameters]

    @torch.no_grad()
    def step(t: int) -> None:
        factor = rate(t) * math.sqrt(1 - 0.999 ** (t + 1)) / (1 - 0.9 ** (t + 1))
        for parameter, (first, second) in zip(parameters, moments, strict=True):
            first.mul_(0.9).add_(parameter.grad, alpha=0.1)
            second.mul_(0.999).add_(parameter.grad.square(), alpha=0.001)
            parameter.sub_(factor * first / (second.sqrt() + 1e-7))
            parameter.grad = None

    return step


def fit(network: Probe, kernel: str, labels: Tensor, config: dict[str, Any]) -> list[float]:
    """Train as the released code does: batches in order, sums divided by the full batch size."""
    with torch.no_grad():
        network.head.weight.copy_(array({"shape": network.head.weight.T.shape}, kernel).T)
        network.head.bias.zero_()
    steps, rate, size = config["steps"], config["learning_rate"], config["batch"]
    step = tensorflow_adam([*network.head.parameters()], lambda t: rate * (1 + math.cos(math.pi * t / steps)) / 2)
    batches = torch.arange(config["train_images"]).split(size)
    losses = []
    for t in range(steps):
        images = batches[t % len(batches)]
        loss = functional.cross_entropy(network(images), labels[images])
        if (penalty := network.regularization_loss()) is not None:
            loss = loss + penalty
        loss = loss * len(images) / size
        loss.backward()
        step(t)
        losses.append(loss.item())
    return losses


def test_training() -> None:
    (golden,) = GOLDEN["training"]
    config, labels = golden["config"], torch.tensor(golden["labels"])
    arrays = [array(tensor) for tensor in golden["arrays"]]
    groups = [a if a.ndim == 2 else pooled(a, config["target_size"], "pooled") for a in arrays]
    assert [group.shape[1] for group in groups] == golden["pooled_sizes"]
    method = Head2Toe(fraction=config["keep_fraction"], penalty=config["group_coefficient"])
    head = nn.Linear(sum(golden["pooled_sizes"]), config["classes"], dtype=torch.float64)
    stages = method.stages(Probe(Fixed(groups), head, method.penalty))

    scorer = next(stages)
    fit(scorer, golden["stage1"]["kernel_name"], labels, config)
    expected = exact(golden["stage1"]["kernel"]["values"])
    torch.testing.assert_close(scorer.head.weight.T, expected, rtol=1e-7, atol=1e-10)
    torch.testing.assert_close(scorer.head.bias, exact(golden["stage1"]["bias"]), rtol=1e-7, atol=1e-10)
    selected = strongest(scorer.head.weight, method.fraction)
    assert sorted(selected.tolist()) == sorted(golden["stage1"]["selected"])

    final = next(stages)
    assert final.source.counts == golden["stage2"]["per_group_count"]
    starts = torch.tensor([0, *golden["pooled_sizes"]]).cumsum(0)[:-1]
    order = final.source.order + starts.repeat_interleave(torch.tensor(final.source.counts))
    assert order.tolist() == golden["stage2"]["feature_order"]
    losses = fit(final, golden["stage2"]["kernel_name"], labels, config)
    assert losses == pytest.approx(golden["stage2"]["train_loss_per_step"], rel=1e-7)
    expected = exact(golden["stage2"]["kernel"]["values"])
    torch.testing.assert_close(final.head.weight.T, expected, rtol=1e-7, atol=1e-10)
    images = torch.arange(config["train_images"], len(labels))
    logits = final(images)
    torch.testing.assert_close(logits[:2], exact(golden["stage2"]["eval_logits_first2"]), rtol=1e-7, atol=1e-10)
    accuracy = (logits.argmax(1) == labels[images]).double().mean().item()
    assert accuracy == pytest.approx(golden["stage2"]["eval_accuracy_true"])
    assert next(stages, None) is None


@pytest.mark.parametrize(
    ("size", "features"), [(768, 67_584), (1_536, 97_536), (3_072, 157_440), (15_360, 814_080), (24_576, 1_254_144)]
)
def test_sizes_on_vit_b(size: int, features: int) -> None:
    network = build_on_meta(VIT_B, parse(f"head2toe:size={size}")[0], 100, Recipe())
    assert network.head.in_features == features
    counts = count(network)
    assert (counts.trainable_without_head, counts.trainable) == (0, 100 * features + 100)


def test_the_final_head_on_vit_b() -> None:
    (method,) = parse("head2toe")
    taps = build_on_meta(VIT_B, method, 100, Recipe()).source
    assert len(taps.counts) == 4 + 4 * 12
    assert int(sum(taps.counts) * method.fraction) * 100 + 100 == 675_900


def test_memory_is_that_of_a_linear_head_and_a_tenth() -> None:
    recipe = Recipe(batch_size=8)
    linear, ours = (
        plan(build_on_meta(VIT_B, parse(spec)[0], 100, recipe), 224, recipe) for spec in ("linear", "head2toe")
    )
    without = [peak.total - peak.breakdown()["weights"] - peak.breakdown()["optimizer"] for peak in (linear, ours)]
    assert without[1] <= 1.1 * without[0]


def test_taps_are_those_of_the_card() -> None:
    vit, images = plain().eval(), batch()[0]
    seen: list[Tensor] = []
    tapped = [module for block in vit.blocks for module in (block.norm1, block.attn, block.mlp.act, block.mlp)]
    hooks = [module.register_forward_hook(lambda _, __, output: seen.append(output)) for module in tapped]
    vit.forward_features(images)
    for hook in hooks:
        hook.remove()
    tokens = embed(vit, images)
    patches = torch.cat([vit.cls_token.expand(6, -1, -1), vit.patch_embed(images)], dim=1)
    final = vit.forward_features(images)
    groups = [patches, tokens, *seen, final]
    expected = torch.cat([functional.normalize(g.mean(1), dim=1) for g in groups], dim=1)
    expected = torch.cat([expected, functional.normalize(final[:, 0], dim=1)], dim=1)
    network = network_of("head2toe:size=24").eval()
    torch.testing.assert_close(network.extract(images), expected, rtol=1e-5, atol=1e-6)


def test_stages_pick_the_strongest_features_and_norm_them_anew() -> None:
    (method,) = parse("head2toe:size=24:fraction=0.2")
    network = network_of(str(method)).eval()
    images, _ = batch()
    before, total = network.extract(images), network.head.in_features
    stages = method.stages(network)
    assert next(stages) is network
    with torch.no_grad():
        network.head.weight.copy_(torch.randn(CLASSES, total, generator=torch.Generator().manual_seed(3)))
    chosen = network.head.weight.norm(dim=0).topk(int(0.2 * total)).indices
    final = next(stages).eval()
    features = final.extract(images)
    assert features.shape == (6, len(chosen))
    norms = torch.stack([part.norm(dim=1) for part in features.split(final.source.counts, dim=1) if part.shape[1]])
    torch.testing.assert_close(norms, torch.ones_like(norms))
    assert sum(before.shape) > sum(features.shape)
    assert final.regularization_loss() is None
    assert torch.equal(final.head.bias, torch.zeros(CLASSES))


def test_the_head_starts_as_the_card_says() -> None:
    head = network_of("head2toe").head
    bound = math.sqrt(6 / (head.in_features + CLASSES))
    assert 0.99 * bound < head.weight.abs().max() <= bound
    assert not head.bias.any()


def test_a_penalty_of_zero_is_none() -> None:
    network = network_of("head2toe:penalty=0")
    network(batch()[0])
    assert network.regularization_loss() is None


def test_needs_a_class_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARCHITECTURES, "average", ARCHITECTURES["small"] | {"class_token": False, "global_pool": "avg"})
    with pytest.raises(Unsupported, match="class token"):
        parse("head2toe")[0].attach(Backbone("random:average", "average", None, "").load())
