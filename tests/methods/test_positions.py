"""What goes wrong silently where tokens have places: registers, prompts, rotary positions, pooling, scaled layers."""

import pytest
import torch
from timm.layers import QuickGELU
from timm.models import Eva, VisionTransformer
from torch import Tensor, nn

from methods.backbones.chain import embed, final_norm, pool
from methods.backbones.registry import prepare
from methods.convpass import Pass
from methods.spec import parse
from methods.states import EMBEDDED, hidden_states

SIZE, PATCH, WIDTH, REGISTERS, PROMPTS = 32, 8, 24, 4, 3
COMMON = {"img_size": SIZE, "patch_size": PATCH, "embed_dim": WIDTH, "depth": 2, "num_heads": 2, "num_classes": 5}
ROTARY = {"use_rot_pos_emb": True, "rope_type": "dinov3", "use_abs_pos_emb": False, "no_embed_class": True}


def images() -> Tensor:
    return torch.randn(2, 3, SIZE, SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def made(kind: type[nn.Module], **settings: object) -> nn.Module:
    """A frozen network in double precision in which nothing is zero, one or left at its start."""
    torch.manual_seed(0)
    vit = prepare(kind(**COMMON, **settings).requires_grad_(False).eval(), 5, "normal", 0.0, 0.0).double()
    for parameter in vit.parameters():
        parameter.data.add_(torch.randn_like(parameter), alpha=0.2)
    return vit


@pytest.mark.parametrize("spec", ["vpt_shallow", "vpt_deep"])
@pytest.mark.parametrize(
    ("kind", "registers", "settings"),
    [
        (VisionTransformer, "reg_tokens", {"no_embed_class": True, "global_pool": "token"}),
        (VisionTransformer, "reg_tokens", {"no_embed_class": True, "class_token": False, "global_pool": "avg"}),
        (VisionTransformer, "reg_tokens", {"no_embed_class": True, "class_token": False, "global_pool": "map"}),
        (Eva, "num_reg_tokens", {**ROTARY, "global_pool": "avg"}),
    ],
    ids=["class token", "averaged", "attention pooling", "rotary"],
)
def test_prompts_are_as_further_registers(
    kind: type[nn.Module], registers: str, settings: dict[str, object], spec: str
) -> None:
    """They have no place, are not rotated and never pooled, and stand behind the registers that there are."""
    vit, more = (made(kind, **settings, **{registers: count}) for count in (REGISTERS, REGISTERS + PROMPTS))
    own = vit.state_dict()
    prompted = parse(f"{spec}:tokens={PROMPTS}:dropout=0")[0].attach(vit).double().eval()
    first, *others = [value for key, value in prompted.named_parameters() if key.endswith("prompts")]
    more.load_state_dict(own | {"reg_token": torch.cat([own["reg_token"], first], dim=1)})
    for prompts in others:  # in place of what block 1 made of the first
        end = more.num_prefix_tokens
        more.blocks[0].register_forward_hook(lambda *parts, end=end, prompts=prompts: replaced(parts[-1], end, prompts))
    torch.testing.assert_close(prompted(images()), more(images()), rtol=1e-9, atol=1e-9)


def replaced(tokens: Tensor, end: int, prompts: Tensor) -> Tensor:
    return torch.cat([tokens[:, : end - PROMPTS], prompts.expand(len(tokens), -1, -1), tokens[:, end:]], dim=1)


def test_rotary_positions_turn_patches_and_not_prompts() -> None:
    vit = made(Eva, num_reg_tokens=REGISTERS, **ROTARY)
    before = [block.attn.num_prefix_tokens for block in vit.blocks]
    network = parse(f"vpt_shallow:tokens={PROMPTS}")[0].attach(vit)
    after = [module.num_prefix_tokens for module in network.modules() if hasattr(module, "fused_attn")]
    assert before == [1 + REGISTERS] * 2
    assert after == [1 + REGISTERS + PROMPTS] * 2


def test_the_kernel_of_dtl_plus_and_convpass_passes_by_registers() -> None:
    vit = made(VisionTransformer, reg_tokens=REGISTERS)
    network = parse("dtl_plus:start=2")[0].attach(vit).double()
    side = network.update(
        torch.randn(2, 1 + REGISTERS + 16, 4, dtype=torch.float64),
        torch.randn(WIDTH, 4, dtype=torch.float64),
        torch.zeros(WIDTH, 1, 3, 3, dtype=torch.float64),
    )
    assert side[:, : 1 + REGISTERS].abs().min() >= 0
    assert side[:, : 1 + REGISTERS].any()
    assert not side[:, 1 + REGISTERS :].any()
    convolved = Pass(4, (4, 4), 1 + REGISTERS)
    codes = torch.randn(1, 1 + REGISTERS + 16, 4)
    other = codes.clone()
    other[:, 1 + REGISTERS :] += 1  # patches
    assert torch.equal(convolved(codes)[:, : 1 + REGISTERS], convolved(other)[:, : 1 + REGISTERS])
    other = codes.clone()
    other[:, : 1 + REGISTERS] += 1
    assert torch.equal(convolved(codes)[:, 1 + REGISTERS :], convolved(other)[:, 1 + REGISTERS :])


@pytest.mark.parametrize(
    "settings",
    [
        {"global_pool": "token"},
        {"global_pool": "token", "fc_norm": True},
        {"global_pool": "avg", "reg_tokens": REGISTERS},
        {"global_pool": "avg", "fc_norm": False, "class_token": False},
        {"global_pool": "map", "class_token": False},
    ],
    ids=str,
)
def test_pooling_and_the_last_norm_are_where_timm_has_them(settings: dict[str, object]) -> None:
    vit = made(VisionTransformer, **settings)
    tokens = vit.blocks(embed(vit, images()))
    torch.testing.assert_close(pool(vit, tokens), vit.forward_head(vit.norm(tokens), pre_logits=True))
    norm = final_norm(vit)
    assert isinstance(norm, nn.LayerNorm)
    tuned = parse("partial")[0].attach(vit)
    assert all(parameter.requires_grad for parameter in norm.parameters())
    assert all(p.grad is not None for p in gradients(tuned, norm))


def gradients(network: nn.Module, norm: nn.Module) -> list[nn.Parameter]:
    network(images()).sum().backward()
    return list(norm.parameters())


@pytest.mark.parametrize("spec", ["adaptformer", "convpass", "adapter"])
def test_layers_are_scaled_and_what_stands_beside_them_is_not(spec: str) -> None:
    """With layers scaled to nothing, a branch beside them still has its whole effect."""
    vit = made(VisionTransformer, init_values=1.0)
    for block in vit.blocks:
        block.ls1.gamma.data.zero_()
        block.ls2.gamma.data.zero_()
    network = parse(f"{spec}:dropout=0")[0].attach(vit).double().eval()
    before = network.adapt(network.extract(images()))
    for parameter in network.parameters():
        if parameter.requires_grad:
            parameter.data.add_(torch.randn_like(parameter))
    tokens = network.vit.blocks(embed(network.vit, images()))
    assert not torch.allclose(tokens, embed(network.vit, images()))
    assert not torch.allclose(network.adapt(network.extract(images())), before)


def test_a_side_network_of_scaled_layers_is_scaled_alike() -> None:
    vit = made(VisionTransformer, init_values=1.0)
    scales = {float(value) for value in vit.blocks[0].ls1.gamma.tolist()}
    network = parse("lst:reduction=2")[0].attach(vit)
    narrow = network.rungs[0].block.ls1.gamma
    assert len(narrow) == WIDTH // 2
    assert {round(float(value), 5) for value in narrow.tolist()} <= {round(value, 5) for value in scales}


def test_clip_is_normed_before_its_blocks_and_has_its_own_gelu() -> None:
    vit = made(VisionTransformer, pre_norm=True, act_layer=QuickGELU)
    expected = vit.norm_pre(vit._pos_embed(vit.patch_embed(images())))
    assert torch.equal(hidden_states(vit, images(), [EMBEDDED])[EMBEDDED], expected)
    network = parse("lst:reduction=2")[0].attach(vit)
    assert {type(rung.block.mlp.act) for rung in network.rungs} == {QuickGELU}


def test_a_backbone_without_class_token_is_read_by_the_mean_of_the_side_patches() -> None:
    vit = made(VisionTransformer, class_token=False, global_pool="map", reg_tokens=REGISTERS)
    network = parse("lst:reduction=2")[0].attach(vit).double().eval()
    assert network.pool == "mean"
    assert network(images()).shape == (2, 5)
