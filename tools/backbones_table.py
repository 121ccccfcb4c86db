"""Writes the tables of docs/backbones.md: which method runs on which family, and one step on forty networks of timm.

python -m tools.backbones_table            the families, in half a minute
python -m tools.backbones_table --names    the forty networks too, in some minutes
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

import torch

from bench.train.network import build, build_on_meta
from bench.train.optimizer import optimizer_of
from bench.train.step import loss_of
from methods import METHODS, Unsupported
from methods.backbones.families import FAMILIES
from methods.backbones.registry import ARCHITECTURES, Backbone, find
from methods.recipe import Recipe
from methods.spec import parse

__all__ = ["NAMES", "family_table", "reason", "written"]

PAGE = Path(__file__).parent.parent / "docs" / "backbones.md"
SHALLOW = {"dtl": "dtl:start=2", "dtl_plus": "dtl_plus:start=2", "vpt_shallow": "vpt_shallow:tokens=3"}  # two blocks
TRIED = ("linear", "lora", "dtl", "lst")
NAMES = tuple(
    f"{kind}_{rest}" if rest else kind
    for kind, others in {
        "vit_tiny": "patch16_224",
        "vit_small": "patch16_224 patch32_224 patch14_dinov2 patch14_reg4_dinov2 patch16_18x2_224 patch16_dinov3 "
        "patch16_rope_mixed_224",
        "vit_medium": "patch16_reg4_gap_256",
        "vit_betwixt": "patch16_reg4_gap_256",
        "vit_dwee": "patch16_reg1_gap_256",
        "vit_base": "patch16_224 patch14_dinov2 patch16_clip_224 patch32_clip_224 patch16_clip_quickgelu_224 "
        "patch16_siglip_224 patch16_siglip_gap_224 patch16_xp_224 patch16_rpn_224 patch16_dinov3 patch16_rope_224",
        "vit_large": "patch16_224 patch14_dinov2 patch14_clip_224",
        "vit_so400m": "patch14_siglip_224",
        "vit_huge": "patch14_224 patch14_gap_224 plus_patch16_dinov3",
        "vit_giant": "patch14_dinov2",
        "vit_pe": "core_base_patch16_224",
        "flexivit": "small",
        "deit": "tiny_patch16_224 small_patch16_224",
        "deit3": "small_patch16_224 base_patch16_224 large_patch16_224",
        "aimv2": "large_patch14_224",
        "eva": "large_patch14_196",
        "eva02": "tiny_patch14_224 base_patch14_224",
        "beit": "base_patch16_224",
        "beitv2": "base_patch16_224",
        "beit3": "base_patch16_224",
        "swin": "tiny_patch4_window7_224 base_patch4_window7_224",
        "swinv2": "tiny_window8_256 base_window8_256",
    }.items()
    for rest in others.split()
)


@cache
def reason(title: str, method: str) -> str:
    """Why a method does not run on the tiny network of a family; empty where it does."""
    try:
        build_on_meta(find(f"random:tiny {title}"), parse(SHALLOW.get(method, method))[0], 3, Recipe())
    except Unsupported as error:
        return str(error)
    return ""


def family_table() -> str:
    """Methods in rows, families in columns: a dot where it runs, else the number of a reason below the table."""
    reasons: dict[str, int] = {}
    lines = [_row(["", *(each.title for each in FAMILIES)]), _row(["---", *[":-:"] * len(FAMILIES)])]
    for method in METHODS:
        cells = []
        for family in FAMILIES:
            why = reason(family.title, method)
            cells.append(str(reasons.setdefault(why, len(reasons) + 1)) if why else "•")
        lines.append(_row([f"`{method}`", *cells]))
    return "\n".join([*lines, "", *(f"{number}. {why}" for why, number in reasons.items())])


def name_table() -> str:
    """One step of four methods on each network, with two blocks of each and random weights."""
    lines = [_row(["network", "blocks", *TRIED]), _row(["---", ":-:", *[":-:"] * len(TRIED)])]
    for name in NAMES:
        tried = [_tried(name, method) for method in TRIED]
        lines.append(_row([f"`{name}`", "2", *tried]))
    return "\n".join(lines)


def written(page: str, tables: Mapping[str, str]) -> str:
    """The page with these tables between their marks."""
    for mark, table in tables.items():
        before, start, rest = page.partition(f"<!-- {mark} -->\n")
        _, end, after = rest.partition(f"<!-- end of {mark} -->")
        page = f"{before}{start}\n{table}\n\n{end}{after}"
    return page


def _tried(name: str, method: str) -> str:
    """`ok`, or why not, of one training step on two images."""
    torch.manual_seed(0)
    shape = {"depths": (1, 1, 1, 1)} if name.startswith("swin") else {"depth": 2}
    ARCHITECTURES[f"shallow {name}"] = {"like": name, **shape}
    backbone = Backbone(f"shallow {name}", f"shallow {name}", None, "")
    try:
        network = build(backbone, parse(SHALLOW.get(method, method))[0], 3, Recipe()).train()
    except Unsupported as error:
        return str(error)
    images = torch.randn(2, 3, backbone.image_size, backbone.image_size)
    loss = loss_of(network, network(images), torch.tensor([0, 1]))
    loss.backward()
    optimizer_of(network, Recipe()).step()
    assert torch.isfinite(loss)
    return "ok"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", action="store_true")
    tables = {"families": family_table()} | ({"names": name_table()} if parser.parse_args().names else {})
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), tables), encoding="utf-8")
