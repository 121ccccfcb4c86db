"""Convolutional bypasses: what they convolve, how they start, what is dropped."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from methods import Network
from tests.methods.small import disturb, network_of

GRID = 4


def bypass(network: Network, half: str = "attn", block: int = 3) -> nn.Module:
    return getattr(network.vit.blocks[block].block, half).bypass[0]


def tokens() -> Tensor:
    return torch.randn(2, 1 + GRID**2, 24, generator=torch.Generator().manual_seed(5)).double()


def gate(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


def test_patches_are_convolved_on_their_grid_and_the_class_token_alone() -> None:
    network = network_of("convpass").double().eval()
    disturb(network)
    module, x = bypass(network), tokens()
    code = gate(module.down(x))
    images = code[:, 1:].transpose(1, 2).reshape(2, 8, GRID, GRID)
    kernel = module.activation.conv.weight, module.activation.conv.bias
    patches = functional.conv2d(images, *kernel, padding=1).reshape(2, 8, GRID**2).transpose(1, 2)
    first = functional.conv2d(code[:, :1].transpose(1, 2).unsqueeze(-1), *kernel, padding=1).squeeze(-1).transpose(1, 2)
    expected = module.up(gate(torch.cat([first, patches], dim=1)))
    torch.testing.assert_close(module(x), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("start", ["xavier", "identity"])
def test_the_start(start: str) -> None:
    module = bypass(network_of(f"convpass:conv={start}:units=5"))
    kernel = module.activation.conv.weight.detach()
    if start == "identity":
        assert torch.equal(kernel[:, :, 1, 1], torch.eye(5))
        assert kernel.sum() == 5
    else:
        assert kernel.std().item() == pytest.approx((2 / 90) ** 0.5, rel=0.2)
    assert module.down.weight.std().item() == pytest.approx((2 / 29) ** 0.5, rel=0.2)
    assert not module.up.weight.any()
    assert not any(layer.bias.any() for layer in (module.down, module.activation.conv, module.up))


@pytest.mark.parametrize(("variant", "halves"), [("full", {"attn", "mlp"}), ("attn", {"attn"})])
def test_the_variant_says_where_bypasses_are(variant: str, halves: set[str]) -> None:
    network = network_of(f"convpass:variant={variant}")
    for block in network.vit.blocks:
        assert {half for half in ("attn", "mlp") if hasattr(getattr(block.block, half), "bypass")} == halves


def test_a_bypass_is_dropped_apart_from_its_half() -> None:
    network = network_of("convpass:variant=attn:dropout=0.0", drop_path=0.5).double()
    disturb(network)
    attention = network.vit.blocks[11].block.attn
    x = tokens()[:1].expand(400, -1, -1)
    main, beside = attention.main(x).flatten(1).any(1), attention.bypass(x).flatten(1).any(1)
    both = attention(x).flatten(1)
    assert main.float().mean().item() == pytest.approx(0.5, abs=0.1)
    assert beside.float().mean().item() == pytest.approx(0.5, abs=0.1)
    assert len(both.round(decimals=6).unique(dim=0)) == 4  # none, either, both


def test_the_scale_multiplies_the_bypass() -> None:
    network = network_of("convpass:scale=3").double().eval()
    disturb(network)
    half, x = network.vit.blocks[2].block.mlp, tokens()
    torch.testing.assert_close(half(x), half.main(x) + 3 * half.bypass(x), rtol=1e-10, atol=1e-12)
