"""A store in an S3 bucket, of AWS or of any server that follows S3's rules on conditional writes."""

from __future__ import annotations

import hashlib
import re
import threading
import time
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import botocore.session
from boto3.s3.transfer import ProgressCallbackInvoker, TransferConfig, create_transfer_manager
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError
from botocore.parsers import ResponseParserError

from envpack import digest
from envpack.errors import EnvpackError, StoreRefused, UsageError
from envpack.redact import redact, stored
from envpack.redact.logs import filtered_logger
from envpack.stores.base import (
    SMALL,
    Held,
    ListedObject,
    Object,
    Observation,
    Unfinished,
    another_content,
    damaged,
    too_large,
    writing,
)
from envpack.stores.s3 import credentials
from envpack.stores.s3.assembly import Assembly, CopySource, Uncopyable, assemble, can_copy
from envpack.stores.s3.client import make_client
from envpack.stores.s3.errors import (
    BROKEN_OFF,
    CONDITION_FAILED,
    CONFLICTING_WRITE,
    EXPLAINED,
    NOT_FOUND,
    NOT_MODIFIED,
    Attempt,
    code_of,
    contested,
    explained,
    in_circles,
    is_of_reading,
    redirected,
)
from envpack.stores.s3.interrupt import PATIENCE, done_within
from envpack.stores.s3.parts import plan
from envpack.stores.s3.proofs import base64_of, of_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from envpack.progress import Step
    from envpack.stores.s3.options import S3Options
    from envpack.stores.s3.parts import Part

CONFLICT_PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6)
"""Seconds to wait before a write that collided with another one to the same key is retried."""

READS = 3
"""How often a small object is requested when its answer breaks off."""

logger = filtered_logger(__name__)

_URL = re.compile(r"s3a?://(?P<bucket>[A-Za-z0-9._-]{3,255})(?:/(?P<prefix>[^?#]*))?", re.IGNORECASE)

_REJECTIONS = CONDITION_FAILED | {CONFLICTING_WRITE, "NoSuchKey", "NoSuchUpload"}
"""Answers after which to check the key again: `NoSuchUpload` comes when the answer to a completion was lost."""

