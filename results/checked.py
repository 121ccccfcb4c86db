"""Builds dataclasses from what JSON gives back, checking every field against its annotation."""

from __future__ import annotations

import dataclasses
import functools
import types
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

__all__ = ["build", "defaults"]


def build(cls: Any, values: Any, name: str) -> Any:
    """An instance of the dataclass `cls` from a dictionary; ValueError names the field that does not fit."""
    _expect(isinstance(values, dict), name, "an object")
    hints = _hints(cls)
    unknown = sorted(values.keys() - hints.keys())
    missing = sorted(hints.keys() - values.keys() - defaults(cls).keys())
    if unknown or missing:
        raise ValueError(f"{name} has unknown fields {unknown} and lacks {missing}")
    return cls(**{key: _check(hints[key], value, f"{name}.{key}") for key, value in values.items()})


@functools.cache
def defaults(cls: Any) -> dict[str, Any]:
    """What each field that has a default holds when nothing is said; read it, never change it."""
    absent = dataclasses.MISSING
    fields = dataclasses.fields(cls)
    made = {field.name: field.default_factory() for field in fields if field.default_factory is not absent}
    return made | {field.name: field.default for field in fields if field.default is not absent}


@functools.cache
def _hints(cls: Any) -> dict[str, Any]:
    """Cached, since resolving the annotations anew would take most of the time of loading a grid."""
    return get_type_hints(cls)


def _check(hint: Any, value: Any, name: str) -> Any:
    """`value` as `hint` wants it, or ValueError."""
    if type(value) is hint or hint is Any:  # first, because nearly every value is one number of a long list
        return value
    if dataclasses.is_dataclass(hint):
        return build(hint, value, name)
    if get_origin(hint) in (Union, types.UnionType):
        return None if value is None else _check(get_args(hint)[0], value, name)
    if get_origin(hint) is list:
        _expect(isinstance(value, list), name, "a list")
        inner = get_args(hint)[0]
        return value if all(type(item) is inner for item in value) else [_check(inner, item, name) for item in value]
    if get_origin(hint) is dict:
        _expect(isinstance(value, dict), name, "an object")
        return {key: _check(get_args(hint)[1], item, name) for key, item in value.items()}
    if get_origin(hint) is Literal:
        _expect(value in get_args(hint), name, f"one of {get_args(hint)}")
        return value
    _expect(hint is float and type(value) is int, name, getattr(hint, "__name__", str(hint)))
    return float(value)


def _expect(holds: bool, name: str, what: str) -> None:
    if not holds:
        raise ValueError(f"{name} is not {what}")
