"""Prompts: how many tokens each block reads, which prompts it sees, and what does not matter."""

import math

import pytest
import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from methods import Network
from tests.methods.small import batch, network_of

PATCHES, WIDTH, DEPTH, TOKENS = 16, 24, 12, 3
DEEP, SHALLOW = f"vpt_deep:tokens={TOKENS}", f"vpt_shallow:tokens={TOKENS}"
PROMPTS = slice(1, 1 + TOKENS)

both = pytest.mark.parametrize("spec", [DEEP, SHALLOW])


def evaluated(spec: str) -> Network:
    return network_of(spec).double().eval()


def tables(network: Network) -> list[nn.Parameter]:
    return [parameter for name, parameter in network.named_parameters() if "prompts" in name]


def block_inputs(network: Network, images: Tensor) -> list[Tensor]:
    """What each block of the backbone reads."""
    inputs: list[Tensor] = []
    hooks = [
        module.register_forward_pre_hook(lambda _, args: inputs.append(args[0].detach()))
        for module in network.modules()
        if isinstance(module, Block)
    ]
    network(images)
    for hook in hooks:
        hook.remove()
    return inputs


@both
def test_every_block_reads_the_prompts_and_nothing_more(spec: str) -> None:
    inputs = block_inputs(evaluated(spec), batch(2)[0].double())
    assert [tokens.shape for tokens in inputs] == [(2, 1 + TOKENS + PATCHES, WIDTH)] * DEPTH


def test_deep_has_a_table_for_each_block_which_reads_it_as_it_is() -> None:
    network = evaluated(DEEP)
    inputs = block_inputs(network, batch(2)[0].double())
    assert len(tables(network)) == DEPTH
    for tokens, table in zip(inputs, tables(network), strict=True):
        assert torch.equal(tokens[:, PROMPTS], table.expand(2, -1, -1))


def test_shallow_has_one_table_whose_outputs_go_on() -> None:
    network = evaluated(SHALLOW)
    inputs = block_inputs(network, batch(2)[0].double())
    (table,) = tables(network)
    assert torch.equal(inputs[0][:, PROMPTS], table.expand(2, -1, -1))
    assert not torch.equal(inputs[1][:, PROMPTS], inputs[0][:, PROMPTS])


def test_prompts_stand_between_the_class_token_and_the_patches() -> None:
    network = evaluated(DEEP)
    images = batch(2)[0].double()
    embedded = network.extract(images)
    first = block_inputs(network, images)[0]
    assert torch.equal(torch.cat([first[:, :1], first[:, 1 + TOKENS :]], dim=1), embedded)


@both
def test_the_order_of_prompts_does_not_matter(spec: str) -> None:
    network = evaluated(spec)
    images = batch()[0].double()
    expected = network(images)
    for table in tables(network):
        table.data = table.data.flip(1)
    torch.testing.assert_close(network(images), expected, rtol=1e-10, atol=1e-12)


def test_deep_prompts_reach_the_next_block_only_through_other_tokens() -> None:
    network = evaluated(DEEP)
    images = batch()[0].double()
    before = block_inputs(network, images)
    tables(network)[4].data.neg_()
    after = block_inputs(network, images)
    assert all(torch.equal(before[i], after[i]) for i in range(4))
    assert torch.equal(before[5][:, PROMPTS], after[5][:, PROMPTS])
    for others in (slice(0, 1), slice(1 + TOKENS, None)):
        assert not (before[5][:, others] == after[5][:, others]).any()


@both
def test_every_prompt_gets_a_gradient(spec: str) -> None:
    network = evaluated(spec)
    network(batch()[0].double()).square().sum().backward()
    assert all((table.grad.norm(dim=-1) > 0).all() for table in tables(network))


@pytest.mark.parametrize("name", ["vpt_deep", "vpt_shallow"])
def test_dropout_has_a_mask_for_each_image_and_only_in_training(name: str) -> None:
    network = network_of(f"{name}:tokens={TOKENS}:dropout=0.5")
    images = batch(1)[0].expand(2, -1, -1, -1)
    first, second = network(images)
    assert not torch.allclose(first, second, atol=1e-4)
    first, second = network.eval()(images)
    assert torch.allclose(first, second, atol=1e-6)


@both
def test_prompts_start_uniform_within_the_bound_of_the_source(spec: str) -> None:
    bound = math.sqrt(6 / (3 * 8 * 8 + WIDTH))
    network = network_of(spec.replace(f"={TOKENS}", "=200"))
    values = torch.cat([table.detach().flatten() for table in tables(network)]) / bound
    assert values.abs().max() <= 1
    assert values.mean().item() == pytest.approx(0, abs=0.05)
    assert values.std().item() == pytest.approx(1 / math.sqrt(3), abs=0.02)
