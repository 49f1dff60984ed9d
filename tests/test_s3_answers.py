"""What servers answer that are not S3, are overloaded, hide objects, or know no chunked uploads."""

from __future__ import annotations

import base64
import hashlib
import random
from typing import TYPE_CHECKING

import pytest
from werkzeug.serving import make_ssl_devcert

from envpack import digest
from envpack.errors import EnvpackError, StoreRefused, StoreUnreachable
from envpack.progress import Step
from envpack.stores import open_store
from envpack.stores.s3 import listings
from envpack.stores.s3.options import SMALLEST_PART, S3Options
from tests.support.s3 import Answer, Asked, Gate, S3Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from envpack.stores.base import Store

PAGE = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body><p>Welcome<br></p></body></html>"
XHTML = b'<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><body><p>Welcome</p></body></html>'


@pytest.fixture
def gate(moto_s3: S3Server, s3_store_url: str) -> Iterator[Gate]:
    gate = Gate(moto_s3)
    yield gate
    gate.close()


def store_at(gate: Gate, url: str, **options: float) -> Store:
    return open_store(url, S3Options(endpoint=gate.endpoint, part_size=SMALLEST_PART, **options))  # type: ignore[arg-type] # patience


def a_file(folder: Path, size: int) -> Path:
    path = folder / "archive.tar.gz"
    path.write_bytes(random.Random(size).randbytes(size))
    return path


ACTS: dict[str, Callable[[Store, Path], object]] = {
    "read": lambda store, _: store.read("a.json"),
    "size": lambda store, _: store.size("a.json"),
    "list": lambda store, _: list(store.list()),
    "folders": lambda store, _: store.folders(),
    "create": lambda store, _: store.create("a.json", b"{}"),
    "replace": lambda store, _: store.replace("a.json", b"{}", '"0"'),
    "download": lambda store, folder: store.download("a.json", folder / "copy", Step()),
    "upload": lambda store, folder: store.upload(
        "a.tar.gz", a_file(folder, 10), digest.of_file(folder / "archive.tar.gz"), Step()
    ),
    "upload in parts": lambda store, folder: store.upload(
        "a.tar.gz",
        a_file(folder, SMALLEST_PART + 10),
        digest.of_file(folder / "archive.tar.gz"),
        Step(),
    ),
    "unfinished": lambda store, _: list(store.unfinished()),
}


@pytest.mark.parametrize("page", [PAGE, XHTML, b"", b"null", b"{}"], ids=["html", "xhtml", "empty", "null", "json"])
@pytest.mark.parametrize("act", ACTS)
def test_a_page_in_place_of_an_answer_is_said_to_be_no_s3(
    act: str, page: bytes, gate: Gate, s3_store_url: str, tmp_path: Path
) -> None:
    """A captive portal and a wrong endpoint say 200 to everything."""
    gate.serve = lambda _: Answer(status=200, body=page, headers={"Content-Type": "text/html"})
    with pytest.raises(EnvpackError) as failed:
        ACTS[act](store_at(gate, s3_store_url), tmp_path)
    assert failed.value.exit_code in {8, 9}
    assert failed.value.hint


def _listing(entries: str) -> bytes:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>bucket</Name><Prefix/><KeyCount>2</KeyCount><MaxKeys>1000</MaxKeys>{entries}"
        f"<IsTruncated>false</IsTruncated></ListBucketResult>"
    ).encode()


def _entry(**fields: str) -> str:
    given = {"Key": "a", "LastModified": "2026-01-31T12:00:00.000Z", "ETag": '"1"', "Size": "3", **fields}
    written = "".join(f"<{name}>{text}</{name}>" for name, text in given.items() if text != "-")
    return f"<Contents>{written}<Owner><ID>me</ID></Owner><StorageClass>STANDARD</StorageClass></Contents>"


LISTINGS = {
    "none": "",
    "two": _entry() + _entry(Key="b/c"),
    "a folder": _entry() + "<CommonPrefixes><Prefix>b/</Prefix></CommonPrefixes>",
    "signs": _entry(Key="a &amp; b%20c+d\u00e4\u65e5"),
    "a time of another form": _entry(LastModified="Sat, 31 Jan 2026 12:00:00 GMT"),
    "no size": _entry(Size="-"),
    "no time": _entry(LastModified="-"),
    "no stamp": _entry(ETag="-"),
    "an empty key": _entry(Key=""),
    "a size that is no number": _entry(Size="many"),
    "a time that is none": _entry(LastModified="soon"),
    "a field twice": _entry().replace("<Size>", "<Size>4</Size><Size>", 1),
    "cut off": _entry()[:-20],
    "an entity": "<!DOCTYPE x [<!ENTITY a 'a'>]>" + _entry(),
}


