"""Brings the files of a folder of results to today's words; their names, and all that they say, stay."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from results.store import Damaged, load_with_values, write_values, write_whole
from results.words import RENAMED, todays_words

__all__ = ["Upgraded", "upgrade"]

KEY = re.compile(rf"(?<=[{{,] )({'|'.join(RENAMED)})(?= = )")  # in a row of a recipe that `tune` wrote


@dataclass
class Upgraded:
    """What a call of `upgrade` found: files that it rewrote, files that had today's words, and damaged ones."""

    records: int = 0
    recipes: int = 0
    already: int = 0
    damaged: list[str] = field(default_factory=list)


def upgrade(root: Path) -> Upgraded:
    """Rewrite each record below `root`, and each recipe that `tune` wrote there, whole or not at all.

    A damaged record is left as it is. Raises OSError where a file cannot be written.
    """
    found = Upgraded()
    for path in sorted((root / "runs").rglob("*.json")):
        try:
            _, then = load_with_values(path)
        except (Damaged, OSError) as error:
            found.damaged.append(str(error))
            continue
        if (now := todays_words(then)) != then:
            write_values(path, now)
            found.records += 1
        else:
            found.already += 1
    for path in sorted((root / "tuned").glob("*.toml")):
        text = path.read_text(encoding="utf-8")
        lines = [KEY.sub(lambda key: RENAMED[key[1]], line) if " = { " in line else line for line in text.split("\n")]
        if (renamed := "\n".join(lines)) != text:
            write_whole(path, renamed.encode())
            found.recipes += 1
        else:
            found.already += 1
    return found
