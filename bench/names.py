"""Names that may be misspelt: one sentence with the closest known one, the same wherever a name is looked up."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import datasets
from bench.errors import WrongCall
from datasets.base import Suite
from methods.spec import closest

__all__ = ["check", "suite_of"]


def check(kind: str, names: Iterable[str], known: Collection[str]) -> None:
    """Raise WrongCall for the first name that is not known."""
    for name in names:
        if name not in known:
            raise WrongCall(f"no {kind} {name!r}; {closest(name, known)}")


def suite_of(text: str) -> Suite:
    """The suite of that name, with the options behind it. Raises WrongCall."""
    check("suite", [text.partition(":")[0]], datasets.SUITES)
    try:
        return datasets.suite(text)
    except ValueError as error:
        raise WrongCall(str(error)) from error
