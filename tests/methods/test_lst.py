"""LST: which channels the side network starts from, how it starts, and that the backbone is out of the graph."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from timm.models import SwinTransformer, VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

from bench.cost.plan import plan
from bench.train.network import build_on_meta, count
from methods import Unsupported
from methods.backbones.chain import embed
from methods.backbones.registry import find, prepare
from methods.parts.prune import chain_kept
from methods.recipe import Recipe
from methods.spec import parse
from tests.methods.golden import FOLDER, filled, vit_of
from tests.methods.small import batch, disturb, network_of

VIT_B = find("random:vit_base_patch16_224")
FILE = json.loads((FOLDER / "lst.json").read_text())
NAMES = {"attn.qkv": "attended", "attn.proj": "between", "mlp.fc1": "hidden", "mlp.fc2": "written"}


@pytest.fixture(params=FILE["pruning"], ids=lambda case: case["name"])
def case(request: pytest.FixtureRequest) -> dict[str, Any]:
    return request.param


@pytest.fixture
def _double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def backbone(case: dict[str, Any]) -> VisionTransformer:
    """The case's backbone, in double precision."""
    weights = {tensor["name"]: filled(tensor, FILE["frequency"]) for tensor in case["tensors"]}
    vit = vit_of({**case["config"], "norm_eps": 1e-6}).double()
    vit.load_state_dict(weights)
    return vit


def importance_of(vit: VisionTransformer, case: dict[str, Any]) -> dict[int, Tensor]:
    """By the identity of a weight: the weight, or the square of another fill (see the case's config)."""
    if not case["config"]["importance_is_separate"]:
        return {id(weight): weight for weight in vit.parameters()}
    found = {}
    for name, weight in vit.named_parameters():
        phase = sum(map(ord, f"imp.{name}")) % 97
        found[id(weight)] = (
            filled({"shape": weight.shape, "amplitude": 1, "offset": 0, "phase": phase}, FILE["frequency"]) ** 2
        )
    return found


def kept_of(case: dict[str, Any], scale: float = 1.0) -> dict[str, list[int]]:
    vit = backbone(case)
    importance = importance_of(vit, case)
    kept = chain_kept(vit, case["config"]["reduction"], lambda weight: scale * importance[id(weight)])
    named = {f"blocks.{i}.{n}": getattr(k, part) for i, k in enumerate(kept) for n, part in NAMES.items()}
    channels = {"input (columns of block 0)": kept[0].read} | named
    return {name: indices.tolist() for name, indices in channels.items()}


def test_kept_channels(case: dict[str, Any]) -> None:
    assert kept_of(case) == case["kept"]


def test_small_importances_do_not_underflow(case: dict[str, Any]) -> None:
    assert kept_of(case, scale=1e-30) == case["kept"]


@pytest.mark.usefixtures("_double")
@pytest.mark.parametrize("order", ["ascending", "reference"])
def test_side_network_starts_from_the_kept_weights(order: str) -> None:
    (case,) = [case for case in FILE["pruning"] if not case["config"]["importance_is_separate"]]
    assert not case["kept_in_reference_order"]  # so both orders are one here
    vit = prepare(backbone(case), 5, "normal", 0.0, 0.0)
    network = parse(f"lst:reduction={case['config']['reduction']}")[0].attach(vit)
    ours = {f"lst.block.{i}.{n}": p for i, rung in enumerate(network.rungs) for n, p in rung.block.named_parameters()}
    ours["lst.norm.weight"] = network.side_norm.weight
    slices = case[f"sliced_weights_{order}_order"]
    assert ours.keys() >= slices.keys()
    for name, expected in slices.items():
        values = ours[name].flatten()
        probe = (values * torch.cos(0.3 * torch.arange(len(values)))).sum().item()
        assert list(ours[name].shape) == expected["shape"]
        assert (values.norm().item(), probe) == pytest.approx((expected["l2"], expected["probe"]), rel=1e-12), name


def test_biases_follow_the_rows_of_their_weights() -> None:
    vit = find_small()
    channels = chain_kept(vit, 4)[2]
    source = vit.blocks[2]
    for bias in (p for n, p in vit.named_parameters() if n.endswith("bias")):
        nn.init.normal_(bias)
    block = parse("lst:reduction=4")[0].attach(vit).rungs[2].block
    assert torch.equal(block.norm1.bias, source.norm1.bias[channels.read])
    assert torch.equal(block.attn.qkv.bias.view(3, -1), source.attn.qkv.bias.view(3, -1)[:, channels.attended])
    assert torch.equal(block.attn.proj.bias, source.attn.proj.bias[channels.between])
    assert torch.equal(block.norm2.bias, source.norm2.bias[channels.between])
    assert torch.equal(block.mlp.fc1.bias, source.mlp.fc1.bias[channels.hidden])
    assert torch.equal(block.mlp.fc2.bias, source.mlp.fc2.bias[channels.written])


