"""Options that cut what is kept: they give the numbers of the published code, and save what was promised."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils._pytree import tree_leaves

from bench.cost.plan import plan
from bench.train.network import build_on_meta, count
from methods import METHODS
from methods.backbones.registry import find
from methods.parts.activations import Activations, keep_less
from methods.parts.lean_layers import MsNorm, ReGelu2, VeloraLinear, packed_bits, unpacked_bits
from methods.recipe import Recipe
from methods.spec import parse
from tests.methods.golden_activations import OptionCase, directions, option_cases
from tests.methods.small import batch, disturb, learning, network_of
from tests.methods.test_golden import check_gradients

VIT_B = find("random:vit_base_patch16_224")
MIB = 2**20
EVERY = "both,velora:qkv/fc2/down:groups=1"

every_case = pytest.mark.parametrize("case", option_cases(), ids=str)


@every_case
def test_logits_of_the_published_code(case: OptionCase) -> None:
    expected = torch.tensor(case.values["logits"], dtype=torch.float64)
    torch.testing.assert_close(case.network()(case.images()), expected, rtol=1e-9, atol=0)


@every_case
def test_gradients_of_the_published_code(case: OptionCase) -> None:
    network = case.network()
    check_gradients(case, network)
    for name, direction in case.values["checks"].get("v", {}).items():
        assert directions(network)[name].tolist() == pytest.approx(direction, rel=1e-9)


@every_case
def test_what_learns_is_what_learned_there(case: OptionCase) -> None:
    counts, expected = count(case.network()), case.values["trainable_count"]
    assert (counts.trainable, counts.trainable_without_head) == (expected["total"], expected["without_head"])


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 11, 64])
def test_regelu2_has_four_slopes(size: int) -> None:
    x = torch.linspace(-5, 5, size, dtype=torch.float64, requires_grad=True)
    y = ReGelu2()(x)
    assert torch.equal(y, functional.gelu(x))
    weights = torch.arange(1.0, size + 1, dtype=torch.float64)
    (y * weights).sum().backward()
    slopes = [0.0 if v <= -3.1858810036855245 else -0.04922261145617846 if v <= -0.001178821281161997
              else 1.0487405950855512 if v <= 3.190832613414926 else 1.0 for v in x.tolist()]  # fmt: skip
    assert (x.grad / weights).tolist() == pytest.approx(slopes, rel=1e-14)


def test_regelu2_takes_gradients_of_any_layout() -> None:
    x = torch.randn(6, 4, dtype=torch.float64).T.requires_grad_()
    (ReGelu2()(x).T * torch.arange(4.0)).sum().backward()
    whole = x.grad.clone()
    x.grad = None
    (ReGelu2()(x) * torch.arange(4.0).unsqueeze(1)).sum().backward()
    assert torch.equal(x.grad, whole)


def test_ms_norm_is_exact() -> None:
    norm = nn.LayerNorm(7, eps=1e-6, elementwise_affine=False).double()
    x = torch.randn(3, 5, 7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(MsNorm(norm), (x,))
    torch.testing.assert_close(MsNorm(norm)(x), norm(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "spec", ["full", "partial:blocks=3", "lora:dropout=0", "lora:target=qv", "lora:layer=3:dropout=0", "bitfit"]
)
def test_ms_ln_changes_neither_logits_nor_gradients(spec: str) -> None:
    plain, lean = network_of(spec).double(), network_of(spec).double()
    for network in (plain, lean):
        disturb(network)
    keep_less(lean, Activations(ms_ln=True))
    images, labels = batch()
    plain.eval(), lean.eval()
    logits, others = (network(images.double()) for network in (plain, lean))
    torch.testing.assert_close(others, logits, rtol=1e-11, atol=1e-11)
    functional.cross_entropy(logits, labels).backward()
    functional.cross_entropy(others, labels).backward()
    gradients = dict(plain.named_parameters())
    for name, parameter in lean.named_parameters():
        if parameter.requires_grad and (spec not in ("full", "partial:blocks=3") or "fc2" in name or "proj" in name):
            torch.testing.assert_close(parameter.grad, gradients[name].grad, rtol=1e-9, atol=1e-12)


def test_ms_ln_under_dropout_is_exact_and_keeps_bits() -> None:
    def gradients(options: Activations) -> dict[str, torch.Tensor]:
        network = network_of("lora:dropout=0.5").double()
        disturb(network)
        keep_less(network, options)
        images, labels = batch()
        torch.manual_seed(4)
        functional.cross_entropy(network(images.double()), labels).backward()
        return {name: p.grad for name, p in network.named_parameters() if p.requires_grad}

    lean, again = gradients(Activations(ms_ln=True)), gradients(Activations(ms_ln=True))
    assert all(torch.equal(lean[name], again[name]) for name in lean)
    mask = torch.rand(3, 5, 7) < 0.5
    assert torch.equal(unpacked_bits(packed_bits(mask), mask.shape), mask)
    assert packed_bits(mask).numel() == 14  # of 105


def test_a_code_under_dropout_has_the_gradient_of_its_definition() -> None:
    from methods.lora import DroppedCode

    x, down = (torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((2, 4, 6), (3, 6)))
    scale, shift = torch.randn(6, dtype=torch.float64), torch.randn(6, dtype=torch.float64)

    def code(x: torch.Tensor, down: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(0)
        return DroppedCode.apply(x, down, scale, shift, 0.4)

    assert torch.autograd.gradcheck(code, (x, down))
    torch.manual_seed(0)
    read, _ = torch.native_dropout(x * scale + shift, 0.4, True)
    torch.testing.assert_close(code(x, down), read @ down.T, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("spec", METHODS)
def test_every_method_keeps_its_features_and_logits_with_all_options(spec: str) -> None:
    plain, lean = network_of(spec).double().eval(), network_of(spec, activations=EVERY).double().eval()
    images = batch()[0].double()
    features, others = (tree_leaves(network.extract(images)) for network in (plain, lean))
    assert all(map(torch.equal, features, others))  # they are shared between runs with and without options
    torch.testing.assert_close(lean(images), plain(images), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("spec", METHODS)
def test_every_method_learns_with_all_options(spec: str) -> None:
    network, (images, labels) = network_of(spec, activations=EVERY), batch()
    functional.cross_entropy(network(images), labels).backward()
    for name, parameter in network.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
        assert parameter.grad is None or parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("spec", ["lora", "lora:target=qv", "lora:layer=3"])
def test_a_network_with_ms_ln_folds(spec: str) -> None:
    network = network_of(spec, activations="ms_ln").double().eval()
    disturb(network)
    images = batch()[0].double()
    expected = network(images)
    torch.testing.assert_close(parse(spec)[0].merge(network)(images), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("spec", ["bitfit", "vpt_deep", "linear", "lst", "dtl", "adaptformer"])
def test_ms_ln_leaves_alone_where_it_saves_nothing(spec: str) -> None:
    network = network_of(spec, activations="ms_ln")
    assert not any(isinstance(module, MsNorm) for module in network.modules())
    assert count(network) == count(network_of(spec))


def test_regelu2_leaves_alone_what_is_no_gelu_of_the_backbone() -> None:
    network = network_of("res_tuning_bypass", activations="regelu2")
    assert not any(isinstance(module, ReGelu2) for module in network.lateral.modules())
    assert any(isinstance(module, ReGelu2) for module in network.vit.modules())
    ssf = network_of("ssf", activations="regelu2")  # whose scale keeps the input of GELU
    assert not any(isinstance(module, ReGelu2) for module in ssf.modules())


def test_velora_is_off_in_evaluation_and_chooses_its_direction_once() -> None:
    network = network_of("full", activations="velora:fc2:groups=4")
    layer = network.vit.blocks[0].mlp.fc2
    assert isinstance(layer, VeloraLinear)
    network.eval()(batch()[0])
    assert not layer.ready
    network.train()(batch()[0])
    first = layer.direction.clone()
    assert first.norm().item() == pytest.approx(1, abs=1e-5)
    network(batch(seed=5)[0])
    assert torch.equal(layer.direction, first)
    other = network_of("full", seed=3, activations="velora:fc2:groups=4")
    other.load_state_dict(network.state_dict())
    other.train()(batch(seed=6)[0])
    assert torch.equal(other.vit.blocks[0].mlp.fc2.direction, first)


def test_velora_projects_what_adapters_read() -> None:
    network = network_of("lora:dropout=0", activations="velora:down:groups=4")
    layers = [module for module in network.modules() if isinstance(module, VeloraLinear)]
    assert len(layers) == 12
    functional.cross_entropy(network(batch()[0]), batch()[1]).backward()
    assert all(p.grad is not None for p in learning(network))


@pytest.mark.parametrize("spec", ["full", "lora", "bitfit", "synqt:kem=trainable"])
@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16])
def test_half_precision_runs(spec: str, precision: torch.dtype) -> None:
    network = network_of(spec, activations="both,velora:fc2:groups=4")
    images, labels = batch()
    with torch.autocast("cpu", precision):
        loss = functional.cross_entropy(network(images).float(), labels)
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in learning(network))


@pytest.mark.parametrize(
    ("spec", "options", "most"),
    [
        ("full", "regelu2", 725),
        ("full", "ms_ln", 816),
        ("full", "regelu2,ms_ln", 612),
        ("full", "velora:fc2", 726),
        ("full", "both,velora:fc2", 411),
        ("bitfit", "regelu2", 402),
        ("lora", "both", 408),
        ("lora:target=qv", "both", 408),
        ("vpt_deep", "regelu2", 423),
        ("dtl", "regelu2", 237),
    ],
)
def test_planned_peak_without_weights_and_optimizer_state(spec: str, options: str, most: int) -> None:
    assert beyond_weights(spec, activations=options) <= most * MIB


@pytest.mark.parametrize("spec", ["full", "lora"])
def test_both_save_in_half_precision_too(spec: str) -> None:
    assert beyond_weights(spec, activations="both", precision="bf16") < 0.75 * beyond_weights(spec, precision="bf16")


def beyond_weights(spec: str, **recipe: str) -> int:
    training = Recipe(batch_size=8, **recipe)
    parts = plan(build_on_meta(VIT_B, parse(spec)[0], 100, training), 224, training).breakdown()
    return sum(parts.values()) - parts["weights"] - parts["optimizer"]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("", ""),
        ("none", ""),
        ("both", "regelu2,ms_ln"),
        ("ms_ln,regelu2", "regelu2,ms_ln"),
        ("velora:fc2/qkv:groups=32:scale=1", "velora:qkv/fc2"),
        ("velora:fc2:scale=0.1,velora:qkv:groups=4 , regelu2", "regelu2,velora:fc2:scale=0.1,velora:qkv:groups=4"),
    ],
)
def test_options_are_written_in_one_way(text: str, written: str) -> None:
    assert str(Activations.of(text)) == written
    assert Recipe(activations=text) == Recipe(activations=written)
    assert Recipe(activations=text).changes() == ({"activations": written} if written else {})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("regelu3", "known: regelu2"),
        ("velora", "names no known layer"),
        ("velora:fc3", "names no known layer"),
        ("velora:fc2:rank=3", "groups=32 and scale=1"),
        ("velora:fc2:groups=0", "a whole number of at least 1"),
        ("velora:fc2,velora:qkv/fc2", "the layer fc2 twice"),
    ],
)
def test_a_wrong_word_is_named(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Activations.of(text)


def test_groups_that_do_not_divide_a_layer_are_named() -> None:
    with pytest.raises(ValueError, match="24 inputs of qkv into 32"):
        network_of("full", activations="velora:qkv")
