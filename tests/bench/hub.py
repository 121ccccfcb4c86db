"""A small server on loopback that speaks as much of the hub's protocol as its client library uses."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

REPOSITORY = "iridescentttt/vtab-1k-png"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """Serves `files`; a file in `cut` breaks off once after so many bytes."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.files, self.cut = files, dict[str, int]()
        self.welcome = b""  # what is answered instead of everything, where this is no hub at all
        self.asked: list[tuple[str, str | None]] = []  # file and range of each GET

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        if self.server.welcome:
            self._data(self.server.welcome)
        elif path.startswith(f"/api/datasets/{REPOSITORY}/tree/"):
            rows = [{"type": "file", "path": n, "size": len(d), "oid": oid(d)} for n, d in self.server.files.items()]
            self._json(rows)
        elif path.startswith(f"/api/datasets/{REPOSITORY}"):
            files = [{"rfilename": n, "size": len(d), "blobId": oid(d)} for n, d in self.server.files.items()]
            self._json({"id": REPOSITORY, "sha": COMMIT, "siblings": files, "private": False, "tags": []})
        elif path.startswith(f"/datasets/{REPOSITORY}/resolve/"):
            self._file(path.split("/resolve/", 1)[1].partition("/")[2], body)
        else:
            self.send_error(404)

    def _json(self, document: object) -> None:
        self._data(json.dumps(document).encode())

    def _data(self, data: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _file(self, name: str, body: bool) -> None:
        data = self.server.files[name]
        wanted = self.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.send_header("ETag", f'"{oid(data)}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Accept-Ranges", "bytes")
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.end_headers()
        if body:
            self.server.asked.append((name, wanted))
            end = self.server.cut.pop(name, len(data))
            self.wfile.write(data[start:end])
            self.close_connection = end < len(data)


def oid(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[Hub]:
    with Hub(files) as hub:
        thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()
