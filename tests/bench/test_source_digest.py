"""Digests of code: what counts, and what does not."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bench import source_digest
from bench.source_digest import digest_of, method_digest, planning_digest
from methods import METHODS

METHOD = '''
"""A module."""
from __future__ import annotations
from torch import nn
from parts.layers import Layer, unused
from . import table

SIZE: int = 3

class Net(nn.Module):
    """A class."""

    size: int = SIZE

    def forward(self, x):
        """A function."""
        return Layer()(x) + table.VALUE  # a comment

class Other:
    pass
'''
LAYERS = """
FACTOR = 2

def scaled(x):
    return x * FACTOR

class Layer:
    def __call__(self, x):
        from parts.lazy import late
        return late(scaled(x))

def unused():
    return 1
"""
FILES = {
    "parts/__init__.py": "",
    "parts/net.py": METHOD,
    "parts/layers.py": LAYERS,
    "parts/lazy.py": "def late(x):\n    return x\n",
    "parts/table.py": "VALUE = 1\n",
}
Digest = Callable[..., str]


@pytest.fixture
def digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Digest:
    """Of `Net`, with a text of a file replaced by another."""
    count = iter(range(100))

    def of(file: str = "net", old: str = "", new: str = "") -> str:
        root = tmp_path / str(next(count))
        for name, text in FILES.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            changed = text.replace(old, new) if name == f"parts/{file}.py" else text
            assert changed != text or name != f"parts/{file}.py" or not old
            (root / name).write_text(changed)
        monkeypatch.setattr(source_digest, "ROOT", root)
        return digest_of(f"{root / 'parts' / 'net.py'}:Net")

    return of


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("net", '"""A module."""', ""),
        ("net", '"""A class."""', '"""Another."""'),
        ("net", '        """A function."""\n', ""),
        ("net", "  # a comment", ""),
        (
            "net",
            "return Layer()(x) + table.VALUE",
            "return (\n  Layer()(x)\n  + table.VALUE\n )",
        ),
        ("net", "    pass", "    more = 1"),
        ("layers", "return 1", "return 2"),
        ("layers", "FACTOR = 2\n", "NEW = 1\nFACTOR = 2\n"),
        ("table", "VALUE = 1", "VALUE = 1\n'''What it is.'''"),
    ],
)
def test_words_layout_and_what_is_not_used_do_not_count(digest: Digest, file: str, old: str, new: str) -> None:
    assert digest(file, old, new) == digest()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("net", "SIZE: int = 3", "SIZE: int = 4"),
        ("net", "Layer()(x) +", "Layer()(x) -"),
        ("net", "from torch import nn", "from torch.ao import nn"),
        ("net", "class Other", "Net.forward = None\n\nclass Other"),
        ("layers", "FACTOR = 2", "FACTOR = 3"),
        ("layers", "late(scaled(x))", "late(x)"),
        ("lazy", "return x", "return -x"),
        ("table", "VALUE = 1", "VALUE = None"),
    ],
)
def test_what_is_used_counts_wherever_it_stands(digest: Digest, file: str, old: str, new: str) -> None:
    assert digest(file, old, new) != digest()


def test_a_part_that_moves_to_another_file_changes_nothing(digest: Digest) -> None:
    moved = "class Layer" + LAYERS.partition("class Layer")[2].partition("def unused")[0]
    body = METHOD.replace("from parts.layers import Layer, unused", f"from parts.layers import scaled\n{moved}")
    assert digest("net", METHOD, body) == digest()


def test_every_method_has_a_digest_of_its_own() -> None:
    assert all(method_digest(name) for name in METHODS)
    for digests in (list(map(method_digest, METHODS)), list(map(planning_digest, METHODS))):
        assert len(set(digests)) == len(METHODS)
