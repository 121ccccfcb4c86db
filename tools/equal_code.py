"""Notes which code of a method gives the numbers of an earlier one, so that records of before still count as done.

Train the same grid with the code of before and with today's, each into a folder of its own, then compare them:

    python -m tools.equal_code BEFORE TODAY

Where every pair of records agrees to the last digit in scores, losses, parameters and planned memory, the digests of
the two codes go into `bench/runner/equal_code.csv`; methods that differ are named, with the first field that does.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import results
from bench.runner.stale import EQUAL_CODE, equal_codes
from results import Record

__all__ = ["compare", "main"]

COMPARED = (
    "test_accuracy", "evaluations", "train_losses", "train_accuracies",
    "trainable", "trainable_without_head", "total", "planned_peak_bytes", "planned_breakdown",
)  # fmt: skip


def compare(before: Path, today: Path) -> tuple[set[tuple[str, str, str]], dict[str, str]]:
    """Compare two folders of results run by run.

    Returns:
        (method, digest before, digest today) of the methods all of whose runs agree, and the others with the reason.
    """
    pairs: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    differing: dict[str, str] = {}
    old, new = (_by_path(folder) for folder in (before, today))
    for path in sorted(old.keys() & new.keys()):
        one, other = old[path], new[path]
        method = one.identity.method.partition(":")[0]
        pairs[method].add((one.method_code, other.method_code))
        if field := next(_differences(one, other), None):
            differing.setdefault(method, f"{path.name}: {field}")
    same = {(method, *codes) for method, found in pairs.items() if method not in differing for codes in found}
    return {row for row in same if row[1] and row[2] and row[1] != row[2]}, differing


def main() -> None:
    """Compare the folders of the command line and write what is equal; exit with 1 where something is not."""
    parser = argparse.ArgumentParser(prog="python -m tools.equal_code", description=__doc__.partition("\n")[0])
    parser.add_argument("before", type=Path, help="results of the code of before")
    parser.add_argument("today", type=Path, help="results of the same grid by today's code")
    words = parser.parse_args()
    same, differing = compare(words.before, words.today)
    rows = sorted(equal_codes() | same)
    with EQUAL_CODE.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("method", "before", "today"))
        writer.writerows(rows)
    print(f"{results.numbered(len(same), 'code')} with the numbers of before written to {EQUAL_CODE.name}")  # noqa: T201
    for method, reason in differing.items():
        print(f"{method} differs: {reason}")  # noqa: T201
    sys.exit(1 if differing else 0)


def _by_path(folder: Path) -> dict[Path, Record]:
    runs = folder / "runs"
    return {path.relative_to(runs): results.load(path) for path in runs.rglob("*.json")}


def _differences(one: Record, other: Record) -> Iterator[str]:
    for part in ("score", "cost"):
        values: list[dict[str, Any]] = [dataclasses.asdict(getattr(record, part)) for record in (one, other)]
        for name in COMPARED:
            if name in values[0] and values[0][name] != values[1][name]:
                yield f"{name} was {values[0][name]} and is {values[1][name]}"


if __name__ == "__main__":
    main()
