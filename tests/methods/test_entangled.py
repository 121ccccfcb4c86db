"""The entangled rows of 2026: where their parts stand, what they read, what learns, and what merging leaves."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck
from torch.nn import functional

import methods.pvera
from bench.cost.plan import plan
from bench.train.network import build_on_meta
from bench.train.optimizer import optimizer_of
from methods.backbones.registry import find
from methods.lora_fa import FrozenDown, Joint
from methods.recipe import Recipe
from methods.spec import parse
from tests.methods.golden import Case, cases
from tests.methods.small import batch, disturb, network_of, plain

MERGED = ["repadapter", "repadapter:variant=attn:groups=1", "diffit", "lora_fa", "lora_fa:target=all", "dora"]
MERGED += ["dora:target=qkv", "apla", "apla:rows=24", "vera", "vera:target=qkv:rank=40", "pvera"]


def golden(file: str, name: str = "") -> Case:
    return next(case for case in cases() if case.file == file and case.values["name"].startswith(name))


def probe(tensor: Tensor) -> float:
    weights = torch.cos(0.3 * torch.arange(tensor.numel(), dtype=torch.float64))
    return float((tensor.detach().flatten() * weights).sum())


@pytest.mark.parametrize("spec", MERGED)
def test_merging_leaves_the_layers_of_the_backbone(spec: str) -> None:
    merged = parse(spec)[0].merge(network_of(spec))
    found = {name: value.shape for name, value in merged.vit.state_dict().items() if not name.startswith("head")}
    assert found == {name: value.shape for name, value in plain().state_dict().items()}


@pytest.mark.parametrize("case", [case for case in cases() if case.file in ("repadapter", "dora")], ids=str)
def test_merged_weights_are_those_of_the_published_code(case: Case) -> None:
    block = case.method().merge(case.network()).vit.blocks[0]
    qkv, fc1, checks = block.attn.qkv, block.mlp.fc1, case.values["checks"]
    found = {"folded_qkv_weight_probe": probe(qkv.weight), "folded_qkv_bias_probe": probe(qkv.bias)}
    found |= {"folded_fc1_weight_probe": probe(fc1.weight), "folded_fc1_bias_probe": probe(fc1.bias)}
    first = qkv.weight if case.values["config"].get("targets") == ["qkv"] else qkv.weight.chunk(3)[0]
    found |= {"folded_block0_first_target_weight_probe": probe(first)}
    known = found.keys() & checks.keys()
    assert known
    assert {name: found[name] for name in known} == pytest.approx({name: checks[name] for name in known}, rel=1e-9)


def test_groups_of_a_repadapter_read_their_part_of_the_code() -> None:
    up = network_of("repadapter").vit.blocks[0].block.attn.qkv.up
    disturb(up)
    code = torch.zeros(8)
    code[:4] = torch.randn(4)
    changed = up(code) - up.bias
    assert changed[:12].abs().min() > 0
    assert changed[12:].abs().max() == 0


@pytest.mark.parametrize(("settings", "name"), [("groups=3", "units=8"), ("units=35:groups=5", "width=24")])
def test_groups_divide_units_and_width(settings: str, name: str) -> None:
    with pytest.raises(ValueError, match=f"^repadapter: groups=. does not divide {name}$"):
        network_of(f"repadapter:{settings}")


def test_a_repadapter_starts_by_xavier_and_drops_the_code() -> None:
    adapter = network_of("repadapter:units=24").vit.blocks[3].block.mlp.fc1
    bound = (6 / 48) ** 0.5
    assert 0.9 * bound < adapter.down.weight.abs().max() <= bound
    assert adapter.down.bias.abs().max() == 0
    assert adapter.dropout.p == 0.1


@pytest.mark.parametrize(
    ("spec", "kinds"),
    [("layernorm", {"norm"}), ("diffit", {"norm", "bias", "gamma"})],
)
def test_names_say_what_learns(spec: str, kinds: set[str]) -> None:
    network = network_of(spec)
    for name, parameter in network.vit.named_parameters():
        assert parameter.requires_grad == (name.startswith("head") or any(kind in name for kind in kinds)), name


def test_layernorm_extracts_what_is_below_the_first_norm() -> None:
    assert network_of("layernorm").frozen_steps == 1
    assert network_of("diffit").frozen_steps == 0  # the patch projection has a bias


def test_the_gradient_of_the_joint_layer_is_right() -> None:
    torch.manual_seed(0)
    update = FrozenDown(5, 7, 2, 0.5).double()
    x, weight, bias = (
        torch.randn(2, 3, 5).double().requires_grad_(),
        torch.randn(7, 5).double(),
        torch.randn(7).double(),
    )
    up = torch.randn(7, 2).double().requires_grad_()
    assert gradcheck(lambda x, up: Joint.apply(x, weight, bias, update, up), (x, up))
    expected = functional.linear(x, weight + 0.5 * up @ update.down, bias)
    torch.testing.assert_close(Joint.apply(x, weight, bias, update, up), expected)


def test_the_joint_layer_works_under_autocast() -> None:
    network = network_of("lora_fa:target=all")
    disturb(network, 0.1)
    images, labels = batch()
    found = {}
    for enabled in (True, False):
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            loss = functional.cross_entropy(network(images).float(), labels)
        network.zero_grad()
        loss.backward()
        found[enabled] = {name: p.grad for name, p in network.named_parameters() if p.requires_grad}
    for name, gradient in found[True].items():
        assert gradient.dtype == torch.float32, name
        error = (gradient - found[False][name]).norm() / found[False][name].norm()
        assert error < 0.1, name


def test_frozen_down_projections_are_stored_and_uniform() -> None:
    network = network_of("lora_fa:target=all:rank=50")
    downs = {name: value for name, value in network.state_dict().items() if name.endswith("down")}
    assert len(downs) == 12 * 6
    for name, down in downs.items():
        assert 0.9 < down.abs().max() * down.shape[1] ** 0.5 <= 1, name


def test_lora_fa_in_all_layers_takes_no_more_than_bitfit() -> None:
    beside = {}
    for spec in ("bitfit", "lora_fa:target=all"):
        bones = build_on_meta(find("random:vit_base_patch16_224"), parse(spec)[0], 100, Recipe())
        peak = plan(bones, 224, Recipe(batch_size=8))
        beside[spec] = peak.total - peak.breakdown()["weights"] - peak.breakdown()["optimizer"]
    assert beside["lora_fa:target=all"] <= 1.02 * beside["bitfit"]


def test_dora_starts_as_the_backbone_up_to_rounding() -> None:
    network = network_of("dora", head="normal").eval()
    vit = plain()
    vit.head = network.head
    torch.testing.assert_close(network(batch()[0]), vit.eval()(batch()[0]), rtol=1e-4, atol=1e-5)


def test_dora_row_norms_are_those_of_the_published_code() -> None:
    for case in (case for case in cases() if case.file == "dora"):
        qkv = case.network().vit.blocks[0].block.attn.qkv
        name = next(iter(qkv.weights))
        decomposed = qkv.weights[name].layer
        direction = decomposed.direction(qkv.frozen.weight.chunk(len(qkv.names))[0])
        assert probe(direction.norm(dim=1)) == pytest.approx(
            case.values["checks"]["block0_first_target_row_norm_probe"], rel=1e-9
        )


def test_dropout_of_dora_leaves_the_frozen_product_alone() -> None:
    torch.manual_seed(0)
    network = network_of("dora:target=qkv:dropout=0.5").double()
    disturb(network)
    layer = network.vit.blocks[0].block.attn.qkv
    x = torch.randn(4, 17, 24, dtype=torch.float64)
    rows, weight = layer.frozen.weight, layer.weights["qkv"](layer.frozen.weight)
    torch.manual_seed(1)
    dropped = functional.dropout(x, 0.5)
    torch.manual_seed(1)
    found = layer(x)
    plain_form = layer.frozen(x) + functional.linear(dropped, weight) - functional.linear(dropped, rows)
    torch.testing.assert_close(found, plain_form, rtol=1e-10, atol=1e-12)
    network.eval()
    torch.testing.assert_close(layer(x), functional.linear(x, weight, layer.frozen.bias), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("rows", [1, 5, 24])
def test_decay_touches_only_the_rows_that_learn(rows: int) -> None:
    spec = f"apla:rows={rows}"
    network, before = network_of(spec), plain()
    optimizer = optimizer_of(network, Recipe(learning_rate=1e-2, weight_decay=0.5, decay="all"))
    images, labels = batch()
    for _ in range(2):
        functional.cross_entropy(network(images), labels).backward()
        optimizer.step()
        optimizer.zero_grad()
    after = parse(spec)[0].merge(network).vit
    for i, block in enumerate(after.blocks):
        old = before.blocks[i].attn.proj
        moved = (block.attn.proj.weight != old.weight).any(dim=1)
        assert moved.sum() == rows
        assert torch.equal(moved, block.attn.proj.bias != old.bias)
        assert torch.equal(block.attn.proj.weight[~moved], old.weight[~moved])
    frozen = {name for name, _ in after.named_parameters() if "attn.proj" not in name and "head" not in name}
    own = dict(before.named_parameters())
    assert all(torch.equal(value, own[name]) for name, value in after.named_parameters() if name in frozen)


def test_rows_are_drawn_from_the_seed_for_each_block() -> None:
    drawn = [[block.attn.proj.rows.tolist() for block in network_of("apla", seed).vit.blocks] for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len({tuple(sorted(rows)) for rows in drawn[0]}) > 6
    assert all(len(set(rows)) == 8 for rows in drawn[0])
    with pytest.raises(ValueError, match=r"^apla: rows=25, but the backbone is 24 wide$"):
        network_of("apla:rows=25")


def test_what_apla_keeps_does_not_depend_on_the_rows() -> None:
    peaks = {}
    for rows in (8, 384):
        bones = build_on_meta(find("random:vit_base_patch16_224"), parse(f"apla:rows={rows}")[0], 100, Recipe())
        peak = plan(bones, 224, Recipe(batch_size=8))
        peaks[rows] = peak.breakdown()["activations"]
    assert peaks[384] < 1.06 * peaks[8]


@pytest.mark.parametrize(("shared", "bounds"), [("all", (24, 6)), ("per_target", (6, 24))])
def test_random_matrices_have_the_bounds_of_their_source(shared: str, bounds: tuple[int, int]) -> None:
    network = network_of(f"vera:rank=6:shared={shared}")
    assert set(network.vit.pairs) == ({"all"} if shared == "all" else {"q", "v"})
    for pair in network.vit.pairs.values():
        for matrix, fan in zip((pair.down, pair.up), bounds, strict=True):
            assert 0.85 < matrix.abs().max() / (6 / fan) ** 0.5 <= 1
    starts = [value for name, value in network.named_parameters() if name.endswith(".d")]
    assert all(len(set(start.tolist())) == 1 for start in starts)
    assert len({start[0].item() for start in starts}) == (1 if shared == "all" else 24)


def test_blocks_share_their_matrices_after_a_change_of_precision() -> None:
    network = network_of("vera").double()
    for block in network.vit.blocks:
        for update in block.block.attn.qkv.updates.values():
            assert update.shared[0] is network.vit.pairs["all"]


def test_the_code_of_pvera_is_drawn_as_published(monkeypatch: pytest.MonkeyPatch) -> None:
    case = golden("vera", "pvera")
    network, checks = case.network().train(), case.values["checks"]

    def formula(like: Tensor) -> Tensor:
        return torch.sin(0.37 * torch.arange(like.numel(), dtype=like.dtype)).view_as(like)

    monkeypatch.setattr(methods.pvera, "noise", formula)
    expected = torch.tensor(checks["training_logits_with_eps_sin_0.37j"], dtype=torch.float64)
    torch.testing.assert_close(network(case.images()), expected, rtol=1e-9, atol=0)


def test_the_divergence_of_pvera_is_the_published_one(monkeypatch: pytest.MonkeyPatch) -> None:
    case = golden("vera", "pvera")
    config: dict[str, Any] = {**case.values["config"], "alpha": f"{case.values['config']['alpha']}:kl_divisor=4"}
    measured = Case(case.file, case.frequency, {**case.values, "config": config})
    network = measured.network().train()
    monkeypatch.setattr(methods.pvera, "noise", lambda like: torch.sin(
        0.37 * torch.arange(like.numel(), dtype=like.dtype)).view_as(like))  # fmt: skip
    network(case.images())
    found = network.regularization_loss()
    assert found is not None
    assert found.item() == pytest.approx(case.values["checks"]["kl_sum_over_blocks"] / 4, rel=1e-9)
    found.backward()
    assert network.regularization_loss() is None
    network.eval()(case.images())
    assert network.regularization_loss() is None


def test_pvera_is_vera_with_the_means_in_evaluation() -> None:
    network = network_of("pvera:rank=5").double()
    disturb(network)
    images = batch()[0].double()
    assert not torch.equal(network(images), network(images))
    vera = network_of("vera:rank=5:shared=per_target:alpha=16").double().eval()
    state = network.state_dict()
    for name, value in vera.state_dict().items():
        source = name.replace("mixed.layer.d", "d")
        value.copy_(state[source].chunk(2)[0] if name.endswith((".d", ".down")) else state[source])
    torch.testing.assert_close(vera(images), network.eval()(images), rtol=1e-10, atol=1e-12)


def test_the_lean_update_is_the_equation(monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_of("vera:rank=5:alpha=3").double()
    disturb(network)
    update = network.vit.blocks[0].block.attn.qkv.updates["q"]
    (pair,), mixed, x = update.shared, update.mixed.layer, torch.randn(2, 7, 24, dtype=torch.float64)
    equation = 3 * mixed.b * functional.linear(mixed.d * functional.linear(x, pair.down), pair.up)
    torch.testing.assert_close(update(x), equation, rtol=1e-10, atol=1e-12)
    for one, other in zip(
        torch.autograd.grad(update(x).square().sum(), (mixed.b, mixed.d)),
        torch.autograd.grad(equation.square().sum(), (mixed.b, mixed.d)),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
