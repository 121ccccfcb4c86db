"""What holds for all tests: one thread, since the networks are tiny and machines are shared, and no deadlines."""

import gc
import os

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(variable, "1")  # before torch is imported

from hypothesis import settings  # noqa: E402

settings.register_profile("bench", deadline=None)
settings.load_profile("bench")


def pytest_collection_finish() -> None:
    """Leave what was imported out of every search for garbage, which would take a fifth of the time."""
    gc.freeze()
