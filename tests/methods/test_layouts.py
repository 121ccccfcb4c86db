"""Weight files as they circulate, by the real names of their makers, load into the right network with equal outputs."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
from torch import Tensor, nn

from methods.backbones.families import FAMILIES
from methods.backbones.registry import Backbone, find
from methods.backbones.weights import WeightsError
from tests.methods.small import disturb

Tensors = dict[str, Tensor]
NUMBERS = torch.zeros(3, 3)


def source(title: str) -> nn.Module:
    """The tiny network of a family in which no tensor is left at its start."""
    torch.manual_seed(0)
    vit = find(f"random:tiny {title}").load().requires_grad_(True)
    disturb(vit)
    return vit.requires_grad_(False)


def below(prefix: str, tensors: Tensors) -> Tensors:
    return {prefix + key: value for key, value in tensors.items()}


def blocks(tensors: Tensors, names: dict[str, str], prefix: str) -> Iterator[tuple[str, Tensor]]:
    """The tensors with the parts of their names exchanged; query, key and value apart where `names` says so."""
    for key, value in tensors.items():
        new = key
        for old, other in names.items():
            new = new.replace(old, other)
        parts = zip(("query", "key", "value"), value.chunk(3), strict=True) if "{part}" in new else [("", value)]
        yield from ((prefix + new.replace("{part}", part), each) for part, each in parts)


def transformers_vit(own: Tensors) -> Tensors:
    names = {
        "cls_token": "embeddings.cls_token", "pos_embed": "embeddings.position_embeddings",
        "patch_embed.proj": "embeddings.patch_embeddings.projection", "blocks.": "encoder.layer.",
        "attn.qkv": "attention.attention.{part}", "attn.proj": "attention.output.dense",
        "mlp.fc1": "intermediate.dense", "mlp.fc2": "output.dense", 
        "norm1": "layernorm_before", "norm2": "layernorm_after", "norm.": "layernorm.",
    }  # fmt: skip
    return dict(blocks(own, names, "vit.")) | {"classifier.weight": NUMBERS, "vit.pooler.dense.weight": NUMBERS}


def transformers_dinov2(own: Tensors) -> Tensors:
    names = {
        "cls_token": "embeddings.cls_token", "pos_embed": "embeddings.position_embeddings",
        "patch_embed.proj": "embeddings.patch_embeddings.projection", "blocks.": "encoder.layer.",
        "attn.qkv": "attention.attention.{part}", "attn.proj": "attention.output.dense",
        "ls1.gamma": "layer_scale1.lambda1", "ls2.gamma": "layer_scale2.lambda1",
    }  # fmt: skip
    named = dict(blocks(own, names, ""))
    named = {key.replace("norm.", "layernorm.") if key.startswith("norm.") else key: v for key, v in named.items()}
    return named | {"embeddings.mask_token": torch.zeros(1, 32)}


def transformers_clip(own: Tensors) -> Tensors:
    names = {
        "blocks.": "encoder.layers.", "attn.proj": "self_attn.out_proj", "norm1": "layer_norm1", "norm2": "layer_norm2",
        "norm_pre": "pre_layrnorm", "patch_embed.proj": "embeddings.patch_embedding",
        "cls_token": "embeddings.class_embedding", "pos_embed": "embeddings.position_embedding.weight",
        "attn.qkv": "self_attn.{part}",
        "attn_pool.latent": "head.probe", "attn_pool.norm": "head.layernorm",
        "attn_pool.proj": "head.attention.out_proj", "attn_pool.mlp": "head.mlp",
    }  # fmt: skip
    named = dict(blocks(own, names, "vision_model."))
    found = {}
    for key, value in named.items():
        for part in ("query", "key", "value"):
            key = key.replace(f"self_attn.{part}", f"self_attn.{part[0]}_proj")
        key = key.replace("vision_model.norm.", "vision_model.post_layernorm.")
        found[key] = value.squeeze(0) if "position" in key else value.flatten() if "class_emb" in key else value
    for kind in ("weight", "bias"):
        if (query := found.pop(f"vision_model.attn_pool.q.{kind}", None)) is not None:
            rest = found.pop(f"vision_model.attn_pool.kv.{kind}")
            found[f"vision_model.head.attention.in_proj_{kind}"] = torch.cat([query, rest])
    text = {"text_model.encoder.layers.0.self_attn.q_proj.weight": NUMBERS, "logit_scale": torch.ones(())}
    return found | text | {"visual_projection.weight": NUMBERS}


def openai_clip(own: Tensors) -> Tensors:
    names = {
        "patch_embed.proj": "conv1", "blocks.": "transformer.resblocks.", "norm_pre": "ln_pre", "norm1": "ln_1",
        "norm2": "ln_2", "norm.": "ln_post.", "attn.qkv.": "attn.in_proj_", "attn.proj": "attn.out_proj",
        "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj", "pos_embed": "positional_embedding",
        "cls_token": "class_embedding",
    }  # fmt: skip
    named = dict(blocks(own, names, "visual."))
    flat = {key: value.flatten(0, -2) if "positional" in key else value for key, value in named.items()}
    flat["visual.class_embedding"] = flat["visual.class_embedding"].flatten()
    return flat | {"visual.proj": torch.zeros(32, 8), "transformer.resblocks.0.ln_1.weight": NUMBERS}


def dinov3(own: Tensors) -> Tensors:
    names = {"gamma_1": "ls1.gamma", "gamma_2": "ls2.gamma", "reg_token": "storage_tokens"}
    named = dict(blocks(own, names, ""))
    extra = {f"blocks.{i}.attn.qkv.bias": torch.zeros(96) for i in range(2)}
    return named | extra | {"mask_token": torch.zeros(1, 32), "rope_embed.periods": torch.ones(4)}


def lightning(own: Tensors) -> object:
    return {"state_dict": below("model.", own), "hyper_parameters": {"lr": 0.1}, "pytorch-lightning_version": "2.5"}


def dino(own: Tensors) -> object:
    student = {key: value + 1 for key, value in own.items()}
    head = {"head.mlp.0.weight": NUMBERS, "head.last_layer.weight_g": NUMBERS}
    return {
        "student": below("module.backbone.", student) | below("module.", head),
        "teacher": below("backbone.", own) | head,
        "epoch": 100,
    }


LAYOUTS: dict[str, tuple[str, str, Callable[[Tensors], object]]] = {  # family, file, content
    "timm": ("ViT", "model.safetensors", lambda own: own | {"head.weight": NUMBERS}),
    "half precision": ("ViT", "model.safetensors", lambda own: {key: value.half() for key, value in own.items()}),
    "transformers ViT": ("ViT", "model.safetensors", transformers_vit),
    "transformers DINOv2": ("DINOv2", "model.safetensors", transformers_dinov2),
    "transformers CLIP": ("CLIP", "pytorch_model.bin", transformers_clip),
    "transformers SigLIP": ("SigLIP", "model.safetensors", transformers_clip),
    "OpenAI CLIP": ("CLIP", "ViT-B-16.pt", openai_clip),
    "OpenCLIP": ("SigLIP", "open_clip.bin", lambda own: below("visual.trunk.", own) | {"text.positional": NUMBERS}),
    "model": ("DeiT III", "deit.pth", lambda own: {"model": own, "optimizer": {"state": {}}}),
    "gammas": ("DeiT III", "d.pth", lambda o: dict(blocks(o, {"ls1.gamma": "gamma_1", "ls2.gamma": "gamma_2"}, ""))),
    "state_dict": ("ViT", "a.pth.tar", lambda own: {"state_dict": below("module.", own), "epoch": 3}),
    "model_state": ("ViT", "b.pyth", lambda own: {"model_state": below("encoder.", own), "epoch": 3}),
    "teacher": ("DINO", "checkpoint.pth", dino),
    "MAE": ("MAE", "mae.pth", lambda own: {"model": own | {"mask_token": NUMBERS, "decoder_embed.weight": NUMBERS}}),
    "Lightning": ("ViT", "last.ckpt", lightning),
    "compiled": ("ViT", "c.pt", lambda own: below("_orig_mod.module.", own)),
    "DINOv3": ("DINOv3", "dinov3_vits16.pth", dinov3),
    "BEiT": ("BEiT", "beit.pth", lambda own: {"module": own | {"b.relative_position_index": NUMBERS}}),
}  # fmt: skip


def written(folder: Path, layout: str) -> tuple[nn.Module, Backbone]:
    """The network that was written, and the backbone that the file is."""
    title, name, content = LAYOUTS[layout]
    vit = source(title)
    own = {key: value.clone().contiguous() for key, value in vit.state_dict().items()}
    made = content(own)
    if name.endswith("safetensors"):
        safetensors.torch.save_file({key: value.clone() for key, value in made.items()}, folder / name)
    else:
        torch.save(made, folder / name)
    return vit, Backbone("local", f"tiny {title}", folder / name, "")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_file_gives_the_network_that_was_written(
    layout: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    vit, backbone = written(tmp_path, layout)
    with caplog.at_level(logging.INFO, "methods.backbones.weights"):
        loaded = backbone.load()
    if layout == "half precision":
        vit.load_state_dict({key: value.half().float() for key, value in vit.state_dict().items()})
    images = torch.randn(2, 3, backbone.image_size, backbone.image_size)
    torch.testing.assert_close(loaded(images), vit(images), rtol=0, atol=0)
    (line,) = caplog.messages
    assert "\n" not in line
    assert f"{len(loaded.state_dict())} tensors" in line


def test_one_line_says_what_was_renamed_left_out_and_dropped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "methods.backbones.weights"):
        written(tmp_path, "transformers ViT")[1].load()
    assert "from below 'vit.', of 40 in the file, renamed from transformers; dropped: head.weight" in caplog.text


@pytest.mark.filterwarnings("ignore::UserWarning")  # of timm's resizing of a bias by relative position
@pytest.mark.parametrize("title", ["ViT", "DINOv2 reg", "SigLIP", "EVA-02", "BEiT"])
def test_positions_of_another_size_are_resized_as_timm_does(title: str, tmp_path: Path) -> None:
    torch.save(source(title).state_dict(), tmp_path / "other.pth")
    family = next(each for each in FAMILIES if each.title == title)
    loaded = Backbone("local", f"tiny {title}", tmp_path / "other.pth", "", size=5 * family.patches).load()
    settings = family.settings | {"img_size": 5 * family.patches}
    theirs = timm.create_model(family.architecture, num_classes=0, **settings)
    module = __import__(type(theirs).__module__, fromlist=["checkpoint_filter_fn"])
    theirs.load_state_dict(module.checkpoint_filter_fn(dict(source(title).state_dict()), theirs))
    for key, value in theirs.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key


def reshaped(title: str, **settings: object) -> Tensors:
    """The tensors of a network that was asked for otherwise."""
    family = next(each for each in FAMILIES if each.title == title)
    return timm.create_model(family.architecture, num_classes=0, **(family.settings | settings)).state_dict()


WRONG: dict[str, tuple[Callable[[], Tensors], str]] = {
    "deeper": (
        lambda: reshaped("ViT", depth=3),
        "it looks like .* with 3 blocks .*, and you asked for .* with 2 blocks",
    ),
    "wider": (
        lambda: reshaped("ViT", embed_dim=48),
        r"is \[.*\], the network wants \[.*\]; it looks like a ViT of width 48",
    ),
    "other patches": (
        lambda: reshaped("ViT", patch_size=8),
        "looks like .* patches of 8 pixels.*asked for .* of 16 pixels",
    ),
    "registers": (
        lambda: reshaped("DINOv2 reg", patch_size=16, img_size=48),
        "it looks like .* with LayerScale, 4 register",
    ),
    "SigLIP": (lambda: reshaped("SigLIP"), "lacks cls_token; has unknown attn_pool.*no class token, attention pooling"),
    "CLIP": (lambda: reshaped("CLIP"), "it looks like .* with a norm before the blocks"),
    "mean pooled": (
        lambda: reshaped("ViT", global_pool="avg"),
        r"it looks like .* with mean pooling \(fc_norm in place of norm\)",
    ),
    "Swin": (lambda: reshaped("Swin"), "it looks like Swin of width 16"),
    "torchvision": (lambda: {"encoder.layers.encoder_layer_0.ln_1.weight": NUMBERS}, "it has torchvision's names"),
    "LoRA": (lambda: source("ViT").state_dict() | {"blocks.0.lora_a": NUMBERS}, "it holds adapted weights; merge them"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_file_of_another_network_is_named_for_what_it_is(case: str, tmp_path: Path) -> None:
    content, says = WRONG[case]
    torch.save(content(), tmp_path / "wrong.pth")
    with pytest.raises(WeightsError, match=f"^wrong.pth: not this network.*{says}") as caught:
        Backbone("local", "tiny ViT", tmp_path / "wrong.pth", "").load()
    assert "\n" not in str(caught.value)


def test_networks_of_the_usual_sizes_have_their_usual_names(tmp_path: Path) -> None:
    with torch.device("meta"):
        large = timm.create_model("vit_large_patch16_384", num_classes=0).state_dict()
    torch.save({key: torch.zeros(1).expand(value.shape) for key, value in large.items()}, tmp_path / "large.pth")
    with pytest.raises(WeightsError, match=r"it looks like ViT-L/16 at 384 px, and you asked for ViT-B/16 at 224 px$"):
        Backbone("local", "vit_base_patch16_224", tmp_path / "large.pth", "").load()
