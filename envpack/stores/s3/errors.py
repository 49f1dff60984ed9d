"""What boto3's errors mean for the user: their kind and the next step."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import botocore.parsers
from boto3.s3.transfer import S3TransferRetriesExceededError
from botocore import exceptions as aws
from botocore.parsers import ResponseParserError

from envpack.errors import EnvpackError, StoreRefused, StoreUnreachable
from envpack.redact import redact
from envpack.stores.base import damaged, missing

if TYPE_CHECKING:
    from envpack.stores.s3.options import S3Options

NOT_FOUND = "404"
"""The code for a missing object or bucket in the answer to a HEAD, which has no body."""

NOT_MODIFIED = "304"
"""The answer to a conditional read of an object that still has the named version."""

CONDITION_FAILED = frozenset({"412", "PreconditionFailed"})
"""The key is taken, or holds another version than expected."""

CONFLICTING_WRITE = "ConditionalRequestConflict"
"""Another write to the key ended meanwhile: to be retried, by the API reference of PutObject."""

_DAMAGED = frozenset({"BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch"})

_REGION = "set AWS_DEFAULT_REGION (or --s3-region) to the region of the bucket"
_RENEW = "get new temporary credentials (for SSO: `aws sso login`), then try again"

_HINTS = {
    "NoSuchBucket": "create the bucket, or correct its name or the endpoint (AWS_ENDPOINT_URL_S3)",
    "InvalidBucketName": "correct the bucket's name in the store's URL",
    "InvalidAccessKeyId": "check AWS_ACCESS_KEY_ID or the profile (AWS_PROFILE): the key is unknown to this server",
    "SignatureDoesNotMatch": "check AWS_SECRET_ACCESS_KEY: it does not belong to the access key",
    "InvalidToken": "check AWS_SESSION_TOKEN: it must belong to the access key; unset it for a permanent key",
    "ExpiredToken": _RENEW,
    "TokenRefreshRequired": _RENEW,
    "RequestTimeTooSkewed": "correct this machine's clock: S3 refuses requests that are 15 minutes off",
    "PermanentRedirect": _REGION,
    "TemporaryRedirect": _REGION,
    "301": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "NotImplemented": "this S3 server lacks conditional writes or SHA-256 checksums, which keep releases safe: "
    "upgrade it or use another store",
}

BROKEN_OFF = (
    aws.FlexibleChecksumError,
    aws.IncompleteReadError,
    aws.ResponseStreamingError,
    S3TransferRetriesExceededError,
)
"""An answer that arrived incomplete or changed."""

_DEEPEST = 20
"""How many causes of an error are examined."""

EXPLAINED = (aws.ClientError, aws.BotoCoreError, ResponseParserError, S3TransferRetriesExceededError)
"""boto3's exceptions for causes outside of this program."""

_UNREACHABLE = (aws.ConnectionError, aws.HTTPClientError, *BROKEN_OFF)


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """What was being done when an error came."""

    uri: str
    """The object or the bucket."""
    permission: str
    """The IAM actions it needs, such as `s3:PutObject`."""
    options: S3Options
    endpoint: str
    """The URL of the request."""
    seconds: float = 0.0
    """Its duration."""


def is_of_reading(error: Exception) -> bool:
    """Say whether botocore failed to read an answer, such as a size that is no number, or a field that is twice."""
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return any(frame.f_globals.get("__name__") == botocore.parsers.__name__ for frame in frames)


def code_of(error: aws.ClientError) -> str:
    """Return S3's own name of an error, or the HTTP status where the answer had no body."""
    return str(error.response.get("Error", {}).get("Code", ""))


def contested(uri: str) -> StoreRefused:
    """Return the error for a key that other writers kept changing."""
    return StoreRefused(f"{uri}: other processes keep changing it", hint="try again later")


def spoiled(uri: str) -> StoreRefused:
    """Return the error for an object that S3 did not assemble correctly from its parts."""
    return StoreRefused(
        f"{uri} differs from the upload: the server assembled its parts wrongly",
        hint="delete the object if it still exists (no release uses it), and report the error to the server's "
        "operator",
    )


