"""Multiply-adds: two counters agree on every method, and ViT-B/16 takes what the papers print."""

import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from bench.cost.case import Case
from bench.cost.flops import Flops, ModuleMacs, inference_macs, peak_flops, utilisation
from bench.cost.live_memory import Peak
from bench.cost.plan import plan
from methods import METHODS
from methods.backbones.registry import find
from methods.recipe import Recipe
from methods.spec import parse
from tests.methods.small import CLASSES, SIZE, SMALL, SPECS, network_of

with warnings.catch_warnings(action="ignore"):  # it compiles a loss with torch.jit when it is imported
    from fvcore.nn import FlopCountAnalysis

GIGA = 1e9
# Operators that do no multiply-adds by any counter's convention: element-wise work, norms, softmax, copies, shapes. One
# that is on neither list fails the tests, so that nothing is left out unseen.
FREE_HERE = {
    "_log_softmax", "_safe_softmax", "_softmax", "_to_copy", "_unsafe_view", "add", "add_", "alias", "as_strided",
    "bernoulli_", "cat", "chunk", "clamp_min", "clone", "constant_pad_nd", "copy_", "detach", "div", "div_",
    "empty", "empty_like", "expand", "gelu", "index", "index_select", "linalg_vector_norm", "mean", "mul",
    "native_dropout", "native_layer_norm", "new_empty", "norm", "permute", "pow", "relu", "repeat", "reshape",
    "rsub", "scalar_tensor", "select", "sigmoid", "silu", "slice", "split", "split_with_sizes", "squeeze", "stack",
    "sub", "sum", "t", "tanh", "transpose", "unbind", "unsqueeze", "view", "zeros",
    "max_pool2d_with_indices", "_adaptive_avg_pool2d", "upsample_bilinear2d", "relu_", "ones", "full",
    "diagonal", "sqrt",
}  # fmt: skip
FREE_THERE = {
    "aten::" + name
    for name in (*FREE_HERE, "softmax", "dropout", "layer_norm", "add_", "expand_as", "contiguous", "flatten", "repeat")
} | {"aten::" + name for name in ("_shape_as_tensor", "max_pool2d", "pad", "unflatten", "view_as")}
FREE_THERE |= {"prim::PythonOp." + name for name in ("_NoopSaveInputs", "GroupLasso")}  # checkpointing; a penalty
BY_ELEMENT = ("layer_norm", "batch_norm", "group_norm", "adaptive_avg_pool2d", "upsample_bilinear2d")


def attention(inputs: list, outputs: list) -> int:
    """Both products of a fused attention, in fvcore's terms."""
    batch, heads, queries, width = inputs[0].type().sizes()
    keys = inputs[1].type().sizes()[2]
    return 2 * batch * heads * queries * keys * width


def by_fvcore(network: nn.Module) -> tuple[int, int, set[str]]:
    """Multiply-adds in all, those of layers, and the operators that it has no handle for."""
    analysis = FlopCountAnalysis(network, torch.zeros(1, 3, SIZE, SIZE))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).tracer_warnings("none")
    analysis.set_op_handle("aten::scaled_dot_product_attention", attention)
    with torch.no_grad():  # a trace sees nothing of what a function with its own backward pass does
        parts = analysis.by_operator()
    total = sum(count for name, count in parts.items() if name not in BY_ELEMENT)  # which are no products
    return int(total), parts["linear"] + parts["conv"], set(analysis.unsupported_ops())


EAGER = "full", "linear", "lora", "apla", "vpt_deep", "vqt", "synqt", "lst"  # training compares both kernels of all


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("spec", "kernel"), [*((spec, "fused") for spec in SPECS), *((name, "eager") for name in EAGER)]
)
def test_two_counters_agree(spec: str, kernel: str) -> None:
    case = Case(SMALL, parse(spec)[0], CLASSES, Recipe(attention=kernel))
    ours = inference_macs(case.inference(), SIZE)
    network = case.real(torch.device("cpu"), merged=True).eval()  # frozen as in use: the lean forms depend on it
    total, layers, unknown = by_fvcore(network)
    if spec.startswith("synqt") and (kernel == "eager" or "trainable" in spec):
        assert ours > (
            total,
            layers,
        )  # the plain form updates tokens of the last block that nothing reads; a trace drops it
    else:
        assert ours == (total, layers)
    assert not unknown - FREE_THERE


@pytest.mark.parametrize("spec", SPECS)
def test_every_operator_has_a_formula_or_does_no_products(spec: str) -> None:
    network = Case(SMALL, parse(spec)[0], CLASSES).inference().eval()
    with torch.no_grad(), Flops() as counter:
        network(torch.empty(1, 3, SIZE, SIZE, device="meta"))
    assert not counter.uncounted - FREE_HERE


def test_the_counter_is_that_of_torch() -> None:
    network = network_of("bitfit", attention="eager")
    images = torch.zeros(2, 3, SIZE, SIZE)
    with Flops() as ours:
        network(images).sum().backward()
    network = network_of("bitfit", attention="eager")
    with FlopCounterMode(display=False) as theirs:
        network(images).sum().backward()
    assert ours.total == theirs.get_total_flops() > 0


