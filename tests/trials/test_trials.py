"""A short form of `make faults`: five kills of workers and of the parent, and a grid that ends as if undisturbed."""

from pathlib import Path

from tests.trials.kills import kills
from tests.trials.processes import undisturbed


def test_five_kills_lose_nothing(tmp_path: Path) -> None:
    like = undisturbed(tmp_path / "undisturbed", seeds=1)
    trial = kills(tmp_path, like, wanted=5, seeds=1, longest_pause=2.0, tell=print)
    assert (trial.tried, trial.survived, trial.lost) == (5, 5, 0), trial.note
