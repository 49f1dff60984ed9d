"""Private sources: a package index that wants a password, a conda channel that wants a token; real HTTP servers."""

from __future__ import annotations

import base64
import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TOKEN = "to-ken-123"
USER = "reader"
PASSWORD = "very-secret"


@contextmanager
def private_index(shelf: Path) -> Iterator[str]:
    """Serve a folder of wheels as a simple index (PEP 503) and yield `host:port`."""

    class Index(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"
            if self.headers.get("Authorization") != wanted:
                return self._answer(401, b"", "text/plain")
            parts = self.path.strip("/").split("/")
            if parts[0] == "files" and (shelf / parts[1]).is_file():
                return self._answer(200, (shelf / parts[1]).read_bytes(), "application/octet-stream")
            wheels = [path.name for path in shelf.glob(f"{parts[-1].replace('-', '_')}-*.whl")]
            if parts[0] == "simple" and wheels:
                links = "".join(f'<a href="/files/{name}">{name}</a>' for name in wheels)
                return self._answer(200, f"<!DOCTYPE html><html><body>{links}</body></html>".encode(), "text/html")
            return self._answer(404, b"", "text/plain")

        def do_HEAD(self) -> None:
            self.do_GET()

        def _answer(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

    with _serving(Index) as host:
        yield host


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
