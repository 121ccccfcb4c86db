"""Kept decoded images belong to one decoder, and are shared by all who may read them."""

import errno
import os
from pathlib import Path

import pytest
import torch

from datasets import Task
from tests.bench.data.test_streamed import data, entries, folder, joined, kept, stream, task

__all__ = ["data", "folder", "task"]  # fixtures


@pytest.mark.parametrize("name", ["bench.data.streamed.PIXELS", "bench.data.streamed.RULES", "PIL.__version__"])
def test_another_decoder_is_another_entry(name: str, task: Task, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    joined(stream(task, kept(folder)))
    monkeypatch.setattr(name, "another")
    joined(stream(task, kept(folder)))
    assert len(entries(folder)) == 2


def test_an_entry_that_can_be_read_and_not_touched_is_used(
    task: Task, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = joined(stream(task, kept(folder)))
    monkeypatch.setattr("bench.data.streamed._write", None)

    def denied(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("bench.data.decoded.os.utime", denied)
    assert torch.equal(joined(stream(task, kept(folder))), first)
    assert len(entries(folder)) == 1


def test_an_entry_that_may_not_be_read_is_left_alone(
    task: Task, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first = joined(stream(task, kept(folder)))

    def denied(path: Path) -> bytes:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "read_bytes", denied)
    assert torch.equal(joined(stream(task, kept(folder))), first)
    assert len(entries(folder)) == 1
    assert "made again" not in caplog.text


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o755), (0o027, 0o750), (0o077, 0o700)])
def test_whoever_may_read_its_files_may_read_an_entry(mask: int, mode: int, task: Task, folder: Path) -> None:
    before = os.umask(mask)
    try:
        joined(stream(task, kept(folder)))
    finally:
        os.umask(before)
    (entry,) = entries(folder)
    assert (folder / entry).stat().st_mode & 0o777 == mode
