"""Makes `.venv` with the pinned dependencies, and says what it downloads and how far it is; `make setup` calls it.

It runs in any Python 3.11 with nothing installed. Pip's own settings hold (PIP_INDEX_URL, pip.conf); uv is used where
it is there and is given the same registry, unless INSTALLER=pip. TORCH=cpu with TORCH_INDEX_URL, a registry that has
torch's CPU wheels, takes these; whether it has them is asked before anything large is downloaded.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / ".venv"
EXTRAS = "test"
CUDA_SIZE, CPU_SIZE = "1.9 GB are downloaded unless pip's cache has them, 6 GB on disk", "1.3 GB on disk"
SIZE = re.compile(r"(Downloading|Using cached) (\S+?)-\d\S*(?:\.metadata)? \(([\d.]+) (kB|MB|GB)\)")
UNITS = {"kB": 1e3, "MB": 1e6, "GB": 1e9}
NO_NEWS = (
    "WARNING: Location",
    "WARNING: The candidate selected",
    "WARNING: Cache entry",
    "[notice]",
    "WARNING: Skipping page",
)
BEAT = 10.0  # seconds between two lines of progress where nobody sees a line change


@dataclass
class Progress:
    """Follows what pip says, and how many packages are there."""

    wanted: int
    started: float = field(default_factory=time.monotonic)
    what: str = "looking up versions"
    since: float = field(default_factory=time.monotonic)
    downloaded: float = 0.0  # bytes
    pending: float = 0.0  # bytes of what is being downloaded
    seen: set[str] = field(default_factory=set)
    installing: bool = False
    weight: float = 0.0
    weighed_at: float = -BEAT

    def follow(self, line: str) -> None:
        """Read one line of pip's."""
        text = line.strip()
        if text:
            self.downloaded, self.pending = self.downloaded + self.pending, 0.0  # pip says it before it downloads
        if found := SIZE.match(text):
            how, name, number, unit = found.groups()
            self.pending = float(number) * UNITS[unit] * (how == "Downloading")
            self._at(f"{how.lower()} {name} ({number} {unit})")
        elif text.startswith("Collecting "):
            self.seen.add(re.split(r"[ =<>!~;\[(]", text[len("Collecting ") :])[0])
            self._at(f"looking up {text[len('Collecting ') :].split(' (from')[0]}")
        elif text.startswith("Installing collected packages"):
            self.installing = True
            self._at("unpacking")

    def line(self) -> str:
        """Say how far it is."""
        now = time.monotonic()
        if self.installing:
            here = len(list(PLACE.glob("lib/python*/site-packages/*.dist-info")))
            part = f"unpacking, {here} of about {self.wanted} packages and {self._unpacked() / 1e9:.1f} GB are in place"
        else:
            there = f"{len(self.seen)} of about {self.wanted} packages, {self.downloaded / 1e9:.2f} GB downloaded"
            part = f"{there}; {self.what}"
        return f"{now - self.started:4.0f} s: {part}" + (
            f", {now - self.since:.0f} s so far" * (now - self.since > BEAT)
        )

    def _unpacked(self) -> float:
        """The bytes of the environment; looked at again after ten seconds, since there are many files."""
        if time.monotonic() > self.weighed_at + BEAT:
            files = (os.path.join(folder, name) for folder, _, names in os.walk(PLACE) for name in names)
            self.weight = sum(os.lstat(file).st_size for file in files if os.path.lexists(file))
            self.weighed_at = time.monotonic()
        return self.weight

    def _at(self, what: str) -> None:
        self.what, self.since = what, time.monotonic()


def main(extras: str = EXTRAS) -> int:
    """Make the environment, or add to it; return the exit code."""
    torch = os.environ.get("TORCH", "")
    registry = os.environ.get("TORCH_INDEX_URL", "")
    if torch not in ("", "cpu", "cuda"):
        return _refused(f"TORCH={torch} is neither cpu nor cuda; leave it out for the build that the registry has")
    if torch == "cpu" and not registry:
        return _refused(
            "TORCH=cpu needs TORCH_INDEX_URL, the address of a registry with CPU wheels of the torch and torchvision "
            "that constraints.txt pins (torch's page on installing names one); leave TORCH out for the CUDA build, "
            "which runs without a GPU too"
        )
    if extras == EXTRAS:
        _announce(torch)
    if not (PLACE / "bin" / "python").exists() and (code := _made()):
        return code
    if torch == "cpu" and (sentence := without_cpu_wheels(registry)):
        return _refused(sentence)
    return _installed(extras, ["--extra-index-url", registry] if torch == "cpu" else [])


def _announce(torch: str) -> None:
    pins = len(pins_of(ROOT / "constraints.txt"))
    size = CPU_SIZE if torch == "cpu" else CUDA_SIZE
    _say(f"setting up .venv: torch, timm and what they need, about {pins} packages; {size}; several minutes")
    if not torch and shutil.which("nvidia-smi") is None:
        _say("no NVIDIA GPU is seen here; torch's usual build runs without one too. A smaller one: TORCH=cpu with "
             "TORCH_INDEX_URL=… of a registry that has CPU wheels")  # fmt: skip


