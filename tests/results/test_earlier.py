"""Records that an earlier version wrote (commit 6829e83) are read, found at their path, and still count as done."""

from pathlib import Path

import pytest

import results
from bench.grid.request import Request, runs_of
from bench.runner.stale import stale
from results.verify import verify

EARLIER = Path(__file__).parent / "earlier"
METHODS = ("linear", "lora", "dtl")


def test_a_folder_of_them_is_sound() -> None:
    found = verify(EARLIER)
    assert found.sound()
    assert found.records == len(METHODS)


@pytest.mark.parametrize("method", METHODS)
def test_each_is_the_record_of_today_s_run(method: str) -> None:
    (run,) = runs_of(Request(methods=method, tasks="digits", epochs=2))
    record = results.load(results.path_of(EARLIER, run.identity()))
    # Whoever changes the numbers of a method on purpose makes its earlier records stale, and nothing else.
    assert stale(run, record) in ("", "were made by other code of their method")
    assert record.score.test_accuracy is not None
