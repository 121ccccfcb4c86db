"""Makes a process run where containers and clusters leave out what libraries count on.

An account without a name, a home that is absent or read-only, a screen that is not UTF-8, a TMPDIR too long for a
socket: each is met here once, before a library is imported that would fail over it. Processes that are started later
inherit it all.
"""

from __future__ import annotations

import codecs
import contextlib
import gc
import getpass
import os
import sys
import tempfile
import unicodedata
from collections.abc import Iterator
from io import TextIOWrapper
from multiprocessing import process, util
from pathlib import Path
from shutil import rmtree
from urllib.parse import urlsplit

from bench.errors import UsageError

__all__ = ["degrade_output", "importing", "settle"]

CACHES = {"XDG_CACHE_HOME": "", "HF_HOME": "huggingface", "TORCH_HOME": "torch", "MPLCONFIGDIR": "matplotlib"}
CACHES |= {"TRITON_HOME": "triton"}
SOCKET_BYTES = 107  # in the address of a socket (sun_path), of which multiprocessing's own names take 32
SHORT_PLACES = ("/tmp", "/var/tmp", "/dev/shm")
PLAIN = str.maketrans(
    {
        "\N{HORIZONTAL ELLIPSIS}": "...",
        "\N{EN DASH}": "-",
        "\N{EM DASH}": "-",
        "\N{MULTIPLICATION SIGN}": "x",
        "\N{PLUS-MINUS SIGN}": "+-",
        "\N{MIDDLE DOT}": "*",
        "\N{RIGHTWARDS ARROW}": "->",
        "\N{BULLET}": "*",
    }
)


def settle(results: Path | None = None) -> None:
    """Prepare this process; caches without a home go below `results`. Nothing that is in order is changed.

    Raises UsageError for a mirror that the library of the hub would not even be imported with.
    """
    try:
        urlsplit(os.environ.get("HF_ENDPOINT", "")).port  # noqa: B018 - a property that raises
    except ValueError as error:
        mirror = os.environ["HF_ENDPOINT"]
        raise UsageError(f"HF_ENDPOINT={mirror!r} is no address; write https://HOST, or unset it") from error
    _name_the_user()
    if not _has_home():
        _move_caches(results)
    if len(os.fsencode(tempfile.gettempdir())) > SOCKET_BYTES - 32:
        _shorten_sockets()


def degrade_output() -> None:
    """Let a screen that cannot show a character show a plainer one, in place of an error."""
    codecs.register_error("plainer", _plainer)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="plainer")


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Inside, large libraries are imported without a search for garbage, which would take a fifth of the time.

    Nothing that is imported is garbage, so that later searches leave it out, too.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _plainer(error: UnicodeError) -> tuple[str, int]:
    """The characters without their accents, or in ASCII's nearest, or as question marks."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = []
    for character in error.object[error.start : error.end]:
        text = unicodedata.normalize("NFKD", character.translate(PLAIN)).encode("ascii", "ignore").decode()
        found.append(text or "?")
    return "".join(found), error.end


def _name_the_user() -> None:
    """PyTorch names folders after the user, and cannot be imported where the account has no name."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["LOGNAME"] = f"user-{os.getuid()}"


def _has_home() -> bool:
    """Whether libraries can keep caches below the home."""
    home = Path(os.path.expanduser("~"))
    return home.is_absolute() and _can_write(home / ".cache")


def _can_write(folder: Path) -> bool:
    """Whether files can be made in the folder, or the folder be made."""
    there = next((parent for parent in (folder, *folder.parents) if parent.exists()), None)
    return there is not None and there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def _move_caches(results: Path | None) -> None:
    """Name a place for the caches that have none; folders are made by whoever fills them."""
    cache = results.absolute() / "cache" if results is not None else None
    if cache is None or not _can_write(cache):
        cache = Path(tempfile.gettempdir(), f"petl-bench-{os.getuid()}")
    for variable, name in CACHES.items():
        os.environ.setdefault(variable, str(cache / name))


def _shorten_sockets() -> None:
    """Let multiprocessing keep its sockets, and only these, in a short folder; processes started later share it."""
    config: dict[str, object] = process.current_process()._config  # type: ignore[attr-defined]
    for temporary in SHORT_PLACES:
        if config.get("tempdir") is None and _can_write(Path(temporary)):
            folder = tempfile.mkdtemp(prefix="pymp-", dir=temporary)
            util.Finalize(None, rmtree, args=(folder, True), exitpriority=-100)
            config["tempdir"] = folder
