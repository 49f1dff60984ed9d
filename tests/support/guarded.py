"""A server that gives nothing away without a secret, of many kinds, and a search for the secrets afterwards."""

from __future__ import annotations

import base64
import functools
import hashlib
import io
import os
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, quote, unquote, urlsplit

USER = "reader"

ODD = "o#dd/pa@ss wo?rd'\"x1"
"""A password with every letter that has a meaning in a URL, JSON, YAML or a shell."""

SECRETS = {
    "channel password": ODD,
    "channel token": "ck-3f9a1be2-token",
    "token behind a path": "tk-77e0-behind-path",
    "index password": "idx-Pa55-w0rd",
    "index token in a path": "pth-9913-tok",
    "index token under a name": "qry-auth-5512",
    "signature of an index": "SigByIndex-88aa",
    "signature of a requirement": "SigByPerson-41cc",
    "password of a requirement": "rq-Pa55-77",
    "parameter of a page of links": "lnk-key-2231",
    "password of a netrc file": "net-rc-Pa55-9",
    "password of a variable of uv": "uv-env-Pa55-3",
    "signature of a redirect": "GoogSig-0be1f7",
    "password of a git remote": "git-Pa55-651",
    "address of a CI job": "job-key-4471",
    "token variable": "gh-like-t0ken-vari4ble",
    "AWS secret key": "aws/Secret+Key/1234567890abcdef",
    "AWS session token": "FwoGZXIvYXdzE-session-42",
}
"""Every kind of secret, with one that is nowhere else."""


def forms(secret: str) -> set[bytes]:
    """Return a secret as it may be written: as it is, quoted, in JSON, and in base64 with a user's name."""
    basic = base64.b64encode(f"{USER}:{secret}".encode()).decode().rstrip("=")
    alone = base64.b64encode(secret.encode()).decode().rstrip("=")
    escaped = secret.replace("\\", "\\\\").replace('"', '\\"')
    return {form.encode() for form in (secret, quote(secret, safe=""), quote(secret), escaped, basic, alone)}


def found_in(data: bytes) -> set[str]:
    """Return the kinds of secrets that some bytes hold."""
    return {kind for kind, secret in SECRETS.items() if any(form in data for form in forms(secret))}


def leaks(root: Path, *, but: Callable[[Path], bool] = lambda _: False) -> dict[str, set[str]]:
    """Return the kinds of secrets in each file below a directory; archives and compressed files are opened."""
    found: dict[str, set[str]] = {}
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink() and not but(path):
            for name, data in _contents(path.name, path.read_bytes()):
                if kinds := found_in(data) | found_in(os.fsencode(name)):
                    found[f"{path.relative_to(root)}:{name}"] = kinds
    return found


