"""What holds for all tests of the bench: the command line's own logging does not outlast a test."""

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Takes back what the command line does to the loggers of a process that has only one call."""
    loggers = [logging.getLogger(name) for name in ("bench", "methods", "methods.backbones.weights")]
    before = [(logger.level, logger.handlers[:]) for logger in loggers]
    yield
    for logger, (level, handlers) in zip(loggers, before, strict=True):
        logger.setLevel(level)
        logger.handlers[:] = handlers
