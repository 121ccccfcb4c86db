"""One colour and one marker for each method, the same in every figure, told apart in grey print too."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

__all__ = ["FAMILIES", "PARTS", "Look", "look"]


@dataclass(frozen=True)
class Look:
    """`family` says in words what methods of one colour share."""

    family: str
    color: str
    marker: str

    @property
    def size(self) -> float:
        """Of the marker, to be multiplied with that of the others: a star looks small."""
        return 1.45 if self.marker == "*" else 1.0

    @property
    def line(self) -> str:
        """The colour of a line, which is darker where one in the method's own is hard to see."""
        return DARKER.get(self.color, self.color)


# Okabe and Ito's colours, which also differ in lightness; within a family the marker tells methods apart.
FAMILIES = {
    "whole network": (
        "#000000",
        {"full": "o", "bitfit": "s", "partial": "D", "layernorm": "^", "diffit": "v", "apla": "P"},
    ),
    "head only": ("#F0E442", {"linear": "o", "head2toe": "s"}),
    "side path": (
        "#D55E00",
        {
            "dtl": "o",
            "dtl_plus": "s",
            "lst": "D",
            "vqt": "^",
            "synqt": "*",
            "side_tuning": "v",
            "unipt": "P",
            "sherl": "X",
            "res_tuning_bypass": "p",
        },
    ),
    "inside the blocks": (
        "#56B4E9",
        {
            "lora": "o",
            "vpt_deep": "s",
            "vpt_shallow": "D",
            "adapter": "^",
            "adaptformer": "v",
            "convpass": "P",
            "convpass_attn": "p",
            "fact_tk": "X",
            "fact_tt": "<",
            "ssf": ">",
            "noah": "h",
            "repadapter": "d",
        },
    ),
    "relatives of LoRA": ("#CC79A7", {"lora_fa": "o", "dora": "s", "vera": "D", "pvera": "^"}),
}
DARKER = {"#F0E442": "#8A8200"}
PARTS = {  # of a peak, in the order in which they are stacked; no colour is that of methods
    "weights": "#4D4D4D",
    "batch": "#B8B8B8",
    "optimizer": "#E69F00",
    "gradients": "#882255",
    "features": "#44AA99",
    "activations": "#0072B2",
}
UNKNOWN = ("other", "#009E73", "osD^vPX<>hdp")


def look(method: str) -> Look:
    """By the name of the method; its settings change nothing."""
    name = re.split(r"[: (]", method)[0]
    for family, (color, markers) in FAMILIES.items():
        if name in markers:
            return Look(family, color, markers[name])
    family, color, choices = UNKNOWN
    return Look(family, color, choices[hashlib.sha256(name.encode()).digest()[0] % len(choices)])
