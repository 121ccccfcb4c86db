"""Claims: who is doing a run now, so that no two processes, on whatever machines, do it at the same time.

A claim is a file, made with O_EXCL, that its holder touches every few seconds. A claim of a process that is gone is
taken over by making a further file, named by the token of the claim it follows: names never repeat, so exactly one
process can follow a given claim, and the last of the chain is the holder. No clock is compared with another: a
holder counts as gone when an onlooker, by its own stopwatch, has seen no touch for a whole lease.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from types import TracebackType

__all__ = ["BEAT_SECONDS", "LEASE_SECONDS", "Claim", "Holder", "Lookout", "claim_path", "holder_of", "take"]

BEAT_SECONDS = 10.0
LEASE_SECONDS = 120.0  # twelve missed beats; also longer than a network file system keeps what it has read


@dataclass(frozen=True)
class Holder:
    """What a claim file says. `place` tells machines (and containers) apart, `born` processes with the same pid."""

    token: str
    host: str = ""
    place: str = ""
    pid: int = 0
    born: str = ""

    def gone(self) -> bool:
        """Whether it is known for certain, from this very machine, that the process has ended."""
        return self.place == _place() and _born(self.pid) != self.born


@dataclass(frozen=True)
class Sight:
    """One claim file as it was found."""

    path: Path
    holder: Holder
    touched_ns: int


@dataclass
class Claim:
    """A claim that is held; a context manager that touches the file until it is left, and then gives it up."""

    head: Path
    path: Path
    token: str
    beat_seconds: float = BEAT_SECONDS
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Claim:
        self._thread = threading.Thread(target=self._beat, name="claim", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
        with contextlib.suppress(OSError):  # what cannot be given up goes stale
            self.release()

    def ours(self) -> bool:
        """Whether nobody has taken over, as they would if this process had been stopped for longer than a lease."""
        chain = _chain(self.head)
        return bool(chain) and chain[-1].holder.token == self.token

    def release(self) -> None:
        """The first file goes first: without it nothing that follows is reached, whenever this process is killed."""
        if self.ours():
            for sight in _chain(self.head):
                sight.path.unlink(missing_ok=True)

    def _beat(self) -> None:
        while not self._over.wait(self.beat_seconds):
            with contextlib.suppress(OSError):
                os.utime(self.path)


@dataclass
class Lookout:
    """Watches claims of others by its own stopwatch."""

    lease_seconds: float = LEASE_SECONDS
    clock: Callable[[], float] = time.monotonic
    _seen: dict[Path, tuple[str, int, float]] = field(default_factory=dict)

    def opening(self, head: Path) -> str | None:
        """None while somebody holds it. Else what `take` wants to know: the token of a stale claim, or ""."""
        chain = _chain(head)
        if not chain:
            return ""
        holder, touched, now = chain[-1].holder, chain[-1].touched_ns, self.clock()
        token, before, since = self._seen.get(head, ("", 0, now))
        if (token, before) != (holder.token, touched):
            since = now
            self._seen[head] = holder.token, touched, since
        return holder.token if holder.gone() or now - since >= self.lease_seconds else None


def claim_path(root: Path, record: Path) -> Path:
    """The first claim file of the run whose record is `record`, a path below `root/runs`."""
    return root / "claims" / record.relative_to(root / "runs").with_suffix(".claim")


def take(head: Path, over: str = "") -> Claim | None:
    """Claim a run, also over the claim with the token `over`, or of a process that is gone; None if it is held."""
    head.parent.mkdir(parents=True, exist_ok=True)
    last = holder_of(head)
    if last is not None and not (last.token == over or last.gone()):
        return None
    claim = Claim(head, head if last is None else head.with_name(f"{head.name}.{last.token}"), secrets.token_hex(8))
    try:
        _write(claim)
    except FileExistsError:
        return None
    if not claim.ours():  # the chain was given up, and perhaps begun anew, between the look and the file
        claim.path.unlink(missing_ok=True)
        return None
    return claim


def holder_of(head: Path) -> Holder | None:
    """Who holds the run, alive or not."""
    chain = _chain(head)
    return chain[-1].holder if chain else None


def _write(claim: Claim) -> None:
    me = Holder(claim.token, platform.node(), _place(), os.getpid(), _born(os.getpid()) or "")
    handle = os.open(claim.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(asdict(me), file)
    except OSError:
        claim.path.unlink(missing_ok=True)  # a full disk takes the name but not the words
        raise


def _chain(head: Path) -> list[Sight]:
    """The claim files from the first to the last, which counts."""
    chain: list[Sight] = []
    path = head
    while (sight := _sight(path)) is not None:
        chain.append(sight)
        path = head.with_name(f"{head.name}.{sight.holder.token}")
    return chain


def _sight(path: Path) -> Sight | None:
    """Opened and not only looked up, so that a network file system asks the server."""
    try:
        with path.open("rb") as file:
            state, content = os.fstat(file.fileno()), file.read()
    except FileNotFoundError:
        return None
    try:
        holder = Holder(**json.loads(content))
    except (ValueError, TypeError):  # its holder is just writing it, or was killed while it did
        holder = Holder(f"unread-{state.st_ino:x}-{state.st_mtime_ns:x}")
    return Sight(path, holder, state.st_mtime_ns)


@cache
def _place() -> str:
    """Differs between machines, boots and containers, within which a pid means something; without /proc by name."""
    parts = [platform.node()]
    with contextlib.suppress(OSError):
        parts += [Path("/proc/sys/kernel/random/boot_id").read_text(), os.readlink("/proc/self/ns/pid")]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _born(pid: int) -> str | None:
    """When the process began, in the system's own count; "" where that is not told; None when it has ended."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None if Path("/proc/self/stat").exists() or not _alive(pid) else ""
    return None if words[0] in "ZX" else words[19]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
