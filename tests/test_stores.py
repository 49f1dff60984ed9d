"""What a store promises, kept by a directory and by S3 alike; and what is particular to each."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pytest
from botocore.exceptions import ClientError

from envpack import digest
from envpack.errors import Conflict, EnvpackError, StoreRefused, StoreUnreachable, UsageError
from envpack.progress import Step
from envpack.stores import local, open_store
from envpack.stores.base import AnotherContent
from envpack.stores.s3 import client, errors
from envpack.stores.s3.options import SMALLEST_PART, S3Options
from tests.support.counting import Counting
from tests.support.s3 import S3Server, Wire
from tests.support.umask import UMASKS, umask_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from envpack.stores.base import Store

KEY = "pandas udf/0123456789abcdef/pandas-ü.tar.gz"

WRITER = """
import os, pathlib, sys, time
from envpack import digest
from envpack.progress import Step
from envpack.stores.s3.options import S3Options
from envpack.stores import open_store

class Slow(Step):
    def advance(self, amount):
        os.write(1, f"{amount}\\n".encode())  # in one piece: several threads call this
        time.sleep(0.05)

url, key, path = sys.argv[1:]
store = open_store(url, S3Options(part_size=5 << 20, addressing="path"))
store.upload(key, pathlib.Path(path), digest.of_file(pathlib.Path(path)), Slow())
"""
"""A process that uploads slowly; to be interrupted or killed."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a store under test is, and how to reach it."""

    url: str
    options: S3Options = field(
        default_factory=lambda: S3Options(part_size=SMALLEST_PART, concurrency=4, addressing="path")
    )
    server: S3Server | None = None

    def open(self, **changes: Any) -> Store:
        return open_store(self.url, replace(self.options, **changes))


def _file(path: Path, size: int) -> Path:
    path.write_bytes(os.urandom(size))
    return path


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def _keys(store: Store, prefix: str = "") -> list[str]:
    return [entry.key for entry in store.list(prefix)]


def _at_once(*calls: Callable[[], bool]) -> list[bool]:
    ready = threading.Barrier(len(calls))

    def run(call: Callable[[], bool]) -> bool:
        ready.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))


