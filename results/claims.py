"""Claims: who trains a run now, so that no two processes, on whatever machines, train it at the same time.

A claim is a lease of the filelock package: a file that is created exclusively, names its holder and is touched by it
every few seconds. filelock passes a lease on at once where it can see that the holder has ended, and else when an
onlooker, by its own monotonic clock, has seen no touch for a whole lease; no clock is compared with another.

Two claims of the dead stay with filelock for ever, so `Claims` ends them by a stopwatch of its own: those on file
systems that cannot exchange two names in one step (NFS, Lustre, SMB), and empty files, which a kill or a power cut
leaves between creating and writing a claim.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from filelock import LeaseSettingsMismatch, OwnerRecord, SoftFileLease, Timeout

__all__ = ["BEAT_SECONDS", "LEASE_SECONDS", "Claim", "Claims", "claim_path", "holder_of"]

BEAT_SECONDS = 10.0
LEASE_SECONDS = 120.0  # twelve missed beats; also longer than a network file system keeps what it has read

State = tuple[int, int, bytes]  # of a claim file: inode, time of change, content


@dataclass(frozen=True)
class Claim:
    """A claim that is held; a context manager that gives it up at its end."""

    lease: SoftFileLease

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with contextlib.suppress(OSError):  # what cannot be given up goes stale
            self.lease.release()

    def ours(self) -> bool:
        """Return whether nobody has taken over, as they would if this process had stood still for a lease.

        The file is read twice before it counts as gone: an onlooker may have moved it aside for an instant.
        """
        owner = self.lease.owner
        if owner is None:
            time.sleep(0.1)
            owner = self.lease.owner
        return owner is not None and owner.token == self.lease.token


@dataclass
class Claims:
    """Takes claims, and remembers since when those of others have not been touched."""

    lease_seconds: float = LEASE_SECONDS
    beat_seconds: float = BEAT_SECONDS
    clock: Callable[[], float] = time.monotonic
    _leases: dict[Path, SoftFileLease] = field(default_factory=dict)
    _seen: dict[Path, tuple[State, float]] = field(default_factory=dict)

    def take(self, path: Path) -> Claim | None:
        """Claim the run whose claim file is `path`; None while somebody else holds it. Raises OSError."""
        lease = self._leases.get(path)
        if lease is None:
            lease = SoftFileLease(
                path, lease_duration=self.lease_seconds, heartbeat_interval=self.beat_seconds, thread_local=False
            )
        if not _acquired(lease):
            self._leases[path] = lease  # it remembers what it saw
            state = _state_of(path)
            if state is None or not self._silent(path, state):
                return None
            _bury(path, state)
            if not _acquired(lease):
                return None
        self._leases.pop(path, None)
        self._seen.pop(path, None)
        return Claim(lease)

    def _silent(self, path: Path, state: State) -> bool:
        """Return whether a claim file has been as it is for a whole lease."""
        before, since = self._seen.get(path, (None, 0.0))
        if state != before:
            since = self.clock()
            self._seen[path] = state, since
        return self.clock() - since >= self.lease_seconds


def claim_path(root: Path, record: Path) -> Path:
    """Return the claim file of the run whose record is `record`, a path below `root/runs`."""
    return root / "claims" / record.relative_to(root / "runs").with_suffix(".claim")


def holder_of(path: Path) -> OwnerRecord | None:
    """Return what a claim file says about its holder, alive or not; None where it says nothing."""
    return SoftFileLease(path).owner


def _acquired(lease: SoftFileLease) -> bool:
    """Return whether the lease could be had at once; one of another duration is that of another version."""
    try:
        lease.acquire(blocking=False)
    except (Timeout, LeaseSettingsMismatch):
        return False
    return True


def _state_of(path: Path) -> State | None:
    """Open the file and do not only look it up, so that a network file system asks the server."""
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            return found.st_ino, found.st_mtime_ns, file.read()
    except FileNotFoundError:
        return None


def _bury(path: Path, state: State) -> None:
    """Remove a claim of the dead; if another process was quicker, its new claim is put back.

    Without an exchange of names the path is empty for an instant. Whoever lost its claim then to a third process finds
    out before it saves (`Claim.ours`), so that at worst a run is trained twice and saved once.
    """
    aside = path.with_name(f"{path.name}.{secrets.token_hex(8)}.gone")
    with contextlib.suppress(FileNotFoundError):
        if _state_of(path) != state:
            return
        path.rename(aside)
        if _state_of(aside) != state:
            with contextlib.suppress(OSError):
                os.link(aside, path)
        aside.unlink()
