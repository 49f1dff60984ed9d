"""What gc promises, on other S3 servers: killed, raced, and with uploads that were never ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import envpack.gc.collect as collecting
from envpack.gc.rules import RetentionRules
from envpack.stores import open_store
from tests.support.s3 import begin_upload
from tests.test_gc import AnyStore, collect

if TYPE_CHECKING:
    from tests.support.s3 import S3Server


class OnServer(AnyStore):
    """A bucket of a server, which is slower than a directory."""

    seconds = 20.0
    stride = 2

    @pytest.fixture
    def url(self, server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
        server.prepare(monkeypatch)
        return f"s3://{server.new_bucket()}/releases"


@pytest.mark.acceptance
class TestOnMinio(OnServer):
    """S3 as MinIO plays it."""

    @pytest.fixture
    def server(self, minio_s3: S3Server) -> S3Server:
        return minio_s3


@pytest.mark.acceptance
class TestOnRealS3(OnServer):
    """S3 as versitygw plays it."""

    @pytest.fixture
    def server(self, real_s3: S3Server) -> S3Server:
        return real_s3

    def test_an_upload_is_left_alone_while_it_is_young_and_aborted_when_it_is_old(
        self, url: str, real_s3: S3Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        upload_id, part = begin_upload(url, real_s3)
        store = open_store(url)
        assert collecting.plan(store, RetentionRules(grace=0)).leftovers == ()
        monkeypatch.setattr(collecting, "SLOWEST_UPLOAD", 0.0)
        (left,) = collecting.plan(store, RetentionRules(grace=0)).leftovers
        assert (left.kind, left.size) == ("upload", len(part))
        assert left.upload is not None
        assert left.upload.token == upload_id
        assert collect(store, RetentionRules(grace=0)).size == len(part)
        assert list(store.unfinished()) == []
