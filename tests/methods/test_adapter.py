"""Bottlenecks after and beside the MLP: how they start, what they read, and the one that cannot learn."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from bench.train.network import build_on_meta
from methods import Network, Unsupported
from methods.backbones.registry import find
from methods.recipe import Recipe
from methods.spec import parse
from tests.methods.small import batch, disturb, learning, network_of, plain

BYPASSES = ["adapter", "adaptformer", "ssf", "convpass", "fact_tt", "side_tuning"]


def bottleneck(network: Network, block: int = 0) -> nn.Module:
    return network.vit.blocks[block].drop_path2.bottleneck


def test_the_start_of_noah_is_small_and_without_bias() -> None:
    layers = bottleneck(network_of("adapter"))
    for layer in (layers.down, layers.up):
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.25)
        assert not layer.bias.any()


def test_the_start_that_noah_sets_out_to_do() -> None:
    layers = bottleneck(network_of("adapter:start=xavier"))
    for layer in (layers.down, layers.up):
        assert layer.weight.std().item() == pytest.approx((2 / 32) ** 0.5, rel=0.25)
        assert 0 < layer.bias.abs().max() < 1e-5


def test_only_the_last_bias_of_vpts_adapter_learns() -> None:
    network = network_of("adapter:variant=vpt").double()
    images, labels = batch()
    for _ in range(3):
        functional.cross_entropy(network(images.double()), labels).backward()
        with torch.no_grad():
            for parameter in learning(network):
                parameter.sub_(parameter.grad)
    for i in range(12):
        moved = {name for name, value in bottleneck(network, i).named_parameters() if value.any()}
        assert moved == {"up.bias"}


def test_vpts_adapter_starts_as_the_backbone() -> None:
    network = network_of("adapter:variant=vpt:reduction=5").double().eval()
    vit = plain().double()
    vit.head = network.head
    images = batch()[0].double()
    torch.testing.assert_close(network(images), vit(images), rtol=1e-12, atol=1e-12)
    assert bottleneck(network).down.out_features == 24 // 5


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("adapter:variant=vpt:units=4", "adapter: units=4 does nothing with variant=vpt"),
        ("adapter:variant=vpt:start=xavier", "adapter: start=xavier does nothing with variant=vpt"),
        ("adapter:reduction=4", "adapter: reduction=4 does nothing with variant=noah"),
        ("adapter:variant=vpt:reduction=25", "adapter: reduction=25, but the backbone is 24 wide"),
    ],
)
def test_settings_that_do_not_fit_are_refused(spec: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        network_of(spec)


def test_the_adapter_reads_what_stochastic_depth_leaves() -> None:
    network = network_of("adapter:dropout=0.0", drop_path=1.0)
    disturb(network)
    block, x = network.vit.blocks[11], torch.randn(2, 17, 24)
    added = block(x) - x  # both halves are dropped
    torch.testing.assert_close(added, bottleneck(network, 11)(torch.zeros(2, 17, 24)), rtol=1e-4, atol=1e-5)


def test_adaptformer_reads_tokens_without_a_norm_and_is_not_dropped() -> None:
    network = network_of("adaptformer:dropout=0.0:scale=0.3", drop_path=1.0)
    disturb(network)
    block, x = network.vit.blocks[11], torch.randn(2, 17, 24)
    torch.testing.assert_close(block(x) - x, 0.3 * block.mlp.bypass(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("spec", ["adapter:dropout=0.5:start=xavier", "adaptformer:dropout=0.5"])
def test_dropout_has_a_mask_for_each_image_and_only_in_training(spec: str) -> None:
    network = network_of(spec)
    disturb(network)
    images = batch(1)[0].expand(2, -1, -1, -1)
    first, second = network(images)
    assert not torch.allclose(first, second, atol=1e-4)
    first, second = network.eval()(images)
    assert torch.allclose(first, second, atol=1e-5)


@pytest.mark.parametrize("name", BYPASSES)
def test_needs_plain_blocks(name: str) -> None:
    with pytest.raises(Unsupported, match=r"is made for plain vision transformers.*, not for Swin"):
        build_on_meta(find("random:tiny Swin"), parse(name)[0], 5, Recipe())
