"""Which mean and standard deviation a checkpoint was trained with: as asked for, as its file says, or unknown."""

from __future__ import annotations

import json
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

from methods.backbones.layouts import is_google

__all__ = ["HALF", "Statistics", "of_file", "parse_normalise"]

Statistics = tuple[tuple[float, ...], tuple[float, ...]]
HALF: Statistics = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
NAMED = {"half": HALF, "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))}
CONFIGURATIONS = ("config.json", "preprocessor_config.json")  # of timm and of transformers, beside the weights
KEYS = (("mean", "std"), ("image_mean", "image_std"))


def parse_normalise(text: str) -> Statistics:
    """Parse `imagenet`, `half` or `MEAN/STD`, where each is a number or three with commas; raises ValueError."""
    if text in NAMED:
        return NAMED[text]
    try:
        mean, std = (_three([float(word) for word in part.split(",")]) for part in text.split("/"))
    except (TypeError, ValueError):
        mean = std = None
    if mean is None or std is None or min(std) <= 0:
        raise ValueError(
            f"--normalise {text!r} is no mean and standard deviation; write imagenet, half, 0.5/0.5, "
            "or 0.485,0.456,0.406/0.229,0.224,0.225"
        )
    return mean, std


@cache
def of_file(path: Path) -> tuple[Statistics, str] | None:
    """Return the statistics that a weight file is known to want, and from where; None where it cannot be known."""
    for name in CONFIGURATIONS:
        try:
            found = _configured(json.loads((path.parent / name).read_text(encoding="utf-8")))
        except (OSError, ValueError):
            continue
        if found is not None:
            return found, f"its {name}"
    return (HALF, "what all checkpoints in Google's layout have") if _is_google(path) else None


def _configured(document: Any) -> Statistics | None:
    """Return the first pair in the document, or one level below it."""
    if not isinstance(document, dict):
        return None
    for table in (document, document.get("pretrained_cfg")):
        for keys in KEYS:
            mean, std = (_three(table.get(key)) if isinstance(table, dict) else None for key in keys)
            if mean is not None and std is not None and min(std) > 0:
                return mean, std
    return None


def _three(values: Any) -> tuple[float, ...] | None:
    """Return one number for each channel."""
    numbers = values if isinstance(values, list) else [values]
    if len(numbers) not in (1, 3) or not all(type(each) in (int, float) and abs(each) < 1e6 for each in numbers):
        return None
    return tuple(float(each) for each in (numbers if len(numbers) == 3 else 3 * numbers))


def _is_google(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return is_google(name.removesuffix(".npy") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return False
