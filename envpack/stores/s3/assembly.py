"""An object that S3 makes of parts: some are sent from the file, others copied from existing objects."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from s3transfer.utils import ReadFileChunk, signal_not_transferring, signal_transferring

from envpack.redact.logs import filtered_logger
from envpack.stores.s3.errors import spoiled
from envpack.stores.s3.interrupt import PATIENCE, done_within
from envpack.stores.s3.parts import Sent
from envpack.stores.s3.proofs import MD5, SHA256, base64_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from envpack.stores.base import Held
    from envpack.stores.s3.parts import Part
    from envpack.stores.s3.proofs import Proof

logger = filtered_logger(__name__)

_proofs: dict[tuple[str, str], tuple[Proof, ...]] = {}
"""By endpoint and bucket, the proofs that are worth an attempt, as far as known in this process."""


class Uncopyable(Exception):
    """S3 does not copy, or its copy differs from the file. Nothing was written: the file may be sent whole."""

    def __init__(self, reason: str, *, lasting: bool) -> None:
        super().__init__(reason)
        self.lasting = lasting
        """Whether the next copy within the bucket would fail as well."""


class _Unproven(Exception):
    """S3's answer to a copy does not say what was copied."""


@dataclass(frozen=True, kw_only=True)
class CopySource:
    """An object to copy from."""

    key: str
    """With the store's prefix."""
    etag: str
    """S3 copies only while the object has this ETag."""


@dataclass(frozen=True, kw_only=True)
class Assembly:
    """The object to make, and its parts."""

    client: Any
    bucket: str
    key: str
    """With the store's prefix."""
    described: Mapping[str, Any]
    """Parameters of CreateMultipartUpload: content type, metadata, ..."""
    path: Path
    parts: Sequence[Part]
    sources: Mapping[str, CopySource]
    """By the keys that the parts name."""
    concurrency: int
    advance: Callable[[int], object]
    """Called with the bytes that are sent or copied; negative where they must be sent or copied again."""
    copied: Callable[[int], object]
    """Called at the end with the number of copied bytes."""


def can_copy(client: Any, bucket: str) -> bool:  # noqa: ANN401 - boto3 has no types
    """Say whether it is worth an attempt: False once the bucket's server has failed to copy in this process."""
    return _proofs.get((client.meta.endpoint_url, bucket)) != ()


def assemble(assembly: Assembly) -> None:
    """Make the object, unless the key is taken.

    Each copied part is compared with the file's own bytes before the object is completed, by SHA-256 or, where the
    server gives none for a copy, by MD5. The finished object is checked once more. Memory does not grow with the
    parts: they are read as they are sent.

    Raises Uncopyable, and then leaves nothing behind; StoreRefused when the finished object is wrong; boto3's
    errors when the key is taken or anything but copying fails.
    """
    place = assembly.client.meta.endpoint_url, assembly.bucket
    for proof in _proofs.get(place, (SHA256, MD5)):
        try:
            with _taking_back(assembly.advance) as advance:
                _Upload(assembly, proof, advance).run()
        except _Unproven:
            logger.debug("%s: no %s of what it copies", place[0], proof.answering)
            _proofs[place] = (MD5,) if proof is SHA256 else ()
        except Uncopyable as reason:
            if reason.lasting:
                _proofs[place] = ()
            raise
        else:
            assembly.copied(sum(part.size for part in assembly.parts if not isinstance(part, Sent)))
            return
    raise Uncopyable("its answers do not say what was copied", lasting=True)


@contextmanager
def _taking_back(advance: Callable[[int], object]) -> Iterator[Callable[[int], object]]:
    """Yield a function that reports progress; its reports are reverted when the block fails."""
    lock = threading.Lock()
    made = 0

    def report(amount: int) -> None:
        nonlocal made
        with lock:
            made += amount
        advance(amount)

    try:
        yield report
    except (Uncopyable, _Unproven):
        advance(-made)
        raise


@dataclass(frozen=True, kw_only=True)
class _Made:
    """A part that S3 has."""

    number: int
    size: int
    etag: str
    digest: bytes


