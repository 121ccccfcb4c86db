"""How our parameters are called in the golden files of the bypasses, SSF and FacT: replacements, in this order."""

ADAPTER = {r"drop_path2\.bottleneck": "adapter"}
ADAPTFORMER = {r"mlp\.main\.0": "norm2", r"mlp\.main\.1": "mlp", r"mlp\.bypass": "adaptformer"}
RECOMPUTED = {r"(blocks\.\d+)\.block": r"\1", r"\.layer\.": "."}
CONVPASS = {
    **RECOMPUTED,
    r"(attn|mlp)\.main\.0": r"\1",
    r"(attn|mlp)\.bypass\.0": r"convpass_\1",
    r"activation\.conv": "conv",
}
SSF = {
    **RECOMPUTED,
    r"\.frozen": "",
    r"patch_embed\.proj\.affine": "patch_embed.affine",
    r"(?:attn|mlp)\.(\w+)\.affine": r"\1.affine",
    r"^(.*)\.affine": r"ssf.\1",
}
FACT = {
    **RECOMPUTED,
    r"\.frozen": "",
    r"blocks\.0\.factors\.down\.weight": "fact.U",
    r"blocks\.0\.factors\.up\.weight": "fact.V",
    r"blocks\.0\.factors\.slices": "fact.P",
    r"blocks\.0\.factors\.core": "fact.C",
    **{rf"attn\.qkv\.core\.parts\.{i}": f"fact.{name}" for i, name in enumerate("qkv")},
    r"(?:attn|mlp)\.(\w+)\.core\.parts\.0": r"fact.\1",
}
ROWS = {  # by file: spec, replacements
    "adapter_noah": ("adapter:units={units}", ADAPTER),
    "adaptformer": ("adaptformer:units={units}:scale={scale}", ADAPTFORMER),
    "adaptformer_petlvit": ("adaptformer:bias=false:units={units}:scale={scale}", ADAPTFORMER),
    "ssf": ("ssf", SSF),
    "convpass": ("convpass:units={dim}:scale={scale}", CONVPASS),
    "convpass_attn": ("convpass:variant=attn:units={dim}:scale={scale}", CONVPASS),
    "fact_tt": ("fact_tt:rank={rank}:scale={scale}", FACT),
    "fact_tk": ("fact_tk:rank={rank}:scale={scale}", FACT),
}
