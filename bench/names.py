"""Names that may be misspelt: one sentence with the closest known one, the same wherever a name is looked up."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import datasets
from bench.errors import UsageError
from datasets.base import Suite
from methods.spec import closest

__all__ = ["check", "suite_of"]


def check(kind: str, names: Iterable[str], known: Collection[str]) -> None:
    """Raise UsageError for the first name that is not known."""
    for name in names:
        if name not in known:
            raise UsageError(f"no {kind} {name!r}; {closest(name, known)}")


def suite_of(text: str) -> Suite:
    """Find the suite of that name, with the options behind it. Raises UsageError."""
    check("suite", [text.partition(":")[0]], datasets.SUITES)
    try:
        return datasets.suite(text)
    except ValueError as error:
        raise UsageError(str(error)) from error
