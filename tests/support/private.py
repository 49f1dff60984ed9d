"""Private sources: an index and a repository that want a password, a channel that wants a token; HTTP servers."""

from __future__ import annotations

import base64
import datetime as dt
import functools
import hashlib
import ipaddress
import os
import ssl
import subprocess
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

TOKEN = "to-ken-123"
USER = "reader"
PASSWORD = "very-secret"
_WANTED = f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}"


@contextmanager
def private_index(
    shelf: Path, sent: list[str] | None = None, slow: str | None = None, certificate: Path | None = None
) -> Iterator[str]:
    """Serve a folder of wheels as a simple index (PEP 503) and yield `host:port`; `sent` gets the files sent.

    The wheel of the project `slow` takes a second to arrive. With a `certificate`, its own and the one of everybody
    it lets in, it speaks HTTPS.
    """

    class Index(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers.get("Authorization") != _WANTED:
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

    with _serving(Index, certificate) as host:
        yield host


@contextmanager
def private_git(root: Path) -> Iterator[str]:
    """Serve the repositories of a directory to who has the password, and yield `host:port`."""

    class Git(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers.get("Authorization") != _WANTED:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="git"')
                self.end_headers()
                return
            url = urlsplit(self.path)
            given = {
                "GIT_PROJECT_ROOT": str(root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "PATH_INFO": url.path,
                "QUERY_STRING": url.query,
                "REQUEST_METHOD": self.command,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "HTTP_GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "REMOTE_ADDR": "127.0.0.1",
            }
            done = subprocess.run(
                ["git", "-c", "safe.directory=*", "http-backend"],
                input=self._body(),
                env={**os.environ, **given},
                capture_output=True,
                check=False,
            )
            head, _, body = done.stdout.partition(b"\r\n\r\n")
            headers = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
            self.send_response(int(headers.pop("Status", "200").split()[0]))
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.do_GET()

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length") or 0))
            found = b""
            while size := int(self.rfile.readline(), 16):
                found += self.rfile.read(size)
                self.rfile.readline()
            return found

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

    with _serving(Git) as host:
        yield host


def write_certificate(path: Path) -> Path:
    """Write a certificate for 127.0.0.1 that signed itself, with its key, and return the file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    path.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(pem)
    )
    return path


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
def _serving(handler: Callable[..., BaseHTTPRequestHandler], certificate: Path | None = None) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificate))
        context.load_cert_chain(certificate)
        context.verify_mode = ssl.CERT_REQUIRED
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
