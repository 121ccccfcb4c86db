"""Compiled networks: kernels made for their shapes, or CUDA graphs of the kernels there are, where steps are small."""

from __future__ import annotations

from typing import Any, Literal

import torch

from methods import Network

__all__ = ["compiled"]

HOW: dict[str, dict[str, Any]] = {
    "kernels": {},  # torch's own compiler; last digits may differ from those of a plain run
    "graphs": {"backend": "cudagraphs"},  # the same kernels, launched as one
}


def compiled(network: Network, how: Literal["off", "kernels", "graphs"]) -> Network:
    """The same network, whose two halves are compiled for the shapes that they are called with."""
    if how != "off":
        for half in ("observe", "features_of", "adapt", "extract"):
            setattr(network, half, torch.compile(getattr(network, half), dynamic=False, **HOW[how]))
    return network
