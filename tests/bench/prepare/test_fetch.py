"""`data fetch` against a hub on loopback: whole, in place at once, resumed, and refusing what is not safe."""

import io
import os
import stat
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from bench.errors import UsageError
from bench.prepare import fetch as data_fetch
from bench.prepare.archives import DamagedArchive, unpack
from datasets import PRESETS, locate, suite
from tests.bench.hub import serving
from tests.datasets.made import json_task

ROOT = Path(__file__).resolve().parents[3]
VTAB = suite("vtab")
CHOSEN = [task for task in VTAB.tasks if task.name in ("dtd", "svhn")]


def zipped(folder: Path, prefix: str = "") -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, prefix + str(path.relative_to(folder)))
    return data.getvalue()


def tarred(folder: Path, prefix: str = "") -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        archive.add(folder, prefix or ".")
    return data.getvalue()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("made")
    for task in CHOSEN:
        json_task(root / task.name, task, train=4, test=3)
    return root


@pytest.fixture
def fetch(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What is said while a suite is fetched from an address."""

    def fetched(address: str, data: Path, suite: str = "vtab") -> str:
        monkeypatch.setenv("HF_ENDPOINT", address)
        said = io.StringIO()
        data_fetch.fetch(suite, data, Console(file=said, width=200))
        return said.getvalue()

    return fetched


def loads(data: Path) -> bool:
    return all(len(task.load("test", PRESETS["synqt"], 8)) == 3 for task in locate(VTAB, CHOSEN, data))


def test_archives_are_put_in_place_after_a_connection_broke_off(made: Path, tmp_path: Path, fetch) -> None:
    files = {"README.md": b"about", "vtab-1k-png.zip": zipped(made / "dtd", "dtd/")}
    files["svhn.tar"] = tar_of((member("notes"), bytes(11_000_000)))[:11_000_832] + tarred(made / "svhn")
    with serving(files) as hub:
        hub.cut["svhn.tar"] = 10_900_000  # the library has written the first ten million bytes and asks for the rest
        fetch(hub.address, tmp_path / "data")
        assert loads(tmp_path / "data")
        assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["vtab"]
        assert [part for name, part in hub.asked if name == "svhn.tar"] == [None, "bytes=10485760-"]
        asked = len(hub.asked)
        assert "is there already" in fetch(hub.address, tmp_path / "data")
        assert len(hub.asked) == asked


def test_plain_files_and_one_archive_of_all_work_as_well(made: Path, tmp_path: Path, fetch) -> None:
    plain = {str(path.relative_to(made)): path.read_bytes() for path in made.rglob("*") if path.is_file()}
    for number, files in enumerate((plain, {"all.zip": zipped(made, "vtab-1k-png/")})):
        with serving(files) as hub:
            fetch(hub.address, tmp_path / str(number))
        assert loads(tmp_path / str(number))


def test_a_damaged_archive_is_fetched_anew_the_next_time(made: Path, tmp_path: Path, fetch) -> None:
    files = {"dtd.zip": zipped(made / "dtd"), "svhn.zip": zipped(made / "svhn")}
    sound = files["svhn.zip"]
    with serving(files) as hub:
        files["svhn.zip"] = sound[: len(sound) // 2]
        with pytest.raises(UsageError, match=r"svhn\.zip is damaged .*; call again to fetch it anew"):
            fetch(hub.address, tmp_path)
        assert not (tmp_path / "vtab").exists()
        files["svhn.zip"] = sound
        fetch(hub.address, tmp_path)
    assert loads(tmp_path)


def test_without_a_connection_or_a_published_copy_it_says_what_to_do(tmp_path: Path, fetch) -> None:
    with pytest.raises(UsageError, match=r"could not be fetched .*HF_ENDPOINT"):
        fetch("http://127.0.0.1:9", tmp_path)
    with pytest.raises(UsageError, match="fgvc cannot be fetched: images come from"):
        fetch("http://127.0.0.1:9", tmp_path, "fgvc")
    with pytest.raises(UsageError, match="no suite 'vtba'; did you mean 'vtab'"):
        fetch("http://127.0.0.1:9", tmp_path, "vtba")


def test_the_command_line(made: Path, tmp_path: Path) -> None:
    words = ["bench.py", "data", "fetch", "vtab", "--data", str(tmp_path / "data")]
    with serving({"all.zip": zipped(made)}) as hub:
        own = {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "hf"), "COLUMNS": "200"}
        done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, env=os.environ | own)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "data/vtab is complete; look at it with: python bench.py data check vtab" in done.stdout
    assert loads(tmp_path / "data")


# archives


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return data.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def zip_of(name: str, content: bytes = b"x", mode: int = 0) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        archive.writestr(info, content)
    return data.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.tar", tar_of((member("/etc/own"), b"x")), "would leave the folder"),
        ("a.tar", tar_of((member("a/../../own"), b"x")), "would leave the folder"),
        ("a.tar", tar_of((member("own", tarfile.SYMTYPE, "/etc"), b"")), "is a link or a device"),
        ("a.tar", tar_of((member("own", tarfile.LNKTYPE, "other"), b"")), "is a link or a device"),
        ("a.tar", tar_of((member("own", tarfile.CHRTYPE), b"")), "is a link or a device"),
        ("a.tar", tar_of((member("own", tarfile.FIFOTYPE), b"")), "is a link or a device"),
        ("a.zip", zip_of("/etc/own"), "would leave the folder"),
        ("a.zip", zip_of("../own"), "would leave the folder"),
        ("a.zip", zip_of("..\\own"), "would leave the folder"),
        ("a.zip", zip_of("C:own"), "would leave the folder"),
        ("a.zip", zip_of("C:/own"), "would leave the folder"),
        ("a.zip", zip_of("own", b"/etc", stat.S_IFLNK | 0o777), "is a link or a device"),
        ("a.tar", tar_of((member("own"), b"x"), (member("own"), b"y")), "File exists"),
        ("a.tar", tar_of((member("own"), b"x"), (member("own/more"), b"y")), "cannot be unpacked"),
    ],
)
def test_what_is_not_safe_is_refused(name: str, content: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    (tmp_path / "into").mkdir()
    with pytest.raises(UsageError, match=says):
        unpack(tmp_path / name, tmp_path / "into")
    assert not {path.name for path in tmp_path.iterdir()} - {name, "into"}
    assert all(path.is_file() and not path.is_symlink() for path in (tmp_path / "into").iterdir())


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tar.xz"])
@pytest.mark.parametrize("content", [b"", b"no archive at all", bytes(2000)[:1999]])
def test_what_is_no_archive_is_damaged(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DamagedArchive, match="is damaged"):
        unpack(tmp_path / name, tmp_path)


def test_more_than_there_is_room_for_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.zip").write_bytes(zip_of("big", bytes(10_000)))
    (tmp_path / "into").mkdir()
    monkeypatch.setattr("bench.prepare.archives.SPARE_BYTES", 2**60)
    with pytest.raises(UsageError, match=r"GiB are free in .*; make room"):
        unpack(tmp_path / "a.zip", tmp_path / "into")
    assert not list((tmp_path / "into").iterdir())


def test_a_disk_that_fills_up_while_unpacking_is_said(tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no /dev/full")
    (tmp_path / "a.zip").write_bytes(zip_of("big", bytes(10_000_000)))
    into = tmp_path / "into"
    into.mkdir()

    def onto_full(self: Path, mode: str = "r") -> io.IOBase:
        return open(full if mode == "xb" else self, "wb" if mode == "xb" else mode)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "open", onto_full)
        with pytest.raises(UsageError, match="No space left on device"):
            unpack(tmp_path / "a.zip", into)