def _contents(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    yield name, data
    if data.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.namelist():
                yield from _contents(member, archive.read(member))
    elif data.startswith(b"\x1f\x8b"):
        yield from _contents(name.removesuffix(".gz"), _decompressed(data))
    elif tarfile.is_tarfile(io.BytesIO(data)):
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for entry in tar:
                content = tar.extractfile(entry) if entry.isfile() else None
                yield entry.name, content.read() if content else b""


def _decompressed(data: bytes) -> bytes:
    """Return the content of gzip members; what follows the last one, as in a kept piece, is left out."""
    found = []
    while data.startswith(b"\x1f\x8b"):
        member = zlib.decompressobj(wbits=31)
        found.append(member.decompress(data))
        data = member.unused_data
    return b"".join(found)


@contextmanager
def watched(said: dict[str, set[str]], *, ours: Callable[[list[str]], bool]) -> Iterator[None]:
    """While the block runs, note the secrets in other processes' command lines and environments in `said`.

    `ours` says by its command line whether a process is the one that was given the secrets. Variables of uv's are
    passed over in uv's own process, and those that configure git in git's: they are the means by which these get
    credentials.
    """
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    command = (process / "cmdline").read_bytes().split(b"\0")
                    environment = (process / "environ").read_bytes().split(b"\0")
                except OSError:
                    continue
                words = [os.fsdecode(word) for word in command]
                if command == [b""]:  # it is being started, or ends
                    continue
                if not any(SECRETS_DIRECTORY in os.fsdecode(entry) for entry in environment) or ours(words):
                    continue
                if kinds := found_in(b" ".join(command)):
                    said.setdefault(f"command line of {words[0]}", set()).update(kinds)
                own = {"uv": b"UV_", "git": b"GIT_CONFIG_"}.get(Path(words[0]).name.partition("-")[0])
                others = [entry for entry in environment if not (own and entry.startswith(own))]
                if kinds := found_in(b" ".join(others)):
                    said.setdefault(f"environment of {' '.join(words[:3])}", set()).update(kinds)
            over.wait(0.002)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


SECRETS_DIRECTORY = "SEARCHED_FOR_SECRETS"
"""A variable that the processes of a test have."""


@contextmanager
def guarded(channel: Path, shelf: Path) -> Iterator[int]:
    """Serve a channel and a folder of wheels behind each kind of secret, on all of 127.*, and yield the port.

    Channels: `/basic/channel`, `/t/TOKEN/channel`, `/api/conda/t/TOKEN/channel`. Indexes below: `/basic`,
    `/pypi/TOKEN`, `/query` (`?auth=`), `/signed` (its links have `?sig=`), `/netrc`, `/uv`. A page of links:
    `/links/page.html?key=`. Wheels: `/direct/FILE?sig=`, `/direct-basic/FILE`, `/redirected/FILE`, which leads to a
    signed address that is denied.
    """
    handler = functools.partial(_Guarded, channel=channel, shelf=shelf)
    server = ThreadingHTTPServer(("", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


class _Guarded(BaseHTTPRequestHandler):
    def __init__(self, *arguments: object, channel: Path, shelf: Path) -> None:
        self._channel = channel
        self._shelf = shelf
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        path = unquote(parts.path)
        for beginning, allowed, serve in self._places():
            if path.startswith(beginning):
                if not allowed(query):
                    return self._answer(401, f"denied: {self.headers.get('Authorization')} {self.path}".encode())
                return serve(path.removeprefix(beginning), beginning)
        return self._answer(403, f"denied: {self.path}".encode())

    def do_HEAD(self) -> None:
        self.do_GET()

    def _places(self) -> list[tuple[str, Callable[[dict[str, str]], bool], Callable[[str, str], None]]]:
        index, file, secret = self._index, self._file, SECRETS

        def by(kind: str) -> Callable[[dict[str, str]], bool]:
            pair = base64.b64encode(f"{USER}:{secret[kind]}".encode()).decode()
            return lambda _: self.headers.get("Authorization") == f"Basic {pair}"

        def free(_: dict[str, str]) -> bool:
            return True

        def having(name: str, kind: str) -> Callable[[dict[str, str]], bool]:
            return lambda query: query.get(name) == secret[kind]

        in_simple = functools.partial(index, in_simple=True)
        signed = functools.partial(self._index, query=f"?sig={secret['signature of an index']}")
        return [
            ("/basic/channel/", by("channel password"), self._of_channel),
            (f"/t/{secret['channel token']}/channel/", free, self._of_channel),
            (f"/api/conda/t/{secret['token behind a path']}/channel/", free, self._of_channel),
            ("/basic/", by("index password"), index),
            (f"/pypi/{secret['index token in a path']}/", free, index),
            (
                "/query/simple/",
                having("auth", "index token under a name"),
                in_simple,
            ),
            ("/query/", free, index),
            ("/signed/files/", having("sig", "signature of an index"), file),
            ("/signed/", free, signed),
            ("/netrc/", by("password of a netrc file"), index),
            ("/uv/", by("password of a variable of uv"), index),
            ("/links/page.html", having("key", "parameter of a page of links"), self._links),
            ("/links/files/", free, file),
            ("/direct/", having("sig", "signature of a requirement"), file),
            ("/direct-basic/", by("password of a requirement"), file),
            ("/redirected/", free, self._redirect),
        ]

    def _of_channel(self, path: str, _beginning: str) -> None:
        found = self._channel / path
        self._answer(200, found.read_bytes()) if found.is_file() else self._answer(404, b"")

    def _index(self, path: str, beginning: str, query: str = "", *, in_simple: bool = False) -> None:
        if path.startswith("files/"):
            return self._file(path.removeprefix("files/"), beginning)
        root = beginning.removesuffix("simple/")
        name = path.removeprefix("simple/").strip("/")
        kind = _OF_INDEX.get(root.strip("/").split("/")[0], "")
        wheels = list((self._shelf / kind).glob(f"{name.replace('-', '_')}-*.whl")) if name else []
        if not wheels or not (in_simple or path.startswith("simple/")):
            return self._answer(404, b"")
        links = "".join(f'<a href="{root}files/{w.name}{query}#sha256={_sha256(w)}">{w.name}</a>' for w in wheels)
        return self._answer(200, f"<!DOCTYPE html><html><body>{links}</body></html>".encode(), "text/html")

    def _links(self, _path: str, _beginning: str) -> None:
        links = "".join(
            f'<a href="/links/files/{w.name}">{w.name}</a>' for w in (self._shelf / "links").glob("*.whl")
        )
        self._answer(200, f"<!DOCTYPE html><html><body>{links}</body></html>".encode(), "text/html")

    def _file(self, path: str, _beginning: str) -> None:
        found = next(self._shelf.rglob(path), None)
        self._answer(200, found.read_bytes(), "application/octet-stream") if found else self._answer(404, b"")

    def _redirect(self, path: str, _beginning: str) -> None:
        self.send_response(302)
        self.send_header("Location", f"/bucket/{path}?X-Goog-Signature={SECRETS['signature of a redirect']}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _answer(self, status: int, body: bytes, kind: str = "text/plain") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "max-age=600, public")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


_OF_INDEX = {name: name for name in ("basic", "pypi", "query", "signed", "netrc", "uv")}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
