"""What the bucket already has is copied there; where that cannot be, the object is right all the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from envpack import digest
from envpack.errors import StoreRefused
from envpack.progress import Counted, Step
from envpack.stores import open_store
from envpack.stores.base import Held
from envpack.stores.s3 import client
from envpack.stores.s3.options import MIB, SMALLEST_PART, S3Options
from envpack.units import human_size
from tests.support.counting import Counting
from tests.support.s3 import Answer, Asked, Gate, S3Server, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from envpack.stores.base import Store

OLD = "pandas/0123456789abcdef/pandas ü.tar.gz"
NEW = "pandas/fedcba9876543210/pandas ü.tar.gz"

CHANGED = 5 * MIB + 100
"""Bytes in the middle of the new file that no object has."""

WRITER = """
import json, os, pathlib, sys, time
from envpack import digest
from envpack.progress import Step
from envpack.stores.s3.options import S3Options
from envpack.stores import open_store
from envpack.stores.base import Held

class Slow(Step):
    def advance(self, amount):
        os.write(1, b"under way\\n")  # in one piece: several threads call this
        time.sleep(0.05)

url, key, path, held = sys.argv[1:]
store = open_store(url, S3Options(part_size=5 << 20, addressing="path"))
path = pathlib.Path(path)
store.upload(key, path, digest.of_file(path), Slow(), [Held(**one) for one in json.loads(held)])
"""
"""A process that uploads slowly; to be interrupted or killed."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A bucket with an old archive, and a new file that differs from it in the middle."""

    server: S3Server
    gate: Gate
    url: str
    old: Path
    new: Path
    held: tuple[Held, ...]
    """True: what the new file shares with the old object."""

    def store(self, endpoint: str | None = None) -> Store:
        """Return the store, by default as it is seen through the gate."""
        options = S3Options(
            part_size=SMALLEST_PART, concurrency=4, addressing="path", endpoint=endpoint or self.gate.endpoint
        )
        return open_store(self.url, options)

    def upload(self, step: Step | None = None, key: str = NEW, held: tuple[Held, ...] | None = None) -> bool:
        """Put the new file into the store."""
        held = self.held if held is None else held
        return self.store().upload(key, self.new, digest.of_file(self.new), step or Step(), held)

    def address(self, key: str = NEW) -> dict[str, str]:
        bucket, _, prefix = self.url.removeprefix("s3://").partition("/")
        return {"Bucket": bucket, "Key": f"{prefix}/{key}"}

    def is_right(self, key: str = NEW) -> bool:
        """Return whether the object has the new file's bytes."""
        data = self.server.client().get_object(**self.address(key))["Body"].read()
        return digest.of_bytes(data) == digest.of_file(self.new)

    def unfinished(self) -> list[str]:
        """Return the uploads that were neither completed nor aborted."""
        answer = self.server.client().list_multipart_uploads(Bucket=self.address()["Bucket"])
        return [upload["Key"] for upload in answer.get("Uploads", ())]

    def copies(self) -> list[Asked]:
        return [asked for asked in self.gate.asked if asked.copies]


