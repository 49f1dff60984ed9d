"""Three S3 servers for the tests: moto in this process; versitygw and MinIO, which check signatures and checksums.

versitygw 1.8.0 verifies signatures, expected bucket owners and every `x-amz-checksum-*`, keeps conditional writes
apart under races, and knows multipart uploads and UploadPartCopy. It takes and forgets server-side encryption.
MinIO passes over expected bucket owners; it has versions.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import os
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import uuid
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import boto3
import platformdirs
import pytest
from botocore.config import Config
from filelock import FileLock
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
from werkzeug.test import run_wsgi_app

from tests.support.missing import missing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

VERSITYGW = ("github.com/versity/versitygw/cmd/versitygw", "v1.8.0")
MINIO = ("github.com/minio/minio", "v0.0.0-20260212201848-7aac2a2c5b7c")
"""Package and version; MinIO has no versions that Go knows. To build them takes two and five minutes."""

ACCESS_KEY = "test-access-key"
SECRET_KEY = "test-secret-key"
REGION = "us-east-1"


@dataclass(frozen=True, kw_only=True)
class S3Server:
    """A running S3 server and the key it knows."""

    endpoint: str
    owner: str
    """The account that its buckets belong to."""
    requests: list[str] = field(default_factory=list)
    """Every request as `METHOD path?query`, where the server notes them."""

    def client(self, secret_key: str = SECRET_KEY) -> Any:
        """Return a plain boto3 client of the server, to look at it past our own code."""
        return _client(self.endpoint, secret_key)

    def new_bucket(self) -> str:
        """Make an empty bucket and return its name."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        self.client().create_bucket(Bucket=name)
        return name

    def variables(self) -> dict[str, str]:
        """Return the environment variables by which boto3 finds the server."""
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def prepare(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Set the environment by which boto3, in this process and in those it starts, finds the server."""
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        for name, value in self.variables().items():
            monkeypatch.setenv(name, value)


@cache
def _client(endpoint: str, secret_key: str) -> Any:
    session = boto3.Session(ACCESS_KEY, secret_key, region_name=REGION)
    config = Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1})
    return session.client("s3", endpoint_url=endpoint, config=config)


@pytest.fixture(scope="session")
def moto_s3() -> Iterator[S3Server]:
    """Run moto's server: quick, but it takes any signature and any checksum."""
    requests: list[str] = []
    app = _one_at_a_time(DomainDispatcherApplication(create_backend_app), requests)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield S3Server(endpoint=f"http://127.0.0.1:{server.server_port}", owner="123456789012", requests=requests)
    server.shutdown()
    server.server_close()
    thread.join()


def _one_at_a_time(app: WSGIApplication, requests: list[str]) -> WSGIApplication:
    """Note each request and let an application see it whole: moto looks at a key, then writes it, as two steps."""
    lock = threading.Lock()

    def serve(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        with lock:
            query = f"?{environ['QUERY_STRING']}" if environ.get("QUERY_STRING") else ""
            requests.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}{query}")
            whole = {**environ, "wsgi.input": io.BytesIO(body)}
            if "HTTP_X_AMZ_COPY_SOURCE" in environ:
                requests.append(f"GET /{unquote(environ['HTTP_X_AMZ_COPY_SOURCE']).lstrip('/')} to copy")
                return _copy(app, whole, start_response)
            return list(app(whole, start_response))

    return serve


def _copy(app: WSGIApplication, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Add to moto's UploadPartCopy what S3 does and moto does not: the condition, and the copied bytes' SHA-256."""
    source = {
        name: value
        for name, value in environ.items()
        if not name.startswith(("HTTP_X_AMZ_COPY_SOURCE", "RAW_URI", "REQUEST_URI"))
    } | {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/" + unquote(environ["HTTP_X_AMZ_COPY_SOURCE"], "latin-1").lstrip("/"),
        "QUERY_STRING": "",
        "HTTP_RANGE": environ["HTTP_X_AMZ_COPY_SOURCE_RANGE"],
    }
    data, status, headers = run_wsgi_app(app, source, buffered=True)
    if status.startswith("2") and headers["ETag"] != environ["HTTP_X_AMZ_COPY_SOURCE_IF_MATCH"]:
        answer = b"<Error><Code>PreconditionFailed</Code><Message>The source has changed.</Message></Error>"
        start_response("412 Precondition Failed", [("Content-Type", "application/xml")])
        return [answer]
    checksum = base64.b64encode(hashlib.sha256(b"".join(data)).digest())
    data, status, headers = run_wsgi_app(app, environ, buffered=True)
    answer = b"".join(data).replace(
        b"</CopyPartResult>", b"<ChecksumSHA256>" + checksum + b"</ChecksumSHA256></CopyPartResult>"
    )
    headers["Content-Length"] = str(len(answer))
    start_response(status, headers.to_wsgi_list())
    return [answer]


@pytest.fixture
def s3_store_url(moto_s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the URL of an empty store in moto, with the environment set to reach it."""
    moto_s3.prepare(monkeypatch)
    return f"s3://{moto_s3.new_bucket()}/releases"


@pytest.fixture(scope="session")
def real_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Run versitygw; built with Go the first time, which takes two minutes."""
    with serving(tmp_path_factory.mktemp("versitygw")) as server:
        yield server


@contextmanager
def serving(folder: Path) -> Iterator[S3Server]:
    """Run versitygw over an empty directory, with a `log` of its requests in it, until the block ends."""
    for name in ("data", "metadata"):
        (folder / name).mkdir()
    port = free_port()
    command = [str(versitygw()), "--port", f"127.0.0.1:{port}", "--access", ACCESS_KEY, "--secret", SECRET_KEY]
    with _running([*command, "posix", "--sidecar", str(folder / "metadata"), str(folder / "data")], port, folder):
        yield S3Server(endpoint=f"http://127.0.0.1:{port}", owner=ACCESS_KEY)


@pytest.fixture(scope="session")
def minio_s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Run MinIO; built with Go the first time, which takes five minutes."""
    folder, port = tmp_path_factory.mktemp("minio"), free_port()
    command = [str(minio()), "server", "--quiet", "--address", f"127.0.0.1:{port}", str(folder / "data")]
    known = {"MINIO_ROOT_USER": ACCESS_KEY, "MINIO_ROOT_PASSWORD": SECRET_KEY}
    alone = {"MINIO_BROWSER": "off", "MINIO_UPDATE": "off", "MINIO_CI_CD": "on", "HOME": str(folder)}
    with _running(command, port, folder, {**known, **alone}):
        yield S3Server(endpoint=f"http://127.0.0.1:{port}", owner=ACCESS_KEY)


@contextmanager
def _running(
    command: list[str], port: int, folder: Path, variables: dict[str, str] | None = None
) -> Iterator[None]:
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **(variables or {})})
    try:
        wait_for(port, server, folder / "log")
        yield
    finally:
        server.terminate()
        server.wait(10)


