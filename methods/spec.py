"""Reads methods from text: `lora:rank=4:layer=1..12` is twelve methods. `str(method)` writes one back."""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import re
from collections.abc import Iterable, Sequence
from typing import Any

from methods.base import METHODS, Method
from methods.settings import hints_of
from methods.settings import parse as parse_setting

__all__ = ["closest", "guess", "parse", "parse_list"]


def parse_list(text: str) -> list[Method]:
    """Parse a comma-separated list of specs, in order, without repeats; "all" is every method with defaults."""
    specs = [part.strip() for part in text.split(",") if part.strip()]
    if not specs:
        raise ValueError("no method given; write --methods all, or names from `python bench.py list methods`")
    methods = itertools.chain.from_iterable(_every() if spec == "all" else parse(spec) for spec in specs)
    return list(dict.fromkeys(methods))


def parse(spec: str) -> list[Method]:
    """Parse one spec into the methods it stands for; sweeps (`1..12`, `1/10/50`) expand in place.

    Raises ValueError with one sentence that names what is known when a name, a setting or a value is not.
    """
    name, *settings = spec.split(":")
    if name not in METHODS:
        raise ValueError(f"no method {name!r}; {closest(name, METHODS)}")
    kind = METHODS[name]
    sweeps = [_sweep(kind, setting) for setting in settings]
    names = [key for key, _ in sweeps]
    if len(set(names)) < len(names):
        raise ValueError(f"{spec!r} gives {max(names, key=names.count)} twice")
    choices = itertools.product(*(values for _, values in sweeps))
    return [_made(kind, dict(zip(names, choice, strict=True))) for choice in choices]


def closest(name: str, known: Iterable[str]) -> str:
    """Return the end of an error message: the closest match, if any, and everything that is known."""
    names = sorted(known)
    return f"{guess(name, names)}known: {', '.join(names) or 'none'}"


def guess(name: str, known: Iterable[str]) -> str:
    """Return a question that names the closest known name, such as "did you mean 'lora'? "; empty if none is close."""
    match = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {match[0]!r}? " if match else ""


def _made(kind: type[Method], settings: dict[str, Any]) -> Method:
    """Make a method that knows which of its settings were written out, so that a recipe leaves them alone."""
    method = kind(**settings)
    object.__setattr__(method, "explicit_settings", frozenset(settings))
    return method


def _every() -> Sequence[Method]:
    return [METHODS[name]() for name in METHODS]


def _sweep(kind: type[Method], setting: str) -> tuple[str, list[Any]]:
    """Parse one `key=value` of a spec into the name and its values."""
    key, equals, text = setting.partition("=")
    known = [f.name for f in dataclasses.fields(kind)]
    if not equals or key not in known:
        wanted = f"no setting {key!r}" if equals else f"{setting!r} is not of the form setting=value"
        raise ValueError(f"{kind.name}: {wanted}; {closest(key, known)}")
    hint = hints_of(kind)[key]
    try:
        return key, [parse_setting(hint, value) for value in _values(text)]
    except ValueError as error:
        raise ValueError(f"{kind.name}: {key}={error}") from None


def _values(text: str) -> list[str]:
    """Expand a sweep: `1..12` counts, `1/10/50` lists, anything else is one value."""
    if counted := re.fullmatch(r"(-?\d{1,6})\.\.(-?\d{1,6})", text):
        first, last = int(counted[1]), int(counted[2])
        if not first <= last < first + 1000:
            raise ValueError(f"{text!r} is not a rising range of at most 1000 values")
        return [str(value) for value in range(first, last + 1)]
    return text.split("/")
