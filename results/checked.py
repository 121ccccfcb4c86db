"""Reads dataclasses from what JSON gives back, every field checked against its annotation by pydantic."""

from __future__ import annotations

import dataclasses
import functools
import json
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

__all__ = ["build", "closed", "defaults"]

closed = with_config(ConfigDict(extra="forbid", strict=True))  # no unknown field, no number written as text


def build(cls: Any, values: Any, name: str) -> Any:
    """Return an instance of the dataclass `cls` made from a dictionary.

    Raises:
        ValueError: for the first field that is unknown, missing or of another type; the message names it.
    """
    try:
        return _adapter(cls).validate_json(json.dumps(values))  # as JSON, an object may stand for a dataclass
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        field = ".".join([name, *(str(part) for part in first["loc"])])
        raise ValueError(f"{field}: {first['msg'][0].lower()}{first['msg'][1:]}") from None


@functools.cache
def _adapter(cls: Any) -> TypeAdapter[Any]:
    """Cached, since building the checks anew would take most of the time of loading a grid."""
    return TypeAdapter(cls)


@functools.cache
def defaults(cls: Any) -> dict[str, Any]:
    """Return what each field that has a default holds when nothing is said; read it, never change it."""
    absent = dataclasses.MISSING
    fields = dataclasses.fields(cls)
    made = {field.name: field.default_factory() for field in fields if field.default_factory is not absent}
    return made | {field.name: field.default for field in fields if field.default is not absent}
