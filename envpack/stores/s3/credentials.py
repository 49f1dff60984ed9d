"""Find AWS credentials by boto3's own chain, and say which variable, profile or file is wrong when it has none.

The chain: https://boto3.amazonaws.com/v1/documentation/api/latest/guide/credentials.html.
"""

from __future__ import annotations

import os
import sys
from getpass import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore import exceptions as aws

from envpack.errors import StoreRefused
from envpack.redact import know, redact

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    import boto3

_CHAIN = ("botocore.credentials", "botocore.tokens", "botocore.configloader")
"""The code of the chain; any exception there is about credentials or configuration."""

_ASKING = ("assume-role",)
"""The credential providers of botocore that ask the user."""

_LOGIN = (aws.NoAuthTokenError, aws.SSOError, aws.TokenRetrievalError)

_PROVIDERS = {
    "ProcessProvider": ("credential_process",),
    "ContainerProvider": ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
    "AssumeRoleWithWebIdentityProvider": ("AWS_WEB_IDENTITY_TOKEN_FILE", "web_identity_token_file"),
    "SSOProvider": ("sso_session", "sso_start_url"),
    "AssumeRoleProvider": ("role_arn",),
}
"""What enables each link of the chain: variables, and entries of a profile."""

_RENEW = "get new temporary credentials (for SSO: `aws sso login`), then try again"
_LOOK = "check the output of `aws configure list` and the variables AWS_*"


def never_ask_blindly(core: Any) -> None:  # noqa: ANN401 - botocore has no types
    """Make a botocore session ask for the code of an MFA device only on a terminal."""
    for name in _ASKING:
        core.get_component("credential_provider").get_provider(name)._prompter = _ask  # noqa: SLF001 - no other way


def check_certificates(core: Any) -> None:  # noqa: ANN401 - botocore has no types
    """Raise StoreRefused when the configured bundle of certificate authorities is missing.

    botocore would fail in the first request, as if by a network error.
    """
    bundle = core.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
    if bundle and not Path(bundle).exists():
        raise StoreRefused(
            f"the file of certificate authorities {bundle} does not exist (it is set in {_sources(core, bundle)})",
            hint="set that to the file with the certificate of the store's authority, or unset it",
        )


def load(session: boto3.Session) -> None:
    """Look the credentials up, once, and pass them to the filter of secrets. Raises the chain's exceptions."""
    if credentials := session.get_credentials():
        keys = credentials.get_frozen_credentials()
        know(keys.access_key, keys.secret_key, keys.token)


def concerns(error: BaseException) -> bool:
    """Return whether an exception came from the chain of credentials, now or in a later request."""
    return isinstance(error, aws.NoCredentialsError) or any(
        frame.f_globals.get("__name__") in _CHAIN for frame in _frames(error)
    )


def refusal(error: Exception, core: Any, uri: str) -> StoreRefused:  # noqa: ANN401 - botocore has no types
    """Return what the user can do about an exception of the chain; `core` is botocore's session."""
    reason = redact(" ".join(str(error).split()) or type(error).__name__)
    hint = _LOOK
    if isinstance(error, aws.NoCredentialsError):
        reason = "there are no AWS credentials"
        hint = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or use a machine with an IAM role"
        return StoreRefused(f"{uri}: {reason}", hint=hint)
    if isinstance(error, aws.PartialCredentialsError):
        hint = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY together"
    elif isinstance(error, aws.ProfileNotFound):
        hint = "correct AWS_PROFILE (or --s3-profile); `aws configure list-profiles` lists the profiles"
    elif isinstance(error, _LOGIN):
        hint = _RENEW
    elif isinstance(error, (aws.CredentialRetrievalError, aws.MetadataRetrievalError)):
        hint = f"test the program or the service that gives the credentials by hand; {_LOOK}"
    elif isinstance(error, aws.InvalidRegionError):
        hint = "correct the region (AWS_DEFAULT_REGION, AWS_REGION or the profile's): us-east-1"
    elif isinstance(error, OSError):
        reason = f"{error.filename}: {error.strerror}" if error.filename else reason
        hint = "correct the path, or unset the variable or the entry that has it"
    elif isinstance(error, ValueError):
        hint = f"correct that value; {_LOOK}"
    sources = _sources(core, str(getattr(error, "filename", "") or error), _asked(error))
    return StoreRefused(f"{uri}: {reason} ({sources})", hint=hint)


def _frames(error: BaseException) -> Iterator[FrameType]:
    trace = error.__traceback__
    while trace:
        yield trace.tb_frame
        trace = trace.tb_next


def _asked(error: BaseException) -> tuple[str, ...]:
    """Return what enabled the link of the chain that raised an exception."""
    links = [type(frame.f_locals.get("self")).__name__ for frame in _frames(error)]
    return next((_PROVIDERS[link] for link in reversed(links) if link in _PROVIDERS), ())


def _sources(core: Any, said: str, asked: tuple[str, ...] = ()) -> str:  # noqa: ANN401 - botocore has no types
    """Return the variables and the entries of a profile whose values an error contains.

    Without any: the profile and its files, which the chain was reading.
    """
    profile = _profile(core)
    variables = [(name, name, value) for name, value in sorted(os.environ.items()) if name.startswith("AWS_")]
    entries = [
        (name, f"`{name}` of the profile {profile}", str(value)) for name, value in _entries(core, profile).items()
    ]
    values = [*variables, *entries]
    found = [label for _, label, value in values if len(value) > 2 and (value in said or said in value)]
    found = found or [label for name, label, _ in values if name in asked]
    if found:
        return ", ".join(found)
    files = [core.get_config_variable(name) for name in ("config_file", "credentials_file")]
    return f"the profile {profile} in {' and '.join(str(file) for file in files if file)}"


def _profile(core: Any) -> str:  # noqa: ANN401 - botocore has no types
    return str(core.get_config_variable("profile") or "default")


def _entries(core: Any, profile: str) -> dict[str, Any]:  # noqa: ANN401 - botocore has no types
    try:
        found: dict[str, Any] = core.full_config.get("profiles", {}).get(profile, {})
    except aws.BotoCoreError:
        return {}
    return found


def _ask(question: str) -> str:
    """Ask for the code of an MFA device. Raises StoreRefused where there is no terminal."""
    if not (sys.stdin and sys.stdin.isatty()):
        raise StoreRefused(
            f"the AWS profile asks for an MFA code ({question.strip().rstrip(':')}), and there is no terminal",
            hint="get temporary credentials first (`aws sts get-session-token`) and set AWS_ACCESS_KEY_ID, "
            "AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or use a profile without MFA",
        )
    return getpass(question)
