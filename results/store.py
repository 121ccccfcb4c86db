"""Records on disk: one file a run, written whole or not at all, read back or set aside by name."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from results.record import Identity, Record, from_dict, to_dict

NUMBERS = re.compile(r"\[\n([-+\d.eE,\s]*)\]")  # a list of them over several lines; no text in JSON holds a line break

__all__ = ["Damaged", "load", "load_all", "path_of", "save", "set_aside", "slug", "write_whole"]


class Damaged(ValueError):
    """A record file that cannot be trusted; the message names the file and what is wrong with it."""


def path_of(root: Path, identity: Identity) -> Path:
    """`root/runs/<backbone>/<suite>/<task>/<method>-s<seed>-<digest>.json`; a file that exists is a finished run."""
    folder = root / "runs" / slug(identity.backbone) / slug(identity.suite) / slug(identity.task)
    return folder / f"{slug(identity.method)}-s{identity.seed}-{identity.digest()}.json"


def save(root: Path, record: Record) -> Path:
    """Write the record where its identity says, atomically; an older record of the same run is replaced."""
    path = path_of(root, record.identity)
    write_values(path, to_dict(record))
    return path


def load(path: Path) -> Record:
    """The record in `path`; raises Damaged when it is truncated, altered or of another schema."""
    return load_with_values(path)[0]


def load_with_values(path: Path) -> tuple[Record, dict[str, Any]]:
    """The record in `path`, and the JSON values as the file has them, perhaps in earlier words; raises Damaged."""
    try:
        document = _parsed(path.read_bytes())
        if not isinstance(document, dict) or document.get("sha256") != _digest(document.get("record")):
            raise ValueError("its content does not match its checksum")
        return from_dict(document["record"]), document["record"]
    except (ValueError, OverflowError, RecursionError) as error:  # what the parser raises on bytes of any origin
        raise Damaged(f"{path}: {error}") from error


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError as error:
        raise ValueError("it is no JSON, or was cut short") from error


def write_values(path: Path, values: dict[str, Any]) -> None:
    """Write the JSON values of a record with their checksum, whole or not at all."""
    body = json.loads(json.dumps(values, allow_nan=False))  # as it is read back, so that the checksum holds
    text = json.dumps({"sha256": _digest(body), "record": body}, indent=1)
    write_whole(path, NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text).encode())


def load_all(root: Path, paths: Iterable[Path] | None = None) -> tuple[list[Record], list[str]]:
    """Every sound record below `root`, or in `paths`, each run once, and one sentence for each damaged file."""
    records: dict[Path, Record] = {}
    complaints = []
    for path in sorted((root / "runs").rglob("*.json")) if paths is None else paths:
        try:
            record = load(path)
        except (Damaged, OSError) as error:
            complaints.append(str(error))
            continue
        if records.setdefault(path_of(root, record.identity), record) is not record:
            complaints.append(f"{path}: holds a run that another file holds already; remove one of the two")
    return list(records.values()), complaints


def set_aside(path: Path, why: str = "damaged") -> Path:
    """Rename a record, so that its run is done again and the file can be looked at; `why`: damaged, stale or forced.

    Returns the new path, which ends in `why`; what was set aside before is never replaced.
    """
    names = itertools.chain([f"{path.name}.{why}"], (f"{path.name}.{count}.{why}" for count in itertools.count(2)))
    aside = next(other for other in map(path.with_name, names) if not other.exists())
    os.replace(path, aside)
    return aside


def write_whole(path: Path, content: bytes) -> None:
    """Write under a temporary name in the same folder, flush to disk, rename: a file that exists is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}-", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _digest(body: Any) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def slug(text: str) -> str:
    """Letters, digits, dots, dashes and underscores only, and not too many, so that no name can leave the folder."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-.")[:80] or "-"
