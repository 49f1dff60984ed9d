"""Private sources: a package index that wants a password, a conda channel that wants a token; real HTTP servers."""

from __future__ import annotations

import base64
import functools
import hashlib
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TOKEN = "to-ken-123"
USER = "reader"
PASSWORD = "very-secret"


@contextmanager
def private_index(shelf: Path, sent: list[str] | None = None, slow: str | None = None) -> Iterator[str]:
    """Serve a folder of wheels as a simple index (PEP 503) and yield `host:port`; `sent` gets the files sent.

    The wheel of the project `slow` takes a second to arrive.
    """

    class Index(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"
            if self.headers.get("Authorization") != wanted:
                return self._answer(401, b"", "text/plain")
            parts = self.path.strip("/").split("/")
            if parts[0] == "files" and (shelf / parts[1]).is_file():
                if sent is not None and self.command == "GET":
                    sent.append(parts[1])
                if parts[1].split("-")[0] == slow:
                    time.sleep(1)
                return self._answer(200, (shelf / parts[1]).read_bytes(), "application/octet-stream")
            if parts[0] == "files" and (shelf / parts[1].removesuffix(".metadata")).is_file():
                return self._answer(200, _metadata(shelf / parts[1].removesuffix(".metadata")), "text/plain")
            files = shelf.glob(f"{parts[-1].replace('-', '_')}-*")
            wheels = [file for file in files if file.name.endswith((".whl", ".tar.gz"))]
            if parts[0] == "simple" and wheels:
                links = "".join(map(_link, wheels))
                return self._answer(200, f"<!DOCTYPE html><html><body>{links}</body></html>".encode(), "text/html")
            return self._answer(404, b"", "text/plain")

        def do_HEAD(self) -> None:
            self.do_GET()

        def _answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "max-age=600, public")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

    with _serving(Index) as host:
        yield host


def _link(wheel: Path) -> str:
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return f'<a href="/files/{wheel.name}#sha256={sha256}" data-core-metadata="true">{wheel.name}</a>'


def _metadata(wheel: Path) -> bytes:
    """Return what an index gives beside a wheel (PEP 658)."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return archive.read(name)


@contextmanager
def private_channel(directory: Path) -> Iterator[str]:
    """Serve a channel's directory below `/t/TOKEN/` only, and yield `host:port`."""

    class Channel(SimpleHTTPRequestHandler):
        def translate_path(self, path: str) -> str:
            token = f"/t/{TOKEN}/channel/"
            return super().translate_path(path.removeprefix(token) if path.startswith(token) else "/nowhere")

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

    with _serving(functools.partial(Channel, directory=str(directory))) as host:
        yield host


@contextmanager
def _serving(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
