"""Work done ahead comes in order from processes and from threads, and a result that is an error ends it."""

import multiprocessing
import threading
import time
from typing import Any

import pytest

from bench import ahead as module
from bench.ahead import AHEAD, ahead


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a worker of a grid, which may have no processes of its own."""
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)  # type: ignore[attr-defined]


def doubled(item: int) -> int:
    time.sleep(0.01 if item % 3 == 0 else 0)
    return 2 * item


@pytest.mark.usefixtures("daemon")
@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_threads_give_results_in_order(count: int) -> None:
    assert list(ahead(doubled, range(count), 3)) == [2 * item for item in range(count)]


@pytest.mark.usefixtures("daemon")
def test_threads_work_beside_each_other_and_no_further_ahead_than_they_may() -> None:
    meeting, done = threading.Barrier(2, timeout=10), []

    def met(item: int) -> int:
        if item < 2:
            meeting.wait()  # breaks unless two are at work at once
        done.append(item)
        return item

    results = ahead(met, range(40), 2)
    assert next(results) == 0
    time.sleep(0.05)
    assert len(done) <= 2 * AHEAD + 2
    results.close()  # type: ignore[attr-defined]
    assert threading.active_count() == 1 or not any("ThreadPool" in each.name for each in threading.enumerate())


@pytest.mark.usefixtures("daemon")
def test_an_error_in_a_thread_is_raised() -> None:
    def fails(item: int) -> Any:
        raise OSError(f"item {item}")

    with pytest.raises(OSError, match="item 0"):
        list(ahead(fails, range(5), 2))


def test_a_daemon_decodes_by_threads(monkeypatch: pytest.MonkeyPatch, daemon: None) -> None:
    seen = []
    monkeypatch.setattr(module, "_threaded", lambda *given: seen.append(given[2]) or iter(()))
    list(ahead(doubled, range(9), 4))
    assert seen == [4]