def _made() -> int:
    done = subprocess.run([sys.executable, "-m", "venv", str(PLACE)], capture_output=True, text=True)
    if done.returncode:
        shutil.rmtree(PLACE, ignore_errors=True)
        return _refused(
            "python3 cannot make virtual environments; on Debian: apt install python3-venv\n"
            + done.stdout
            + done.stderr
        )
    return 0


def _installed(extras: str, more: Sequence[str]) -> int:
    """Install by uv where it is there, else or where that fails by pip."""
    what = ["--constraint", "constraints.txt", f".[{extras}]", *more]
    if uv := shutil.which("uv") if os.environ.get("INSTALLER", "uv") == "uv" else None:
        _say("installing by uv (INSTALLER=pip takes pip)")
        call = [uv, "pip", "install", "--python", str(PLACE / "bin" / "python"), *registries(os.environ), *what]
        started = time.monotonic()
        with _ticking(lambda: f"{time.monotonic() - started:4.0f} s: uv is at work", live=False):
            code = subprocess.run(call, cwd=ROOT).returncode
        if code == 0:
            return 0
        _say("uv could not install them; it does not read pip.conf. Now by pip")
    return _by_pip(what)


def _by_pip(what: Sequence[str]) -> int:
    progress = Progress(len(pins_of(ROOT / "constraints.txt")))
    call = [str(PLACE / "bin" / "python"), "-m", "pip", "install", "--progress-bar", "off", *what]
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        call, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    assert process.stdout is not None
    complaints: list[str] = []
    with _ticking(progress.line, live=sys.stdout.isatty()):
        for line in process.stdout:
            progress.follow(line)
            complaints += complaint(line)
        code = process.wait()
    for text in complaints:
        _say(text)
    if code == 0:
        _say(f"{progress.line().split(':')[0].strip()}: done, {progress.downloaded / 1e9:.2f} GB downloaded")
    else:
        _say("pip could not install them; make setup again goes on with what its cache has")
    return code


@contextlib.contextmanager
def _ticking(line: Callable[[], str], live: bool) -> Iterator[None]:
    """Show `line` while the context lasts: where it is `live` as a line that changes, elsewhere every ten seconds.

    On a terminal that is not `live` nothing is shown, since another program writes there.
    """
    over = threading.Event()

    def tick() -> None:
        while not over.wait(0.5 if live else BEAT):
            if live:
                sys.stdout.write(f"\r\x1b[K{line()[: shutil.get_terminal_size().columns - 1]}")
                sys.stdout.flush()
            elif not sys.stdout.isatty():
                _say(line())
        if live:
            sys.stdout.write("\r\x1b[K")

    ticker = threading.Thread(target=tick, daemon=True)
    ticker.start()
    try:
        yield
    finally:
        over.set()
        ticker.join()


def complaint(line: str) -> Iterator[str]:
    """Yield a line of pip's that a user should see: errors, and warnings that are news."""
    text = line.rstrip()
    if text.lstrip().startswith(("ERROR", "error:", "WARNING")) and not text.lstrip().startswith(NO_NEWS):
        yield text.lstrip()


def registries(environment: Mapping[str, str]) -> list[str]:
    """Give uv the registries that pip is told of, in its own words; all of them are asked for each package."""
    words = {
        "PIP_INDEX_URL": "--index-url",
        "PIP_EXTRA_INDEX_URL": "--extra-index-url",
        "PIP_FIND_LINKS": "--find-links",
    }
    given = [[word, url] for name, word in words.items() for url in environment.get(name, "").split()]
    return [*(part for pair in given for part in pair), "--index-strategy", "unsafe-best-match"]


def pins_of(file: Path) -> list[str]:
    """The names of the packages that `make setup` takes of a file of constraints: those above a line for others."""
    text = file.read_text(encoding="utf-8").partition("\n# For ")[0]
    return [line.partition("==")[0].strip() for line in text.splitlines() if "==" in line]


def without_cpu_wheels(registry: str) -> str:
    """Return in a sentence that a registry lacks CPU wheels of the pinned versions; nothing where it has them."""
    pins = re.findall(r"^torch(?:vision)?==\S+", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)
    call = [str(PLACE / "bin" / "python"), "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
    call += ["--no-deps", "--report", "-", "--index-url", registry, *pins]
    _say("asking the registry of TORCH_INDEX_URL for CPU wheels")
    done = subprocess.run(call, capture_output=True, text=True)
    found = json.loads(done.stdout)["install"] if done.returncode == 0 else []
    needs = " ".join(need for wheel in found for need in wheel["metadata"].get("requires_dist", ()))
    if found and not re.search(r"\b(nvidia|cuda)-", needs):
        return ""
    what = "only CUDA builds" if found else "no wheels"
    version = ".".join(map(str, sys.version_info[:2]))
    return (
        f"TORCH=cpu: the registry that TORCH_INDEX_URL names has {what} of {' and '.join(pins)} for Python "
        f"{version}; name another one, or leave TORCH out for the CUDA build, which runs without a GPU too"
    )


def _refused(sentence: str) -> int:
    sys.stderr.write(f"error: {sentence}\n")
    return 2


def _say(sentence: str) -> None:
    sys.stdout.write(f"{sentence}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
