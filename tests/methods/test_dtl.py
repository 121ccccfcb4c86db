"""DTL and DTL+: where the graph begins, what is kept, and that the lean form computes the equations."""

from itertools import pairwise

import pytest
import timm
import torch
from timm.models import SwinTransformer, VisionTransformer
from torch import Tensor
from torch.nn import functional

from bench.cost.checkpointing import recompute
from bench.cost.plan import plan
from bench.train.network import build_on_meta, count
from methods import Network
from methods.backbones.chain import chain_of, embed
from methods.backbones.registry import find, prepare
from methods.recipe import Recipe, load, resolve
from methods.spec import parse
from tests.methods.golden import Case, cases
from tests.methods.small import batch, disturb, learning, network_of, plain

VIT_B = find("random:vit_base_patch16_224")
WIDTH, GRID = 24, (4, 4)


def plain_form(network: Network, images: Tensor) -> Tensor:
    """The equations one by one, with every state kept."""
    vit, state = network.vit, torch.zeros(())
    x = embed(vit, images)
    for i, block in enumerate(vit.blocks):
        if str(i) in network.reads:
            read = network.reads[str(i)]
            state = state + x @ read.down.weight.T @ read.up.weight.T
        x = block(x)
        if i >= network.start:
            x = x + plain_update(network, state)
    return network.head(vit.norm(x[:, 1:].mean(dim=1)))


def plain_update(network: Network, state: Tensor) -> Tensor:
    gated = state * torch.sigmoid(network.beta * state)
    if not network.kernels:
        return gated
    weight = network.kernels["0"].weight
    side = weight.shape[-1]
    before = (side - 1) // 2  # "same": of what is padded in all, the smaller half comes first
    around = (before, side - 1 - before) * 2
    patches = gated[:, 1:].transpose(1, 2).unflatten(2, GRID).contiguous()
    patches = functional.conv2d(functional.pad(patches, around), weight, groups=WIDTH)
    return torch.cat([gated[:, :1], patches.flatten(2).transpose(1, 2)], dim=1)


