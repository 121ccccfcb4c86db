"""SynQT: counts in both conventions, multiply-adds as published, how it starts, what drops out, the ablations."""

import json
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from bench.cost.plan import plan
from bench.train.network import build_on_meta, count
from methods.backbones.registry import find
from methods.recipe import Recipe, resolve
from methods.spec import parse
from tests.methods.golden import FOLDER, Case
from tests.methods.small import CLASSES, batch, disturb, learning, network_of

WIDTH, DEPTH = 24, 12
VIT_B = find("random:vit_base_patch16_224")
PRINTED = {  # of the released configurations: classes and the released model's count with them
    "cifar": (100, 2_727_414),
    "caltech101": (102, 2_728_952),
    "dtd": (47, 2_659_009),
    "oxford_flowers102": (102, 2_728_952),
    "oxford_iiit_pet": (37, 2_651_319),
    "svhn": (10, 2_658_204),
    "sun397": (397, 2_928_159),
    "patch_camelyon": (2, 2_762_644),
    "eurosat": (10, 2_768_796),
    "resisc45": (45, 2_685_119),
    "diabetic_retinopathy": (5, 2_764_951),
    "clevr_count": (8, 2_767_258),
    "clevr_dist": (6, 2_765_720),
    "dmlab": (6, 2_627_480),
    "kitti": (4, 2_764_182),
    "dsprites_loc": (16, 2_773_410),
    "dsprites_ori": (16, 2_662_818),
    "smallnorb_azi": (18, 2_774_948),
    "smallnorb_ele": (9, 2_768_027),
}


class Layers(TorchFunctionMode):
    """Multiply-adds of linear and convolution layers."""

    total = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in (functional.linear, functional.conv2d):
            self.total += result.numel() * args[1][0].numel()
        return result


def macs(spec: str, attention: str) -> int:
    network = build_on_meta(VIT_B, parse(spec)[0], 100, Recipe(attention=attention)).eval()
    with torch.no_grad(), Layers() as layers:
        network(torch.empty(1, 3, 224, 224, device="meta"))
    return layers.total


@pytest.mark.parametrize(("tokens", "used"), [(1, 2_681_297), (4, 2_708_945), (16, 2_819_537)])
def test_counts(tokens: int, used: int) -> None:
    network = build_on_meta(VIT_B, parse(f"synqt:tokens={tokens}")[0], 100, Recipe())
    counts = count(network)
    assert counts.trainable == used
    assert counts.trainable_without_head == 2_595_181 + 9_216 * tokens
    assert network.printed_extra == 18_469


@pytest.mark.parametrize("task", PRINTED)
def test_each_task_has_its_printed_count(task: str) -> None:
    classes, printed = PRINTED[task]
    recipe, method = resolve("paper", parse("synqt")[0], task, {})
    network = build_on_meta(VIT_B, method, classes, recipe)
    assert count(network).trainable + network.printed_extra == printed


def test_the_ablations_change_the_count_by_what_they_free_or_fix() -> None:
    fixed, blocks = (
        build_on_meta(VIT_B, parse(f"synqt:{how}")[0], 100, Recipe()) for how in ("scale=fixed", "kem=trainable")
    )
    assert count(fixed).trainable_without_head == 2_632_045 - 24
    assert count(blocks).trainable_without_head == 2_632_045 + 12 * 7_087_872


@pytest.mark.parametrize(("tokens", "published"), [(1, 16.94), (4, 17.20), (16, 18.25)])
def test_multiply_adds_of_the_plain_form_are_the_published_ones(tokens: int, published: float) -> None:
    assert round(macs(f"synqt:tokens={tokens}", "eager") / 1e9, 2) == published


def test_the_lean_form_does_less() -> None:
    eager, fused = (macs("synqt", attention) for attention in ("eager", "fused"))
    last_block, queries = 197 * 7_077_888, 4 * 12 * 2 * 768**2  # folded products are no layers
    assert eager - fused == last_block + queries


def test_memory_is_within_the_bar() -> None:
    recipe = Recipe(batch_size=8)
    peak = plan(build_on_meta(VIT_B, parse("synqt")[0], 100, recipe), 224, recipe)
    kinds = peak.breakdown()
    assert (peak.total - kinds["weights"] - kinds["optimizer"]) / 2**20 <= 0.80 * 201


def test_it_starts_as_the_card_says() -> None:
    network = network_of("synqt:attention_scale=0.5:ffn_scale=0.25:carry_scale=2")
    assert network.tokens.shape == (DEPTH, 4, WIDTH)
    assert 0.99 < network.tokens.abs().max() <= 1
    assert [scale.item() for scale in network.attention_scales] == [0.5] * DEPTH
    assert [scale.item() for scale in network.ffn_scales] == [0.25] * DEPTH
    assert network.carry_scale.item() == 2
    assert torch.equal(network.gathering.last_norm.weight, network.vit.norm.weight)
    norms = [module for part in (network.synthesis, network.gathering) for module in part.modules()]
    assert {module.eps for module in norms if isinstance(module, nn.LayerNorm)} == {1e-5}
    assert {block.norm1.eps for block in network.vit.blocks} == {1e-6}


