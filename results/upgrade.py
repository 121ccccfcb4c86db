"""Brings the files of a folder of results to today's words; their names, and all that they say, stay."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from results.claims import Claims, claim_path
from results.store import Damaged, load_with_values, write_values, write_whole
from results.words import RENAMED, todays_words

__all__ = ["Upgraded", "upgrade"]

KEY = re.compile(rf"(?<=[{{,] )({'|'.join(RENAMED)})(?= = )")  # in a row of a recipe that `tune` wrote


@dataclass
class Upgraded:
    """What a call of `upgrade` found: files rewritten, those with today's words, those at work, and damaged ones."""

    records: int = 0
    recipes: int = 0
    already: int = 0
    held: int = 0  # by a process that does the run again now
    damaged: list[str] = field(default_factory=list)


def upgrade(root: Path) -> Upgraded:
    """Rewrite each record below `root`, and each recipe that `tune` wrote there, whole or not at all.

    A damaged file is left as it is, and so is the record of a run that somebody is at. Raises OSError where a file
    cannot be written.
    """
    found, claims = Upgraded(), Claims()
    for path in sorted((root / "runs").rglob("*.json")):
        try:
            _, then = load_with_values(path)
        except (Damaged, OSError) as error:
            found.damaged.append(str(error))
            continue
        if todays_words(then) == then:
            found.already += 1
        elif (claim := claims.take(claim_path(root, path))) is None:
            found.held += 1
        else:
            with claim:
                write_values(path, todays_words(load_with_values(path)[1]))  # it may have been done again meanwhile
            found.records += 1
    for path in sorted((root / "tuned").glob("*.toml")):
        try:
            text = path.read_text(encoding="utf-8")
        except (UnicodeDecodeError, OSError) as error:
            found.damaged.append(f"{path}: {error}")
            continue
        lines = [KEY.sub(lambda key: RENAMED[key[1]], line) if " = { " in line else line for line in text.split("\n")]
        if (renamed := "\n".join(lines)) != text:
            write_whole(path, renamed.encode())
            found.recipes += 1
        else:
            found.already += 1
    return found
