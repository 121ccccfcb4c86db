"""Trainable parameters on ViT-B/16 are those of the papers, to the last one."""

import pytest

from bench.train.network import count, skeleton
from methods.backbones.registry import find
from methods.recipe import Recipe
from methods.spec import parse


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("full", 85_798_656),
        ("linear", 0),
        ("bitfit", 102_912),
        ("partial", 7_089_408),
        ("partial:blocks=12", 12 * 7_087_872 + 1_536),
        ("lora", 294_912),
        ("lora:target=qv", 294_912),
        ("lora:rank=1", 36_864),
        ("lora:rank=16", 589_824),
        ("lora:target=qv:rank=32", 1_179_648),
        ("lora:layer=1", 24_576),
        ("lora:layer=12:target=qv", 24_576),
        ("vpt_deep:tokens=1", 9_216),
        ("vpt_deep", 92_160),
        ("vpt_shallow", 76_800),
        ("vpt_shallow:tokens=50", 38_400),
        ("adapter", 156_768),
        ("adapter:variant=vpt", 1_779_840),
        ("adapter:variant=vpt:reduction=64", 230_544),
        ("adapter:variant=vpt:reduction=256", 64_548),
        ("adaptformer", 156_768),
        ("adaptformer:units=64", 1_189_632),
        ("adaptformer:bias=false:units=32", 12 * 2 * 768 * 32),
        ("ssf", 205_824),
        ("convpass", 327_552),
        ("convpass:variant=attn", 163_776),
        ("fact_tt:rank=4", 8_448),
        ("fact_tt:rank=8", 21_504),
        ("fact_tt", 61_440),
        ("fact_tk:rank=8", 13_952),
        ("fact_tk:rank=16", 30_976),
        ("fact_tk", 86_528),
        ("unipt", 4_430_209),
        ("unipt:reduction=1", 8_859_649),
        ("unipt:reduction=4", 2_215_489),
        ("unipt:reduction=8", 1_108_129),
        ("sherl", 3_850_370),
        ("sherl:reduction=1", 7_698_434),
        ("sherl:reduction=4", 1_926_338),
        ("sherl:reduction=8", 964_322),
        ("res_tuning_bypass", 1_198_848),
        ("res_tuning_bypass:units=8", 313_536),
        ("res_tuning_bypass:units=64", 2_379_264),
        ("side_tuning", 9_547_585),
        ("side_tuning:weights=imagenet", 9_547_585),
        ("repadapter", 239_808),
        ("repadapter:variant=attn", 119_904),
        ("repadapter:units=16", 461_184),
        ("repadapter:units=32", 903_936),
        ("layernorm", 38_400),
        ("diffit", 140_544),
        ("lora_fa", 73_728),
        ("lora_fa:rank=8", 147_456),
        ("lora_fa:target=all", 331_776),
        ("dora", 313_344),
        ("dora:target=qkv", 322_560),
        ("apla:rows=1", 9_228),
        ("apla", 73_824),
        ("apla:rows=128", 1_181_184),
        ("apla:rows=768", 7_087_104),
        ("vera", 24_576),
        ("vera:shared=per_target", 24_576),
        ("vera:target=qkv", 30_720),
        ("pvera", 30_720),
        ("pvera:shared=all", 30_720),
    ],
)
def test_trainable_without_head(spec: str, expected: int) -> None:
    counts = count(skeleton(find("random:vit_base_patch16_224"), parse(spec)[0], 100, Recipe()))
    assert counts.trainable_without_head == expected
    assert counts.trainable == expected + 100 * 769
    assert counts.total == 85_798_656 + 100 * 769 + (ADDED.get(spec, 0 if spec in FROM_THE_BACKBONE else expected))


FROM_THE_BACKBONE = {"full", "linear", "bitfit", "partial", "partial:blocks=12", "layernorm", "apla:rows=768"}
ADDED = {"diffit": 12 * 1_536}  # the rest of what learns is the backbone's


@pytest.mark.parametrize(
    ("spec", "frozen"),
    [
        ("lora_fa", 73_728),
        ("lora_fa:target=all", 331_776),
        ("vera", 393_216),
        ("vera:target=qkv", 786_432),
        ("vera:shared=per_target", 786_432),
        ("pvera", 1_179_648),
    ],
)
def test_frozen_random_numbers(spec: str, frozen: int) -> None:
    network = skeleton(find("random:vit_base_patch16_224"), parse(spec)[0], 100, Recipe())
    assert sum(buffer.numel() for buffer in network.buffers()) == frozen


def test_prompts_with_the_head_of_cifar() -> None:
    counts = count(skeleton(find("vit_base_patch16_224.orig_in21k"), parse("vpt_deep:tokens=10")[0], 100, Recipe()))
    assert counts.trainable == 169_060
