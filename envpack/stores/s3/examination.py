"""Test on S3 what a build and a gc will do there, with an object that is made for the test."""

from __future__ import annotations

import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from envpack.errors import EnvpackError
from envpack.stores.base import PROBE, Observation
from envpack.stores.s3.errors import CONDITION_FAILED, code_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from envpack.stores.s3.options import S3Options

SKEW = 60.0
"""Seconds by which clocks may differ without a warning; S3 refuses 900."""

_REFUSED_SKEW = 900.0
_ANOTHER_VERSION = '"00000000000000000000000000000000"'
_UNSAFE = "use another S3 server, or a newer version of this one: without it two builds at once could overwrite"


@dataclass(frozen=True, kw_only=True)
class Examination:
    """One test of a store on S3."""

    client: Any
    bucket: str
    prefix: str
    options: S3Options
    asking: Callable[[str, str], AbstractContextManager[None]]
    """Explains errors in its block; takes the permission and the key."""

    def observe(self) -> Iterator[Observation]:
        """Yield the results; it ends with the first failure that makes the rest meaningless."""
        yield from self._who()
        try:
            yield from self._list()
            yield from self._write()
        except EnvpackError as error:
            yield Observation(level="problem", text=error.message, hint=error.hint)

    def _who(self) -> Iterator[Observation]:
        session = boto3.Session(profile_name=self.options.profile)
        credentials = session.get_credentials()
        if credentials is None:
            return  # the first request says what to do about that
        text = f"credentials are from {credentials.method}: access key ...{credentials.access_key[-4:]}"
        arn = self._arn(session)
        yield Observation(level="ok", text=f"{text}, {arn}" if arn else text)

    def _arn(self, session: Any) -> str | None:  # noqa: ANN401 - boto3 has no types
        """Ask AWS for the owner of the credentials; servers of other vendors have no such service."""
        host = urlsplit(self.client.meta.endpoint_url).hostname or ""
        with suppress(ClientError, BotoCoreError):
            sts = session.client("sts", region_name=self.client.meta.region_name)
            own = urlsplit(sts.meta.endpoint_url).hostname or ""
            if host.endswith(".amazonaws.com") or not own.endswith(".amazonaws.com"):
                return str(sts.get_caller_identity()["Arn"])
        return None

    def _list(self) -> Iterator[Observation]:
        start = time.monotonic()
        with self.asking("s3:ListBucket", ""):
            answer = self.client.list_objects_v2(Bucket=self.bucket, Prefix=self.prefix, MaxKeys=1)
        took = time.monotonic() - start
        yield Observation(level="ok", text=f"it can be listed; it answered in {took * 1000:.0f} ms")
        date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        skew = abs(time.time() - parsedate_to_datetime(date).timestamp()) if date else 0.0
        if skew > SKEW:
            level = "problem" if skew > _REFUSED_SKEW else "warning"
            text = f"this machine's clock and the server's differ by {skew:.0f} s"
            hint = "set this machine's clock: S3 refuses requests that are 15 minutes off"
            yield Observation(level="problem" if level == "problem" else "warning", text=text, hint=hint)

    def _write(self) -> Iterator[Observation]:
        key = f"{PROBE}{uuid.uuid4().hex}.json"
        address = {"Bucket": self.bucket, "Key": self.prefix + key}
        with self.asking("s3:GetObject and s3:ListBucket", key), suppress(self.client.exceptions.NoSuchKey):
            self.client.get_object(**address)["Body"].close()
        yield Observation(level="ok", text="objects can be read")
        with self.asking("s3:PutObject", key):
            self.client.put_object(**address, Body=b"{}")
        yield Observation(level="ok", text="objects can be written")
        try:
            yield self._refuses(address, "If-None-Match", key)
            yield self._refuses(address, "If-Match", key, IfMatch=_ANOTHER_VERSION)
        finally:
            removed = self._remove(address)
        yield removed

    def _refuses(self, address: dict[str, str], condition: str, key: str, **given: str) -> Observation:
        """Say whether the server refuses a write whose condition does not hold.

        The client adds `If-None-Match: *` to each write without a condition of its own.
        """
        with self.asking("s3:PutObject", key):
            try:
                self.client.put_object(**address, **given, Body=b'{"overwritten": true}')
            except ClientError as error:
                if code_of(error) in CONDITION_FAILED:
                    return Observation(level="ok", text=f"the server honours {condition}")
                raise
        return Observation(level="problem", text=f"the server does not honour {condition}", hint=_UNSAFE)

    def _remove(self, address: dict[str, str]) -> Observation:
        try:
            self.client.delete_object(**address)
        except (ClientError, BotoCoreError):
            text = f"objects cannot be deleted: {address['Key']} stays, and harms nobody"
            return Observation(level="note", text=text, hint="only `envpack gc` needs s3:DeleteObject")
        return Observation(level="ok", text="objects can be deleted, as `envpack gc` does")
