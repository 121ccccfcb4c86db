"""What is kept of a run beside its record when that was asked for: arrays in a file that the record vouches for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from results.record import Identity, Record
from results.store import Damaged, path_of, write_whole

if TYPE_CHECKING:
    import numpy as np

    Arrays = Mapping[str, np.ndarray]

__all__ = ["KEPT", "NotKept", "has_kept", "kept_path", "load_kept", "read_kept", "root_of", "save_kept"]

KEPT = ("features", "weights")


class NotKept(ValueError):
    """The record vouches for no such file, or the file is gone."""


def kept_path(root: Path, identity: Identity, kind: str) -> Path:
    """`root/kept/<as the record>.<kind>.safetensors`."""
    record = path_of(root, identity)
    return root / "kept" / record.parent.relative_to(root / "runs") / f"{record.stem}.{kind}.safetensors"


def root_of(record: Path) -> Path:
    """The folder of results that a record file lies in; the inverse of `path_of`."""
    return record.absolute().parents[4]


def save_kept(root: Path, identity: Identity, kind: str, arrays: Arrays) -> str:
    """Write the file whole and return the checksum that the record, which is written after it, is to hold."""
    from safetensors.numpy import save

    content = save({name: arrays[name] for name in sorted(arrays)})
    write_whole(kept_path(root, identity, kind), content)
    return hashlib.sha256(content).hexdigest()


def has_kept(root: Path, record: Record, kind: str) -> bool:
    """Whether the record vouches for the file and the file is there; its content is not read."""
    return kind in record.kept and kept_path(root, record.identity, kind).is_file()


def load_kept(root: Path, record: Record, kind: str) -> dict[str, np.ndarray]:
    """The arrays by name. Raises NotKept where there are none, Damaged where they are not those of the record."""
    if not has_kept(root, record, kind):
        raise NotKept(f"{path_of(root, record.identity)}: its run kept no {kind}")
    return read_kept(kept_path(root, record.identity, kind), record.kept[kind])


def read_kept(path: Path, checksum: str) -> dict[str, np.ndarray]:
    """The arrays of a file that `frame` names; raises Damaged where they are not those of the record."""
    from safetensors.numpy import load

    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != checksum:
        raise Damaged(f"{path}: its content does not match the checksum in the record")
    arrays: dict[str, np.ndarray] = load(content)
    return arrays
