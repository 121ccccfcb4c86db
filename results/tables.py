"""Tables of numbers in CSV files, one a subject: what publications printed, and what this project measured of itself.

Printed numbers, in `results/published/`, come with the checkout; measured ones lie in `measured/` of a folder of
results, with their conditions in each row.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results.store import write_whole

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SUBJECTS", "load_measured", "quoted", "save_measured"]

PUBLISHED = Path(__file__).parent / "published"
SUBJECTS = sorted(path.stem for path in PUBLISHED.glob("*.csv"))  # of printed numbers


def quoted(subject: str) -> pd.DataFrame:
    """Return the printed numbers of a subject, e.g. "cost"; every cell stays text, so that the digits are known."""
    import pandas as pd

    return pd.read_csv(PUBLISHED / f"{subject}.csv", dtype=str, keep_default_na=False)


def save_measured(root: Path, subject: str, rows: Sequence[dict[str, Any]]) -> Path:
    """Write `root/measured/<subject>.csv` anew; what is None, or what a row lacks that others have, is left empty."""
    text = io.StringIO()
    fields = dict.fromkeys(field for row in rows for field in row)
    writer = csv.DictWriter(text, list(fields), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path = root / "measured" / f"{subject}.csv"
    write_whole(path, text.getvalue().encode())
    return path


def load_measured(root: Path, subject: str) -> pd.DataFrame | None:
    """The rows of a subject, or None where there are none."""
    import pandas as pd

    path = root / "measured" / f"{subject}.csv"
    return pd.read_csv(path) if path.is_file() else None
