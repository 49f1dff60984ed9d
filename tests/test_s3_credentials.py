"""Whatever boto3's chain of credentials meets, the store refuses with code 8 and names what is wrong."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from envpack.errors import StoreRefused, UsageError
from envpack.stores import open_store
from envpack.stores.s3 import client
from envpack.stores.s3.options import S3Options

KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
PYTHON = shlex.quote(sys.executable)

ROLE = "role_arn = arn:aws:iam::123456789012:role/r"


MFA = f"""{ROLE}
source_profile = keys
mfa_serial = arn:aws:iam::123456789012:mfa/me
[profile keys]
aws_access_key_id = key
aws_secret_access_key = secret
"""


def printing(text: str) -> str:
    """Return the line of a profile that names a program which prints this."""
    return f"credential_process = {PYTHON} -c \"print(bytes.fromhex('{text.encode().hex()}').decode())\""


# Variables, lines of the profile `default`, what the message names.
CASES = {
    "nothing at all": ({}, "", "there are no AWS credentials"),
    "half a pair": ({"AWS_ACCESS_KEY_ID": "key"}, "", "AWS_SECRET_ACCESS_KEY"),
    "half a pair in the profile": ({}, "aws_access_key_id = key", "aws_secret_access_key"),
    "a profile that is not there": ({"AWS_PROFILE": "nosuch"}, "", "AWS_PROFILE"),
    "a configuration that cannot be read": ({}, "[", "config"),
    "a token file that is not there": (
        {"AWS_WEB_IDENTITY_TOKEN_FILE": "/no/such/token", "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/r"},
        "",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
    ),
    "a token file of the profile that is not there": (
        {},
        f"web_identity_token_file = /no/such/token\n{ROLE}",
        "`web_identity_token_file` of the profile default",
    ),
    "a token file without a role": ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/no/such/token"}, "", "role_arn"),
    "a program that is not there": ({}, "credential_process = /no/such/program --now", "credential_process"),
    "a program that fails": (
        {},
        f"credential_process = {PYTHON} -c 'raise SystemExit(3)'",
        "profile default",
    ),
    "a program that prints no JSON": ({}, printing("hello"), "profile default"),
    "a program that prints nothing": ({}, printing(""), "profile default"),
    "a program that prints no key": ({}, printing('{"Version": 1}'), "AccessKeyId"),
    "a program of another version": ({}, printing('{"Version": 2}'), "`credential_process`"),
    "a program that prints a list": ({}, printing("[]"), "profile default"),
    "a container's address that is not allowed": (
        {"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://example.com/keys"},
        "",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ),
    "a container's token file that is not there": (
        {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9/keys",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/no/such/token",
        },
        "",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    ),
    "a source profile that is not there": ({}, f"{ROLE}\nsource_profile = nosuch", "nosuch"),
    "a role without a source": ({}, ROLE, "source_profile"),
    "a role from itself without keys": ({}, f"{ROLE}\nsource_profile = default", "default"),
    "an unknown source of credentials": ({}, f"{ROLE}\ncredential_source = Nowhere", "Nowhere"),
    "a login that is not complete": ({}, "sso_account_id = 1\nsso_start_url = https://example.com", "sso"),
    "a login session that is not there": (
        {},
        "sso_session = nosuch\nsso_account_id = 1\nsso_role_name = r",
        "nosuch",
    ),
    "an MFA device and no terminal": (
        {},
        MFA,
        "MFA",
    ),
    "a region that is none": (KEYS | {"AWS_DEFAULT_REGION": "us east 1"}, "", "AWS_DEFAULT_REGION"),
    "a region of the profile that is none": (KEYS, "region = us east 1", "`region` of the profile default"),
    "a bundle of authorities that is not there": (
        KEYS | {"AWS_CA_BUNDLE": "/no/such/bundle.pem"},
        "",
        "AWS_CA_BUNDLE",
    ),
    "a number of attempts that is none": (KEYS | {"AWS_MAX_ATTEMPTS": "many"}, "", "AWS_MAX_ATTEMPTS"),
    "a way to try again that is none": (KEYS | {"AWS_RETRY_MODE": "often"}, "", "AWS_RETRY_MODE"),
}


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Take away what this machine has of AWS's configuration; return the file that a test writes."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    file = tmp_path / "config"
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "stdin", None)
    # A process reads descriptions once, and the first read goes through the profile.
    client._loader.cache_clear()
    return file


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_with_credentials_is_named_and_ends_with_code_8(
    case: str, configured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables, profile, named = CASES[case]
    configured.write_text(f"[default]\n{profile}\n")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    store = open_store("s3://bucket/envs", S3Options(endpoint="http://127.0.0.1:9"))
    with pytest.raises(StoreRefused) as refused:
        store.read("key")
    assert refused.value.exit_code == 8
    assert named in refused.value.message
    assert refused.value.hint
    assert "endpoint" not in refused.value.hint
    assert len(refused.value.message.splitlines()) <= 2


def test_an_endpoint_that_is_no_url_is_another_matter(configured: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configured.write_text("[default]\n")
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError) as refused:
        open_store("s3://bucket/envs", S3Options(endpoint="nonsense")).read("key")
    assert refused.value.hint
    assert "endpoint" in refused.value.hint


def test_a_command_says_so_without_a_traceback(configured: Path) -> None:
    configured.write_text(f"[default]\n{MFA}\n")
    done = subprocess.run(
        [Path(sys.executable).with_name("envpack"), "list", "--store", "s3://bucket/envs"],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 8
    assert "MFA" in done.stderr
    assert "Traceback" not in done.stderr
