"""Reading frozen blocks: the lean form, the plain form and a block on the joint sequence are one function."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from timm.models import VisionTransformer
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from methods import Unsupported
from methods.parts.queries import read, walk
from methods.parts.requirements import check_blocks
from methods.spec import parse
from tests.methods.small import batch, disturb, learning, network_of, plain

KINDS: Mapping[str, dict[str, Any]] = {
    "plain": {"qkv_bias": True},
    "no bias": {"qkv_bias": False},
    "layer scale": {"qkv_bias": True, "init_values": 0.3},
    "normalised keys": {"qkv_bias": True, "qk_norm": True},
    "wide heads": {"qkv_bias": True, "num_heads": 1},
}


def vit_of(depth: int = 3, fused: bool = True, **settings: Any) -> VisionTransformer:
    """Blocks alone matter; every parameter is random, biases and norms as well."""
    torch.manual_seed(0)
    sizes = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "num_heads": 3}
    vit = VisionTransformer(**(sizes | settings), depth=depth, num_classes=0).double().eval()
    disturb(vit)
    for block in vit.blocks:
        block.attn.fused_attn = fused
    return vit.requires_grad_(False)


def random(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def joint(block: Block, queries: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """The released structure: one sequence, in which no token and no query sees a query."""
    count, total = queries.shape[1], queries.shape[1] + tokens.shape[1]
    mask = torch.zeros(total, total, dtype=torch.float64)
    mask[:, :count] = -torch.inf
    both = block(torch.cat([queries, tokens], dim=1), attn_mask=mask)
    return both[:, :count], both[:, count:].detach()


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 4])
def test_reading_equals_the_block_on_the_joint_sequence(kind: str, count: int, fused: bool) -> None:
    vit, tokens = vit_of(fused=fused, **KINDS[kind]), random(2, 17, 24)
    last, kept = walk(vit, tokens)
    for i, (block, what) in enumerate(zip(vit.blocks, kept, strict=True)):
        ours, theirs = (random(2, count, 24, seed=i).requires_grad_() for _ in range(2))
        expected, tokens = joint(block, theirs, tokens)
        output, attended, processed = read(block, ours, what)
        torch.testing.assert_close(output, expected, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(ours + attended + processed, expected, rtol=1e-12, atol=1e-12)
        weights = random(*output.shape, seed=9)
        (output * weights).sum().backward()
        (expected * weights).sum().backward()
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-11, atol=1e-12)
    torch.testing.assert_close(last, tokens, rtol=1e-12, atol=1e-12)


def test_the_lean_form_keeps_the_normalised_tokens_alone() -> None:
    tokens = random(2, 17, 24)
    _, lean = walk(vit_of(), tokens)
    assert [what.shape for what in lean] == [tokens.shape] * 3
    _, plain = walk(vit_of(fused=False), tokens)
    assert [part.shape for what in plain for part in what] == [(2, 3, 17, 8)] * 6


def test_the_last_tokens_are_left_alone_where_nobody_reads_them() -> None:
    vit, tokens = vit_of(), random(2, 17, 24)
    last, kept = walk(vit, tokens)
    before, same = walk(vit, tokens, to_the_end=False)
    assert all(torch.equal(*pair) for pair in zip(kept, same, strict=True))
    torch.testing.assert_close(walk(vit_of(depth=2), tokens)[0].shape, before.shape)
    assert not torch.equal(before, last)
    torch.testing.assert_close(vit.blocks[-1](before), last, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("spec", ["vqt", "vqt:tokens=3:pool=weighted", "synqt", "synqt:tokens=1", "synqt:tokens=2"])
def test_both_forms_give_the_same_logits_and_gradients(spec: str) -> None:
    networks = [network_of(spec, attention=attention).double().eval() for attention in ("fused", "eager")]
    images = batch()[0].double()
    outputs = []
    for network in networks:
        disturb(network)
        outputs.append(network(images))
        outputs[-1].square().sum().backward()
    torch.testing.assert_close(*outputs, rtol=1e-10, atol=1e-12)
    for lean, full in zip(*(learning(network) for network in networks), strict=True):
        torch.testing.assert_close(lean.grad, full.grad, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("spec", ["vqt:tokens=2", "synqt"])
def test_half_precision_is_near_and_keeps_half_as_much(spec: str) -> None:
    network = network_of(spec).eval()
    images, _ = batch()
    expected = network(images)
    with torch.autocast("cpu", torch.bfloat16):
        kept = network.extract(images)
        kept = kept[0] if isinstance(kept, tuple) else kept
        assert {what.dtype for what in kept} == {torch.bfloat16}
        logits = network(images)
    logits.float().sum().backward()
    assert all(parameter.grad is not None for parameter in learning(network))
    torch.testing.assert_close(logits.float(), expected, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("spec", ["vqt", "synqt", "head2toe"])
def test_other_blocks_are_refused(spec: str) -> None:
    vit = plain()
    vit.blocks[1].attn = nn.Identity()
    with pytest.raises(Unsupported, match="needs pre-norm blocks with plain attention"):
        parse(spec)[0].attach(vit)
    with pytest.raises(Unsupported, match="needs pre-norm blocks with plain attention"):
        check_blocks(nn.Identity())
