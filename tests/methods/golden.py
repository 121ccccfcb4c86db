"""Golden cases (tests/golden, from executed published code) and our networks with the same tensors in them.

A method joins with one row in GOLDEN: its spec, and how our parameters are called there. Several of our parameters
with one golden name are its rows, in order.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from timm.models import SwinTransformer, VisionTransformer
from torch import Tensor, nn

from methods import Method, Network
from methods.backbones.registry import prepare
from methods.spec import parse
from tests.methods.golden_bypass import ROWS
from tests.methods.golden_entangled import ENTANGLED
from tests.methods.golden_queries import SYNQT, SYNQT_NAMES, VQT_NAMES, vqt
from tests.methods.golden_side import LST, LST_NAMES, POOLING, dtl, dtl_names, swin_of

FOLDER = Path(__file__).parent.parent / "golden"


@dataclass(frozen=True)
class Golden:
    """`spec` is filled in from the case's config; `names` are replacements (patterns) from our names to the file's.

    Either may be a function of the config.
    """

    spec: str | Callable[[Mapping[str, Any]], str]
    names: Mapping[str, str] | Callable[[Mapping[str, Any]], Mapping[str, str]] = field(default_factory=dict)


UNWRAPPED = {r"^vit\.": ""}
PROMPTED = {r"(blocks\.\d+)\.1\.": r"\1.", r"blocks\.0\.0\.prompts": "prompt.P", r"blocks\.\d+\.0\.prompts": "prompt.Q"}
UPDATE = r"attn\.qkv\.updates"
GOLDEN = {
    "full": Golden("full"),
    "linear": Golden("linear"),
    "bitfit": Golden("bitfit"),
    "lora_fused_qkv": Golden(
        "lora:rank={rank}:scale={scale}",
        {r"qkv\.frozen": "qkv", rf"{UPDATE}\.qkv\.down\.weight": "lora.A", rf"{UPDATE}\.qkv\.up\.weight": "lora.B"},
    ),
    "lora_qv": Golden(
        "lora:target=qv:rank={rank}:scale={scale}",
        {
            r"qkv\.frozen": "qkv",
            rf"{UPDATE}\.(.)\.down\.weight": r"lora.\1.A",
            rf"{UPDATE}\.(.)\.up\.weight": r"lora.\1.B",
        },
    ),
    "vpt_deep": Golden("vpt_deep:tokens={tokens}", PROMPTED),
    "vpt_shallow": Golden("vpt_shallow:tokens={tokens}", PROMPTED),
    **{name: Golden(*row) for name, row in ROWS.items()},
    **{name: Golden(*row) for name, row in POOLING.items()},
    **{name: Golden(*row) for name, row in ENTANGLED.items()},
    "dtl": Golden(dtl, dtl_names),
    "lst": Golden(LST, LST_NAMES),
    "vqt": Golden(vqt, VQT_NAMES),
    "synqt": Golden(SYNQT, SYNQT_NAMES),
}


@dataclass(frozen=True)
class Case:
    """One case of one file."""

    file: str
    frequency: float
    values: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.file}-{self.values['name']}"

    def method(self) -> Method:
        """The method with the settings of the case."""
        config, spec = self.values["config"], GOLDEN[self.file].spec
        return parse(spec(config) if callable(spec) else spec.format(**config))[0]

    def network(self) -> Network:
        """Our network with the tensors of the case, in double precision and evaluation mode."""
        vit = prepare(vit_of(self.values["config"]), self.values["config"]["classes"], "linear", 0.0, 0.0)
        network = self.method().attach(vit).double().eval()
        parts = self.parts(network)
        for name, buffer in network.named_buffers():
            if name.endswith("attn.proj.rows"):
                buffer.copy_(self.rows(name))
        for tensor in self.values["tensors"]:
            put(filled(tensor, self.frequency), parts[tensor["name"]], self.rows(tensor["name"]))
        return network

    def parts(self, network: Network) -> dict[str, list[Tensor]]:
        """Our parameters by golden name, and the buffers that the file has among its tensors."""
        names = GOLDEN[self.file].names
        patterns = {**UNWRAPPED, **(names(self.values["config"]) if callable(names) else names)}
        known = {tensor["name"] for tensor in self.values["tensors"]}
        parts: dict[str, list[Tensor]] = {}
        for ours, tensor in (*network.named_parameters(), *network.named_buffers()):
            name = ours
            for pattern, replacement in patterns.items():
                name = re.sub(pattern, replacement, name)
            if isinstance(tensor, nn.Parameter) or name in known:
                parts.setdefault(name, []).append(tensor)
        return parts

    def rows(self, name: str) -> Tensor | None:
        """Which rows of a tensor learn, in APLA's projections; None where it learns as a whole or not at all."""
        block = re.search(r"blocks\.(\d+)\.attn\.proj", name)
        rows = self.values["config"].get("trainable_rows")
        return torch.tensor(rows[int(block[1])]) if rows and block else None

    def gradient(self, name: str, group: list[Tensor]) -> Tensor:
        """The gradient of a golden tensor, flat; zero in rows that do not learn."""
        if (rows := self.rows(name)) is None or len(group) == 1:
            return torch.cat([part.grad.flatten() for part in group])
        learned, whole = group
        return torch.zeros_like(whole).index_copy(0, rows, learned.grad).flatten()

    def images(self) -> Tensor:
        """The image batch of the README."""
        shape = self.values["input_shape"]
        return torch.sin(0.013 * torch.arange(torch.Size(shape).numel(), dtype=torch.float64)).view(shape)


def cases() -> list[Case]:
    """Every case of every file that has a row in GOLDEN."""
    files = {name: json.loads((FOLDER / f"{name}.json").read_text()) for name in GOLDEN}
    return [Case(name, file["frequency"], case) for name, file in files.items() for case in file["cases"]]


def vit_of(config: dict[str, Any]) -> VisionTransformer | SwinTransformer:
    """timm's network of the case's sizes, frozen."""
    vit = swin_of(config) if "depths" in config else plain_of(config)
    assert vit.norm.eps == config.get("norm_eps", config.get("norm_eps_backbone"))
    return vit.requires_grad_(False)


def plain_of(config: dict[str, Any]) -> VisionTransformer:
    """timm's plain network of the case's sizes."""
    return VisionTransformer(
        img_size=config["image"],
        patch_size=config["patch"],
        embed_dim=config["width"],
        depth=config["depth"],
        num_heads=config["heads"],
        mlp_ratio=config["mlp_ratio"],
        num_classes=0,
    )


def filled(tensor: dict[str, Any], frequency: float) -> Tensor:
    """The values of one tensor by the fill rule."""
    shape = torch.Size(tensor["shape"])
    argument = frequency * torch.arange(shape.numel(), dtype=torch.float64) + tensor["phase"]
    return (tensor["offset"] + tensor["amplitude"] * torch.sin(argument)).view(shape)


@torch.no_grad()
def put(value: Tensor, parts: list[Tensor], rows: Tensor | None = None) -> None:
    """Write a golden tensor into ours, which are its rows; shapes must agree.

    With `rows` our first tensor has those rows and the second one all.
    """
    if rows is not None and len(parts) == 2:
        learned, whole = parts
        assert learned.shape == value[rows].shape
        assert whole.shape == value.shape
        learned.copy_(value[rows])
        whole.copy_(value)
        return
    assert torch.cat(list(parts)).shape == value.shape
    for part, piece in zip(parts, value.split([len(part) for part in parts]), strict=True):
        part.copy_(piece)