_CONTENT_TYPES = {
    ".json": "application/json",
    ".gz": "application/gzip",
    ".tar": "application/x-tar",
    ".zip": "application/zip",
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
"""By suffix; others are plain bytes. Never with a Content-Encoding, which some clients would undo."""


class S3Store:
    """Objects under one prefix of one bucket; see Store for the methods' contracts.

    Every write is conditional (`If-None-Match: *`, or `If-Match` to replace), so S3 itself protects existing
    objects. A HEAD precedes each, for servers that ignore conditions: there only a race can overwrite. A server
    that refuses conditions is refused. Each request carries a SHA-256 that S3 verifies: of the object, or of each
    part.
    """

    def __init__(self, url: str, options: S3Options) -> None:
        """Take `s3://BUCKET[/PREFIX]` or `s3a://...`; raises UsageError for another form."""
        match = _URL.fullmatch(url)
        if match is None:
            raise UsageError(
                f"{redact(url)!r} is not the URL of an S3 store",
                hint="write s3://BUCKET/PREFIX: the bucket has 3 characters or more, the prefix has no `?` and "
                "no `#`",
            )
        self._bucket = match["bucket"]
        prefix = (match["prefix"] or "").strip("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self.url = f"s3://{self._bucket}/{prefix}".rstrip("/")
        self._options = options
        self._lock = threading.Lock()
        self._made_client: Any = None
        self._begun: dict[str, str] = {}  # the upload id of each key's last upload in parts

    def uri(self, key: str) -> str:
        """Return the address as `s3://BUCKET/PREFIX/KEY`, not percent-encoded."""
        return f"{self.url}/{key}"

    def read(self, key: str, known: Object | None = None) -> Object | None:
        """Return a small object; its version is the ETag."""
        condition = {"IfNoneMatch": known.version} if known else {}
        with self._asking("s3:GetObject and s3:ListBucket", key):
            for attempt in range(READS):
                try:
                    return self._read(key, known, condition)
                except BROKEN_OFF:  # botocore retries a request, but only before the answer's body
                    if attempt == READS - 1:
                        raise
                    time.sleep(0.1 * (attempt + 1))  # some servers answer while the object is being replaced
        return None

    def _read(self, key: str, known: Object | None, condition: dict[str, str]) -> Object | None:
        try:
            answer = self._client.get_object(**self._address(key), **condition)
        except self._client.exceptions.NoSuchKey:
            return None
        except ClientError as error:
            if code_of(error) == NOT_MODIFIED:
                return known
            raise
        # As a context, boto3's body gives the raw stream, which checks neither length nor checksum.
        with closing(answer["Body"]) as body:
            if answer["ContentLength"] > SMALL:
                raise too_large(self.uri(key))
            return Object(data=body.read(), version=answer["ETag"])

    def size(self, key: str) -> int | None:
        """Return the size of an object by a HEAD."""
        there = self._head(key)
        return int(there["ContentLength"]) if there else None

    def create(self, key: str, data: bytes) -> bool:
        """Write a small object unless the key is taken."""
        return self._head(key) is None and self._put(key, data, IfNoneMatch="*")

    def replace(self, key: str, data: bytes, version: str | None) -> bool:
        """Write a small object if its ETag is still `version`."""
        if version is None:
            return self.create(key, data)
        there = self._head(key)
        return there is not None and there["ETag"] == version and self._put(key, data, IfMatch=version)

    def upload(self, key: str, path: Path, sha256: str, step: Step, held: Sequence[Held] = ()) -> bool:
        """Write a file, a larger one in parallel parts; any failure and Ctrl-C abort them.

        Held bytes are copied within the bucket. Where the server cannot copy, or its copy differs from the file,
        the file is sent whole.
        """
        if digest.of_file(path) != sha256:
            # For an object in parts, S3 verifies each part's SHA-256 and has none of the whole.
            raise damaged(self.uri(key))
        for pause in CONFLICT_PAUSES:
            if self._taken(key, path, sha256):
                return False
            with self._asking("s3:PutObject and s3:AbortMultipartUpload", key):
                failure = _rejection(partial(self._write, key, path, sha256, step, held))
            if failure is None:
                return True
            time.sleep(pause)
        raise contested(self.uri(key))

    def download(self, key: str, path: Path, step: Step) -> None:
        """Copy an object to a file by parallel ranges."""
        with writing(path), self._asking("s3:GetObject and s3:ListBucket", key):
            path.parent.mkdir(parents=True, exist_ok=True)
            with self._transfers(key) as transfers:
                transfers.download(
                    self._bucket, self._prefix + key, str(path), subscribers=[ProgressCallbackInvoker(step.advance)]
                ).result()

    def part(self, key: str, start: int, size: int) -> Iterator[bytes]:
        """Yield some bytes of an object, by one request with a range (RFC 9110, section 14)."""
        with self._asking("s3:GetObject and s3:ListBucket", key):
            answer = self._client.get_object(**self._address(key), Range=f"bytes={start}-{start + size - 1}")
            with closing(answer["Body"]) as body:
                if not str(answer.get("ContentRange", "")).startswith(f"bytes {start}-"):
                    raise StoreRefused(
                        f"{self.uri(key)}: the server does not support ranges (HTTP Range)",
                        hint="check for a proxy in front of the S3 server",
                    )
                yield from body.iter_chunks(digest.CHUNK)

    def list(self, prefix: str = "") -> Iterator[ListedObject]:
        """Yield the objects as S3 lists them, page by page."""
        with self._asking("s3:ListBucket"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + prefix
            )
            for found in (entry for page in pages for entry in page.get("Contents", ())):
                # Consoles mark empty folders with objects whose keys end in a slash.
                if not found["Key"].endswith("/"):
                    yield ListedObject(
                        key=found["Key"].removeprefix(self._prefix),
                        size=found["Size"],
                        modified=found["LastModified"].timestamp(),
                        stamp=found["ETag"],
                    )

    def folders(self, prefix: str = "") -> tuple[str, ...]:
        """Return the common prefixes, as S3 calls them, below a prefix."""
        above = self._prefix + prefix
        with self._asking("s3:ListBucket"):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=above, Delimiter="/"
            )
            found = [entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", ())]
        return tuple(sorted(folder.removeprefix(above).rstrip("/") for folder in found))

    def delete(self, key: str) -> bool:
        """Remove an object; in a versioned bucket S3 hides it behind a delete marker and keeps it."""
        with self._asking("s3:DeleteObject", key):
            return not self._client.delete_object(**self._address(key)).get("DeleteMarker", False)

    def unfinished(self) -> Iterator[Unfinished]:
        """Yield the uploads in parts that were neither completed nor aborted."""
        with self._asking("s3:ListBucketMultipartUploads"):
            pages = self._client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self._bucket, Prefix=self._prefix
            )
            found = [upload for page in pages for upload in page.get("Uploads", ())]
        for upload in found:
            key = upload["Key"].removeprefix(self._prefix)
            yield Unfinished(
                key=key,
                token=upload["UploadId"],
                size=self._arrived(key, upload["UploadId"]),
                begun=upload["Initiated"].timestamp(),
            )

    def abort(self, upload: Unfinished) -> None:
        """Abort an upload in parts."""
        with self._asking("s3:AbortMultipartUpload", upload.key), suppress(self._client.exceptions.NoSuchUpload):
            self._client.abort_multipart_upload(**self._address(upload.key), UploadId=upload.token)

    def check_usable(self) -> None:
        """Find nothing: only a request shows what a bucket allows."""

    def examine(self) -> Iterator[Observation]:
        """Test the bucket."""
        from envpack.stores.s3.examination import Examination  # noqa: PLC0415 - only `envpack doctor` needs it

        try:
            with self._asking("s3:ListBucket"):
                client = self._client
        except EnvpackError as error:
            yield Observation(level="problem", text=error.message, hint=error.hint)
            return
        yield from Examination(
            client=client, bucket=self._bucket, prefix=self._prefix, options=self._options, asking=self._asking
        ).observe()

    def _arrived(self, key: str, upload_id: str) -> int:
        """Return the total size of an upload's parts; 0 when it has ended meanwhile."""
        with self._asking("s3:ListMultipartUploadParts", key), suppress(self._client.exceptions.NoSuchUpload):
            pages = self._client.get_paginator("list_parts").paginate(**self._address(key), UploadId=upload_id)
            return sum(part["Size"] for page in pages for part in page.get("Parts", ()))
        return 0

    def _address(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + key}

    def _head(self, key: str) -> dict[str, Any] | None:
        with self._asking("s3:GetObject and s3:ListBucket", key):
            try:
                answer: dict[str, Any] = self._client.head_object(**self._address(key))
            except ClientError as error:
                if code_of(error) == NOT_FOUND:
                    return None
                raise
            return answer

    def _taken(self, key: str, path: Path, sha256: str) -> bool:
        """Say whether the key holds exactly this file; raises AnotherContent when it holds something else."""
        there = self._head(key)
        if there is None:
            return False
        if there["ContentLength"] != path.stat().st_size or not self._holds(key, path, sha256):
            raise another_content(self.uri(key))
        return True

    def _holds(self, key: str, path: Path, sha256: str) -> bool:
        """Say whether an object has the bytes of a file: by a SHA-256 that S3 computed, else by reading it.

        The writer's metadata prove nothing. For an object in parts S3 has the SHA-256 of the parts' SHA-256, and
        the parts mostly have one size, that of the first.
        """
        address = self._address(key)
        with self._asking("s3:GetObject", key):
            taken = str(self._client.head_object(**address, ChecksumMode="ENABLED").get("ChecksumSHA256", ""))
            if taken == base64_of(bytes.fromhex(sha256)):
                return True
            if "-" in taken:
                first = int(self._client.head_object(**address, PartNumber=1)["ContentLength"])
                if first and taken == of_parts(path, first):
                    return True
            seen = hashlib.sha256()
            with closing(self._client.get_object(**address)["Body"]) as body:
                for chunk in body.iter_chunks(digest.CHUNK):
                    seen.update(chunk)
        return seen.hexdigest() == sha256

    def _write(self, key: str, path: Path, sha256: str, step: Step, held: Sequence[Held]) -> None:
        described = {
            "ContentType": _content_type(key),
            "CacheControl": "max-age=31536000, immutable",
            "Metadata": {"sha256": sha256},
        }
        size = path.stat().st_size
        parts, sources = self._copyable(size, held)
        if sources:
            assembly = Assembly(
                client=self._client,
                bucket=self._bucket,
                key=self._prefix + key,
                described=described,
                path=path,
                parts=parts,
                sources=sources,
                concurrency=self._options.concurrency,
                advance=step.advance,
                copied=step.copied,
            )
            try:
                return assemble(assembly)
            except Uncopyable as reason:
                logger.debug("%s is sent whole, nothing of it copied: %s", self.uri(key), reason)
        described |= _checksum(sha256, whole=size < self._options.part_size)
        with self._transfers(key) as transfers:
            transfers.upload(
                str(path), self._bucket, self._prefix + key, described, [ProgressCallbackInvoker(step.advance)]
            ).result()
        return None

    def _copyable(self, size: int, held: Sequence[Held]) -> tuple[Sequence[Part], dict[str, CopySource]]:
        """Return the parts of a file, and the sources of those that can be copied; none if nothing can be."""
        sources: dict[str, CopySource | None] = {}
        while held and can_copy(self._client, self._bucket):
            usable = [range_ for range_ in held if sources.get(range_.key, True)]
            parts = plan(size, usable, sent_part=self._options.part_size)
            used = {part.key for part in parts if isinstance(part, Held)}
            if used <= sources.keys():
                return parts, {key: source for key, source in sources.items() if source and key in used}
            for key in used - sources.keys():
                sources[key] = self._source(key, max(part.start + part.size for part in usable if part.key == key))
        return [], {}

    def _source(self, key: str, reach: int) -> CopySource | None:
        """Return an object to copy from, or None if it cannot be read or has fewer than `reach` bytes."""
        try:
            head = self._client.head_object(**self._address(key))
        except ClientError as error:
            logger.debug("%s is no source to copy from: %s", self.uri(key), error)
            return None
        return CopySource(key=self._prefix + key, etag=head["ETag"]) if head["ContentLength"] >= reach else None

    def _put(self, key: str, data: bytes, **condition: str) -> bool:
        with self._asking("s3:PutObject", key):
            for pause in CONFLICT_PAUSES:
                failure = _rejection(
                    self._client.put_object,
                    **self._address(key),
                    **condition,
                    Body=stored(data),
                    ContentType=_content_type(key),
                    CacheControl="no-cache",  # a replaceable object is requested again; it costs a 304 and no bytes
                    ChecksumAlgorithm="SHA256",
                )
                if failure is None:
                    return True
                if code_of(failure) != CONFLICTING_WRITE:
                    return self._wrote_unheard(failure, key, data)
                time.sleep(pause)
        raise contested(self.uri(key))

    def _wrote_unheard(self, failure: ClientError, key: str, data: bytes) -> bool:
        """Say whether a condition failed because of this store's own first attempt, whose answer was lost."""
        if not failure.response["ResponseMetadata"].get("RetryAttempts"):
            return False
        there = self.read(key)
        return there is not None and there.data == data

    @contextmanager
    def _transfers(self, key: str) -> Iterator[Any]:
        """Open boto3's transfers; when the block ends, they have ended and failed ones are cleaned up.

        On Ctrl-C the threads may wait for a network that hangs: they are soon abandoned, and their upload is
        aborted here.
        """
        config = TransferConfig(
            multipart_threshold=self._options.part_size,
            multipart_chunksize=self._options.part_size,
            max_concurrency=self._options.concurrency,
            # The other engine, awscrt's, ignores this client's events and thus its conditions.
            preferred_transfer_client="classic",
        )
        manager = create_transfer_manager(self._client, config)
        try:
            yield manager
        except KeyboardInterrupt as interrupt:
            if not done_within(PATIENCE, manager.__exit__, KeyboardInterrupt, interrupt, None):
                done_within(PATIENCE, self._abort, key)
            raise
        except BaseException as error:
            manager.__exit__(type(error), error, None)
            raise
        manager.shutdown()

    def _abort(self, key: str) -> None:
        address = self._address(key)
        upload_id = self._begun.get(address["Key"])
        if upload_id is not None:
            with suppress(ClientError, BotoCoreError):
                self._client.abort_multipart_upload(**address, UploadId=upload_id)

    def _note_upload(self, parsed: dict[str, Any], **_: object) -> None:
        if "UploadId" in parsed:
            self._begun[parsed["Key"]] = parsed["UploadId"]

    @property
    def _client(self) -> Any:  # noqa: ANN401 - boto3 has no types
        with self._lock:
            if self._made_client is None:
                client = make_client(self._options, self.url, logger.warning)
                client.meta.events.register("after-call.s3.CreateMultipartUpload", self._note_upload)
                self._made_client = client
        return self._made_client

    @contextmanager
    def _asking(self, permission: str, key: str = "") -> Iterator[None]:
        """Explain errors in the block; `permission` is what it needs."""
        began = time.monotonic()
        try:
            yield
        except Exception as error:
            if credentials.concerns(error):  # credentials are looked up and renewed while a store is in use
                raise credentials.refusal(error, botocore.session.get_session(), self.url) from error
            if in_circles(error):
                raise redirected(self.uri(key) if key else self.url) from error
            if isinstance(error, ParamValidationError):
                raise
            if not isinstance(error, EXPLAINED):
                if not is_of_reading(error):
                    raise
                error = ResponseParserError(f"the answer cannot be read: {error}")
            client = self._made_client
            raise explained(
                self._in_words(error, key),
                Attempt(
                    uri=self.uri(key) if key else self.url,
                    permission=permission,
                    options=self._options,
                    endpoint=client.meta.endpoint_url if client else "",
                    seconds=time.monotonic() - began,
                ),
            ) from error

    def _in_words(self, error: Exception, key: str) -> Exception:
        """Ask by GET for the reason that the answer to a HEAD cannot contain, such as an expired token."""
        words: Exception = error
        if key and isinstance(error, ClientError) and code_of(error).isdigit():
            try:
                self._client.get_object(**self._address(key))["Body"].close()
            except (ClientError, BotoCoreError) as answer:
                # Some servers answer that there is no object if access is denied.
                denied = code_of(error) != NOT_FOUND
                if not (denied and isinstance(answer, ClientError) and code_of(answer) in {"NoSuchKey", NOT_FOUND}):
                    words = answer
        return words


def _rejection(write: Callable[..., object], **arguments: object) -> ClientError | None:
    """Run a conditional write; return S3's answer when the condition failed, None when it is done."""
    try:
        write(**arguments)
    except ClientError as error:
        if code_of(error) in _REJECTIONS:
            return error
        raise
    return None


def _content_type(key: str) -> str:
    return _CONTENT_TYPES.get(PurePosixPath(key).suffix, "application/octet-stream")


def _checksum(sha256: str, *, whole: bool) -> dict[str, str]:
    """Return how S3 verifies a file: by its own SHA-256, or by one that boto3 computes for each part."""
    if whole:
        return {"ChecksumSHA256": base64_of(bytes.fromhex(sha256))}
    return {"ChecksumAlgorithm": "SHA256"}
