"""A folder that a user chose to write to, tried before any work."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bench.errors import WrongCall

__all__ = ["check_folder"]


def check_folder(folder: Path, option: str = "--results") -> None:
    """Raise WrongCall unless files can be written below `folder`; `option` is how the user chooses it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise WrongCall(f"cannot write to {folder}: {error.strerror}; choose another folder with {option}") from error
