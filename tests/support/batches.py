"""A server that answers as Livy or Kyuubi does, from a list of what it says one time after the other."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

Answer = tuple[int, Any]


class BatchServer:
    """What the server was asked, and what it answers next."""

    def __init__(self, answers: dict[str, list[Answer]]) -> None:
        """Take by `METHOD PATH` (without a query) the answers in their order; the last one stays."""
        self.asked: list[tuple[str, Any]] = []
        self.url = ""
        self._answers = answers
        self._lock = threading.Lock()

    def answer(self, method: str, path: str, body: Any) -> Answer:
        """Return the next answer."""
        with self._lock:
            what = f"{method} {path.partition('?')[0]}"
            self.asked.append((what, body))
            waiting = self._answers.get(what, [(404, {"msg": f"not found: {what}"})])
            return waiting.pop(0) if len(waiting) > 1 else waiting[0]

    def bodies(self, what: str) -> list[Any]:
        """Return the bodies of the requests of one kind."""
        return [body for asked, body in self.asked if asked == what]


@contextmanager
def serving(answers: dict[str, list[Answer]]) -> Iterator[BatchServer]:
    """Run the server on the loopback."""
    told = BatchServer(answers)

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size)) if size else None
            status, value = told.answer(self.command, self.path, body)
            data = value.encode() if isinstance(value, str) else json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = do_PUT = _do  # noqa: N815 - the names that http.server looks for

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        told.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield told
        finally:
            server.shutdown()
            thread.join()