@pytest.mark.parametrize(
    ("spec", "modules", "everything"),
    [  # SynQT's appendix prints 16.9, 25.3 and 17.7 for the layers; 17.56 is the usual figure with attention
        ("linear", 16.8478, 17.5631),
        ("bitfit", 16.8478, 17.5631),
        ("lora", 16.8478, 17.5631),
        ("vpt_shallow:tokens=100", 25.3413, 26.9671),
        ("vpt_deep:tokens=10", 17.6972, 18.4869),
    ],
)
def test_vit_b16_takes_what_is_printed(spec: str, modules: float, everything: float) -> None:
    case = Case(find("random:vit_base_patch16_224"), parse(spec)[0])
    macs, macs_modules = inference_macs(case.inference(), 224)
    assert macs_modules / GIGA == pytest.approx(modules, abs=1e-4)
    assert macs / GIGA == pytest.approx(everything, abs=1e-4)


def test_a_convolution_and_a_linear_layer_by_hand() -> None:
    layers = nn.Sequential(nn.Conv2d(4, 8, 3, groups=2, padding=1), nn.Flatten(), nn.Linear(8 * 25, 7))
    with torch.no_grad(), ModuleMacs() as counter:
        layers(torch.zeros(2, 4, 5, 5))
    assert counter.total == 2 * (8 * 25 * 2 * 9 + 8 * 25 * 7)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_both_gradients_of_a_convolution_take_the_products_of_its_forward_pass(groups: int, transposed: bool) -> None:
    layer = (nn.ConvTranspose2d if transposed else nn.Conv2d)(4, 8, 3, groups=groups, padding=1)
    images = torch.zeros(2, 4, 5, 5, requires_grad=True)
    with Flops() as forward:
        output = layer(images).sum()
    with Flops() as backward:
        output.backward()
    assert forward.total == 2 * 2 * 25 * 8 * (4 // groups) * 9
    assert backward.total == 2 * forward.total
    with Flops() as weights_alone:
        layer(images.detach()).sum().backward()
    assert weights_alone.total == 2 * forward.total


@pytest.mark.parametrize(("kernel", "giga"), [(3, 29.880), (4, 29.918), (5, 29.967)])
def test_training_with_a_depthwise_kernel_costs_little_more_than_without(kernel: int, giga: float) -> None:
    """DTL without a kernel takes 29.831 GFLOP; a kernel 2·3·6·196·768·k², and nothing for the last class token."""
    case = Case(find("random:vit_base_patch16_224"), parse(f"dtl_plus:kernel={kernel}")[0])
    flops = plan(case.training(), 224, Recipe(batch_size=1)).trained_flops
    assert flops / GIGA == pytest.approx(giga, abs=1e-3)


def test_training_splits_into_what_is_frozen_and_what_learns() -> None:
    def flops(spec: str, checkpointing: bool = False) -> Peak:
        network = Case(SMALL, parse(spec)[0], CLASSES, checkpointing=checkpointing).training()
        return plan(network, SIZE, Recipe(batch_size=3))

    macs = inference_macs(Case(SMALL, METHODS["linear"](), CLASSES).inference(), SIZE)[0]
    linear, full = flops("linear"), flops("full")
    head = 3 * 24 * CLASSES
    assert linear.frozen_flops == 2 * (3 * macs - head)
    assert linear.trained_flops == 2 * 2 * head  # forward, and the gradient of the weight
    assert full.frozen_flops == 0
    assert 2 * 3 * 2.9 * macs < full.trained_flops < 2 * 3 * 3 * macs  # no gradient of the images
    assert flops("lora:layer=5").frozen_flops > flops("lora:layer=2").frozen_flops > flops("lora").frozen_flops
    again = flops("full", checkpointing=True).trained_flops - full.trained_flops
    assert 0.6 * 2 * 3 * macs < again < 0.7 * 2 * 3 * macs  # the blocks once more, but for the last layer of each


@pytest.mark.parametrize("spec", [*METHODS, "vqt:tokens=3"])
def test_one_kernel_for_attention_counts_as_the_products_that_it_replaces(spec: str) -> None:
    """Which the meta device takes by itself; also where the keys want no gradient, since VQT's queries alone learn."""
    case = Case(SMALL, parse(spec)[0], CLASSES, Recipe(batch_size=2))
    peak = plan(case.training(), SIZE, case.recipe)
    network = case.training().train()
    with Flops() as by_itself:
        logits = network(torch.empty(2, 3, SIZE, SIZE, device="meta"))
        functional.cross_entropy(logits, torch.zeros(2, device="meta").long()).backward()
    assert peak.frozen_flops + peak.trained_flops == by_itself.total


def test_utilisation_is_the_work_over_what_the_device_could_do() -> None:
    assert utilisation(100 * 10**9, 4947.5, "NVIDIA H200", "bf16") == pytest.approx(0.5)
    assert utilisation(10**9, 6500.0, "Tesla T4", "fp16") == pytest.approx(0.1)


def test_peaks_depend_on_the_precision() -> None:
    assert peak_flops("NVIDIA A100-SXM4-80GB", "fp32") == 19.5e12
    assert peak_flops("NVIDIA A100-SXM4-80GB", "bf16") == 312e12


@pytest.mark.parametrize(("device", "precision"), [("cpu", "fp32"), ("Tesla T4", "bf16"), ("NVIDIA H200 NVL", "bf16")])
def test_an_unknown_peak_is_none(device: str, precision: str) -> None:
    assert peak_flops(device, precision) is None
    assert utilisation(10**9, 100.0, device, precision) is None
