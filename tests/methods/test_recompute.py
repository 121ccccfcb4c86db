"""What is made again rather than kept: the same numbers, less memory, and nothing in the way of checkpointing."""

import pytest
import torch
from timm.models import VisionTransformer
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from bench.cost.plan import plan
from bench.train.network import build_on_meta
from methods import Network
from methods.parts.recompute import Recomputing
from methods.recipe import Recipe
from methods.spec import parse
from tests.methods.small import CLASSES, SIZE, SMALL, batch, disturb, learning, network_of

SPECS = ["ssf", "convpass", "convpass:variant=attn", "fact_tt", "fact_tk"]
SPECS += ["repadapter", "dora", "dora:target=qkv", "vera", "pvera"]
every = pytest.mark.parametrize("spec", SPECS)


def choose(network: nn.Module, lean: bool) -> None:
    for module in network.modules():
        if isinstance(module, Recomputing):
            module.lean = lean


def gradients(network: Network, seed: int = 7) -> list[Tensor]:
    """Logits and gradients in training mode, with one draw of dropout and stochastic depth."""
    images, labels = batch()
    torch.manual_seed(seed)
    logits = network(images.double())
    network.zero_grad()
    functional.cross_entropy(logits, labels).backward()
    return [logits.detach(), *(parameter.grad.clone() for parameter in learning(network))]


@every
@pytest.mark.parametrize("attention", ["fused", "eager"])
def test_the_lean_form_gives_the_numbers_of_the_plain_one(spec: str, attention: str) -> None:
    network = network_of(spec, attention=attention, drop_path=0.3).double()
    disturb(network, 0.1)
    found = {}
    for lean in (True, False):
        choose(network, lean)
        found[lean] = gradients(network)
    for lean, plain in zip(found[True], found[False], strict=True):
        torch.testing.assert_close(lean, plain, rtol=1e-10, atol=1e-13)


@every
def test_the_lean_form_keeps_less(spec: str) -> None:
    peaks = []
    for lean in (True, False):
        network = build_on_meta(SMALL, parse(spec)[0], CLASSES, Recipe())
        choose(network, lean)
        peaks.append(plan(network, SIZE, Recipe()).total)
    assert peaks[0] < peaks[1]


@every
def test_blocks_may_be_checkpointed(spec: str) -> None:
    network = network_of(spec).double()
    disturb(network, 0.1)
    expected = gradients(network)
    for i, block in enumerate(network.vit.blocks):
        network.vit.blocks[i] = Checkpointed(block)
    for found, value in zip(gradients(network), expected, strict=True):
        torch.testing.assert_close(found, value, rtol=1e-10, atol=1e-13)


class Checkpointed(nn.Module):
    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(self.block, x, use_reentrant=False)


def test_someone_elses_hooks_see_everything() -> None:
    network = network_of("convpass")
    seen: list[torch.Size] = []
    with saved_tensors_hooks(lambda kept: seen.append(kept.shape) or kept, lambda kept: kept):
        network(batch()[0])
    assert len(seen) > 12 * 10


@every
def test_autocast_trains(spec: str) -> None:
    network = network_of(spec)
    disturb(network, 0.1)
    images, labels = batch()
    with torch.autocast("cpu", torch.bfloat16):
        logits = network(images)
    functional.cross_entropy(logits.float(), labels).backward()
    assert all(parameter.grad.dtype == parameter.dtype for parameter in learning(network))
    assert all(parameter.grad.isfinite().all() for parameter in learning(network))


def test_a_second_backward_pass_makes_the_outputs_once_more() -> None:
    network = network_of("fact_tt").double().eval()
    disturb(network, 0.1)
    logits = network(batch()[0].double())
    first = torch.autograd.grad(logits.square().sum(), learning(network), retain_graph=True)
    second = torch.autograd.grad(logits.square().sum(), learning(network))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


@every
@pytest.mark.parametrize(
    "kind",
    [
        {"reg_tokens": 2, "global_pool": "avg"},
        {"class_token": False, "global_pool": "avg", "fc_norm": True},
        {"qkv_bias": False, "init_values": 0.5, "qk_norm": True},
        {"img_size": (24, 40), "mlp_ratio": 2.0},
    ],
)
def test_other_backbones(spec: str, kind: dict[str, object]) -> None:
    sizes = {"img_size": SIZE, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 3, "num_classes": 5, **kind}
    vit = VisionTransformer(**sizes).requires_grad_(False)
    vit.head.requires_grad_(True)
    method = parse(spec)[0]
    network = method.attach(vit).double()
    disturb(network, 0.1)
    images = torch.randn(2, 3, *vit.patch_embed.img_size, dtype=torch.float64)
    network(images).square().sum().backward()
    assert all(parameter.grad is not None for parameter in learning(network))
    expected = network.eval()(images)
    torch.testing.assert_close(method.merge(network).eval()(images), expected, rtol=1e-9, atol=1e-9)