class AnyServer:
    """What holds on any server; a subclass says which."""

    tells_sha256 = True
    """Whether it copies into an upload whose parts have SHA-256."""

    @pytest.fixture
    def server(self) -> S3Server:
        raise NotImplementedError

    @pytest.fixture
    def gate(self, server: S3Server) -> Iterator[Gate]:
        gate = Gate(server)
        yield gate
        gate.close()

    @pytest.fixture
    def scene(self, server: S3Server, gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
        server.prepare(monkeypatch)
        before, after = os.urandom(6 * MIB + 17), os.urandom(5 * MIB + 1)
        old, new = tmp_path / "old.tar.gz", tmp_path / "new.tar.gz"
        old.write_bytes(before + os.urandom(MIB) + after)
        new.write_bytes(before + os.urandom(CHANGED) + after)
        held = (
            Held(key=OLD, start=0, offset=0, size=len(before)),
            Held(key=OLD, start=len(before) + MIB, offset=len(before) + CHANGED, size=len(after)),
        )
        url = f"s3://{server.new_bucket()}/all my/releases"
        scene = Scene(server=server, gate=gate, url=url, old=old, new=new, held=held)
        scene.store(server.endpoint).upload(OLD, old, digest.of_file(old), Step())
        return scene

    def test_of_a_file_that_is_held_but_for_its_middle_only_that_is_sent(self, scene: Scene) -> None:
        step = Counting()
        assert scene.upload(step)
        assert CHANGED <= scene.gate.received() < CHANGED + 10_000
        assert scene.is_right()
        assert step.sum == scene.new.stat().st_size
        assert scene.unfinished() == []

    def test_the_line_of_an_upload_says_how_much_of_it_was_sent(self, scene: Scene) -> None:
        step = Counted("bytes")
        assert scene.upload(step)
        size = scene.new.stat().st_size
        assert step.facts == f"{human_size(size)}, {human_size(CHANGED)} of it sent"
        whole = Counted("bytes")
        assert scene.upload(whole, key="whole", held=())
        assert whole.facts == human_size(size)

    @pytest.mark.acceptance
    def test_of_60_mb_one_changed_package_costs_that_package(self, scene: Scene) -> None:
        before, after = os.urandom(25 * MIB + 17), os.urandom(29 * MIB + 1)
        scene.old.write_bytes(before + os.urandom(MIB) + after)
        scene.new.write_bytes(before + os.urandom(CHANGED) + after)
        scene.store().upload("big", scene.old, digest.of_file(scene.old), Step())
        scene.gate.asked.clear()
        held = (
            Held(key="big", start=0, offset=0, size=len(before)),
            Held(key="big", start=len(before) + MIB, offset=len(before) + CHANGED, size=len(after)),
        )
        assert scene.upload(held=held)
        assert CHANGED <= scene.gate.received() < CHANGED + 10_000
        # Each of the two held ranges is copied as two parts: a copied part has at most 16 MiB.
        assert len(scene.gate.asked) <= 13
        assert scene.is_right()

    def test_a_copied_archive_serves_as_a_source_too(self, scene: Scene) -> None:
        assert scene.upload()
        scene.gate.asked.clear()
        held = Held(key=NEW, start=0, offset=0, size=scene.new.stat().st_size)
        assert scene.upload(key="third", held=(held,))
        assert scene.gate.received() < 10_000
        assert scene.is_right("third")

    def test_what_s3_has_without_a_sha256_is_proven_by_it_all_the_same(self, scene: Scene) -> None:
        scene.server.client().put_object(**scene.address("plain"), Body=scene.old.read_bytes())
        held = tuple(Held(**{**asdict(one), "key": "plain"}) for one in scene.held)
        assert scene.upload(held=held)
        assert len(scene.copies()) == 2 + (not self.tells_sha256)
        assert scene.gate.received() < CHANGED + 10_000
        assert scene.is_right()
        head = scene.server.client().head_object(**scene.address(), ChecksumMode="ENABLED")
        assert ("ChecksumSHA256" in head) is self.tells_sha256

    def test_the_object_says_what_it_is_as_one_that_was_sent_does(self, scene: Scene) -> None:
        scene.upload()
        assert scene.copies()
        head, sent = (scene.server.client().head_object(**scene.address(key)) for key in (NEW, OLD))
        assert head["Metadata"] == {"sha256": digest.of_file(scene.new)}
        for name in ("ContentType", "CacheControl"):
            assert head[name] == sent[name]

    def test_an_upload_of_what_is_there_already_copies_nothing(self, scene: Scene) -> None:
        assert scene.upload()
        scene.gate.asked.clear()
        assert not scene.upload()
        # It reads what is there only where the server does not tell its SHA-256.
        assert {asked.method for asked in scene.gate.asked} <= {"HEAD", "GET"}

    def test_nobody_sees_the_object_before_it_is_whole(self, scene: Scene) -> None:
        reader, seen = scene.store(scene.server.endpoint), []

        def look() -> None:
            seen.append([entry.key for entry in reader.list("pandas/f")])

        assert scene.upload(Counting(look))
        assert seen
        assert not any(seen)

    @pytest.mark.parametrize("what", ["overwritten", "deleted"])
    def test_a_source_that_changes_meanwhile_is_not_copied(self, scene: Scene, what: str) -> None:
        client = scene.server.client()

        def change_first(asked: Asked) -> Answer:
            if asked.copies and len(scene.copies()) == 1:
                if what == "overwritten":
                    client.put_object(**scene.address(OLD), Body=bytes(scene.old.stat().st_size))
                else:
                    client.delete_object(**scene.address(OLD))
            return scene.gate.forward(asked)

        scene.gate.serve = change_first
        step = Counting()
        assert scene.upload(step)
        assert scene.copies()
        assert scene.is_right()
        assert step.sum == scene.new.stat().st_size
        assert scene.unfinished() == []

    @pytest.mark.parametrize("status", [400, 403, 501])
    def test_a_server_that_refuses_copies_gets_the_whole_file_and_is_not_asked_again(
        self, scene: Scene, status: int
    ) -> None:
        def refuse(asked: Asked) -> Answer:
            return Answer.error(status, "NotImplemented") if asked.copies else scene.gate.forward(asked)

        scene.gate.serve = refuse
        step = Counting()
        assert scene.upload(step)
        assert scene.is_right()
        assert step.sum == scene.new.stat().st_size
        asked = len(scene.copies())
        assert asked <= 2, "it is asked with SHA-256 and without"
        assert scene.gate.received() < scene.new.stat().st_size + 10_000
        assert scene.upload(key="another")
        assert len(scene.copies()) == asked
        assert scene.is_right("another")
        assert scene.unfinished() == []

    def test_a_server_that_cannot_complete_what_it_copied_gets_the_whole_file(self, scene: Scene) -> None:
        def refuse(asked: Asked) -> Answer:
            completes = asked.method == "POST" and "uploadId=" in asked.target
            first = sum("uploadId=" in one.target and one.method == "POST" for one in scene.gate.asked) == 1
            return Answer.error(400, "InvalidPart") if completes and first else scene.gate.forward(asked)

        scene.gate.serve = refuse
        step = Counting()
        assert scene.upload(step)
        assert scene.copies()
        assert scene.is_right()
        assert step.sum == scene.new.stat().st_size

    def test_a_server_that_tells_no_checksum_of_a_copy_is_believed_by_its_md5(self, scene: Scene) -> None:
        scene.gate.serve = _telling(scene.gate, lambda body: _without(body, b"ChecksumSHA256"))
        assert scene.upload()
        assert CHANGED <= scene.gate.received() < CHANGED + 10_000
        assert scene.is_right()
        copies = len(scene.copies())
        assert scene.upload(key="another")
        assert len(scene.copies()) == copies + 2, "a copy was made to find out what is known"

    def test_a_server_that_tells_nothing_of_a_copy_is_not_believed(self, scene: Scene) -> None:
        scene.gate.serve = _telling(
            scene.gate, lambda body: _without(_without(body, b"ChecksumSHA256"), b"ETag", b'"opaque"')
        )
        assert scene.upload()
        assert scene.copies()
        assert scene.gate.received() >= scene.new.stat().st_size
        assert scene.is_right()
        assert scene.unfinished() == []

    def test_a_source_with_other_bytes_than_claimed_is_not_copied(self, scene: Scene) -> None:
        damaged = bytearray(scene.old.read_bytes())
        damaged[MIB] ^= 1
        scene.server.client().put_object(**scene.address(OLD), Body=bytes(damaged))
        step = Counting()
        assert scene.upload(step)
        assert scene.copies()
        assert scene.is_right()
        assert step.sum == scene.new.stat().st_size
        assert scene.unfinished() == []

    def test_a_source_that_is_missing_or_too_short_is_left_out_and_the_others_serve(self, scene: Scene) -> None:
        first, second = scene.held
        gone = Held(key="not there", start=0, offset=first.offset, size=first.size)
        beyond = Held(key=OLD, start=scene.old.stat().st_size, offset=0, size=first.size)
        assert scene.upload(held=(gone, second))
        assert scene.gate.received() < scene.new.stat().st_size - second.size + 10_000
        assert scene.is_right()
        scene.gate.asked.clear()
        assert scene.upload(key="another", held=(gone, beyond))
        assert scene.copies() == []
        assert scene.is_right("another")

    def test_two_uploads_at_once_end_with_one_object_and_no_error(self, scene: Scene) -> None:
        ready = threading.Barrier(2)

        def send(_: int) -> bool:
            first = [True]

            def meet() -> None:
                if first:
                    first.clear()
                    ready.wait(60)

            return scene.upload(Counting(meet))

        with ThreadPoolExecutor(2) as threads:
            assert sorted(threads.map(send, range(2))) == [False, True]
        assert scene.copies()
        assert scene.is_right()
        assert scene.unfinished() == []

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
    def test_an_upload_that_is_stopped_leaves_nothing_to_see_and_does_not_block_the_next(
        self, scene: Scene, number: signal.Signals
    ) -> None:
        held = json.dumps([asdict(one) for one in scene.held])
        command = [sys.executable, "-c", WRITER, scene.url, NEW, str(scene.new), held]
        environment = {**os.environ, "AWS_ENDPOINT_URL_S3": scene.gate.endpoint}
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "under way\n"
            writer.send_signal(number)
            writer.communicate(timeout=60)
        assert writer.returncode != 0
        assert scene.copies()
        assert [entry.key for entry in scene.store().list()] == [OLD]
        if number == signal.SIGINT:
            assert scene.unfinished() == []
        assert scene.upload()
        assert scene.is_right()

    @pytest.mark.acceptance
    def test_ctrl_c_does_not_wait_for_a_network_that_hangs(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(client, "READ_TIMEOUT", 3600)
        wire = Wire(scene.server)
        store = scene.store(wire.endpoint)
        store.read("warm")

        def cut_and_interrupt() -> None:
            wire.cut.set()
            time.sleep(0.5)
            os.kill(os.getpid(), signal.SIGINT)

        threading.Timer(1.5, cut_and_interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            store.upload(NEW, scene.new, digest.of_file(scene.new), Counting(lambda: time.sleep(0.2)), scene.held)
        wire.close()

    def test_an_error_of_the_listener_ends_the_upload_at_once_and_comes_through(self, scene: Scene) -> None:
        total = 0

        class Unplugged(Step):
            def advance(self, amount: int) -> None:
                nonlocal total
                total += amount
                if total > scene.held[0].size + scene.held[1].size:
                    raise OSError("the cable was pulled")

        with pytest.raises(OSError, match="cable"):
            scene.upload(Unplugged())
        assert scene.copies()
        assert scene.unfinished() == []
        assert scene.upload()

    def test_owner_and_condition_go_with_every_copy(self, scene: Scene) -> None:
        options = S3Options(
            addressing="path", endpoint=scene.gate.endpoint, expected_bucket_owner=scene.server.owner
        )
        store = open_store(scene.url, options)
        assert store.upload(NEW, scene.new, digest.of_file(scene.new), Step(), scene.held)
        for copy in scene.copies():
            assert copy.headers["x-amz-expected-bucket-owner"] == scene.server.owner
            assert copy.headers["x-amz-source-expected-bucket-owner"] == scene.server.owner
            assert copy.headers["x-amz-copy-source-if-match"]
        assert scene.copies()
        (completion,) = [
            asked for asked in scene.gate.asked if asked.method == "POST" and "uploadId=" in asked.target
        ]
        assert completion.headers["if-none-match"] == "*"


def _telling(gate: Gate, change: Callable[[bytes], bytes]) -> Callable[[Asked], Answer]:
    """Return how a gate answers copies with changed words."""

    def serve(asked: Asked) -> Answer:
        answer = gate.forward(asked)
        if not asked.copies:
            return answer
        return Answer(status=answer.status, body=change(answer.body), headers=answer.headers)

    return serve


def _without(body: bytes, element: bytes, value: bytes | None = None) -> bytes:
    """Return XML without an element, or with another value in it."""
    head, opening, rest = body.partition(b"<" + element + b">")
    if not opening:
        return body
    _, closing, tail = rest.partition(b"</" + element + b">")
    return head + tail if value is None else head + opening + value + closing + tail


class TestMoto(AnyServer):
    """S3 as moto plays it."""

    @pytest.fixture
    def server(self, moto_s3: S3Server) -> S3Server:
        return moto_s3

    def test_it_takes_one_request_for_each_part_and_six_around_them(self, scene: Scene) -> None:
        scene.upload()
        assert [_operation(asked) for asked in scene.gate.asked] == [
            "HEAD",
            "HEAD",
            "POST uploads",
            *["PUT copy", "PUT copy", "PUT part"],
            "POST uploadId",
            "HEAD",
        ]

    def test_an_object_that_s3_finished_wrongly_is_removed_and_refused(self, scene: Scene) -> None:
        def drop_last_part(asked: Asked) -> Answer:
            if _operation(asked) != "POST uploadId":
                return scene.gate.forward(asked)
            head, _, _ = asked.body.rpartition(b"<Part>")
            body = head + b"</CompleteMultipartUpload>"
            headers = {**asked.headers, "content-length": str(len(body))}
            return scene.gate.forward(Asked(method=asked.method, target=asked.target, headers=headers, body=body))

        scene.gate.serve = drop_last_part
        with pytest.raises(StoreRefused, match="assembled its parts wrongly"):
            scene.upload()
        assert [entry.key for entry in scene.store().list()] == [OLD]


def _operation(asked: Asked) -> str:
    query = asked.target.partition("?")[2]
    if asked.method == "PUT":
        return "PUT copy" if asked.copies else "PUT part"
    return f"{asked.method} {query.partition('=')[0]}".strip()


def test_a_directory_takes_no_advice_and_no_harm(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"data")
    held: Any = [Held(key="not there", start=7, offset=0, size=4)]
    store = open_store(str(tmp_path / "store"))
    assert store.upload("a/b", file, digest.of_file(file), Step(), held)
    store.download("a/b", tmp_path / "back", Step())
    assert (tmp_path / "back").read_bytes() == b"data"
