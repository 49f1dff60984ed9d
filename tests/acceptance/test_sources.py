"""Real sources: projects of PyPI that have no wheel, a real index server with a password, a git server with one."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import os
import platform
import pwd
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from envpack.lock.file import read
from envpack.stores.s3.options import SMALLEST_PART
from tests.support.channel import Channel
from tests.support.command import Desk, as_pypi_was, desk_at
from tests.support.missing import missing
from tests.support.private import PASSWORD, USER, private_git, private_index
from tests.support.projects import commit_all, wheel_of, write_sdist, write_source
from tests.support.s3 import Gate, S3Server
from tests.support.venv import venv_with
from tests.support.wheels import write_wheel

pytestmark = pytest.mark.acceptance

SOURCES = ("docopt==0.6.2", "pycosat==0.6.6")
"""A pure one and one with C code; neither has a wheel."""

NEEDING = """
[build-system]
requires = ["setuptools", "docopt"]
build-backend = "setuptools.build_meta"
[project]
name = "needing"
version = "1.0"
[tool.setuptools]
py-modules = ["needing"]
"""
"""A project that is built with one that has to be built itself."""


def locked(desk: Desk, *before: str, umask: int = 0o022) -> Path:
    """Lock the same sources at a desk, and return the lock."""
    home = desk.home / "needing"
    home.mkdir()
    (home / "pyproject.toml").write_text(NEEDING)
    (home / "setup.py").write_text("import docopt, setuptools\nsetuptools.setup()\n")
    (home / "needing.py").write_text("VERSION = 1\n")
    desk.write("env.txt", *SOURCES, "./needing")
    command = [*before, *desk.command("lock", "env.txt")]
    done = subprocess.run(
        command,
        cwd=desk.home,
        env=desk.environment,
        umask=umask,
        capture_output=True,
        text=True,
        timeout=desk.seconds,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return desk.home / "env.txt.lock"


def test_real_sources_are_the_same_wheels_from_another_directory_for_another_user_on_another_day(
    full_channel: Channel, tmp_path: Path
) -> None:
    first = as_pypi_was(desk_at(tmp_path / "one", full_channel, tmp_path / "cache"))
    lock = locked(first)
    for name, compiled in (("docopt", False), ("pycosat", True), ("needing", False)):
        made = wheel_of(read(lock), name).made
        assert made is not None
        assert made.compiled is compiled, name
    made = wheel_of(read(lock), "needing").made
    assert made is not None
    assert {tool.name: tool.made is not None for tool in made.requires} == {"docopt": True, "setuptools": False}

    later = {"TZ": "Asia/Kathmandu", "USER": "someone", "LOGNAME": "someone"}
    package = importlib.util.find_spec("libfaketime")
    if platform.machine() == "x86_64" and package and package.origin:
        # Not later: the certificates of PyPI have to be good on that day, too.
        later |= {"FAKETIME": "+1d", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        later["LD_PRELOAD"] = str(Path(package.origin).parent / "vendor/libfaketime/src/libfaketime.so.1")
    second = as_pypi_was(desk_at(tmp_path / "two words", full_channel, tmp_path / "another cache"))
    second = replace(second, environment={**second.environment, **later})
    user: tuple[str, ...] = ("unshare", "--user", "--map-user=1234", "--map-group=1234")
    if subprocess.run([*user, "true"], check=False).returncode:
        user = ()
    again = locked(second, *user, umask=0o077)
    assert read(again).wheels == read(lock).wheels
    # The release is made of them, and its Python imports the compiled one.
    assert {each["name"] for each in first.build("env.txt", "--locked")["packages"]} > {"pycosat", "needing"}


@contextmanager
def index_server(shelf: Path, folder: Path) -> Iterator[str]:
    """Run pypiserver with a password over a folder of packages, and yield `host:port`."""
    venv = venv_with("pypiserver", ["pypiserver==2.3.2", "passlib==1.7.4"])
    digest = base64.b64encode(hashlib.sha1(PASSWORD.encode(), usedforsecurity=False).digest()).decode()
    (folder / "htpasswd").write_text(f"{USER}:{{SHA}}{digest}\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command: list[str | Path] = [venv / "bin/pypi-server", "run", "--interface", "127.0.0.1", "--port", str(port)]
    command += ["--authenticate", "update,download,list", "--passwords", folder / "htpasswd", "--disable-fallback"]
    with subprocess.Popen([*command, shelf], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            _wait_for(f"http://127.0.0.1:{port}/simple/")
            yield f"127.0.0.1:{port}"
        finally:
            server.terminate()


def _wait_for(url: str) -> None:
    for _ in range(300):
        try:
            urlopen(url).close()  # noqa: S310 - ours
        except HTTPError:
            return
        except OSError:
            time.sleep(0.1)
        else:
            return
    missing(f"{url} does not answer")


def test_a_private_index_and_a_private_repository_give_what_they_have_and_no_secret_gets_out(
    desk: Desk, tmp_path: Path
) -> None:
    shelf, strangers = tmp_path / "shelf", tmp_path / "strangers"
    shelf.mkdir()
    strangers.mkdir()
    write_wheel(shelf, "acme-core", "1.0", requires=["acme-source"])
    write_sdist(shelf, "acme-source", "1.0")
    for name in ("acme-core", "acme-source", "acme-other"):
        write_wheel(strangers, name, "9.0")
    commit_all(write_source(tmp_path / "remotes/tool", "tool"))
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login {USER} password {PASSWORD}\n")
    with (
        index_server(shelf, tmp_path) as private,
        private_index(strangers) as public,
        private_git(tmp_path / "remotes") as repositories,
    ):
        desk.write(
            "envpack.yaml",
            *(desk.home / "envpack.yaml").read_text().splitlines(),
            f"package-index: {{'acme-*': 'http://{private}/simple/'}}",
        )
        desk.write(
            "env.txt",
            f"--index-url http://{USER}:${{TEAM_PASSWORD}}@{public}/simple",
            "acme-core",
            f"tool @ git+http://{USER}:${{TEAM_PASSWORD}}@{repositories}/tool@main",
        )
        given = {"NETRC": str(netrc), "TEAM_PASSWORD": PASSWORD}
        ran = desk.run("build", "env.txt", "--verbose", "--output", "json", **given)
        assert ran.code == 0, ran.err
        desk.write("other.txt", *(desk.home / "env.txt").read_text().splitlines(), "acme-other")
        refused = desk.run("build", "other.txt", "--verbose", **given)
        wrong = desk.run("build", "env.txt", "--upgrade", NETRC=os.devnull, TEAM_PASSWORD=f"{PASSWORD}-not")
    found = {package["name"]: package["version"] for package in ran.json()["packages"]}
    assert {name: found[name] for name in ("acme-core", "acme-source", "tool")} == dict.fromkeys(
        ("acme-core", "acme-source", "tool"), "1.0"
    )
    assert refused.code == 4, refused.err
    assert wrong.code == 5, wrong.err
    said = "".join(each.out + each.err for each in (ran, refused, wrong))
    basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    kept = [path.read_bytes() for root in (desk.home, desk.cache) for path in root.rglob("*") if path.is_file()]
    for secret in (PASSWORD, basic):
        assert secret not in said
        assert not any(secret.encode() in content for content in kept)


@contextmanager
def ssh_server(folder: Path) -> Iterator[str]:
    """Run this machine's sshd for the current user, whose key is `folder/me`; yield `user@host:port`."""
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if sshd is None:
        pytest.skip("there is no sshd; Debian's openssh-server has one")
    if os.getuid() == 0 and not Path("/run/sshd").is_dir():
        pytest.skip("root's sshd needs /run/sshd, which the service of openssh-server makes")
    for name in ("host", "me"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(command, check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    lines = ["ListenAddress 127.0.0.1", f"Port {port}", f"HostKey {folder / 'host'}", "PidFile none", "UsePAM no"]
    lines += [f"AuthorizedKeysFile {folder / 'me.pub'}", "StrictModes no", "AuthenticationMethods publickey"]
    (folder / "sshd_config").write_text("".join(f"{line}\n" for line in lines))
    (folder / "known").write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
    with subprocess.Popen([sshd, "-D", "-f", folder / "sshd_config"], stderr=subprocess.DEVNULL) as server:
        try:
            _wait_for_port(port)
            yield f"{pwd.getpwuid(os.getuid()).pw_name}@127.0.0.1:{port}"
        finally:
            server.terminate()


def _wait_for_port(port: int) -> None:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    missing("sshd does not answer")


def test_a_repository_behind_a_real_ssh_server_is_locked_by_its_commit(desk: Desk, tmp_path: Path) -> None:
    commit = commit_all(write_source(tmp_path / "remotes/tool", "tool"))
    folder = tmp_path / "ssh"
    folder.mkdir()
    with ssh_server(folder) as host:
        desk.write("env.txt", f"tool @ git+ssh://{host}{tmp_path}/remotes/tool@main")
        ssh = f"ssh -F none -o BatchMode=yes -o UserKnownHostsFile='{folder}/known'"
        stranger = desk.run("lock", "env.txt", GIT_SSH_COMMAND=f"{ssh} -o IdentityFile=none -o IdentityAgent=none")
        ran = desk.run("lock", "env.txt", GIT_SSH_COMMAND=f"{ssh} -i '{folder}/me'")
    assert stranger.code == 5, stranger.err
    assert ran.code == 0, ran.err
    made = wheel_of(read(desk.home / "env.txt.lock"), "tool").made
    assert made is not None
    assert made.commit == commit


def test_a_changed_line_of_a_project_costs_its_own_bytes_on_s3(desk: Desk, moto_s3: S3Server) -> None:
    shelf = desk.home / "shelf"
    shelf.mkdir()
    # What stays the same is copied in parts of 5 MiB or more.
    write_wheel(shelf, "alpha", "1.0", files={"alpha.txt": random.Random(0).randbytes(8 << 20).hex()})
    project = write_source(desk.home / "tool", "tool")
    desk.write("env.txt", "--no-index", "--find-links shelf", "alpha", "tool @ ./tool")
    gate = Gate(moto_s3)
    variables = {**moto_s3.variables(), "AWS_ENDPOINT_URL_S3": gate.endpoint}
    build = ("build", "env.txt", "--no-verify", "--store", f"s3://{moto_s3.new_bucket()}/envs", "--output", "json")
    first = desk.run(*build, **variables)
    assert first.code == 0, first.err
    assert gate.received() > first.json()["archive"]["size"]
    gate.asked.clear()
    with (project / "tool.py").open("a") as module:
        module.write("CHANGED = True\n")
    second = desk.run(*build, **variables)
    gate.close()
    assert second.code == 0, second.err
    assert second.json()["digest"] != first.json()["digest"]
    assert gate.received() < 0.02 * second.json()["archive"]["size"] + SMALLEST_PART