@pytest.mark.parametrize("entries", LISTINGS.values(), ids=LISTINGS)
def test_a_listing_is_read_as_botocore_reads_it(
    entries: str, gate: Gate, s3_store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate.serve = lambda _: Answer(status=200, body=_listing(entries), headers={"Content-Type": "application/xml"})

    def read() -> object:
        try:
            return list(store_at(gate, s3_store_url).list())
        except EnvpackError as error:
            return type(error), error.exit_code

    ours = read()
    monkeypatch.setattr(listings, "take_entries", lambda **_: None)
    assert ours == read()


ODD = {
    "read": Answer(status=200, body=b"{}", headers={"ETag": '"1"', "Last-Modified": "soon"}),
    "size": Answer(status=200, headers={"ETag": '"1"', "Content-Length": "0", "x-amz-mp-parts-count": "many"}),
    "list": Answer(status=200, body=_listing(_entry()).replace(b">1000<", b">many<")),
    "folders": Answer(status=200, body=_listing("<KeyCount>many</KeyCount>")),
    "unfinished": Answer(
        status=200,
        body=b"<ListMultipartUploadsResult><Bucket>bucket</Bucket><Upload><Key>a</Key><UploadId>1</UploadId>"
        b"<Initiated>soon</Initiated></Upload></ListMultipartUploadsResult>",
    ),
}


@pytest.mark.parametrize("act", ODD)
def test_a_field_that_cannot_be_read_is_no_traceback(
    act: str, gate: Gate, s3_store_url: str, tmp_path: Path
) -> None:
    gate.serve = lambda _: ODD[act]
    with pytest.raises(EnvpackError) as failed:
        ACTS[act](store_at(gate, s3_store_url), tmp_path)
    assert failed.value.exit_code in {8, 9}
    assert failed.value.hint


@pytest.mark.parametrize("act", ["create", "upload"])
def test_an_object_that_may_not_be_looked_at_is_refused_and_not_missing(
    act: str, gate: Gate, s3_store_url: str, tmp_path: Path
) -> None:
    """HEAD is denied, and GET says that there is nothing."""

    def serve(asked: Asked) -> Answer:
        return Answer(status=403) if asked.method == "HEAD" else Answer.error(404, "NoSuchKey")

    gate.serve = serve
    with pytest.raises(StoreRefused) as refused:
        ACTS[act](store_at(gate, s3_store_url), tmp_path)
    assert refused.value.hint
    assert "s3:GetObject" in refused.value.hint


@pytest.mark.acceptance
def test_a_storm_is_waited_out(gate: Gate, s3_store_url: str) -> None:
    """Half of all requests are refused, more often in a row than botocore asks again."""
    storm = iter([True] * 5 + [False, True, True, True, True, False])

    def serve(asked: Asked) -> Answer:
        return Answer.error(503, "SlowDown") if next(storm, False) else gate.forward(asked)

    gate.serve = serve
    assert store_at(gate, s3_store_url).create("a.json", b"{}")


def test_the_end_of_patience_says_how_often_and_how_long_it_was_tried(gate: Gate, s3_store_url: str) -> None:
    gate.serve = lambda _: Answer.error(503, "SlowDown")
    with pytest.raises(StoreUnreachable, match=r"SlowDown.*\(\d+ attempts in \d+ s\)"):
        store_at(gate, s3_store_url, patience=0.5).read("a.json")


@pytest.fixture
def strict(moto_s3: S3Server, s3_store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """Serve HTTPS, and refuse bodies in chunks with a checksum behind them, as many servers do."""
    certificate, key = make_ssl_devcert(str(tmp_path / "server"), host="localhost")
    monkeypatch.setenv("AWS_CA_BUNDLE", certificate)
    gate = Gate(moto_s3, (certificate, key))

    def serve(asked: Asked) -> Answer:
        if "aws-chunked" in asked.headers.get("content-encoding", "") or "x-amz-trailer" in asked.headers:
            return Answer.error(501, "NotImplemented")
        return gate.forward(asked)

    gate.serve = serve
    yield gate
    gate.close()


@pytest.mark.parametrize("size", [0, 10, SMALLEST_PART - 1, SMALLEST_PART + 10, 2 * SMALLEST_PART])
def test_over_https_every_body_has_its_sha256_in_a_header(
    size: int, strict: Gate, s3_store_url: str, tmp_path: Path
) -> None:
    store, path = store_at(strict, s3_store_url), a_file(tmp_path, size)
    assert store.upload("a.tar.gz", path, digest.of_file(path), Step())
    assert store.create("a.json", b"{}")
    store.download("a.tar.gz", tmp_path / "copy", Step())
    assert (tmp_path / "copy").read_bytes() == path.read_bytes()
    bodies = [asked for asked in strict.asked if asked.method == "PUT"]
    assert len(bodies) == (2 if size < SMALLEST_PART else 3)
    for asked in bodies:
        summed = base64.b64encode(hashlib.sha256(asked.body).digest()).decode()
        assert asked.headers["x-amz-checksum-sha256"] == summed


def test_progress_counts_each_byte_once(strict: Gate, s3_store_url: str, tmp_path: Path) -> None:
    class Counting(Step):
        done = 0

        def advance(self, amount: int) -> None:
            self.done += amount

    path, step = a_file(tmp_path, SMALLEST_PART + 10), Counting()
    store_at(strict, s3_store_url).upload("a.tar.gz", path, digest.of_file(path), step)
    assert step.done == SMALLEST_PART + 10


@pytest.mark.parametrize(("name", "value"), [("AWS_MAX_ATTEMPTS", "7"), ("AWS_RETRY_MODE", "adaptive")])
def test_what_the_sdk_is_told_of_retries_holds(
    name: str, value: str, gate: Gate, s3_store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    gate.serve = lambda _: Answer.error(500, "InternalError")
    with pytest.raises(StoreUnreachable):
        store_at(gate, s3_store_url).read("a.json")
    assert len(gate.asked) == (7 if name == "AWS_MAX_ATTEMPTS" else 3)