@pytest.mark.parametrize("kernel", range(8))
@pytest.mark.parametrize("rest", ["", ":start=1:rank=3", ":start=12:beta=2.0", ":start=5:read=4:rank=1"])
def test_lean_form_is_the_plain_form(kernel: int, rest: str) -> None:
    network = network_of(f"dtl:kernel={kernel}{rest}").double()
    disturb(network)
    images, labels = batch(3)
    lean, plain_logits = network(images.double()), plain_form(network, images.double())
    torch.testing.assert_close(lean, plain_logits, rtol=1e-11, atol=1e-12)
    weights = list(learning(network))
    ours = torch.autograd.grad(functional.cross_entropy(lean, labels), weights)
    expected = torch.autograd.grad(functional.cross_entropy(plain_logits, labels), weights)
    for one, other in zip(ours, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kernel", range(1, 8))
def test_even_kernels_are_padded_as_pytorch_does(kernel: int) -> None:
    network = network_of(f"dtl:kernel={kernel}").double()
    network.beta = 1e12  # a positive state passes the gate
    code, ups = torch.ones(1, 17, 1).double(), torch.rand(WIDTH, 1, generator=torch.Generator().manual_seed(0)).double()
    weight = network.kernels["0"].weight
    got = network.update(code, ups, weight)[:, 1:]
    image = ups.view(1, WIDTH, 1, 1).expand(1, WIDTH, *GRID)
    total = kernel - 1
    padded = functional.pad(image, (total // 2, total - total // 2) * 2)
    expected = functional.conv2d(padded, weight, groups=WIDTH)
    torch.testing.assert_close(got, expected.flatten(2).transpose(1, 2), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("spec", ["dtl", "dtl_plus", "dtl_plus:kernel=4:start=1", "dtl:start=12:rank=5"])
def test_starts_as_the_blocks_of_the_backbone_with_its_pooling(spec: str) -> None:
    network = network_of(spec).double().eval()
    vit = plain().double().eval()
    images = batch()[0].double()
    tokens = vit.blocks(embed(vit, images))
    expected = network.head(vit.norm(tokens[:, 1:].mean(dim=1)))
    torch.testing.assert_close(network(images), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("spec", ["dtl", "dtl_plus"])
def test_gradients_at_the_start(spec: str) -> None:
    network = network_of(spec)
    images, labels = batch()
    functional.cross_entropy(network(images), labels).backward()
    for read in network.reads.values():
        assert not read.down.weight.grad.any()
        assert read.up.weight.grad.any()
    assert not any(kernel.weight.grad.any() for kernel in network.kernels.values())


@pytest.mark.parametrize("spec", ["dtl", "dtl_plus"])
@pytest.mark.parametrize("start", [1, 4, 7, 12])
def test_blocks_up_to_m_get_no_graph(spec: str, start: int) -> None:
    network = network_of(f"{spec}:start={start}")
    seen: dict[int, tuple[bool, bool, bool]] = {}
    for i, block in enumerate(network.vit.blocks, start=1):
        block.register_forward_hook(
            lambda _, args, out, i=i: seen.update(
                {i: (torch.is_grad_enabled(), args[0].requires_grad, out.requires_grad)}
            )
        )
    network(batch()[0])
    assert seen == {i: (i > start,) * 3 for i in range(1, 13)}


def test_extracts_what_blocks_up_to_m_read() -> None:
    network = network_of("dtl:start=4:read=2").eval()
    images, _ = batch()
    inputs, output = network.extract(images)
    tokens = [embed(network.vit, images)]
    for block in network.vit.blocks[:4]:
        tokens.append(block(tokens[-1]))
    assert list(inputs) == ["1", "2", "3"]
    assert all(torch.equal(inputs[str(i)], tokens[i]) for i in (1, 2, 3))
    assert torch.equal(output, tokens[4])


def planned(spec: str, checkpointing: bool = False, **recipe: object) -> float:
    """MiB of a training step on ViT-B/16 with 8 images, without weights and optimiser state."""
    settings = Recipe(batch_size=8, **recipe)
    network = build_on_meta(VIT_B, parse(spec)[0], 100, settings)
    peak = plan(recompute(network) if checkpointing else network, 224, settings)
    sizes = peak.breakdown()
    return (peak.total - sizes["weights"] - sizes["optimizer"]) / 2**20


def test_memory_is_less_than_that_of_the_released_code() -> None:
    assert planned("dtl") < 0.80 * 409
    assert planned("dtl_plus") < 0.82 * 432
    assert planned("dtl", checkpointing=True) < 0.50 * 409


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_no_state_is_kept_for_the_backward_pass(precision: str) -> None:
    with_convolutions = planned("dtl_plus:kernel=4:start=1", precision=precision)
    assert with_convolutions == pytest.approx(planned("dtl:start=1", precision=precision), abs=1.0)


def test_memory_is_linear_in_m() -> None:
    peaks = [planned(f"dtl:start={start}") for start in range(1, 12)]
    steps = [one - other for one, other in pairwise(peaks)]
    assert steps == pytest.approx([steps[0]] * len(steps), rel=0.01)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("dtl:rank=1", 18_432),
        ("dtl", 36_864),
        ("dtl:rank=16", 294_912),
        ("dtl:read=3", 10 * 3_072),
        ("dtl_plus", 43_776),
        ("dtl_plus:kernel=4", 49_152),
        ("dtl_plus:kernel=5", 56_064),
    ],
)
def test_counts_on_vit_b(spec: str, expected: int) -> None:
    assert count(build_on_meta(VIT_B, parse(spec)[0], 100, Recipe())).trainable_without_head == expected


@pytest.mark.parametrize(("kernel", "expected"), [(0, 90_112), (5, 138_112)])
def test_counts_on_swin_b(kernel: int, expected: int) -> None:
    with torch.device("meta"):
        swin = timm.create_model("swin_base_patch4_window7_224", num_classes=0).requires_grad_(False)
        prepare(swin, 100, "normal", 0.1, 0.0)
        network = parse(f"dtl:rank=4:start=15:read=5:kernel={kernel}")[0].attach(swin)
    assert count(network).trainable_without_head == expected


def small_swin(**settings: object) -> SwinTransformer:
    torch.manual_seed(0)
    swin = SwinTransformer(img_size=32, patch_size=2, embed_dim=8, depths=(2, 2), num_heads=(1, 2), **settings)
    return swin.requires_grad_(False)


def test_stochastic_depth_rises_over_all_stages_of_swin() -> None:
    swin = prepare(small_swin(), 5, "normal", 0.3, 0.0)
    rates = [getattr(block.drop_path1, "drop_prob", 0.0) for stage in swin.layers for block in stage.blocks]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.3])


@pytest.mark.parametrize("spec", ["dtl:start=2", "dtl_plus:start=3", "dtl_plus:start=1:kernel=2", "dtl:start=4:read=4"])
def test_swin_starts_as_the_backbone_and_trains(spec: str) -> None:
    swin = prepare(small_swin(), 5, "normal", 0.0, 0.0).double().eval()
    images, labels = batch(2)
    expected = swin(images.double())
    network = parse(spec)[0].attach(swin).double()
    torch.testing.assert_close(network(images.double()), expected, rtol=1e-12, atol=1e-13)
    disturb(network)
    functional.cross_entropy(network(images.double()), labels).backward()
    start = network.start
    used = {i for i in range(int(min(network.reads)), 4) if i // 2 >= start // 2}
    assert {i for i, read in network.reads.items() if read.up.weight.grad is not None} == {str(i) for i in used}


@pytest.mark.parametrize("case", [case for case in cases() if case.file == "dtl"], ids=str)
def test_graph_begins_where_it_does_in_the_released_code(case: Case) -> None:
    network = case.network()
    begins: list[bool] = []
    for link in chain_of(network.vit):
        link.block.register_forward_pre_hook(lambda _, args: begins.append(args[0].requires_grad))
    network(case.images())
    assert begins == case.values["checks"]["block_input_requires_grad"]


@pytest.mark.parametrize("spec", ["dtl", "dtl_plus:kernel=4"])
def test_low_precision_is_the_same_twice(spec: str) -> None:
    network = network_of(spec)
    disturb(network, deviation=0.05)
    images, labels = batch()
    gradients = []
    for enabled in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            logits = network(images)
        loss = functional.cross_entropy(logits.float(), labels)
        gradients.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(learning(network)))]))
    assert functional.cosine_similarity(*gradients, dim=0) > 0.99