def in_circles(error: BaseException | None) -> bool:
    """Return whether botocore followed redirects between regions up to Python's recursion limit."""
    for _ in range(_DEEPEST):
        if error is None or isinstance(error, RecursionError):
            break
        error = error.__cause__ or error.__context__
    return isinstance(error, RecursionError)


def redirected(uri: str) -> StoreRefused:
    """Return the error for a server that sends every request to another region, the right one included."""
    return StoreRefused(f"{uri}: S3 redirects every request to another region", hint=_REGION)


def _not_s3(attempt: Attempt) -> StoreRefused:
    """Return the error for an answer that is not from an S3 server, such as a web page."""
    return StoreRefused(
        f"{attempt.uri}: {redact(attempt.endpoint)} does not reply as an S3 server",
        hint="correct the endpoint (--s3-endpoint-url, AWS_ENDPOINT_URL_S3) or the proxy (HTTPS_PROXY, NO_PROXY)",
    )


def explained(error: Exception, attempt: Attempt) -> EnvpackError:
    """Return one of boto3's errors as StoreRefused, StoreUnreachable or UsageError, with a next step."""
    if isinstance(error, aws.ClientError):
        return _answered(error, attempt)
    if isinstance(error, ResponseParserError):
        return _not_s3(attempt)
    if isinstance(error, _UNREACHABLE):
        return _unreachable(error, attempt)
    return StoreRefused(f"{attempt.uri}: {redact(str(error))}", hint="check the output of `aws configure list`")


def _answered(error: aws.ClientError, attempt: Attempt) -> EnvpackError:
    code, answer = code_of(error), error.response
    status = answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    message = f"{attempt.uri}: {_words(answer, code)}"
    if code == "NoSuchKey":
        return missing(attempt.uri)
    if code in _DAMAGED:
        return damaged(attempt.uri)
    if status >= 500 and status != 501:
        attempts = answer.get("ResponseMetadata", {}).get("RetryAttempts", 0) + 1
        tried = f" ({attempts} attempts in {attempt.seconds:.0f} s)" if attempts > 1 else ""
        return StoreUnreachable(f"{message}{tried}", hint="this is an error of the server: try again later")
    if code.isdigit() and code not in _HINTS and status not in {401, 403}:
        return _not_s3(attempt)
    return StoreRefused(message, hint=_next_step(code, status, attempt))


def _next_step(code: str, status: int, attempt: Attempt) -> str | None:
    if code.startswith("KMS."):
        return "check the KMS key: it must exist, be enabled and be in the bucket's region"
    return _HINTS.get(code) or (_permissions(attempt) if status == 403 else None)


def _words(answer: dict[str, Any], code: str) -> str:
    message = str(answer.get("Error", {}).get("Message", "")).rstrip(".")
    return redact(f"S3 answered {code}: {message}" if message else f"S3 answered {code}")


def _permissions(attempt: Attempt) -> str:
    needs = [f"give the credentials {attempt.permission} on the bucket"]
    if attempt.options.sse == "aws:kms":
        needs.append("kms:GenerateDataKey and kms:Decrypt on the KMS key")
    if attempt.options.expected_bucket_owner:
        needs.append(f"and the bucket must belong to the account {attempt.options.expected_bucket_owner}")
    return ", ".join(needs)


def _unreachable(error: Exception, attempt: Attempt) -> EnvpackError:
    endpoint = redact(attempt.endpoint)
    if isinstance(error, aws.SSLError):
        reason, hint = redact(str(error)), "set AWS_CA_BUNDLE to the file with the server's certificate authority"
    elif isinstance(error, aws.ProxyConnectionError):
        reason, hint = "the proxy did not answer", "check HTTPS_PROXY, HTTP_PROXY and NO_PROXY"
    elif isinstance(error, BROKEN_OFF):
        reason, hint = "the reply was cut off or damaged", "try again"
    else:
        reason = f"{endpoint} did not answer"
        hint = (
            "check the network, the endpoint (AWS_ENDPOINT_URL_S3) and the region; "
            "with --s3-addressing virtual, BUCKET.HOST must resolve too"
        )
    return StoreUnreachable(f"{attempt.uri}: {reason}", hint=hint)