def find_small(**settings: Any) -> VisionTransformer:
    torch.manual_seed(0)
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 3, "num_heads": 3, "num_classes": 5}
    return VisionTransformer(**{**sizes, **settings}).requires_grad_(False)


def test_starts_between_backbone_and_side() -> None:
    network = network_of("lst:reduction=4")
    projections = [network.first, network.up, *(rung.ladder for rung in network.rungs)]
    values = torch.cat([layer.weight.flatten() for layer in projections])
    assert values.std().item() == pytest.approx(0.01, rel=0.05)
    assert not any(layer.bias.any() for layer in projections)
    assert not any(rung.gate.any() for rung in network.rungs)


@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_forward_pass_is_that_of_the_card(pool: str) -> None:
    network = network_of(f"lst:reduction=4:pool={pool}").double()
    disturb(network)
    images = batch()[0].double()
    tokens = embed(network.vit, images)
    side = network.first(tokens)
    for block, rung in zip(network.vit.blocks, network.rungs, strict=True):
        tokens = block(tokens)
        gate = 1 / (1 + torch.exp(-rung.gate / 0.1))
        side = rung.block(gate * side + (1 - gate) * rung.ladder(tokens))
    outputs = network.up(network.side_norm(side))
    feature = outputs[:, 0] if pool == "cls" else outputs[:, 1:].mean(dim=1)
    torch.testing.assert_close(network(images), network.head(feature), rtol=1e-11, atol=1e-12)


def test_fused_attention_in_the_side_network_is_the_explicit_one() -> None:
    images, labels = batch()
    results = []
    for attention in ("fused", "eager"):
        network = network_of("lst:reduction=4", attention=attention).double()
        disturb(network)
        assert {rung.block.attn.fused_attn for rung in network.rungs} == {attention == "fused"}
        functional.cross_entropy(network(images.double()), labels).backward()
        results.append([p.grad for p in network.parameters() if p.requires_grad])
    torch.testing.assert_close(*results, rtol=1e-8, atol=1e-12)


def test_backbone_gets_no_graph_and_no_randomness() -> None:
    network = network_of("lst", drop_path=0.5, backbone_dropout=0.5).train()
    images, _ = batch()
    one, other = network.extract(images), network.extract(images)
    assert len(one) == 13
    assert all(torch.equal(*pair) for pair in zip(one, other, strict=True))
    assert not any(tokens.requires_grad for tokens in one)
    assert network.rungs[0].training


@pytest.mark.parametrize(("reduction", "expected"), [(4, 7_406_412), (8, 2_376_492), (16, 856_860), (32, 345_876)])
def test_counts_on_vit_b(reduction: int, expected: int) -> None:
    network = build_on_meta(VIT_B, parse(f"lst:reduction={reduction}")[0], 100, Recipe())
    assert count(network).trainable_without_head == expected


def test_memory() -> None:
    recipe = Recipe(batch_size=8)
    peak = plan(build_on_meta(VIT_B, parse("lst")[0], 100, recipe), 224, recipe)
    sizes = peak.breakdown()
    assert (peak.total - sizes["weights"] - sizes["optimizer"]) / 2**20 < 230


@pytest.mark.parametrize("reduction", [1, 2, 8, 16])
def test_other_reductions_and_shapes(reduction: int) -> None:
    vit = find_small(mlp_ratio=3.0, qkv_bias=False, class_token=False, global_pool="avg")
    network = parse(f"lst:reduction={reduction}:pool=mean")[0].attach(vit)
    assert network(batch()[0]).shape == (6, 5)
    assert network.rungs[0].block.mlp.fc1.out_features == 144 // reduction
    if reduction == 1:
        assert torch.equal(network.rungs[0].block.attn.qkv.weight, vit.blocks[0].attn.qkv.weight)


@pytest.mark.parametrize("reduction", [5, 24, 48])
def test_reduction_that_does_not_fit(reduction: int) -> None:
    with pytest.raises(ValueError, match=f"reduction={reduction}.*width of 48 and 3 heads"):
        parse(f"lst:reduction={reduction}")[0].attach(find_small())


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"qk_norm": True}, "plain pre-norm"),
        ({"final_norm": False}, "final norm"),
    ],
)
def test_backbones_that_cannot_carry_it(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unsupported, match=reason):
        parse("lst")[0].attach(find_small(**settings))


def test_hierarchical_backbones_have_no_form_of_it() -> None:
    swin = SwinTransformer(img_size=32, patch_size=2, embed_dim=8, depths=(2, 2), num_heads=(1, 2))
    with pytest.raises(Unsupported, match="one width"):
        parse("lst")[0].attach(swin)
