"""A boto3 client with short timeouts, whose requests carry the store's conditions."""

from __future__ import annotations

import hashlib
import os
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from boto3.compat import filter_python_deprecation_warnings
from botocore.config import Config

from envpack.digest import CHUNK
from envpack.errors import EnvpackError, UsageError
from envpack.redact import know, meet, redact, take_apart
from envpack.stores.s3 import answers, credentials, listings
from envpack.stores.s3.proofs import base64_of
from envpack.stores.s3.throttling import Throttling
from envpack.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable

    from envpack.stores.s3.options import S3Options

CONNECT_TIMEOUT = 5
"""Seconds; with three attempts an address without a server fails in well under 30 s."""

READ_TIMEOUT = 20
"""Seconds without a byte from a server that took the connection."""

ATTEMPTS = 3
"""The total attempts of a request in botocore's standard mode, including throttling and 5xx."""

_CONDITIONAL = frozenset({"PutObject", "CompleteMultipartUpload"})
"""The operations that can create an object and that take a condition."""


def make_client(options: S3Options, url: str, say: Callable[[str], object]) -> Any:  # noqa: ANN401 - boto3 has no types
    """Return a client; it requests owner and encryption, and overwrites only what `IfMatch` names.

    `url` is the store's, for errors; `say` is called once when S3 asks to slow down. Raises UsageError for an
    endpoint that is not a URL, and StoreRefused when boto3's chain gives no credentials.
    """
    filter_python_deprecation_warnings()
    meet(options.endpoint or "")
    core = botocore.session.get_session()
    try:
        core.register_component("data_loader", _loader())
        # botocore's own parser of times takes most of the time of a listing.
        core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=listings.time_of)
        if options.profile:
            core.set_config_variable("profile", options.profile)
        credentials.never_ask_blindly(core)
        session = boto3.Session(region_name=options.region, botocore_session=core)
        credentials.check_certificates(core)
        credentials.load(session)
        client = _client(session, core, options)
    except EnvpackError:
        raise
    except Exception as error:
        # Any error of the chain: programs, files and services of the site, and values in their configuration.
        raise credentials.refusal(error, core, url) from error
    endpoint = take_apart(client.meta.endpoint_url)
    if endpoint.userinfo:
        raise UsageError(
            f"the store's endpoint {endpoint.shown()} contains a user name or a password, which S3 does not use",
            hint="remove it from --s3-endpoint-url, AWS_ENDPOINT_URL_S3 or the AWS profile; put the keys into "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or into a profile",
        )
    client.meta.events.register("before-send.s3", _know_token)
    client.meta.events.register("before-parameter-build.s3", partial(_complete, _standing(options)))
    client.meta.events.register("before-parameter-build.s3.PutObject", _sum_up)
    client.meta.events.register("before-parameter-build.s3.UploadPart", _sum_up)
    client.meta.events.register("before-parse.s3.ListObjectsV2", listings.take_entries)
    client.meta.events.register("after-call.s3", answers.check)
    Throttling(options.patience, say).watch(client)
    return client


@cache
def _loader() -> Any:  # noqa: ANN401 - botocore has no types
    """Return a loader that keeps botocore's description of S3; without it each client reads 1 MB of JSON."""
    return botocore.session.get_session().get_component("data_loader")


def _client(session: boto3.Session, core: Any, options: S3Options) -> Any:  # noqa: ANN401 - boto3 has no types
    """Return boto3's client. The SDK's own settings have priority; envpack's fill in the rest."""
    profile = core.get_scoped_config()
    retries = {"mode": "standard", "total_max_attempts": ATTEMPTS}
    if "AWS_RETRY_MODE" in os.environ or "retry_mode" in profile:
        del retries["mode"]
    if "AWS_MAX_ATTEMPTS" in os.environ or "max_attempts" in profile:
        del retries["total_max_attempts"]
    given: dict[str, Any] = {"retries": retries} if retries else {}
    if options.addressing != "auto":
        given["s3"] = {"addressing_style": options.addressing}
    if not ("AWS_DEFAULTS_MODE" in os.environ or "defaults_mode" in profile):
        given |= {"connect_timeout": CONNECT_TIMEOUT, "read_timeout": READ_TIMEOUT}
    config = Config(
        max_pool_connections=options.concurrency,
        # Every request names its own checksum.
        request_checksum_calculation="when_required",
        user_agent_extra=f"envpack/{VERSION}",
        **given,
    )
    try:
        return session.client("s3", endpoint_url=options.endpoint, config=config)
    except ValueError as error:
        # botocore's error for an endpoint that is not a URL; it comes from the options, a variable or a profile.
        if not str(error).startswith("Invalid endpoint"):
            raise
        raise UsageError(
            redact(str(error)), hint="correct the store's endpoint or AWS_ENDPOINT_URL_S3: https://HOST[:PORT]"
        ) from error


def _sum_up(params: dict[str, Any], **_: object) -> None:
    """Compute the SHA-256 of a body before it is sent, so that it is sent as a header.

    If only an algorithm is given, botocore sends the checksum after the body, in its own chunks (`aws-chunked`),
    over HTTPS, which many servers other than AWS's refuse.
    """
    if params.get("ChecksumAlgorithm") != "SHA256" or "ChecksumSHA256" in params:
        return
    body = params.get("Body")
    summed = hashlib.sha256()
    if isinstance(body, (bytes, bytearray)):
        summed.update(body)
    elif body is not None:
        begin = body.tell()
        for silence in ("signal_not_transferring", "disable_callback"):
            getattr(body, silence, _nothing)()
        while chunk := body.read(CHUNK):
            summed.update(chunk)
        body.seek(begin)
        for sound in ("signal_transferring", "enable_callback"):
            getattr(body, sound, _nothing)()
    params["ChecksumSHA256"] = base64_of(summed.digest())
    del params["ChecksumAlgorithm"]


def _nothing() -> None:
    """Replace the methods that a body of boto3's transfers has and a plain file lacks."""


def _know_token(request: Any, **_: object) -> None:  # noqa: ANN401 - boto3 has no types
    """Pass the token of a role, which changes while a process runs, to the filter of secrets."""
    token = request.headers.get("X-Amz-Security-Token")
    know(token.decode() if isinstance(token, bytes) else token)


def _standing(options: S3Options) -> dict[str, str]:
    """Return the parameters for every operation that takes them."""
    wanted = {
        "ExpectedBucketOwner": options.expected_bucket_owner,
        "ExpectedSourceBucketOwner": options.expected_bucket_owner,
        "ServerSideEncryption": options.sse,
        "SSEKMSKeyId": options.kms_key,
    }
    return {name: value for name, value in wanted.items() if value}


def _complete(standing: dict[str, str], params: dict[str, Any], model: Any, **_: object) -> None:  # noqa: ANN401
    """Add to an operation's parameters what boto3's transfers cannot set: owner, encryption, condition.

    botocore calls it before each request: "Extensibility guide" of boto3, event `before-parameter-build`.
    """
    takes = model.input_shape.members
    params.update({name: value for name, value in standing.items() if name in takes})
    if model.name in _CONDITIONAL and "IfMatch" not in params:
        params["IfNoneMatch"] = "*"
