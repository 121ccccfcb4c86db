"""Low-rank updates: which parts of the projection they change, how they start, where they drop, what folding leaves."""

import pytest
import torch
from torch import Tensor, nn

from bench.train.network import count
from methods import Network, Unsupported
from methods.backbones.chain import embed
from methods.spec import parse
from tests.methods.small import batch, disturb, network_of, plain

WIDTH = 24


def projection(network: Network, block: int = 0) -> nn.Module:
    return network.vit.blocks[block].attn.qkv


def updates(network: Network, x: Tensor, block: int = 0) -> dict[str, Tensor]:
    """What the method adds to queries, keys and values."""
    added = projection(network, block)(x) - plain().to(x.dtype).blocks[block].attn.qkv(x)
    return dict(zip("qkv", added.detach().split(WIDTH, dim=-1), strict=True))


def tokens(count: int = 2) -> Tensor:
    return torch.randn(count, 17, WIDTH, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize(("target", "changed"), [("qkv", {"q", "k", "v"}), ("qv", {"q", "v"})])
def test_the_target_says_what_is_updated(target: str, changed: set[str]) -> None:
    network = network_of(f"lora:target={target}").eval()
    disturb(network)
    assert {name for name, update in updates(network, tokens()).items() if update.abs().max() > 1e-3} == changed


@pytest.mark.parametrize("target", ["qkv", "qv"])
@pytest.mark.parametrize("rank", [1, 5])
def test_each_update_has_the_rank(target: str, rank: int) -> None:
    network = network_of(f"lora:target={target}:rank={rank}").double().eval()
    disturb(network)
    for update in updates(network, tokens().double()).values():
        assert torch.linalg.matrix_rank(update.flatten(0, 1), rtol=1e-8) in (0, rank)


def test_query_key_and_value_share_the_code_of_the_fused_target() -> None:
    network = network_of("lora:rank=4").double().eval()
    disturb(network)
    together = torch.cat([*updates(network, tokens().double()).values()], dim=-1)
    assert torch.linalg.matrix_rank(together.flatten(0, 1), rtol=1e-8) == 4


@pytest.mark.parametrize("layer", [1, 4, 12])
def test_one_layer_extracts_the_blocks_below_it(layer: int) -> None:
    images, _ = batch()
    vit = plain().eval()
    expected = vit.blocks[: layer - 1](embed(vit, images))
    assert torch.equal(network_of(f"lora:layer={layer}").eval().extract(images), expected)


def test_one_layer_changes_only_that_block() -> None:
    network = network_of("lora:layer=4").eval()
    assert [type(projection(network, i)) is nn.Linear for i in range(12)] == [i != 3 for i in range(12)]


def test_a_layer_above_the_network_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^lora: layer=13, but the backbone has 12 blocks$"):
        network_of("lora:layer=13")


@pytest.mark.parametrize("target", ["qkv", "qv"])
def test_the_start_of_the_released_code_is_small_but_not_zero(target: str) -> None:
    network = network_of(f"lora:target={target}:start=normal").eval()
    for name, weight in projection(network).named_parameters():
        if "frozen" not in name:
            assert weight.std().item() == pytest.approx(0.02, rel=0.25), name
            assert weight.abs().max() <= 2
    assert updates(network, tokens())["q"].abs().max() > 0


def test_the_scale_multiplies_the_update() -> None:
    one, three = (network_of(f"lora:scale={scale}:start=normal").double().eval() for scale in (1, 3))
    x = tokens().double()
    torch.testing.assert_close(updates(three, x)["v"], 3 * updates(one, x)["v"], rtol=1e-9, atol=1e-12)


def test_dropout_acts_on_the_code_of_the_query_value_pair() -> None:
    network = network_of("lora:target=qv:rank=1:dropout=0.5:start=normal").double()
    ratio = updates(network, tokens().double())["q"] / updates(network.eval(), tokens().double())["q"]
    torch.testing.assert_close(ratio, ratio[..., :1].expand_as(ratio), rtol=1e-5, atol=1e-6)
    assert set(ratio[..., 0].round(decimals=4).flatten().tolist()) == {0.0, 2.0}


def test_dropout_acts_on_the_input_of_the_fused_target() -> None:
    network = network_of("lora:rank=1:dropout=0.5:start=normal").double()
    ratio = updates(network, tokens().double())["q"] / updates(network.eval(), tokens().double())["q"]
    torch.testing.assert_close(ratio, ratio[..., :1].expand_as(ratio), rtol=1e-5, atol=1e-6)
    assert len(set(ratio[..., 0].round(decimals=4).flatten().tolist())) > 10


@pytest.mark.parametrize("target", ["qkv", "qv"])
def test_dropout_has_a_mask_for_each_image(target: str) -> None:
    network = network_of(f"lora:target={target}:start=normal:dropout=0.5")
    first, second = network(batch(1)[0].expand(2, -1, -1, -1))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("spec", ["lora", "lora:target=qv", "lora:layer=3"])
def test_folding_leaves_the_layers_of_the_backbone(spec: str) -> None:
    network = network_of(spec)
    head = sum(p.numel() for p in network.head.parameters())
    merged = parse(spec)[0].merge(network)
    assert all(type(projection(merged, i)) is nn.Linear for i in range(12))
    assert count(merged).total - head == sum(p.numel() for p in plain().parameters())


def test_needs_one_projection_to_queries_keys_and_values() -> None:
    vit = plain()
    vit.blocks[0].attn.qkv = nn.Identity()
    with pytest.raises(Unsupported, match="one linear projection"):
        parse("lora")[0].attach(vit)
