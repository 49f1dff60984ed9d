"""Credentials on their way: from what a person writes to uv, rattler and the lock, and nowhere else."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from envpack.config.target import Target
from envpack.errors import BadRequirements, PackingFailed, UsageError
from envpack.files.cache import Cache
from envpack.lock.file import dump, parse
from envpack.lock.lock import CondaPackage, Lock, Wheel
from envpack.prefix.link import Login
from envpack.redact import hide
from envpack.requirements import Requirements, read
from envpack.requirements.names import CondaName, ProjectName
from envpack.resolve.channel_addresses import channel_addresses
from envpack.tools import uv_access
from envpack.tools.channel_access import ChannelAddress, client_of, public_address

SHA = "a1" * 32
WHEEL = "x-1.0-py3-none-any.whl"


def lines(tmp_path: Path, *text: str, name: str = "r.txt") -> Requirements:
    path = tmp_path / name
    path.write_text("\n".join(text) + "\n", "utf-8")
    return read(path)


def refused(tmp_path: Path, *text: str, name: str = "r.txt") -> str:
    with pytest.raises(BadRequirements) as caught:
        lines(tmp_path, *text, name=name)
    return str(caught.value)


# Requirements


@pytest.mark.parametrize(
    ("written", "address"),
    [
        (f"x @ https://example.com/{WHEEL}?sig=${{SIG}}", f"https://example.com/{WHEEL}?sig=${{SIG}}"),
        (f"https://example.com/${{TOKEN}}/{WHEEL}", f"https://example.com/${{TOKEN}}/{WHEEL}"),
        (f"x @ https://${{ME}}:${{PW}}@example.com/{WHEEL}", f"https://${{ME}}:${{PW}}@example.com/{WHEEL}"),
        (f"x @ https://me:${{PW}}@example.com/{WHEEL}?raw=true", f"https://example.com/{WHEEL}?raw=true"),
        (f"x@https://me:literal-1@example.com/{WHEEL}#sha256={SHA}", f"https://example.com/{WHEEL}"),
        (f"x[a] @ https://example.com/{WHEEL}?sig=${{SIG}} ; python_version > '3'", None),
    ],
)
def test_an_address_keeps_its_variables_and_loses_its_passwords(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, address: str | None
) -> None:
    for name in ("SIG", "TOKEN", "ME", "PW"):
        monkeypatch.setenv(name, f"value-of-{name}-1")
    (line,) = lines(tmp_path, written).pypi
    assert line.address == (address or f"https://example.com/{WHEEL}?sig=${{SIG}}")
    assert "${" not in str(line.url)
    assert "value-of" not in str(lines(tmp_path, written).canonical())


@pytest.mark.parametrize(
    ("written", "remedy"),
    [
        (f"x @ https://example.com/{WHEEL}?sig=abcdef", "${SIG}"),
        (f"x @ https://example.com/{WHEEL}?private_token=abcdef&raw=true", "${PRIVATE_TOKEN}"),
        (f"x @ https://example.com/t/abcdef/{WHEEL}", "${TOKEN}"),
        (f"https://example.com/{WHEEL}?X-Amz-Signature=abcdef", "${X_AMZ_SIGNATURE}"),
    ],
)
def test_what_a_lock_would_give_away_is_refused_with_a_remedy(tmp_path: Path, written: str, remedy: str) -> None:
    said = refused(tmp_path, "six", written)
    assert "r.txt:2: " in said
    assert remedy in said
    assert "netrc" in said
    assert "--find-links" in said
    assert "abcdef" not in said


@pytest.mark.parametrize("password", ["pa/ss-w0rd", "pa#ss-w0rd", "pa@ss-w0rd", "pa?ss-w0rd"])
@pytest.mark.parametrize("line", ["--index-url {}/simple", "--find-links {}/page", f"x @ {{}}/{WHEEL}"])
def test_a_password_that_ends_too_early_is_refused_and_not_shown(tmp_path: Path, password: str, line: str) -> None:
    said = refused(tmp_path, "six", line.format(f"https://me:{password}@example.com"))
    assert "ss-w0rd" not in said
    assert "%2F" in said


def test_an_environment_file_publishes_no_secret(tmp_path: Path) -> None:
    said = refused(
        tmp_path,
        "channels: ['https://me:hidden/1@example.com/c', 'file://me:hidden2@example.com/c']",
        "dependencies: [python]",
        "variables:",
        "  API_TOKEN: hidden3abc",
        "  DATABASE: postgresql://me:hidden4@db/x",
        "  GREETING: hello",
        name="env.yml",
    )
    assert said.count("env.yml:") == 4
    assert "hidden" not in said


def test_a_channels_variable_stays_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "tok-abc-123")
    asked = lines(
        tmp_path, "channels: ['https://example.com/t/$TOKEN/c']", "dependencies: [python]", name="env.yml"
    )
    (address,) = channel_addresses(asked.channels, tmp_path, asked.place)
    assert address.url == "https://example.com/t/tok-abc-123/c"
    assert address.locked == "https://example.com/t/${TOKEN}/c"
    assert "tok-abc" not in repr(address)


# Locks


def a_lock(**wheel: object) -> Lock:
    python = CondaPackage(
        name=CondaName("python"),
        version="3.11.7",
        build="0",
        build_number=0,
        subdir="linux-64",
        url="https://example.com/c/linux-64/python-3.11.7-0.conda",
        sha256=SHA,
    )
    facts = {
        "name": ProjectName("x"),
        "version": "1.0",
        "url": f"https://example.com/{WHEEL}",
        "sha256": SHA,
        **wheel,
    }
    return Lock(
        target=Target(),
        channels=("https://example.com/c",),
        packages=(python,),
        wheels=(Wheel(**facts),),  # type: ignore[arg-type]
    )


def test_a_lock_says_which_wheels_are_asked_of_the_index() -> None:
    lock = a_lock(by_index=True)
    assert parse(dump(lock), "x.lock") == lock
    assert "by-index" not in dump(a_lock())


@pytest.mark.parametrize("address", ["https://me:hidden@example.com/{}", "https://example.com/{}?sig=hidden"])
def test_a_lock_with_a_secret_in_it_is_refused(address: str) -> None:
    text = dump(a_lock()).replace(f"https://example.com/{WHEEL}", address.format(WHEEL))
    with pytest.raises(BadRequirements) as caught:
        parse(text, "x.lock")
    assert "hidden" not in f"{caught.value}{caught.value.hint}"
    assert "--upgrade" in str(caught.value.hint)


def test_a_locked_wheel_is_fetched_by_whoever_has_the_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    signed = f"https://example.com/{WHEEL}?sig=${{SIG}}"
    (wheel,) = a_lock(url=signed, direct=True).wheels
    own = Login(wheels={"x": f"https://example.com/{WHEEL}?sig=mine"})
    assert own.requirement(wheel) == f"x @ https://example.com/{WHEEL}?sig=mine --hash=sha256:{SHA}"
    monkeypatch.setenv("SIG", "another-sig-1")
    assert f"?sig=another-sig-1 --hash=sha256:{SHA}" in Login().requirement(wheel)
    monkeypatch.delenv("SIG")
    with pytest.raises(PackingFailed, match="SIG is not set"):
        Login().requirement(wheel)
    assert Login().requirement(replace(wheel, by_index=True)) == f"x==1.0 --hash=sha256:{SHA}"


# uv


def test_uv_gets_passwords_by_its_environment_and_in_no_argument(tmp_path: Path) -> None:
    found = uv_access.access(
        index_url="https://me:pa%40ss%2F1@example.com/simple",
        extra_index_urls=["https://tok-1@example.org/simple", "https://example.net/t/path-tok/simple"],
        find_links=[str(tmp_path), "https://example.com/page?key=page-key"],
    )
    assert found.arguments == ("--find-links", str(tmp_path))
    assert found.lines == ("--find-links https://example.com/page?key=page-key",)
    assert found.environment == {
        "UV_DEFAULT_INDEX": "ENVPACK=https://example.com/simple",
        "UV_INDEX_ENVPACK_USERNAME": "me",
        "UV_INDEX_ENVPACK_PASSWORD": "pa@ss/1",
        "UV_INDEX": "ENVPACK1=https://example.org/simple ENVPACK2=https://example.net/t/path-tok/simple",
        "UV_INDEX_ENVPACK1_USERNAME": "tok-1",
    }
    assert "pa@ss" not in repr(found)


def test_uv_gets_no_secret_that_is_not_meant_for_it() -> None:
    environ = {
        "PATH": "/bin",
        "AWS_SECRET_ACCESS_KEY": "x",
        "GITHUB_TOKEN": "x",
        "UV_INDEX_PRIVATE_PASSWORD": "x",
        "UV_INDEX_URL": "https://me:x@example.com/simple",
        "https_proxy": "http://me:x@proxy:80",
        "NETRC": "/home/me/.netrc",
        "VIRTUAL_ENV": "/venv",
    }
    # What names indexes is part of the request, and comes back with it.
    assert set(uv_access.environment(environ)) == {"PATH", "https_proxy", "NETRC"}
    keyring = {**environ, "UV_KEYRING_PROVIDER": "subprocess"}
    assert "AWS_SECRET_ACCESS_KEY" in uv_access.environment(keyring)


def test_what_a_keyring_gives_to_uv_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keyring = tmp_path / "keyring"
    keyring.write_text('#!/bin/sh\n[ "$2 $3" = "https://example.com/simple me" ] && echo from-keyring-1\n')
    keyring.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    given = uv_access.access(index_url="https://me@example.com/simple")
    uv_access.meet_keyring({**os.environ, "UV_KEYRING_PROVIDER": "subprocess"}, given)
    assert hide("got from-keyring-1") == "got ***"


def test_what_uv_reads_can_be_read_by_its_owner_only(tmp_path: Path) -> None:
    uv_access.write_requirements(tmp_path / "r.txt", ["x", "y"])
    assert (tmp_path / "r.txt").read_text() == "x\ny\n"
    assert stat.S_IMODE((tmp_path / "r.txt").stat().st_mode) == 0o600


# rattler


def test_rattler_knows_a_channel_by_its_plain_address() -> None:
    address = ChannelAddress("https://me:pw@example.com/t/tok/c", "https://${ME}:${PW}@example.com/t/${TOKEN}/c")
    assert address.plain == "https://example.com/t/${TOKEN}/c"
    assert public_address("https://me:pw@example.com/t/tok/c").plain == "https://example.com/c"
    assert client_of([public_address("https://example.com/c")]) is None
    assert client_of([address]) is not None


def test_two_passwords_for_one_channel_are_refused() -> None:
    one, other = (public_address(f"https://me:{word}@example.com/c") for word in ("first-pw", "second-pw"))
    with pytest.raises(UsageError) as caught:
        client_of([one, other])
    assert "first-pw" not in str(caught.value)


# Caches


def test_only_its_owner_can_enter_a_cache_that_holds_addresses(tmp_path: Path) -> None:
    (tmp_path / "uv").mkdir(mode=0o755)
    cache = Cache(tmp_path)
    own = [cache.uv, cache.repodata, cache.indexes, cache.published, cache.unchanged, cache.recipes]
    assert {stat.S_IMODE(path.stat().st_mode) for path in own} == {0o700}


def test_another_users_cache_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = Cache(tmp_path).uv
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    assert Cache(tmp_path).uv == tmp_path / "uv-4242"
    assert Cache(tmp_path).pieces == tmp_path / "pieces"
    assert ours == tmp_path / "uv"
