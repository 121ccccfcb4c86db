"""What holds for all tests of the bench: the command line's own logging does not outlast a test."""

from collections.abc import Iterator

import pytest

from tests.bench.called import own_loggers


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with own_loggers():
        yield