def versitygw() -> Path:
    """Return the program, built once per version and kept in the tests' cache."""
    return _built(*VERSITYGW)


def minio() -> Path:
    """Return the program, built once per version and kept in the tests' cache."""
    return _built(*MINIO)


def _built(package: str, version: str) -> Path:
    cache = Path(os.environ.get("ENVPACK_TEST_CACHE") or platformdirs.user_cache_dir("envpack-tests"))
    name = package.rpartition("/")[2]
    program = cache / f"{name}-{version}"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{program}.lock"), tempfile.TemporaryDirectory(dir=cache) as built:
        if not program.exists():
            environment = {**os.environ, "GOBIN": built, "CGO_ENABLED": "0"}
            try:
                subprocess.run(
                    ["go", "install", f"{package}@{version}"],
                    env=environment,
                    check=True,
                    capture_output=True,
                    text=True,
                    timeout=1200,
                )
            except (OSError, subprocess.SubprocessError) as error:
                missing(
                    f"no {name} to play S3: {error} {getattr(error, 'stderr', '') or ''}; "
                    "it needs Go 1.25 or newer and the Go module proxy"
                )
            shutil.move(Path(built, name), program)
    return program


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port: int = listener.getsockname()[1]
    return port


def wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and server.poll() is None:
        with suppress(OSError), closing(socket.create_connection(("127.0.0.1", port), 1)):
            return
        time.sleep(0.05)
    pytest.fail(f"{server.args!r} did not start: {log.read_text(errors='replace')}", pytrace=False)


def begin_upload(url: str, server: S3Server) -> tuple[str, bytes]:
    """Send one part of a file and go no further; return the upload's id and the part."""
    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    address = {"Bucket": bucket, "Key": f"{prefix}/udf/0123456789abcdef/udf.tar.gz"}
    upload_id: str = server.client().create_multipart_upload(**address)["UploadId"]
    data = b"x" * 12345
    server.client().upload_part(**address, UploadId=upload_id, PartNumber=1, Body=data)
    return upload_id, data


