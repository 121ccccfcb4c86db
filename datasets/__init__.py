"""ON WHAT: suites of tasks. A suite is a file of this folder with a module-level `SUITE`, found because it is there.

Behind a suite's name may stand options of its own, `domain:mask`, `folder:PATH:shots=10`.
"""

from importlib import import_module
from pkgutil import iter_modules

from datasets import suites
from datasets.base import NotHere, Split, Suite, Task
from datasets.files.copies import locate
from datasets.transforms.preprocessing import PRESETS, Preprocessing

__all__ = ["PRESETS", "SUITES", "NotHere", "Preprocessing", "Split", "Suite", "Task", "locate", "suite"]


def _found() -> dict[str, Suite]:
    modules = [import_module(f"{suites.__name__}.{module.name}") for module in iter_modules(suites.__path__)]
    found = [module.SUITE for module in modules if hasattr(module, "SUITE")]
    return {suite.name: suite for suite in found}


SUITES: dict[str, Suite] = _found()


def suite(name: str) -> Suite:
    """Give the suite of that name; raises ValueError."""
    known, colon, options = name.partition(":")
    if known in SUITES and not colon:
        return SUITES[known]
    if known in SUITES:
        vary = SUITES[known].vary
        if vary is None:
            raise ValueError(f"suite {known} has no options, but {options!r} was given")
        return vary(options)
    raise ValueError(f"no suite {name!r}; known: {', '.join(sorted(SUITES))}")