def test_the_last_norm_starts_as_the_backbones() -> None:
    network = network_of("synqt").eval()
    disturb(network.vit.norm.requires_grad_(True))
    again = parse("synqt")[0].attach(network.vit)
    assert torch.equal(again.gathering.last_norm.weight, network.vit.norm.weight)
    assert torch.equal(again.gathering.last_norm.bias, network.vit.norm.bias)
    assert again.gathering.last_norm.weight is not network.vit.norm.weight


def test_one_token_leaves_queries_and_keys_without_a_gradient() -> None:
    network = network_of("synqt:tokens=1")
    network(batch()[0]).square().sum().backward()
    for synthesis in network.synthesis:
        dead = [synthesis.query, synthesis.key, synthesis.norm_query]
        assert all(not p.grad.any() for module in dead for p in module.parameters())
        assert all(p.grad.any() for p in synthesis.value.parameters())


def test_whole_features_are_dropped_in_training_but_never_the_first() -> None:
    gathering = network_of("synqt").gathering.train()
    gathering.bottleneck.eval()
    gathering.dropout.eval()
    gathering.last_norm = nn.Identity()
    features = torch.randn(400, 3 * DEPTH + 1, WIDTH, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        refined = features + gathering.bottleneck(gathering.norm(features))
        weights = gathering.weights(refined[:, :1]).squeeze(1)
        output = gathering(features) * (3 * DEPTH + 1)
        rest = output - refined[:, 0]
        # The drawn factors solve rest = Σ factor_j·w_j·g_j only in the mean: 1.
        expected = torch.einsum("bf,bfd->bd", weights, refined[:, 1:])
        assert not torch.allclose(rest, expected, atol=1e-3)
        mean = torch.stack([gathering(features[:1])[0] for _ in range(3000)]).mean(0) * (3 * DEPTH + 1)
        torch.testing.assert_close(mean, refined[0, 0] + expected[0], rtol=0.2, atol=0.4)
        gathering.gate.weight.zero_()
        gathering.gate.bias.zero_()
        torch.testing.assert_close(gathering(features) * (3 * DEPTH + 1), refined[:, 0], rtol=1e-4, atol=1e-4)


def test_stochastic_depth_acts_on_tokens_and_queries() -> None:
    network = network_of("synqt", drop_path=0.9)
    images, _ = batch()
    kept, again = network.extract(images), network.extract(images)
    assert torch.equal(kept[1], again[1])  # block 1 has none
    assert not torch.equal(kept[-1], again[-1])
    network.synthesis.eval()
    network.gathering.eval()
    assert not torch.equal(network.adapt(kept), network.adapt(kept))


def test_fixed_scales_are_kept_and_saved() -> None:
    network = network_of("synqt:scale=fixed:attention_scale=0.7")
    names = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert "carry_scale" in names
    assert not any(name.startswith(("attention_scales", "ffn_scales")) for name in names)
    assert network.state_dict()["attention_scales.3"].item() == pytest.approx(0.7)


def test_trainable_blocks_learn_from_tokens_and_queries() -> None:
    network = network_of("synqt:kem=trainable").eval()
    frozen = network_of("synqt").eval()
    images, _ = batch()
    assert network.extract(images).shape == (6, 17, WIDTH)
    torch.testing.assert_close(network(images), frozen(images), rtol=1e-4, atol=1e-5)
    network(images).square().sum().backward()
    assert all(p.grad is not None for p in network.vit.blocks.parameters())
    assert {id(p) for p in network.vit.norm.parameters()}.isdisjoint(map(id, learning(network)))


@pytest.mark.parametrize("name", ["tiny_n4"])
def test_states_and_weights_are_those_of_the_released_code(name: str) -> None:
    file = json.loads((FOLDER / "synqt.json").read_text())
    values = next(case for case in file["cases"] if case["name"] == name)
    network = Case("synqt", file["frequency"], values).network()
    images = Case("synqt", file["frequency"], values).images()
    checks = values["checks"]
    with torch.no_grad():
        means = list(network._means(network.extract(images)))
        for i, key in enumerate(("H_mean", "A_mean", "M_mean")):
            ours = torch.stack([parts[i].mean() for parts in means])
            torch.testing.assert_close(ours, exact(checks[key]), rtol=1e-9, atol=1e-14)
        gathering, last = network.gathering, means[-1][0]
        weights = gathering.weights(last + gathering.bottleneck(gathering.norm(last))).squeeze(1)
        torch.testing.assert_close(weights, exact(checks["head_weights"]), rtol=1e-9, atol=1e-14)
    counts = values["trainable_count"]
    assert network.printed_extra == counts["unused"]
    assert count(network).trainable + network.printed_extra == counts["total_as_released_with_unused"]


def exact(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_logits_have_the_classes_of_the_head() -> None:
    assert network_of("synqt:tokens=3:bottleneck=5:attention_bottleneck=2")(batch()[0]).shape == (6, CLASSES)