class Wire:
    """A TCP connection to a server that the test can spoil."""

    def __init__(self, server: S3Server) -> None:
        host, _, port = server.endpoint.removeprefix("http://").partition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = [self._listener]
        self._threads: list[threading.Thread] = []
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.answers_to_lose = b""
        """Beginning of the requests, such as `PUT `, of which the first's answer is dropped."""
        self.cut = threading.Event()
        """While it is set, no byte passes and no connection is closed."""
        self.hold_at = b""
        """Pattern of the request, such as `PUT .*/tags/`, before which the wire is cut."""
        self.held = threading.Event()
        """Set when it has come to that request."""
        self._start(self._accept)

    def close(self) -> None:
        """Hang up and take no more connections."""
        self.cut.clear()
        while self._threads:
            for connection in self._connections:
                _hang_up(connection)
            self._threads.pop().join()
        for connection in self._connections:
            connection.close()

    def _start(self, job: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=job, args=arguments, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._connections.append(client)
                server = socket.create_connection(self._target)
                self._connections.append(server)
                loses = threading.Event()
                self._start(self._send, client, server, loses)
                self._start(self._answer, server, client, loses)

    def _send(self, client: socket.socket, server: socket.socket, loses: threading.Event) -> None:
        with suppress(OSError), _hanging_up(client, server):
            while data := client.recv(65536):
                if self.answers_to_lose and data.startswith(self.answers_to_lose):
                    self.answers_to_lose = b""
                    loses.set()
                if self.hold_at and re.match(self.hold_at, data):
                    self.hold_at = b""
                    self.cut.set()
                    self.held.set()
                self._hold()
                server.sendall(data)

    def _answer(self, server: socket.socket, client: socket.socket, loses: threading.Event) -> None:
        with suppress(OSError), _hanging_up(client, server):
            while data := server.recv(65536):
                if loses.is_set() and not data.startswith(b"HTTP/1.1 100"):
                    return
                self._hold()
                client.sendall(data)

    def _hold(self) -> None:
        while self.cut.is_set():
            time.sleep(0.01)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request that came to a gate."""

    method: str
    target: str
    headers: dict[str, str]
    """Names in small letters."""
    body: bytes = field(repr=False)

    @property
    def copies(self) -> bool:
        """Whether it asks for a copy on the server."""
        return "x-amz-copy-source" in self.headers


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a gate answers."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    promised: int | None = None
    """What it says of its length, where that is not so."""

    @classmethod
    def error(cls, status: int, code: str) -> Answer:
        """Return an error as S3 writes it."""
        return cls(status=status, body=f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode())


class Gate:
    """An HTTP server before an S3 server; it notes what comes and can answer in its place."""

    def __init__(self, server: S3Server, certificate: tuple[str, str] | None = None) -> None:
        """Stand before a server; `certificate` and its key make it speak HTTPS, as `localhost`."""
        self._target = server.endpoint.removeprefix("http://")
        self.asked: list[Asked] = []
        """Every request that came."""
        self.serve: Callable[[Asked], Answer] = self.forward
        """How requests are answered."""
        gate = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline(65537)
                if self.raw_requestline and self.parse_request():
                    with suppress(ConnectionError):
                        gate._answer(self)
                self.close_connection = True  # parsing has set it to what the client asks for

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self.endpoint = f"https://localhost:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=[0.01], daemon=True)
        self._thread.start()

    def received(self) -> int:
        """Return how many bytes came in the bodies of requests."""
        return sum(len(asked.body) for asked in self.asked)

    def forward(self, asked: Asked) -> Answer:
        """Return the server's own answer."""
        with closing(http.client.HTTPConnection(self._target)) as connection:
            headers = {name: value for name, value in asked.headers.items() if name not in {"expect", "connection"}}
            connection.request(asked.method, asked.target, asked.body, headers)
            answer = connection.getresponse()
            return Answer(status=answer.status, body=answer.read(), headers=dict(answer.getheaders()))

    def close(self) -> None:
        """Take no more requests."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        headers = {name.lower(): value for name, value in handler.headers.items()}
        length = int(headers.get("content-length", 0))
        body = handler.rfile.read(length)
        if len(body) < length:
            return  # the client has hung up
        asked = Asked(method=handler.command, target=handler.path, headers=headers, body=body)
        self.asked.append(asked)
        answer = self.serve(asked)
        handler.send_response_only(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in {"content-length", "transfer-encoding", "connection"}:
                handler.send_header(name, value)
        size = answer.headers.get("Content-Length", "0") if asked.method == "HEAD" else len(answer.body)
        handler.send_header("Content-Length", str(size if answer.promised is None else answer.promised))
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(answer.body)


@contextmanager
def _hanging_up(*connections: socket.socket) -> Iterator[None]:
    try:
        yield
    finally:
        for connection in connections:
            _hang_up(connection)


def _hang_up(connection: socket.socket) -> None:
    """End a connection for both sides; only closing it would not, as long as another thread listens to it."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
