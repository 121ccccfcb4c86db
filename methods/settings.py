"""Defines the types that settings of methods may have; checks settings and reads them from text."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

__all__ = ["Count", "Fraction", "Layer", "Number", "Positive", "Range", "check", "describe", "hints_of", "parse"]


@dataclass(frozen=True)
class Range:
    """A range with both ends included; None leaves an end open."""

    low: float | None = None
    high: float | None = None


Count = Annotated[int, Range(1)]  # ranks, tokens, widths
Layer = Annotated[int, Range(1)]  # blocks count from 1, as in the papers
Number = Annotated[float, Range()]
Positive = Annotated[float, Range(1e-12)]
Fraction = Annotated[float, Range(0.0, 1.0)]


@cache
def hints_of(kind: type) -> dict[str, Any]:
    """Return the types of a class's fields by name; they are worked out once, which takes longer than to check them."""
    return get_type_hints(kind, include_extras=True)


def check(hint: Any, value: Any) -> Any:
    """Return the value as `hint` wants it: an int becomes a float where floats stand, so that 2 and 2.0 are one.

    Raises ValueError, saying what was expected, unless `hint` allows it.
    """
    if not _allowed(hint, value):
        raise ValueError(f"{value!r} is not {describe(hint)}")
    wants_float = get_origin(hint) is Annotated and get_args(hint)[0] is float
    return float(value) if wants_float and type(value) is int else value


def parse(hint: Any, text: str) -> Any:
    """Return the value that `text` stands for; raises ValueError when it is not of the type or out of range."""
    for candidate in _readings(text):
        if _allowed(hint, candidate):
            return candidate
    raise ValueError(f"{text!r} is not {describe(hint)}")


def describe(hint: Any) -> str:
    """Say in words what `hint` allows: "a whole number of at least 1"."""
    if get_origin(hint) in (Union, UnionType):
        return " or ".join(describe(option) for option in get_args(hint))
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(str, get_args(hint)))
    if get_origin(hint) is Annotated:
        kind, bounds = get_args(hint)
        return describe(kind) + _describe_range(bounds)
    return {int: "a whole number", float: "a number", bool: "true or false", NoneType: "none"}.get(hint, str(hint))


def _describe_range(bounds: Range) -> str:
    if bounds.low is None:
        return ""
    return f" of at least {bounds.low:g}" if bounds.high is None else f" from {bounds.low:g} to {bounds.high:g}"


def _readings(text: str) -> list[Any]:
    """Return every value that the text could stand for, the narrowest type first."""
    readings: list[Any] = [{"true": True, "false": False, "none": None}[text]] if text in _WORDS else []
    for kind in (int, float):
        try:
            readings.append(kind(text))
        except ValueError:
            continue
    return [*readings, text]


_WORDS = ("true", "false", "none")


def _allowed(hint: Any, value: Any) -> bool:
    if get_origin(hint) in (Union, UnionType):
        return any(_allowed(option, value) for option in get_args(hint))
    if get_origin(hint) is Literal:
        return any(type(value) is type(option) and value == option for option in get_args(hint))
    if get_origin(hint) is Annotated:
        kind, bounds = get_args(hint)
        return _allowed(kind, value) and _inside(bounds, value)
    if hint is float:
        return type(value) in (int, float) and abs(value) <= sys.float_info.max
    return type(value) is hint


def _inside(bounds: Range, value: float) -> bool:
    return (bounds.low is None or value >= bounds.low) and (bounds.high is None or value <= bounds.high)
