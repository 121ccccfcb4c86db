"""How the side networks are called and set in their golden files, and the hierarchical backbone there."""

from collections.abc import Mapping
from typing import Any

from timm.models import SwinTransformer

LST = "lst:reduction={reduction}:pool={pool}"
LST_NAMES = {
    r"^rungs\.(\d+)\.(ladder|gate|block)": r"lst.\2.\1",
    r"^(first|up)\.": r"lst.\1.",
    r"^side_norm\.": "lst.norm.",
}
POOLING = {  # by file: spec, replacements
    "unipt": ("unipt:reduction={reduction}", {r"^(down|anchor|gate|up)\.": r"unipt.\1."}),
    "sherl": ("sherl:reduction={reduction}", {r"^(down|down_norm|guide|gate|out|out_norm)\b": r"sherl.\1"}),
    "res_tuning_bypass": ("res_tuning_bypass:units={bottleneck}", {r"^(lateral|vertical)\.": r"restuning.\1."}),
}


def dtl(config: Mapping[str, Any]) -> str:
    """The spec of a case; its list of blocks that are read counts from 0."""
    name = "dtl_plus" if config["k"] == 3 else "dtl"
    return f"{name}:rank={config['rank']}:start={config['M']}:kernel={config['k']}:beta={config['beta']}" + (
        f":read={config['read_blocks'][0] + 1}"
    )


def dtl_names(config: Mapping[str, Any]) -> dict[str, str]:
    """Only the hierarchical network numbers its kernels."""
    kernel = r"dtl.W.\1" if "depths" in config else "dtl.W"
    reads = {r"^reads\.(\d+)\.down\.weight": r"dtl.A.\1", r"^reads\.(\d+)\.up\.weight": r"dtl.B.\1"}
    return reads | {r"^kernels\.(\d+)\.weight": kernel}


def swin_of(config: Mapping[str, Any]) -> SwinTransformer:
    """timm's hierarchical network of the case's sizes."""
    return SwinTransformer(
        img_size=config["image"],
        patch_size=config["patch"],
        embed_dim=config["width"],
        depths=config["depths"],
        num_heads=config["heads"],
        window_size=config["window"],
        mlp_ratio=config["mlp_ratio"],
        num_classes=0,
    )
