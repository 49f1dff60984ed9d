"""The S3 store's promises on servers that check what moto lets pass."""

from __future__ import annotations

import base64
import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from envpack import digest
from envpack.errors import StoreRefused
from envpack.progress import Step
from tests.support.s3 import SECRET_KEY
from tests.test_s3_copies import AnyServer
from tests.test_stores import AnyS3Store

if TYPE_CHECKING:
    from pathlib import Path

    from envpack.stores.base import Store
    from tests.support.s3 import S3Server
    from tests.test_stores import Place

WRONG = base64.b64encode(hashlib.sha256(b"something else").digest()).decode()


@pytest.mark.acceptance
class TestRealS3Store(AnyS3Store):
    """S3 as versitygw plays it."""

    @pytest.fixture
    def server(self, real_s3: S3Server) -> S3Server:
        return real_s3

    def test_a_wrong_secret_is_refused_and_not_shown(
        self, place: Place, small: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not" + SECRET_KEY)
        with pytest.raises(StoreRefused, match="SignatureDoesNotMatch") as refused:
            place.open().create("x", b"1")
        assert "AWS_SECRET_ACCESS_KEY" in (refused.value.hint or "")
        assert SECRET_KEY not in f"{refused.value} {refused.value.hint}"
        with pytest.raises(StoreRefused):
            place.open().upload("y", small, digest.of_file(small), Step())

    def test_an_unknown_access_key_is_refused_and_not_shown(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobodys-key")
        with pytest.raises(StoreRefused, match="access key") as refused:
            place.open().create("x", b"1")
        assert "nobodys-key" not in f"{refused.value} {refused.value.hint}"

    def test_a_bucket_of_somebody_else_is_refused(self, place: Place) -> None:
        with pytest.raises(StoreRefused) as refused:
            place.open(expected_bucket_owner="999999999999").read("x")
        assert "must belong to the account 999999999999" in (refused.value.hint or "")

    def test_a_listing_has_no_end_at_a_thousand(self, store: Store) -> None:
        keys = [f"{number:04}" for number in range(1005)]
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda key: store.create(key, b""), keys))
        assert [entry.key for entry in store.list()] == keys


@pytest.mark.acceptance
class TestMinio(AnyS3Store):
    """S3 as MinIO plays it."""

    @pytest.fixture
    def server(self, minio_s3: S3Server) -> S3Server:
        return minio_s3


@pytest.mark.acceptance
class TestMinioCopies(AnyServer):
    """Copies on MinIO, which makes none into an upload whose parts have SHA-256: MD5 proves them."""

    tells_sha256 = False

    @pytest.fixture
    def server(self, minio_s3: S3Server) -> S3Server:
        return minio_s3


@pytest.mark.acceptance
class TestRealS3Copies(AnyServer):
    """Copies on versitygw. It tells no SHA-256 of what is copied from an object that has one: MD5 proves that."""

    @pytest.fixture
    def server(self, real_s3: S3Server) -> S3Server:
        return real_s3


@pytest.mark.acceptance
def test_the_server_refuses_an_object_and_a_part_with_a_wrong_checksum(real_s3: S3Server) -> None:
    client, bucket = real_s3.client(), real_s3.new_bucket()
    with pytest.raises(ClientError, match="BadDigest"):
        client.put_object(Bucket=bucket, Key="x", Body=b"data", ChecksumSHA256=WRONG)
    upload = client.create_multipart_upload(Bucket=bucket, Key="x", ChecksumAlgorithm="SHA256")["UploadId"]
    with pytest.raises(ClientError, match="BadDigest"):
        client.upload_part(
            Bucket=bucket, Key="x", UploadId=upload, PartNumber=1, Body=b"data", ChecksumSHA256=WRONG
        )
    assert "Contents" not in client.list_objects_v2(Bucket=bucket)


@pytest.mark.acceptance
def test_the_server_refuses_a_wrong_signature(real_s3: S3Server) -> None:
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        real_s3.client(secret_key="wrong").list_buckets()