class _Upload:
    """One upload in parts, which is completed or aborted."""

    def __init__(self, assembly: Assembly, proof: Proof, advance: Callable[[int], object]) -> None:
        self._assembly = assembly
        self._client = assembly.client
        self._proof = proof
        self._advance = advance
        self._address = {"Bucket": assembly.bucket, "Key": assembly.key}
        self._upload: dict[str, str] = {}  # with its id, once it has one
        self._stopping = threading.Event()
        self._broken: BaseException | None = None  # what the listener raised
        # As in boto3's own transfers: reading a body to sign it is no progress.
        events = self._client.meta.events
        events.register_first("request-created.s3", signal_not_transferring, unique_id="s3upload-not-transferring")
        events.register_last("request-created.s3", signal_transferring, unique_id="s3upload-transferring")

    def run(self) -> None:
        """Make the object; Ctrl-C waits only briefly for the threads, as the network may block them."""
        pool = ThreadPoolExecutor(self._assembly.concurrency)
        try:
            # In a thread too: its answer, which is needed to abort, still arrives after Ctrl-C.
            pool.submit(self._create).result()
            made = self._make_parts(pool)
            self._complete(made)
        except KeyboardInterrupt:
            self._stopping.set()
            pool.shutdown(wait=False, cancel_futures=True)
            done_within(PATIENCE, pool.shutdown)
            done_within(PATIENCE, self._abort)
            raise
        except BaseException:
            self._stopping.set()
            pool.shutdown(cancel_futures=True)
            self._abort()
            raise
        pool.shutdown()
        self._check(made)

    def _create(self) -> None:
        answer = self._client.create_multipart_upload(
            **self._address, **self._assembly.described, **self._proof.creating
        )
        self._upload = {**self._address, "UploadId": answer["UploadId"]}

    def _abort(self) -> None:
        if self._upload:
            with suppress(ClientError, BotoCoreError):
                self._client.abort_multipart_upload(**self._upload)

    def _make_parts(self, pool: ThreadPoolExecutor) -> list[_Made]:
        """Copy and send the parts in parallel, after one copy that shows whether the rest is worth it."""
        parts = enumerate(self._assembly.parts, 1)
        first, *others = sorted(parts, key=lambda numbered: isinstance(numbered[1], Sent))
        made = [self._result(pool.submit(self._make, *first))]
        made += [self._result(part) for part in as_completed([pool.submit(self._make, *part) for part in others])]
        return sorted(made, key=lambda part: part.number)

    def _result(self, part: Future[_Made]) -> _Made:
        try:
            return part.result()
        except CancelledError:
            if self._broken:
                raise self._broken from None
            raise

    def _make(self, number: int, part: Part) -> _Made:
        digest = self._proof.of(self._assembly.path, part.offset, part.size)
        etag = self._send(number, part, digest) if isinstance(part, Sent) else self._copy(number, part, digest)
        return _Made(number=number, size=part.size, etag=etag, digest=digest)

    def _send(self, number: int, part: Sent, digest: bytes) -> str:
        path, told = str(self._assembly.path), [self._report]
        with ReadFileChunk.from_filename(path, part.offset, part.size, told, enable_callbacks=False) as body:
            answer = self._client.upload_part(
                **self._upload, PartNumber=number, Body=body, **self._proof.sent_with(digest)
            )
        return str(answer["ETag"])

    def _copy(self, number: int, part: Held, digest: bytes) -> str:
        source = self._assembly.sources[part.key]
        try:
            answer = self._client.upload_part_copy(
                **self._upload,
                PartNumber=number,
                CopySource={"Bucket": self._assembly.bucket, "Key": source.key},
                CopySourceRange=f"bytes={part.start}-{part.start + part.size - 1}",
                CopySourceIfMatch=source.etag,
            )["CopyPartResult"]
        except (ClientError, BotoCoreError) as error:
            if self._proof is SHA256 and isinstance(error, ClientError) and _status(error) == 400:
                raise _Unproven from error  # MinIO does not copy into an upload with checksums
            raise Uncopyable(str(error), lasting=_is_refusal(error)) from error
        agrees = self._proof.agrees(answer, digest)
        if agrees is None:
            raise _Unproven
        if not agrees:
            # An MD5 also differs where the bucket encrypts with a key of KMS.
            raise Uncopyable(f"{source.key} has other bytes", lasting=self._proof is MD5)
        self._report(part.size)
        return str(answer["ETag"])

    def _report(self, bytes_transferred: int) -> None:
        """Call the listener, unless the upload is given up: then the current part ends here."""
        if self._stopping.is_set() and bytes_transferred > 0:
            raise CancelledError
        try:
            self._advance(bytes_transferred)
        except BaseException as error:
            self._broken = error
            self._stopping.set()
            # botocore retries after anything else.
            raise CancelledError from error

    def _complete(self, made: Sequence[_Made]) -> None:
        parts = [
            {"PartNumber": part.number, "ETag": part.etag, **self._proof.completed_with(part.digest)}
            for part in made
        ]
        try:
            self._client.complete_multipart_upload(**self._upload, MultipartUpload={"Parts": parts})
        except ClientError as error:
            if _status(error) in {400, 501}:
                raise Uncopyable(str(error), lasting=True) from error
            raise

    def _check(self, made: Sequence[_Made]) -> None:
        """Check the object that S3 made; a wrong one is removed, if the credentials allow that, and refused."""
        head = self._client.head_object(**self._address, ChecksumMode="ENABLED")
        whole = hashlib.sha256(b"".join(part.digest for part in made)).digest()
        said = str(head.get("ChecksumSHA256", ""))
        suffix = f"-{len(made)}"
        another = self._proof is SHA256 and said.endswith(suffix) and said != base64_of(whole) + suffix
        if another or head["ContentLength"] != sum(part.size for part in made):
            with suppress(ClientError, BotoCoreError):
                self._client.delete_object(**self._address)
            raise spoiled(f"s3://{self._assembly.bucket}/{self._assembly.key}")


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _is_refusal(error: Exception) -> bool:
    """Say whether a copy failed for reasons that apply to every copy: not for its source or the network."""
    return isinstance(error, ClientError) and _status(error) in {400, 403, 405, 501}