def test_backbone_without_a_class_token() -> None:
    vit = VisionTransformer(
        img_size=32, patch_size=8, embed_dim=24, depth=3, num_heads=3, class_token=False, global_pool="avg"
    )
    vit = prepare(vit.requires_grad_(False), 5, "normal", 0.0, 0.0).double().eval()
    images = batch()[0].double()
    expected = vit(images)
    network = parse("dtl_plus:start=2")[0].attach(vit).double()
    torch.testing.assert_close(network(images), expected, rtol=1e-12, atol=1e-13)  # it averages before its norm too
    disturb(network)
    assert not torch.allclose(network(images), expected)


@pytest.mark.parametrize(
    ("spec", "reason"), [("dtl:start=13", "start=13.*12 blocks"), ("dtl_plus:start=3:read=4", "read=4.*block 3")]
)
def test_settings_that_do_not_fit(spec: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        network_of(spec)


def test_recipes_of_the_paper() -> None:
    recipe, method = resolve("paper", parse("dtl_plus")[0], "kitti", {})
    assert (recipe.learning_rate, recipe.drop_path, method.kernel, method.start) == (8e-3, 0.2, 4, 7)
    kernels = []
    for task in load("paper")["dtl"]["tasks"]:
        recipe, method = resolve("paper", parse("dtl_plus")[0], task, {})
        assert (recipe.epochs, recipe.cosine_epochs, recipe.batch_size, recipe.lag) == (110, 100, 32, False)
        kernels.append(method.kernel)
    assert [kernels.count(side) for side in (3, 4, 5)] == [6, 4, 9]  # as the released scripts have them
