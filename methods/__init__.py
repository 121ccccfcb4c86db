"""Holds backbones, methods and recipes: WHAT is trained. Every file that defines a Method registers it on import."""

import importlib
import pkgutil

from methods.attaching import attach
from methods.base import METHODS, Entangled, Method, Network, Unsupported

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["METHODS", "Entangled", "Method", "Network", "Unsupported", "attach"]
