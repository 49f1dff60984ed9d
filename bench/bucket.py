"""A real S3 server on this machine, and a wire to it that counts."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tests.support.s3 import S3Server, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_AT_ONCE = 1 << 20


@dataclass(kw_only=True)
class Counted:
    """An S3 server behind a counting wire."""

    server: S3Server
    """Reached through the wire."""
    log: Path
    """The server's: a line for each request."""
    sent: int = 0
    """Bytes that clients have sent."""
    received: int = 0
    """Bytes that clients were sent."""

    def requests(self) -> int:
        """Return how many requests the server has answered."""
        return self.log.read_text("utf-8").count(" | vgw | ")

    def mark(self) -> tuple[int, int, int]:
        """Return what to compare later counts with."""
        return self.sent, self.received, self.requests()

    def since(self, mark: tuple[int, int, int]) -> dict[str, float]:
        """Return the bytes sent and received, and the requests made, since a mark."""
        sent, received, requests = mark
        return {
            "sent": self.sent - sent,
            "received": self.received - received,
            "requests": self.requests() - requests,
        }


@contextmanager
def counted(folder: Path) -> Iterator[Counted]:
    """Run the server over a directory, and the wire, until the block ends."""
    with serving(folder) as server, socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        through = replace(server, endpoint=f"http://127.0.0.1:{port}")
        result = Counted(server=through, log=folder / "log")
        target = server.endpoint.removeprefix("http://").partition(":")
        threading.Thread(target=_accept, args=[listener, (target[0], int(target[2])), result], daemon=True).start()
        yield result
        listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, target: tuple[str, int], result: Counted) -> None:
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            server = socket.create_connection(target)
            for source, sink, what in ((client, server, "sent"), (server, client, "received")):
                threading.Thread(target=_pass, args=[source, sink, result, what], daemon=True).start()


def _pass(source: socket.socket, sink: socket.socket, result: Counted, what: str) -> None:
    """Pass on what one side says until it has ended, and count it as bytes `sent` or `received`."""
    buffer = bytearray(_AT_ONCE)
    with suppress(OSError):
        while size := source.recv_into(buffer):
            setattr(result, what, getattr(result, what) + size)
            sink.sendall(memoryview(buffer)[:size])
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
