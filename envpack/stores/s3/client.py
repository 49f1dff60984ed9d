"""A boto3 client that waits no longer than a person does, and whose requests carry the store's conditions."""

from __future__ import annotations

import sys
from contextlib import suppress
from datetime import datetime
from functools import partial
from getpass import getpass
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from boto3.compat import filter_python_deprecation_warnings
from botocore.config import Config
from botocore.exceptions import BotoCoreError
from botocore.utils import parse_timestamp

from envpack.errors import StoreRefused, UsageError
from envpack.redact import know, meet, redact, take_apart
from envpack.version import VERSION

if TYPE_CHECKING:
    from envpack.stores.s3.options import S3Options

CONNECT_TIMEOUT = 5
"""Seconds; with three attempts an address where nobody is fails in well under 30 s."""

READ_TIMEOUT = 20
"""Seconds without a byte from a server that took the connection."""

ATTEMPTS = 3
"""How often botocore's standard mode sends a request in all; throttling and 5xx count too."""

_ASKING = ("assume-role",)
"""The credential providers of botocore that ask a person."""

_CONDITIONAL = frozenset({"PutObject", "CompleteMultipartUpload"})
"""The operations that can bring an object to be and that take a condition."""


def make_client(options: S3Options) -> Any:  # noqa: ANN401 - boto3 has no types
    """Return a client; it asks for owner and encryption, and overwrites only what `IfMatch` names.

    Raises UsageError for an endpoint that is no URL.
    """
    filter_python_deprecation_warnings()
    meet(options.endpoint or "")
    core = botocore.session.get_session()
    # botocore's own parser of times takes most of the time of a listing.
    core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_time)
    for name in _ASKING:
        core.get_component("credential_provider").get_provider(name)._prompter = _ask  # noqa: SLF001 - no other way in
    session = boto3.Session(profile_name=options.profile, region_name=options.region, botocore_session=core)
    config = Config(
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        max_pool_connections=options.concurrency,
        s3={"addressing_style": options.addressing},
        # Every request names the checksum that it is to be verified by.
        request_checksum_calculation="when_required",
        user_agent_extra=f"envpack/{VERSION}",
    )
    try:
        client = session.client("s3", endpoint_url=options.endpoint, config=config)
    except ValueError as error:
        # What botocore says of an endpoint that is no URL; it comes from the options, a variable or a profile.
        raise UsageError(
            redact(str(error)), hint="correct the store's endpoint or AWS_ENDPOINT_URL_S3: https://HOST[:PORT]"
        ) from error
    endpoint = take_apart(client.meta.endpoint_url)
    if endpoint.userinfo:
        raise UsageError(
            f"the store's endpoint {endpoint.shown()} has a name or a password in it, which S3 has no use for",
            hint="take it out of --s3-endpoint-url, AWS_ENDPOINT_URL_S3 or the profile; keys go into "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile",
        )
    _know_keys(session)
    client.meta.events.register("before-send.s3", _know_token)
    client.meta.events.register("before-parameter-build.s3", partial(_complete, _standing(options)))
    return client


def _ask(question: str) -> str:
    """Ask for the code of an MFA device, on a terminal only. Raises StoreRefused where there is none."""
    if not (sys.stdin and sys.stdin.isatty()):
        raise StoreRefused(
            f"the AWS profile asks for an MFA code ({question.strip().rstrip(':')}), and there is no terminal",
            hint="get temporary credentials first (`aws sts get-session-token`) and set AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or use a profile without MFA",
        )
    return getpass(question)


def _know_keys(session: boto3.Session) -> None:
    """Let the filter of secrets know the keys of a client that has been made, which has looked them up."""
    with suppress(BotoCoreError):
        if credentials := session.get_credentials():
            keys = credentials.get_frozen_credentials()
            know(keys.access_key, keys.secret_key, keys.token)


def _know_token(request: Any, **_: object) -> None:  # noqa: ANN401 - boto3 has no types
    """Let the filter of secrets know the token of a role, which changes while a process runs."""
    token = request.headers.get("X-Amz-Security-Token")
    know(token.decode() if isinstance(token, bytes) else token)


def _time(text: Any) -> datetime:  # noqa: ANN401 - whatever stands for a time in an answer
    """Read a time in an answer: quickly if it is written as S3 writes them (2024-01-31T12:00:00.000Z)."""
    if isinstance(text, str) and text.endswith("Z"):
        with suppress(ValueError):
            return datetime.fromisoformat(f"{text[:-1]}+00:00")
    parsed: datetime = parse_timestamp(text)
    return parsed


def _standing(options: S3Options) -> dict[str, str]:
    """Return the parameters that go with every operation that takes them."""
    wanted = {
        "ExpectedBucketOwner": options.expected_bucket_owner,
        "ExpectedSourceBucketOwner": options.expected_bucket_owner,
        "ServerSideEncryption": options.sse,
        "SSEKMSKeyId": options.kms_key,
    }
    return {name: value for name, value in wanted.items() if value}


def _complete(standing: dict[str, str], params: dict[str, Any], model: Any, **_: object) -> None:  # noqa: ANN401
    """Add to an operation's parameters what boto3's transfers cannot be told: owner, encryption, condition.

    botocore calls it before each request: "Extensibility guide" of boto3, event `before-parameter-build`.
    """
    takes = model.input_shape.members
    params.update({name: value for name, value in standing.items() if name in takes})
    if model.name in _CONDITIONAL and "IfMatch" not in params:
        params["IfNoneMatch"] = "*"
