"""A real headless browser, driven over the two pipes of Chromium's DevTools protocol, without a library."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["CHROMIUM", "Browser"]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-pipe"]


class Browser:
    """Opens one page at a time; `said` collects console messages and exceptions, `asked` the addresses requested."""

    def __init__(self, profile: Path) -> None:
        assert CHROMIUM is not None
        (theirs_in, self._out), (self._in, theirs_out) = os.pipe(), os.pipe()
        ends = f"exec {CHROMIUM} {' '.join(OPTIONS)} --user-data-dir='{profile}' 3<&{theirs_in} 4>&{theirs_out}"
        home = os.environ | {"HOME": str(profile), "XDG_RUNTIME_DIR": str(profile)}
        quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(
            ["bash", "-c", ends], pass_fds=(theirs_in, theirs_out), env=home, start_new_session=True, **quiet
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._rest, self._number, self._session = b"", 0, ""
        self.said: list[str] = []
        self.asked: list[str] = []

    def __enter__(self) -> Browser:
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Runtime", "Log", "Page", "Network"):
            self._call(f"{domain}.enable")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._session = ""
        try:
            self._call("Browser.close")
        except EOFError:  # it went before it answered
            pass
        finally:
            os.close(self._out)
            os.close(self._in)
            self._process.wait(timeout=20)

    def open(self, address: str) -> None:
        """Load a page and wait until it is complete."""
        self._call("Page.navigate", url=address)
        while self.evaluate("document.readyState") != "complete":
            pass

    def evaluate(self, expression: str) -> Any:
        """The value of a piece of JavaScript in the page."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def click(self, element: str) -> None:
        """Press and release the mouse in the middle of what the expression gives."""
        at = self._place(element)
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **at)

    def point(self, element: str) -> None:
        """Move the mouse to the middle of what the expression gives."""
        self._call("Input.dispatchMouseEvent", type="mouseMoved", **self._place(element))

    def drag(self, element: str, to: float) -> None:
        """Press the mouse on the right end of what the expression gives, and move it to that share of its width."""
        start, end = self._place(element, 0.98), self._place(element, to)
        for kind, at in (("mousePressed", start), ("mouseMoved", end), ("mouseReleased", end)):
            self._call("Input.dispatchMouseEvent", type=kind, button="left", buttons=1, clickCount=1, **at)

    def resize(self, width: int, height: int) -> None:
        """Make the window so many pixels wide and high."""
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def _place(self, element: str, share: float = 0.5) -> dict[str, float]:
        """The place of an element that was scrolled into sight, at a share of its width and half of its height."""
        place: dict[str, float] = self.evaluate(
            f"(() => {{ const e = {element}; e.scrollIntoView({{block: 'center', behavior: 'instant'}});"
            f" const r = e.getBoundingClientRect(); return {{x: r.x + {share} * r.width, y: r.y + r.height / 2}}; }})()"
        )
        return place

    def emulate(self, **features: str) -> None:
        """Such media features, e.g. `prefers-color-scheme`, with underscores for dashes."""
        listed = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self._call("Emulation.setEmulatedMedia", features=listed)

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        message |= {"sessionId": self._session} if self._session else {}
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self._number:
            self._note(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            if not (piece := os.read(self._in, 1 << 16)):
                raise EOFError("the browser has ended")
            self._rest += piece
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def _note(self, event: dict[str, Any]) -> None:
        kind, values = event.get("method"), event.get("params", {})
        if kind in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
            self.said.append(json.dumps(values))
        elif kind == "Network.requestWillBeSent":
            self.asked.append(values["request"]["url"][:80])
