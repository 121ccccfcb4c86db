"""How fast runs are to go, as a user words it: where frozen features are kept, and whether steps are compiled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bench.cost.budget import bytes_of
from bench.errors import UsageError
from bench.settings import CacheLimits

__all__ = ["SpeedOptions"]


@dataclass(frozen=True)
class SpeedOptions:
    """`feature_limit` is up to three amounts of memory: on the device, beside it, and on disk."""

    cache_features: Literal["auto", "on", "off"] = "auto"
    feature_limit: str | None = None
    compile: Literal["off", "kernels"] = "off"

    def fields(self, results: Path) -> dict[str, Any]:
        """The fields of `RunSettings` they make, with files below `results`; raises UsageError."""
        folder = results.absolute() / "features"  # a job runs in another folder
        about: dict[str, Any] = {"cache_features": self.cache_features, "cache_folder": folder}
        return about | {"cache_limits": _limits(self.feature_limit), "compile": self.compile}


def _limits(text: str | None) -> CacheLimits:
    if text is None:
        return CacheLimits()
    amounts = [bytes_of(word, "--feature-limit") for word in text.split(",")]
    if len(amounts) > 3:
        raise UsageError(f"--feature-limit {text!r} names more than three places; write 8GiB,32GiB,50GiB")
    return CacheLimits(*amounts)
