"""How our parameters and buffers are called in the golden files of the entangled rows of 2026, and their specs."""

from collections.abc import Mapping
from typing import Any

from tests.methods.golden_bypass import RECOMPUTED

REPADAPTER = {
    **RECOMPUTED,
    r"(?:qkv|fc1)\.(down|up)": r"\1",
    r"(attn|mlp)\.(down|up)": r"repadapter.\1.\2",
    r"\.frozen": "",
}
DIFFIT = {r"\.linear": "", r"attn\.proj\.gamma": "diffit.gamma1", r"mlp\.fc2\.gamma": "diffit.gamma2"}
LORA_FA = {
    r"attn\.qkv\.updates\.": "lora.",
    r"(?:attn|mlp)\.(\w+)\.update\.": r"lora.\1.",
    r"(lora\.\w+)\.down": r"\1.A",
    r"(lora\.\w+)\.up": r"\1.B",
    r"\.frozen": "",
}
DORA = {
    **RECOMPUTED,
    r"attn\.qkv\.weights\.": "dora.",
    r"direction\.down": "A",
    r"direction\.up": "B",
    r"magnitude": "m",
    r"\.frozen": "",
}
VERA = {
    **RECOMPUTED,
    r"attn\.qkv\.updates\.(\w+)(?:\.mixed)?\.": r"vera.\1.",
    r"^pairs\.all\.": "vera.",
    r"^pairs\.": "vera.",
    r"^(vera[.\w]*)\.down$": r"\1.A",
    r"^(vera[.\w]*)\.up$": r"\1.B",
    r"\.frozen": "",
}


def repadapter(config: Mapping[str, Any]) -> str:
    variant = {("attn",): "attn", ("attn", "mlp"): "block"}[tuple(config["positions"])]
    return f"repadapter:variant={variant}:units={config['units']}:groups={config['groups']}:scale={config['scale']}"


def lora_fa(config: Mapping[str, Any]) -> str:
    target = "all" if "fc1" in config["targets"] else "".join(config["targets"])
    return f"lora_fa:target={target}:rank={config['rank']}:scale={config['scale']}"


def dora(config: Mapping[str, Any]) -> str:
    return f"dora:target={''.join(config['targets'])}:rank={config['rank']}:scale={config['scale']}"


def vera(config: Mapping[str, Any]) -> str:
    target, shared = "".join(config["targets"]), config["shared"]
    return f"{config['variant']}:target={target}:shared={shared}:rank={config['rank']}:alpha={config['alpha']}"


ENTANGLED = {  # by file: spec, replacements
    "repadapter": (repadapter, REPADAPTER),
    "layernorm": ("layernorm", {}),
    "diffit": ("diffit", DIFFIT),
    "lora_fa": (lora_fa, LORA_FA),
    "dora": (dora, DORA),
    "apla": ("apla:rows={rows}", {r"attn\.proj\.frozen": "attn.proj"}),
    "vera": (vera, VERA),
}
