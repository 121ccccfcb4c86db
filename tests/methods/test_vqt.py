"""VQT: what the head reads, how it starts, what drops out, and the stages that pick features."""

import json
import math

import pytest
import torch
from torch import Tensor, nn

from bench.cost.plan import plan
from bench.train.network import build_on_meta, count
from methods import Network
from methods.backbones.registry import find
from methods.parts.selection import Probe, group_lasso, strongest
from methods.recipe import Recipe
from methods.spec import parse
from tests.methods.golden import FOLDER, Case, filled
from tests.methods.small import CLASSES, batch, disturb, learning, network_of

WIDTH, DEPTH = 24, 12
VIT_B = find("random:vit_base_patch16_224")


def features(network: Network) -> Tensor:
    """What the head reads, a layer at a time (B×1+L×…)."""
    images = batch()[0].double()
    return network.reader.summarise(network.extract(images))


@pytest.mark.parametrize(
    ("spec", "without_head", "read"),
    [
        ("vqt", 9_216, 9_984),
        ("vqt:tokens=10", 92_160, 92_928),
        ("vqt:tokens=20", 184_320, 185_088),
        ("vqt:tokens=300", 2_764_800, 2_765_568),
        ("vqt:tokens=300:pool=mean", 2_764_800, 9_984),
        ("vqt:tokens=10:pool=weighted", 92_280, 9_984),
    ],
)
def test_counts(spec: str, without_head: int, read: int) -> None:
    counts = count(build_on_meta(VIT_B, parse(spec)[0], 100, Recipe()))
    assert counts.trainable_without_head == without_head
    assert counts.trainable == without_head + 100 * read + 100
    assert counts.total == 85_798_656 + counts.trainable


@pytest.mark.parametrize(("spec", "bar"), [("vqt", 0.20 * 761), ("vqt:tokens=10", 0.27 * 809)])
def test_memory_is_within_the_bar(spec: str, bar: float) -> None:
    recipe = Recipe(batch_size=8)
    peak = plan(build_on_meta(VIT_B, parse(spec)[0], 100, recipe), 224, recipe)
    kinds = peak.breakdown()
    assert (peak.total - kinds["weights"] - kinds["optimizer"]) / 2**20 <= bar


def test_the_head_starts_by_fan_out_and_at_a_prior() -> None:
    head = network_of("vqt:tokens=40").head
    assert head.in_features == WIDTH * (1 + 40 * DEPTH)
    assert head.weight.std().item() == pytest.approx(math.sqrt(2 / CLASSES), rel=0.05)
    assert torch.equal(head.bias, torch.full((CLASSES,), -math.log(99)))


def test_queries_start_uniform_by_the_patch() -> None:
    queries, bound = network_of("vqt:tokens=50").reader.queries, math.sqrt(6 / (3 * 8 * 8 + WIDTH))
    assert queries.shape == (DEPTH, 50, WIDTH)
    assert 0.99 * bound < queries.abs().max() <= bound
    assert queries.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)


def test_each_layer_has_one_norm_over_all_its_tokens() -> None:
    network = network_of("vqt:tokens=3").double().eval()
    disturb(network)
    own, layers = features(network).split([WIDTH, WIDTH * 3 * DEPTH], dim=1)
    torch.testing.assert_close(own.norm(dim=1), torch.ones(6, dtype=torch.float64))
    norms = layers.unflatten(1, (DEPTH, 3 * WIDTH)).norm(dim=2)
    torch.testing.assert_close(norms, torch.ones(6, DEPTH, dtype=torch.float64))
    tokens = layers.unflatten(1, (DEPTH, 3, WIDTH)).norm(dim=3)
    assert tokens.std() > 0.01


def test_without_normalisation_directions_stay() -> None:
    raw, unit = (network_of(f"vqt:normalize={word}").double().eval() for word in ("false", "true"))
    a, b = (features(network).unflatten(1, (1 + DEPTH, WIDTH)) for network in (raw, unit))
    assert a.norm(dim=2).std() > 0.01
    torch.testing.assert_close(a / a.norm(dim=2, keepdim=True), b)


def test_pooling_takes_the_mean_or_a_weighted_sum_of_each_layers_tokens() -> None:
    none, mean, weighted = (
        network_of(f"vqt:tokens=3:normalize=false:pool={pool}").double().eval() for pool in ("none", "mean", "weighted")
    )
    tokens = features(none)[:, WIDTH:].unflatten(1, (DEPTH, 3, WIDTH))
    torch.testing.assert_close(features(mean)[:, WIDTH:], tokens.mean(2).flatten(1))
    assert torch.equal(weighted.reader.weights, torch.ones(DEPTH, 3, dtype=torch.float64))
    disturb(weighted)
    with torch.no_grad():
        weighted.reader.queries.copy_(none.reader.queries)
    sums = torch.einsum("bltd,lt->bld", tokens, weighted.reader.weights).flatten(1)
    torch.testing.assert_close(features(weighted)[:, WIDTH:], sums)


