"""Families of backbones that people use: an example of each, how to find the others, and a tiny network of its kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["FAMILIES", "Family"]

PLAIN: Mapping[str, Any] = {"embed_dim": 32, "depth": 2, "num_heads": 2}
STAGES: Mapping[str, Any] = {"embed_dim": 16, "depths": (2, 2), "num_heads": (1, 2), "window_size": 4, "img_size": 32}


@dataclass(frozen=True)
class Family:
    """Backbones that were trained alike, of one architecture in several sizes.

    `example` is a name of timm; `search` finds the others (`list backbones SEARCH`). `tiny` holds what is passed to
    timm's constructor beside the example's own settings, for a network that is small and otherwise alike.
    """

    title: str
    example: str
    search: str
    about: str
    patches: int = 16  # side of a patch in pixels; the tiny network sees 3×3 of them
    tiny: Mapping[str, Any] = field(default_factory=lambda: PLAIN)

    @property
    def architecture(self) -> str:
        """timm's name of the network, without the weights."""
        return self.example.partition(".")[0]

    @property
    def settings(self) -> dict[str, Any]:
        """What makes the example tiny."""
        return {"img_size": 3 * self.patches, **self.tiny}


FAMILIES = (
    Family("ViT", "vit_base_patch16_224.augreg_in21k", "augreg", "supervised, Ti to H (Dosovitskiy 2021)"),
    Family("DeiT", "deit_base_patch16_224.fb_in1k", "deit_", "supervised on ImageNet-1k (Touvron 2021)"),
    Family("DeiT III", "deit3_base_patch16_224.fb_in22k_ft_in1k", "deit3", "supervised, LayerScale (Touvron 2022)"),
    Family("MAE", "vit_base_patch16_224.mae", ".mae", "masked autoencoder (He 2022)"),
    Family("DINO", "vit_base_patch16_224.dino", ".dino", "self-distilled (Caron 2021)"),
    Family("DINOv2", "vit_base_patch14_dinov2.lvd142m", "dinov2", "self-distilled, LayerScale (Oquab 2024)", 14),
    Family("DINOv2 reg", "vit_base_patch14_reg4_dinov2.lvd142m", "reg4_dinov2", "with four register tokens", 14),
    Family("DINOv2 g", "vit_giant_patch14_dinov2.lvd142m", "giant_patch14", "ViT-g: SwiGLU in place of the MLP", 14),
    Family("CLIP", "vit_base_patch16_clip_quickgelu_224.openai", "clip", "pre-norm, QuickGELU (Radford 2021)"),
    Family("SigLIP", "vit_base_patch16_siglip_224.webli", "siglip", "no class token, attention pooling (Zhai 2023)"),
    Family("SigLIP gap", "vit_base_patch16_siglip_gap_224.webli", "siglip_gap", "no class token, patches averaged"),
    Family("ViT reg gap", "vit_medium_patch16_reg4_gap_256.sbb_in12k", "reg4_gap", "registers, patches averaged"),
    Family("AIMv2", "aimv2_large_patch14_224.apple_pt", "aimv2", "autoregressive: RMS norm, SwiGLU (Fini 2025)", 14),
    Family("ViT-22B", "vit_base_patch16_xp_224", "_xp_", "attention and MLP in parallel, QK-norm (Dehghani 2023)"),
    Family("ViT parallel", "vit_small_patch16_18x2_224", "18x2", "two blocks in parallel (Touvron 2022)"),
    Family("EVA-02", "eva02_base_patch14_224.mim_in22k", "eva02", "rotary positions, SwiGLU (Fang 2024)", 14),
    Family("DINOv3", "vit_base_patch16_dinov3.lvd1689m", "dinov3", "rotary positions, registers (Simeoni 2025)"),
    Family("ViT RoPE", "vit_base_patch16_rope_mixed_224.naver_in1k", "rope", "learned rotary positions (Heo 2024)"),
    Family("PE", "vit_pe_core_base_patch16_224.fb", "vit_pe", "rotary positions, attention pooling (Bolya 2025)"),
    Family("BEiT", "beit_base_patch16_224.in22k_ft_in22k", "beit", "a bias by relative position (Bao 2022)"),
    Family("Swin", "swin_base_patch4_window7_224.ms_in22k", "swin_", "stages, shifted windows (Liu 2021)", 4, STAGES),
    Family("Swin V2", "swinv2_base_window8_256.ms_in1k", "swinv2", "norms after each layer (Liu 2022)", 4, STAGES),
)  # fmt: skip
