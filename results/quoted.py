"""The papers' numbers as they were printed, one tidy CSV a subject in `results/published/`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SUBJECTS", "quoted"]

FOLDER = Path(__file__).parent / "published"
SUBJECTS = sorted(path.stem for path in FOLDER.glob("*.csv"))


def quoted(subject: str) -> pd.DataFrame:
    """The file of a subject, e.g. "cost"; every cell stays text, so that the printed digits are known."""
    import pandas as pd

    return pd.read_csv(FOLDER / f"{subject}.csv", dtype=str, keep_default_na=False)
