"""What is kept of a run beside its record when that was asked for: arrays in a file that the record vouches for."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from results.record import Identity, Record
from results.store import Damaged, load, path_of, write_whole

if TYPE_CHECKING:
    import numpy as np

    Arrays = Mapping[str, np.ndarray]

__all__ = [
    "KEPT", "NotKept", "drop_unkept", "has_kept", "kept_path", "kept_paths", "load_kept", "read_kept", "root_of",
    "save_kept",
]  # fmt: skip

KEPT = ("features", "predictions", "weights")


class NotKept(ValueError):
    """The record vouches for no such file, or the file is gone."""


def kept_path(root: Path, identity: Identity, kind: str, checksum: str) -> Path:
    """`root/kept/<as the record>.<kind>-<checksum>.safetensors`, so that no other content takes its place."""
    record = path_of(root, identity)
    name = f"{record.stem}.{kind}-{checksum[:8]}.safetensors"
    return root / "kept" / record.parent.relative_to(root / "runs") / name


def root_of(record: Path) -> Path:
    """The folder of results that a record file lies in; the inverse of `path_of`."""
    return record.absolute().parents[4]


def save_kept(root: Path, identity: Identity, kind: str, arrays: Arrays) -> str:
    """Write the file whole and return the checksum that the record, which is written after it, is to hold."""
    from safetensors.numpy import save

    content = save({name: arrays[name] for name in sorted(arrays)})
    checksum = hashlib.sha256(content).hexdigest()
    write_whole(kept_path(root, identity, kind, checksum), content)
    return checksum


def kept_paths(root: Path, record: Record) -> list[Path]:
    """The files that the record vouches for."""
    return [kept_path(root, record.identity, kind, checksum) for kind, checksum in record.kept.items()]


def drop_unkept(root: Path, record: Record) -> None:
    """Remove what earlier runs of the same identity kept, once the record that vouches for its own is written.

    What a record that was set aside as stale vouches for stays with it.
    """
    path = path_of(root, record.identity)
    ours, stem = set(kept_paths(root, record)), path.stem
    for aside in path.parent.glob(f"{path.name}*.stale"):
        with contextlib.suppress(Damaged):
            ours.update(kept_paths(root, load(aside)))
    for path in kept_path(root, record.identity, "", "").parent.glob(f"{stem}.*-*.safetensors"):
        if path not in ours:
            path.unlink(missing_ok=True)


def has_kept(root: Path, record: Record, kind: str) -> bool:
    """Whether the record vouches for the file and the file is there; its content is not read."""
    return kind in record.kept and kept_path(root, record.identity, kind, record.kept[kind]).is_file()


def load_kept(root: Path, record: Record, kind: str) -> dict[str, np.ndarray]:
    """The arrays by name. Raises NotKept where there are none, Damaged where they are not those of the record."""
    if not has_kept(root, record, kind):
        raise NotKept(f"{path_of(root, record.identity)}: its run kept no {kind}")
    return read_kept(kept_path(root, record.identity, kind, record.kept[kind]), record.kept[kind])


def read_kept(path: Path, checksum: str) -> dict[str, np.ndarray]:
    """The arrays of a file that `frame` names; raises Damaged where they are not those of the record."""
    from safetensors.numpy import load

    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != checksum:
        raise Damaged(f"{path}: its content does not match the checksum in the record")
    arrays: dict[str, np.ndarray] = load(content)
    return arrays
