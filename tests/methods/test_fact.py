"""Factored updates: what is shared, what the slices are, what folding leaves."""

import pytest
import torch
from timm.models import VisionTransformer
from torch import nn

from methods import Network, Unsupported
from methods.spec import parse
from tests.methods.small import batch, disturb, network_of, plain

both = pytest.mark.parametrize("name", ["fact_tt", "fact_tk"])
WIDTH = 24


def updates(network: Network, block: int) -> dict[str, torch.Tensor]:
    """What folding adds to each weight."""
    layers = {
        name: network.vit.blocks[block].block.get_submodule(name)
        for name in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
    }
    return {name: layer.merged().weight - plain_weight(name, block) for name, layer in layers.items()}


def plain_weight(name: str, block: int) -> torch.Tensor:
    return plain().double().blocks[block].get_submodule(name).weight


@both
def test_updates_share_their_column_and_row_spaces(name: str) -> None:
    network = network_of(f"{name}:rank=2").double()
    disturb(network)
    slices = []
    for block in (0, 7):
        for update in updates(network, block).values():
            rows = update.detach().split(WIDTH, dim=0)
            slices += [piece for row in rows for piece in row.split(WIDTH, dim=1)]
    assert len(slices) == 2 * 12
    assert torch.linalg.matrix_rank(torch.cat(slices, dim=0), rtol=1e-8) == 2
    assert torch.linalg.matrix_rank(torch.cat(slices, dim=1), rtol=1e-8) == 2
    assert all(piece.abs().max() > 1e-4 for piece in slices)


def test_tucker_slices_are_those_of_the_card() -> None:
    network = network_of("fact_tk:rank=3:scale=0.7").double()
    disturb(network)
    factors = network.vit.blocks[0].factors
    cores = torch.einsum("abj,jc->abc", factors.core, factors.slices)[:, :, 12 * 5 : 12 * 6]  # block 6
    expected = torch.cat([0.7 * factors.up.weight @ cores[:, :, i].T @ factors.down.weight for i in range(3)])
    torch.testing.assert_close(updates(network, 5)["attn.qkv"], expected, rtol=1e-9, atol=1e-12)


@both
def test_dropout_acts_on_codes_with_a_mask_for_each_image(name: str) -> None:
    network = network_of(f"{name}:dropout=0.5")
    disturb(network)
    images = batch(1)[0].expand(2, -1, -1, -1)
    first, second = network(images)
    assert not torch.allclose(first, second, atol=1e-4)
    first, second = network.eval()(images)
    assert torch.allclose(first, second, atol=1e-5)


def test_the_start() -> None:
    train, tucker = (network_of(name).vit.blocks[0] for name in ("fact_tt:rank=8", "fact_tk:rank=8"))
    for block in (train, tucker):
        assert not block.factors.up.weight.any()
        assert block.factors.down.weight.abs().max().item() == pytest.approx(WIDTH**-0.5, rel=0.05)
    assert train.block.mlp.fc2.core.parts[0].abs().max().item() == pytest.approx(32**-0.5, rel=0.05)
    assert tucker.factors.core.abs().max().item() == pytest.approx((6 / 128) ** 0.5, rel=0.05)
    assert tucker.factors.slices.abs().max().item() == pytest.approx((6 / (8 + 144)) ** 0.5, rel=0.05)


@both
def test_folding_leaves_the_architecture_of_the_backbone(name: str) -> None:
    merged = parse(name)[0].merge(network_of(name))
    names = {key: value.shape for key, value in merged.vit.state_dict().items() if not key.startswith("head")}
    assert names == {key: value.shape for key, value in plain().state_dict().items()}


@both
def test_needs_a_whole_number_of_slices(name: str) -> None:
    vit = VisionTransformer(img_size=32, patch_size=8, embed_dim=24, depth=1, num_heads=3, mlp_ratio=2.5)
    with pytest.raises(Unsupported, match="multiples of the width"):
        parse(name)[0].attach(vit)


@both
def test_needs_linear_layers(name: str) -> None:
    vit = plain()
    vit.blocks[0].attn.qkv = nn.Identity()
    with pytest.raises(Unsupported, match="one linear layer as"):
        parse(name)[0].attach(vit)