def test_queries_drop_out_for_each_image_and_in_training_only() -> None:
    network = network_of("vqt:dropout=0.5")
    images = batch(1)[0].expand(2, -1, -1, -1)
    first, second = network(images)
    assert not torch.equal(first, second)
    first, second = network.eval()(images)
    torch.testing.assert_close(first, second)


def test_the_embedding_drops_out_as_released_on_request() -> None:
    images, _ = batch()
    plain, released = network_of("vqt"), network_of("vqt:embedding_dropout=0.1")
    for network, same in ((plain, True), (released, False)):
        first, second = (network.extract(images)[1] for _ in range(2))
        assert torch.equal(first, second) == same
    assert torch.equal(plain.eval().extract(images)[1], released.eval().extract(images)[1])


def test_one_stage_unless_features_are_picked() -> None:
    network = network_of("vqt")
    assert list(parse("vqt")[0].stages(network)) == [network]


def test_stages_score_and_pick_features_on_frozen_queries() -> None:
    (method,) = parse("vqt:tokens=2:keep=0.3")
    network = network_of(str(method))
    stages, images = method.stages(network), batch()[0]
    assert next(stages) is network
    disturb(network)
    queries, head = network.reader.queries.clone(), network.head

    scorer = next(stages)
    total = WIDTH * (1 + 2 * DEPTH)
    assert isinstance(scorer, Probe)
    assert scorer.head is not head
    assert scorer.lr_scale == 0.5
    assert [p.shape for p in learning(scorer)] == [(CLASSES, total), (CLASSES,)]
    scorer(images)
    expected = 1e-4 * scorer.head.weight.norm(dim=0).sum()
    torch.testing.assert_close(scorer.regularization_loss(), expected)
    assert scorer.regularization_loss() is None

    final = next(stages)
    chosen = scorer.head.weight.norm(dim=0).topk(int(0.3 * total)).indices
    assert final.lr_scale == 0.5
    assert [p.shape for p in learning(final)] == [(CLASSES, len(chosen)), (CLASSES,)]
    torch.testing.assert_close(final.eval().extract(images), scorer.eval().extract(images)[:, chosen])
    final(images)
    assert final.regularization_loss() is None
    assert torch.equal(network.reader.queries, queries)
    assert next(stages, None) is None


@pytest.fixture(scope="module")
def golden() -> tuple[Case, dict]:
    file = json.loads((FOLDER / "vqt.json").read_text())
    (selection,) = file["selection"]
    values = next(case for case in file["cases"] if case["name"] == selection["of_case"])
    return Case("vqt", file["frequency"], values), selection


def test_features_are_those_of_the_released_code(golden: tuple[Case, dict]) -> None:
    case, _ = golden
    network = case.network()
    expected = torch.tensor(case.values["features"], dtype=torch.float64)
    torch.testing.assert_close(network.reader(case.images()), expected, rtol=1e-9, atol=1e-13)


def test_the_group_lasso_is_that_of_the_released_code(golden: tuple[Case, dict]) -> None:
    case, selection = golden
    weight = case.network().head.weight
    _, lasso = group_lasso(weight)
    penalty = selection["coefficient"] * lasso
    penalty.backward()
    gradient = weight.grad.flatten()
    probe = (gradient * torch.cos(0.3 * torch.arange(len(gradient), dtype=torch.float64))).sum()
    assert penalty.item() == pytest.approx(selection["penalty"], rel=1e-9)
    assert gradient.norm().item() == pytest.approx(selection["penalty_grad_l2"], rel=1e-9)
    assert probe.item() == pytest.approx(selection["penalty_grad_probe"], rel=1e-7)


def test_selected_features_and_their_logits_are_those_of_the_released_code(golden: tuple[Case, dict]) -> None:
    case, selection = golden
    network = case.network()
    order = strongest(network.head.weight, selection["keep_fraction"])
    assert order.tolist() == selection["selected"]
    assert len(order) == selection["kept"]

    *_, final = parse(f"vqt:keep={selection['keep_fraction']}")[0].stages(network)
    head = selection["selected_head"]
    final.source.order = order
    for parameter, name in zip((final.head.weight, final.head.bias), head["names"], strict=True):
        tensor = {"shape": list(parameter.shape), "amplitude": head["amplitude"], "offset": 0.0}
        nn.init.zeros_(parameter)
        with torch.no_grad():
            parameter.copy_(filled(tensor | {"phase": sum(map(ord, name)) % 97}, case.frequency))
    expected = torch.tensor(head["logits"], dtype=torch.float64)
    torch.testing.assert_close(final.eval()(case.images()), expected, rtol=1e-9, atol=0)
