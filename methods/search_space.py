"""The values that a search may choose from: files in `search_spaces/`, a method's own `space`, and words of a call.

A file holds words for all methods at its top, then a table a method. A word is that of the command line, `0.1/1/10` for
a choice and `1e-4..1e-2` for a range, whose ends belong to it. A range of positive numbers whose end is ten times its
start or more is searched on a logarithmic scale.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from methods.base import Method
from methods.recipe import Recipe, known_as
from methods.settings import check, hints_of, parse
from methods.spec import closest

__all__ = ["SPACES", "Choice", "Range", "Space", "is_grid", "points", "spaces_of"]

FOLDER = Path(__file__).parent / "search_spaces"
SPACES = sorted(path.stem for path in FOLDER.glob("*.toml"))
ABOUT = "about"
DECADE = 10  # a range at least so wide is searched on a logarithmic scale


@dataclass(frozen=True)
class Choice:
    """One of some values."""

    values: tuple[Any, ...]

    def __str__(self) -> str:
        return "/".join(f"{value:g}" if isinstance(value, float) else str(value) for value in self.values)


@dataclass(frozen=True)
class Range:
    """A number between two, both included; `log` searches its logarithm, `whole` takes integers alone."""

    low: float
    high: float
    log: bool
    whole: bool

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}"


Space = dict[str, Choice | Range]  # by recipe field or setting of the method


def spaces_of(asked: str, methods: Sequence[Method]) -> dict[Method, Space]:
    """Return what a search over each method may choose.

    Args:
        asked: the name of a file in `methods/search_spaces/`, or words, `learning_rate=1e-4..1e-2,rank=4/8/16`. With
            words nothing else is searched, and a setting that only some of the methods have is searched for those.
        methods: what is searched; settings that a spec wrote out are left alone.

    Raises:
        ValueError: for an unknown name, setting or value, an empty range, or a space of one point.
    """
    if "=" not in asked:
        return {method: _parsed(method, _texts(asked, method), f"space {asked}") for method in methods}
    texts = _pairs(asked)
    everything = {key for method in methods for key in _hints(method)}
    for key in texts:
        if key not in everything:
            names = ", ".join(dict.fromkeys(method.name for method in methods))
            raise ValueError(
                f"--space: {key!r} is neither a recipe field nor a setting of {names}; {known_as(key, everything)}"
            )
    return {
        method: _parsed(method, {key: text for key, text in texts.items() if key in _hints(method)}, "--space")
        for method in methods
    }


def is_grid(space: Space) -> bool:
    """Return whether the space has a countable number of points."""
    return all(isinstance(part, Choice) for part in space.values())


def points(space: Space) -> int:
    """Return how many points a space of choices has."""
    count = 1
    for part in space.values():
        count *= len(part.values) if isinstance(part, Choice) else 1
    return count


def _texts(name: str, method: Method) -> dict[str, str]:
    """Return the words of a file for a method; in the default file, those of the method itself come last and win."""
    if name not in SPACES:
        raise ValueError(f"no space {name!r}; {closest(name, SPACES)}")
    tables = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    everywhere = {key: text for key, text in tables.items() if isinstance(text, str) and key != ABOUT}
    return everywhere | tables.get(method.name, {}) | (dict(method.space) if name == "default" else {})


def _parsed(method: Method, texts: Mapping[str, str], where: str) -> Space:
    """Parse the words into a space, without the settings that the method's spec wrote out."""
    hints, found = _hints(method), Space()
    for key, text in texts.items():
        if key in method.explicit_settings:
            continue
        if key not in hints:
            raise ValueError(f"{where}: {method.name} has no setting {key!r}; {known_as(key, hints)}")
        try:
            found[key] = _part(hints[key], text)
        except ValueError as error:
            raise ValueError(f"{where}: {key}={error}") from None
    if not found:
        raise ValueError(f"{where} has nothing to choose for {method}; add a setting, or leave the method out")
    if all(isinstance(part, Choice) and len(part.values) == 1 for part in found.values()):
        raise ValueError(f"the space of {method} has one point, so there is nothing to choose; write more with --space")
    return found


def _hints(method: Method) -> dict[str, Any]:
    """Return what may be searched: recipe fields and settings of the method, with their types."""
    hints = hints_of(Recipe) | hints_of(type(method))
    return {field.name: hints[field.name] for kind in (Recipe, type(method)) for field in dataclasses.fields(kind)}


def _part(hint: Any, text: str) -> Choice | Range:
    low, dots, high = text.partition("..")
    if not dots:
        values = tuple(dict.fromkeys(check(hint, parse(hint, word)) for word in text.split("/")))
        return Choice(values)
    ends = [check(hint, parse(hint, word)) for word in (low, high)]
    if not all(type(end) in (int, float) for end in ends):
        raise ValueError(f"{text!r} is a range, and this is no number; write A/B/C")
    if not ends[0] < ends[1]:
        raise ValueError(f"{text!r} is an empty range; the second number must be larger")
    return Range(ends[0], ends[1], 0 < ends[0] <= ends[1] / DECADE, all(type(end) is int for end in ends))


def _pairs(words: str) -> dict[str, str]:
    """Split the words of `--space` into settings, each with the words for its values."""
    texts = dict[str, str]()
    for word in filter(None, map(str.strip, words.split(","))):
        key, _, text = word.partition("=")
        if not (key and text):
            raise ValueError(
                f"--space: {word!r} is not of the form setting=values; write rank=4/8,learning_rate=1e-4..1e-2"
            )
        if key in texts:
            raise ValueError(f"--space gives {key} twice; write {key}=A/B/C for all values")
        texts[key] = text
    return texts