class AnyStore:
    """The promises of `Store`; a subclass says where."""

    @pytest.fixture
    def place(self) -> Place:
        raise NotImplementedError

    @pytest.fixture
    def store(self, place: Place) -> Store:
        return place.open()

    @pytest.fixture
    def small(self, tmp_path: Path) -> Path:
        return _file(tmp_path / "small file", 300_000)

    @pytest.fixture
    def large(self, tmp_path: Path) -> Path:
        return _file(tmp_path / "large", 2 * SMALLEST_PART + 12_345)

    def test_an_object_is_created_once_and_then_stays_as_it_is(self, store: Store) -> None:
        assert store.create("a/b.json", b"first")
        assert not store.create("a/b.json", b"second")
        there = store.read("a/b.json")
        assert there is not None
        assert there.data == b"first"

    def test_what_is_not_there_reads_as_none(self, store: Store) -> None:
        assert store.read("no/such.json") is None

    def test_an_empty_object_is_an_object(self, store: Store) -> None:
        assert store.create("empty", b"")
        there = store.read("empty")
        assert there is not None
        assert there.data == b""

    def test_replacing_expects_the_version_that_was_read(self, store: Store) -> None:
        store.create("tags/prod.json", b"one")
        one = store.read("tags/prod.json")
        assert one is not None
        assert store.replace("tags/prod.json", b"two", one.version)
        assert not store.replace("tags/prod.json", b"three", one.version)
        two = store.read("tags/prod.json")
        assert two is not None
        assert two.data == b"two"
        assert two.version != one.version

    def test_replacing_nothing_creates_once(self, store: Store) -> None:
        assert store.replace("tags/prod.json", b"one", None)
        assert not store.replace("tags/prod.json", b"two", None)

    def test_what_was_deleted_is_not_replaced(self, store: Store) -> None:
        store.create("tags/prod.json", b"one")
        one = store.read("tags/prod.json")
        assert one is not None
        store.delete("tags/prod.json")
        assert not store.replace("tags/prod.json", b"two", one.version)
        assert store.read("tags/prod.json") is None

    def test_of_many_creators_one_wins(self, place: Place) -> None:
        def create(text: bytes) -> Callable[[], bool]:
            store = place.open()
            store.read("warm")
            return lambda: store.create("builds/x.json", text)

        contents = [b"%d" % number for number in range(4)]
        won = _at_once(*(create(text) for text in contents))
        assert won.count(True) == 1
        there = place.open().read("builds/x.json")
        assert there is not None
        assert there.data == contents[won.index(True)]

    def test_of_many_movers_of_one_version_one_wins(self, place: Place) -> None:
        place.open().create("tags/prod.json", b"start")
        start = place.open().read("tags/prod.json")
        assert start is not None
        version = start.version

        def move(text: bytes) -> Callable[[], bool]:
            store = place.open()
            store.read("warm")
            return lambda: store.replace("tags/prod.json", text, version)

        contents = [b"%d" % number for number in range(4)]
        won = _at_once(*(move(text) for text in contents))
        assert won.count(True) == 1
        there = place.open().read("tags/prod.json")
        assert there is not None
        assert there.data == contents[won.index(True)]

    @pytest.mark.parametrize("size", ["small", "large"])
    def test_a_file_comes_back_as_it_went_and_progress_sums_to_its_size(
        self, store: Store, size: str, request: pytest.FixtureRequest, tmp_path: Path
    ) -> None:
        path: Path = request.getfixturevalue(size)
        up, down = Counting(), Counting()
        assert store.upload(KEY, path, digest.of_file(path), up)
        store.download(KEY, tmp_path / "new folder" / "back", down)
        assert digest.of_file(tmp_path / "new folder" / "back") == digest.of_file(path)
        assert up.sum == down.sum == path.stat().st_size

    def test_nobody_sees_an_upload_before_it_is_whole(self, place: Place, large: Path) -> None:
        reader, seen = place.open(), []

        def look() -> None:
            seen.extend(_keys(reader))
            if reader.read(KEY) is not None:
                seen.append(KEY)

        assert place.open().upload(KEY, large, digest.of_file(large), Counting(look))
        assert seen == []
        assert _keys(reader) == [KEY]

    def test_an_upload_of_what_is_there_already_is_no_error(self, store: Store, large: Path) -> None:
        assert store.upload(KEY, large, digest.of_file(large), Step())
        assert not store.upload(KEY, large, digest.of_file(large), Step())

    def test_an_upload_over_another_size_is_a_conflict(self, store: Store, small: Path, tmp_path: Path) -> None:
        store.upload(KEY, small, digest.of_file(small), Step())
        other = _file(tmp_path / "other", 17)
        with pytest.raises(Conflict, match="other content") as conflict:
            store.upload(KEY, other, digest.of_file(other), Step())
        assert conflict.value.hint
        store.download(KEY, tmp_path / "back", Step())
        assert digest.of_file(tmp_path / "back") == digest.of_file(small)

    @pytest.mark.parametrize("size", ["small", "large"])
    def test_an_upload_over_other_bytes_of_the_same_size_is_a_conflict(
        self, store: Store, size: str, request: pytest.FixtureRequest, tmp_path: Path
    ) -> None:
        path: Path = request.getfixturevalue(size)
        other = tmp_path / "other"
        data = path.read_bytes()
        other.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        store.upload(KEY, other, digest.of_file(other), Step())
        with pytest.raises(AnotherContent) as conflict:
            store.upload(KEY, path, digest.of_file(path), Step())
        assert conflict.value.hint
        store.download(KEY, tmp_path / "back", Step())
        assert digest.of_file(tmp_path / "back") == digest.of_file(other)

    def test_an_objects_size_is_told_without_reading_it(self, store: Store) -> None:
        assert store.size(KEY) is None
        store.create(KEY, b"12345")
        assert store.size(KEY) == 5

    def test_a_small_object_that_is_large_is_refused(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        store.create(KEY, b"12345")
        for module in ("local", "s3.store"):
            monkeypatch.setattr(f"envpack.stores.{module}.SMALL", 4)
        with pytest.raises(UsageError, match="larger than"):
            store.read(KEY)

    def test_two_uploads_of_one_file_end_with_one_object_and_no_error(self, place: Place, large: Path) -> None:
        sha256 = digest.of_file(large)
        stores = [place.open(), place.open()]
        ready = threading.Barrier(2)

        def send(store: Store) -> bool:
            first = [True]

            def meet() -> None:
                if first:
                    first.clear()
                    ready.wait(20)

            return store.upload(KEY, large, sha256, Counting(meet))

        with ThreadPoolExecutor(2) as threads:
            assert sorted(threads.map(send, stores)) == [False, True]
        assert _keys(stores[0]) == [KEY]

    @pytest.mark.parametrize("size", ["small", "large"])
    def test_a_file_that_is_not_what_its_digest_says_is_refused(
        self, store: Store, size: str, request: pytest.FixtureRequest
    ) -> None:
        path: Path = request.getfixturevalue(size)
        with pytest.raises(StoreRefused, match="received other bytes") as refused:
            store.upload(KEY, path, hashlib.sha256(b"other").hexdigest(), Step())
        assert refused.value.hint
        assert _keys(store) == []

    def test_downloading_what_is_not_there_says_so_and_leaves_no_file(self, store: Store, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="does not exist"):
            store.download("no/such.tar.gz", tmp_path / "sub" / "file", Step())
        assert [path for path in tmp_path.rglob("*file*") if path.is_file()] == []

    def test_a_download_to_where_nobody_may_write_names_the_file(self, store: Store, tmp_path: Path) -> None:
        store.create("object", b"data")
        (tmp_path / "taken").write_text("a file, not a folder")
        with pytest.raises(UsageError, match=r"cannot write .*taken"):
            store.download("object", tmp_path / "taken" / "file", Step())

    def test_a_listing_is_sorted_by_key_and_knows_sizes_and_times(self, store: Store) -> None:
        keys = ["a b/ü.json", "a.json", "a/b.json", "a/b/c.json", "b.json"]
        for key in reversed(keys):
            store.create(key, key.encode())
        entries = list(store.list())
        assert [entry.key for entry in entries] == keys
        assert [entry.size for entry in entries] == [len(key.encode()) for key in keys]
        assert all(abs(entry.modified - time.time()) < 60 for entry in entries)

    def test_the_folders_below_a_prefix_are_told_without_what_is_in_them(self, store: Store) -> None:
        for key in ("a/b/c/1", "a/d/2", "a/file", "aside/3", "top"):
            store.create(key, b"x")
        assert store.folders() == ("a", "aside")
        assert store.folders("a/") == ("b", "d")
        assert store.folders("a/d/") == ()
        assert store.folders("nothing/") == ()

    def test_a_stamp_changes_when_an_object_is_written_anew_and_not_before(self, store: Store) -> None:
        def stamps() -> list[str]:
            return [entry.stamp for entry in store.list("key")]

        store.create("key", b"old")
        first = stamps()
        store.read("key")
        assert stamps() == first
        found = store.read("key")
        assert found is not None
        assert store.replace("key", b"new", found.version)
        assert stamps() != first

    def test_a_listing_takes_a_prefix_that_need_not_end_at_a_slash(self, store: Store) -> None:
        for key in ["pandas/tags/prod.json", "pandas-udf/tags/prod.json", "other/x.json"]:
            store.create(key, b"")
        assert _keys(store, "pandas/") == ["pandas/tags/prod.json"]
        assert _keys(store, "pandas") == ["pandas-udf/tags/prod.json", "pandas/tags/prod.json"]
        assert _keys(store, "none/at/all") == []

    def test_an_object_is_deleted_and_deleting_it_again_is_no_error(self, store: Store) -> None:
        store.create("a/b.json", b"x")
        store.delete("a/b.json")
        store.delete("a/b.json")
        assert store.read("a/b.json") is None
        assert _keys(store) == []

    def test_an_address_is_the_store_and_the_key(self, store: Store) -> None:
        assert store.uri("a/b.json").endswith("/a/b.json")
        assert "://" in store.uri("a/b.json")

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
    def test_an_upload_that_is_stopped_leaves_nothing_to_see_and_does_not_block_the_next(
        self, place: Place, large: Path, number: signal.Signals
    ) -> None:
        writer, sent = _stopped_writer(place, large, number)
        assert writer.returncode != 0
        assert sent < large.stat().st_size / 2
        store = place.open()
        assert _keys(store) == []
        assert store.upload(KEY, large, digest.of_file(large), Step())


def _stopped_writer(place: Place, path: Path, number: signal.Signals) -> tuple[subprocess.Popen[str], int]:
    """Start a slow upload, signal it once it is under way, and return it with the bytes it went on to send."""
    command = [sys.executable, "-c", WRITER, place.url, KEY, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline().strip(), writer.communicate()
        writer.send_signal(number)
        told, _ = writer.communicate()
        return writer, sum(map(int, told.split()))


class TestLocalStore(AnyStore):
    """A directory, plain or as a URL."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return Place(url=str(tmp_path / "a store"))

    def test_a_file_url_names_the_same_directory(self, place: Place) -> None:
        place.open().create("x", b"1")
        url = Path(place.url).as_uri() + "/"
        assert "%20" in url
        assert _keys(open_store(url)) == ["x"]
        assert open_store(url).url == url.rstrip("/")

    def test_a_directory_of_another_machine_is_refused(self) -> None:
        with pytest.raises(UsageError, match=r"write file:///elsewhere\.example\.com/srv"):
            open_store("file://elsewhere.example.com/srv")

    def test_a_key_cannot_leave_the_store(self, store: Store) -> None:
        for key in ("../x", "a//b", "/etc/passwd", ""):
            with pytest.raises(UsageError, match="not a key"):
                store.create(key, b"")

    @pytest.mark.parametrize("umask", UMASKS)
    @pytest.mark.parametrize("root", [0o755, 0o2775, 0o750, 0o700, 0o777])
    def test_objects_can_be_read_by_those_who_can_read_the_stores_directory(
        self, place: Place, small: Path, root: int, umask: int
    ) -> None:
        directory = Path(place.url)
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(root)
        with umask_of(umask):
            store = place.open()
            store.create("a/b/new", b"1")
            store.upload("a/b/large", small, digest.of_file(small), Step())
            assert store.replace("a/b/new", b"2", digest.of_bytes(b"1"))
        files = {_mode(directory / "a/b" / name) for name in ("new", "large")}
        assert files == {0o600 | root & 0o044}
        assert {_mode(directory / folder) for folder in ("a", "a/b")} == {root & ~0o002}
        assert _mode(directory / "a/b/.envpack-lock") == 0o600 | root & 0o060

    @pytest.mark.parametrize("umask", UMASKS)
    def test_a_new_store_is_as_open_as_the_umask_says_but_not_for_all_to_write(
        self, tmp_path: Path, umask: int
    ) -> None:
        with umask_of(umask):
            local.LocalStore(tmp_path / "of/all").create("a/x", b"1")
        assert _mode(tmp_path / "of/all") == _mode(tmp_path / "of/all/a") == 0o777 & ~umask & ~0o002

    def test_of_many_processes_that_create_one_wins(self, place: Place) -> None:
        code = "import sys; from envpack.stores import open_store; print(open_store(sys.argv[1]).create('x', b''))"
        racers = [
            subprocess.Popen([sys.executable, "-c", code, place.url], stdout=subprocess.PIPE, text=True)
            for _ in range(4)
        ]
        assert sorted(racer.communicate()[0] for racer in racers) == ["False\n"] * 3 + ["True\n"]

    def test_what_a_killed_writer_left_is_hidden_and_later_removed(self, place: Place, large: Path) -> None:
        _stopped_writer(place, large, signal.SIGKILL)
        folder = Path(place.url, KEY).parent
        (draft,) = folder.iterdir()
        assert _keys(place.open()) == []
        place.open().create(KEY + ".json", b"")
        assert draft.exists(), "its writer might be alive"
        os.utime(draft, (0, time.time() - local.STALE - 1))
        place.open().create(KEY + ".2.json", b"")
        assert not draft.exists()

    def test_an_interrupted_writer_leaves_no_draft(self, place: Place, large: Path) -> None:
        _stopped_writer(place, large, signal.SIGINT)
        assert [path for path in Path(place.url).rglob("*") if path.is_file()] == []

    def test_a_file_system_without_hard_links_keeps_the_promise_too(
        self, store: Store, small: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
        assert store.create("a", b"first")
        assert not store.create("a", b"second")
        assert store.upload("b", small, digest.of_file(small), Step())
        assert _keys(store) == ["a", "b"]

    @pytest.mark.parametrize("below", ["", "/below"])
    def test_a_store_that_is_a_file_or_below_one_cannot_be_listed(self, tmp_path: Path, below: str) -> None:
        (tmp_path / "file").write_bytes(b"")
        store = open_store(f"{tmp_path / 'file'}{below}")
        for look in (
            store.folders,
            lambda: list(store.list()),
            lambda: store.read("a/b"),
            lambda: store.size("a/b"),
        ):
            with pytest.raises(StoreRefused) as refused:
                look()
            assert refused.value.hint

    def test_a_pipe_in_a_store_is_not_waited_for(self, store: Store, tmp_path: Path) -> None:
        path = Path(unquote(urlsplit(store.uri(KEY)).path))
        path.parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(path)
        with pytest.raises(StoreRefused):
            store.read(KEY)
        small = _file(tmp_path / "a file", 3)
        with pytest.raises(AnotherContent):
            store.upload(KEY, small, digest.of_file(small), Step())

    def test_a_store_that_is_a_file_is_refused_with_a_hint(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        for attempt in (lambda store: store.create("x", b""), lambda store: store.read("x"), _keys):
            with pytest.raises(StoreRefused, match="file") as refused:
                attempt(open_store(str(tmp_path / "file")))
            assert refused.value.hint

    def test_a_full_disk_is_refused_with_a_hint(self) -> None:
        full = Path("/dev/full")
        if not full.exists():
            pytest.skip("only Linux has /dev/full")
        with (
            pytest.raises(StoreRefused, match=os.strerror(errno.ENOSPC)) as refused,
            local._refusals(full),
            full.open("wb") as file,
        ):
            file.write(b"x" * 100_000)
        assert "disk is full" in (refused.value.hint or "")

    def test_a_directory_of_somebody_else_is_refused_with_a_hint(self, place: Place) -> None:
        Path(place.url).mkdir(mode=0o500)
        user = os.geteuid()
        if user == 0:  # who may write anywhere
            os.seteuid(65534)
        try:
            with pytest.raises(StoreRefused, match=os.strerror(errno.EACCES)) as refused:
                place.open().create("a/b", b"")
        finally:
            os.seteuid(user)
        assert "permission" in (refused.value.hint or "")

    def test_an_open_lock_of_another_writer_is_waited_for_but_not_for_ever(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store.create("tags/x", b"1")
        there = store.read("tags/x")
        assert there is not None
        monkeypatch.setattr(local, "LOCK_PATIENCE", 0.1)
        with local._lock(Path(store.url, "tags/y")), pytest.raises(StoreUnreachable, match="locked"):
            store.replace("tags/x", b"2", there.version)
        assert store.replace("tags/x", b"2", there.version)


class AnyS3Store(AnyStore):
    """What is particular to S3; a subclass names the server."""

    @pytest.fixture
    def server(self) -> S3Server:
        raise NotImplementedError

    @pytest.fixture
    def place(self, server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Place:
        server.prepare(monkeypatch)
        return Place(url=f"s3://{server.new_bucket()}/all my/releases", server=server)

    @pytest.fixture
    def wire(self, server: S3Server) -> Iterator[Wire]:
        wire = Wire(server)
        yield wire
        wire.close()

    def test_hadoops_spelling_names_the_same_store(self, place: Place) -> None:
        place.open().create("x", b"1")
        store = open_store(place.url.replace("s3://", "s3a://") + "/", place.options)
        assert _keys(store) == ["x"]
        assert store.uri("x") == f"{place.url}/x"

    def test_a_store_may_be_a_whole_bucket(self, place: Place) -> None:
        store = open_store(place.url.removesuffix("/all my/releases"), place.options)
        store.create("x/y", b"1")
        assert _keys(store) == ["x/y"]
        assert store.uri("x/y") == f"{store.url}/x/y"

    @pytest.mark.parametrize("size", ["small", "large"])
    def test_an_uploaded_object_says_what_it_is(
        self, place: Place, size: str, request: pytest.FixtureRequest
    ) -> None:
        path: Path = request.getfixturevalue(size)
        place.open().upload(KEY, path, digest.of_file(path), Step())
        head = _head(place)
        assert head["Metadata"] == {"sha256": digest.of_file(path)}
        assert head["ContentType"] == "application/gzip"
        assert "immutable" in head["CacheControl"]
        assert "ContentEncoding" not in head

    @pytest.mark.parametrize("sent", ["whole", "in parts"])
    @pytest.mark.parametrize("with_checksum", [True, False], ids=["with SHA-256", "without"])
    def test_what_another_tool_put_there_is_ours_only_if_its_bytes_are(
        self, place: Place, large: Path, tmp_path: Path, sent: str, with_checksum: bool
    ) -> None:
        """Its metadata claims our digest either way."""
        sha256 = digest.of_file(large)
        other = tmp_path / "other"
        data = large.read_bytes()
        other.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        for path, ours in ((large, True), (other, False)):
            _put_as_another_tool(place, path, sha256, parts=sent == "in parts", with_checksum=with_checksum)
            if ours:
                assert not place.open().upload(KEY, large, sha256, Step())
            else:
                with pytest.raises(AnotherContent):
                    place.open().upload(KEY, large, sha256, Step())

    def test_an_interrupted_upload_leaves_no_parts(self, place: Place, large: Path) -> None:
        _stopped_writer(place, large, signal.SIGINT)
        assert _unfinished(place) == []

    def test_a_failed_upload_leaves_no_parts(self, place: Place, large: Path, server: S3Server) -> None:
        somebody_else = server.client()
        with pytest.raises(Conflict):
            place.open().upload(
                KEY,
                large,
                digest.of_file(large),
                Counting(lambda: somebody_else.put_object(**_address(place), Body=b"somebody else's")),
            )
        assert _unfinished(place) == []

    @pytest.mark.acceptance
    @pytest.mark.parametrize("way", ["upload", "download"])
    def test_ctrl_c_does_not_wait_for_a_network_that_hangs(
        self, place: Place, large: Path, wire: Wire, way: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(client, "READ_TIMEOUT", 3600)
        sha256 = digest.of_file(large)
        if way == "download":
            place.open().upload(KEY, large, sha256, Step())
        store = place.open(endpoint=wire.endpoint)
        store.read("warm")

        def cut_and_interrupt() -> None:
            wire.cut.set()
            time.sleep(0.5)
            os.kill(os.getpid(), signal.SIGINT)

        threading.Timer(0.5, cut_and_interrupt).start()
        slow = Counting(lambda: time.sleep(0.2))
        run: dict[str, Callable[[], object]] = {
            "upload": lambda: store.upload(KEY, large, sha256, slow),
            "download": lambda: store.download(KEY, large.with_name("back"), slow),
        }
        with pytest.raises(KeyboardInterrupt):
            run[way]()
        wire.cut.clear()

    @pytest.mark.parametrize("operation", ["create", "replace"])
    def test_a_write_whose_answer_was_lost_counts_as_written(
        self, place: Place, wire: Wire, operation: str
    ) -> None:
        store = place.open(endpoint=wire.endpoint)
        store.create("tags/old", b"old")
        old = store.read("tags/old")
        assert old is not None
        wire.answers_to_lose = b"PUT "
        if operation == "create":
            assert store.create("tags/new", b"new")
        else:
            assert store.replace("tags/old", b"new", old.version)
        assert wire.answers_to_lose == b"", "the answer was not lost"

    def test_owner_and_condition_go_with_every_request_that_takes_them(
        self, place: Place, server: S3Server, large: Path, small: Path, tmp_path: Path
    ) -> None:
        sent = _requests_of_a_day(place.open(expected_bucket_owner=server.owner), [large, small], tmp_path)
        assert {"PutObject", "GetObject", "HeadObject", "ListObjectsV2", "DeleteObject", "UploadPart"} <= set(sent)
        assert {"CreateMultipartUpload", "CompleteMultipartUpload"} <= set(sent)
        for operation, requests in sent.items():
            for headers in requests:
                assert headers["x-amz-expected-bucket-owner"] == server.owner, operation
                if operation in {"PutObject", "CompleteMultipartUpload"}:
                    assert ("If-None-Match" in headers) != ("If-Match" in headers), operation
                if operation in {"PutObject", "UploadPart"}:
                    assert headers["x-amz-checksum-sha256"], operation

    def test_a_bucket_that_does_not_exist_is_refused_with_a_hint(self, place: Place, small: Path) -> None:
        store = open_store("s3://there-is-no-such-bucket", place.options)
        for attempt in (
            lambda: store.create("x", b""),
            lambda: store.read("x"),
            lambda: store.upload("x", small, digest.of_file(small), Step()),
            lambda: _keys(store),
        ):
            with pytest.raises(StoreRefused, match="NoSuchBucket") as refused:
                attempt()
            assert "create the bucket" in (refused.value.hint or "")

    def test_missing_credentials_are_refused_with_a_hint(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        with pytest.raises(StoreRefused, match="no AWS credentials") as refused:
            place.open().read("x")
        assert "AWS_ACCESS_KEY_ID" in (refused.value.hint or "")

    def test_an_unknown_profile_is_refused_with_a_hint(self, place: Place) -> None:
        with pytest.raises(StoreRefused, match="no-such-profile") as refused:
            place.open(profile="no-such-profile").read("x")
        assert "AWS_PROFILE" in (refused.value.hint or "")

    def test_nobody_listening_is_told_soon(self, place: Place, small: Path) -> None:
        store = place.open(endpoint="http://127.0.0.1:9")
        with pytest.raises(StoreUnreachable, match=r"127\.0\.0\.1:9 did not answer") as unreachable:
            store.upload("x", small, digest.of_file(small), Step())
        assert "AWS_ENDPOINT_URL_S3" in (unreachable.value.hint or "")

    def test_boto3_writes_nothing_to_the_terminal(self, place: Place) -> None:
        code = "import sys; from envpack.stores import open_store; open_store(sys.argv[1]).create('x', b'')"
        done = subprocess.run(
            [sys.executable, "-W", "always", "-c", code, place.url], capture_output=True, text=True, check=True
        )
        assert done.stdout == ""
        assert "oto" not in done.stderr


def _address(place: Place) -> dict[str, str]:
    bucket, _, prefix = place.url.removeprefix("s3://").partition("/")
    return {"Bucket": bucket, "Key": f"{prefix}/{KEY}"}


def _head(place: Place) -> dict[str, Any]:
    assert place.server is not None
    head: dict[str, Any] = place.server.client().head_object(**_address(place))
    return head


def _put_as_another_tool(place: Place, path: Path, claimed: str, *, parts: bool, with_checksum: bool) -> None:
    """Put a file where an upload wants to go, its metadata claiming a digest."""
    assert place.server is not None
    client, address = place.server.client(), _address(place)
    asked = {"ChecksumAlgorithm": "SHA256"} if with_checksum else {}
    client.delete_object(**address)
    if not parts:
        client.put_object(**address, Body=path.read_bytes(), Metadata={"sha256": claimed}, **asked)
        return
    upload = client.create_multipart_upload(**address, Metadata={"sha256": claimed}, **asked)["UploadId"]
    data, done = path.read_bytes(), []
    for number, start in enumerate(range(0, len(data), SMALLEST_PART), 1):
        part = {"UploadId": upload, "PartNumber": number, "Body": data[start : start + SMALLEST_PART]}
        answer = client.upload_part(**address, **part, **asked)
        kept = {name: answer[name] for name in ("ETag", "ChecksumSHA256") if name in answer}
        done.append({"PartNumber": number, **(kept if with_checksum else {"ETag": answer["ETag"]})})
    client.complete_multipart_upload(**address, UploadId=upload, MultipartUpload={"Parts": done})


def _unfinished(place: Place) -> list[str]:
    assert place.server is not None
    uploads = place.server.client().list_multipart_uploads(Bucket=_address(place)["Bucket"])
    return [upload["Key"] for upload in uploads.get("Uploads", ())]


def _requests_of_a_day(store: Any, paths: list[Path], folder: Path) -> dict[str, list[dict[str, str]]]:
    """Do everything a store can do, and return the headers of what was sent, by operation."""
    sent: dict[str, list[dict[str, str]]] = {}

    def record(request: Any, event_name: str, **_: object) -> None:
        headers = {
            name: value.decode() if isinstance(value, bytes) else value for name, value in request.headers.items()
        }
        sent.setdefault(event_name.rpartition(".")[2], []).append(headers)

    store._client.meta.events.register("before-send.s3", record)
    store.create("x", b"1")
    store.replace("x", b"2", store.read("x").version)
    for number, path in enumerate(paths):
        store.upload(f"{number}.zip", path, digest.of_file(path), Step())
        store.download(f"{number}.zip", folder / "back", Step())
    list(store.list())
    store.delete("x")
    return sent


class TestMotoS3Store(AnyS3Store):
    """S3 as moto plays it."""

    @pytest.fixture
    def server(self, moto_s3: S3Server) -> S3Server:
        return moto_s3

    @pytest.mark.parametrize("size", ["small", "large"])
    def test_what_is_encrypted_and_with_which_key_is_the_persons_choice(
        self, place: Place, size: str, request: pytest.FixtureRequest
    ) -> None:
        path: Path = request.getfixturevalue(size)
        key = "arn:aws:kms:us-east-1:123456789012:key/0b8fcea1-0000-0000-0000-000000000000"
        place.open(sse="aws:kms", kms_key=key).upload(KEY, path, digest.of_file(path), Step())
        head = _head(place)
        assert head["ServerSideEncryption"] == "aws:kms"
        assert head["SSEKMSKeyId"] == key


@pytest.mark.parametrize(
    "url", ["gs://bucket/x", "https://user:secret@example.com/x", "", "s3://", "s3:/bucket/x", "s3://bucket/x#y"]
)
def test_what_is_no_store_is_refused_with_what_would_be(url: str) -> None:
    with pytest.raises(UsageError) as refused:
        open_store(url)
    assert "s3://BUCKET" in (refused.value.hint or "")
    assert "secret" not in str(refused.value)


def test_a_local_store_does_without_boto3() -> None:
    code = "import sys, envpack.stores as s; s.open_store('x'); s.S3Options(); print('boto3' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_an_endpoint_that_is_no_url_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="minio:9000x"):
        open_store("s3://bucket", S3Options(endpoint="minio:9000x", region="us-east-1")).read("x")


def test_a_web_server_is_not_taken_for_an_empty_store(s3_store_url: str, tmp_path: Path) -> None:
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        store = open_store(
            s3_store_url, S3Options(endpoint=f"http://127.0.0.1:{server.server_port}", addressing="path")
        )
        attempts: list[Callable[[], object]] = [
            lambda: store.read("x"),
            lambda: store.create("x", b""),
            lambda: _keys(store),
        ]
        for attempt in attempts:
            with pytest.raises(StoreRefused, match="does not reply as an S3 server") as refused:
                attempt()
            assert "AWS_ENDPOINT_URL_S3" in (refused.value.hint or "")
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "code", "kind", "hint"),
    [
        (403, "AccessDenied", StoreRefused, "s3:PutObject"),
        (400, "ExpiredToken", StoreRefused, "aws sso login"),
        (400, "AuthorizationHeaderMalformed", StoreRefused, "AWS_DEFAULT_REGION"),
        (400, "KMS.NotFoundException", StoreRefused, "KMS key"),
        (501, "NotImplemented", StoreRefused, "conditional writes"),
        (400, "BadDigest", StoreRefused, "try again"),
        (503, "SlowDown", StoreUnreachable, "later"),
        (400, "SomethingNew", StoreRefused, ""),
    ],
)
def test_what_s3_answers_becomes_a_kind_and_a_next_step(
    status: int, code: str, kind: type[EnvpackError], hint: str
) -> None:
    answer = {"Error": {"Code": code, "Message": "S3's words."}, "ResponseMetadata": {"HTTPStatusCode": status}}
    attempt = errors.Attempt(
        uri="s3://bucket/x", permission="s3:PutObject", options=S3Options(), endpoint="https://s3.example.com"
    )
    error = errors.explained(ClientError(answer, "PutObject"), attempt)
    assert type(error) is kind
    assert hint in (error.hint or "")
    assert "s3://bucket/x" in str(error)


@pytest.mark.parametrize("options", [{"part_size": 1000}, {"concurrency": 0}, {"kms_key": "alias/x"}])
def test_options_that_s3_would_not_take_are_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        S3Options(**options)
