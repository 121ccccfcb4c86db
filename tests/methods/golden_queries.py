"""How VQT and SynQT are called and set in their golden files."""

from collections.abc import Mapping
from typing import Any

VQT_NAMES = {r"^reader\.queries": "vqt.P", r"^reader\.vit\.": ""}
SYNQT = "synqt:tokens={tokens}:bottleneck={bottleneck}:attention_bottleneck={attn_bottleneck}"
SYNQT_NAMES = {
    r"^tokens": "synqt.P",
    r"^carry_scale": "synqt.s_f",
    r"^attention_scales\.(\d+)": r"synqt.qsm.\1.s_attn",
    r"^ffn_scales\.(\d+)": r"synqt.qsm.\1.s_ffn",
    r"^synthesis\.(\d+)\.project\.": r"synqt.proj.\1.",
    r"^synthesis\.(\d+)\.norm_attention": r"synqt.qsm.\1.LNa",
    r"^synthesis\.(\d+)\.norm_query": r"synqt.qsm.\1.LNq",
    r"^synthesis\.(\d+)\.norm_key": r"synqt.qsm.\1.LNk",
    r"^synthesis\.(\d+)\.norm_ffn": r"synqt.qsm.\1.LNb",
    r"^synthesis\.(\d+)\.query": r"synqt.qsm.\1.Q",
    r"^synthesis\.(\d+)\.key": r"synqt.qsm.\1.K",
    r"^synthesis\.(\d+)\.value": r"synqt.qsm.\1.V",
    r"^synthesis\.(\d+)\.out": r"synqt.qsm.\1.O",
    r"^synthesis\.(\d+)\.ffn": r"synqt.qsm.\1.ffn",
    r"^gathering\.norm": "synqt.head.LNo",
    r"^gathering\.last_norm": "synqt.head.LNh",
    r"^gathering\.": "synqt.head.",
}


def vqt(config: Mapping[str, Any]) -> str:
    """The spec of a case."""
    pool = "mean" if config["pool_queries"] else "none"
    return f"vqt:tokens={config['query_tokens']}:pool={pool}:normalize={str(config['normalize']).lower()}"
