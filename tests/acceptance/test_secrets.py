"""No secret leaves: every command, working and failing, with each kind of secret at hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest

from envpack import cli
from tests.support.channel import Channel
from tests.support.command import Desk, Ran, desk_at
from tests.support.every_command import leaves
from tests.support.guarded import SECRETS, SECRETS_DIRECTORY, USER, found_in, guarded, leaks, watched
from tests.support.repository import new_repository
from tests.support.wheels import write_wheel

pytestmark = pytest.mark.acceptance

THEIRS = "import alpha, theta"
"""What a person runs in a release."""

PROJECTS = {
    "basic": "alpha",
    "pypi": "beta",
    "query": "gamma",
    "signed": "delta",
    "links": "epsilon",
    "netrc": "zeta",
    "uv": "eta",
    "direct": "theta",
    "direct-basic": "iota",
}
"""The project that is behind each kind of door."""


@dataclass(kw_only=True)
class Site:
    """A desk whose channels, indexes and wheels all want secrets, with all that envpack has said and done there."""

    desk: Desk
    port: int
    processes: dict[str, set[str]] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    """The commands that were run."""

    def run(self, *arguments: str, code: int | None = 0, variables: dict[str, str] | None = None) -> Ran:
        self.used.add(arguments[0])
        ran = self.desk.run(*arguments, **(variables or {}))
        assert found_in(f"{ran.out}{ran.err}".encode()) == set(), (arguments, ran.out, ran.err)
        if code is not None:
            assert ran.code == code, (arguments, ran.out, ran.err)
        return ran


def host(number: int, port: int) -> str:
    return f"127.0.0.{number}:{port}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, channel: Channel) -> Iterator[Site]:
    root = tmp_path_factory.mktemp("site")
    shelf, home = root / "shelf", root / "home"
    home.mkdir()
    for kind, name in PROJECTS.items():
        (shelf / kind).mkdir(parents=True)
        write_wheel(shelf / kind, name, "1.0")
    with guarded(channel.path, shelf) as port:
        repository = new_repository(root / "desk")
        desk = desk_at(repository.path, channel, root / "cache")
        (home / ".netrc").write_text(
            f"machine 127.0.0.3 login {USER} password {SECRETS['password of a netrc file']}\n"
        )
        (home / ".netrc").chmod(0o600)
        desk = dataclasses.replace(desk, environment={**desk.environment, **_variables(port, home)})
        _write_inputs(desk, port)
        repository.commit()
        remote = f"https://{USER}:{SECRETS['password of a git remote']}@git.example.org/team/envs.git"
        repository.git("remote", "add", "origin", remote)
        found = Site(desk=desk, port=port)
        with watched(found.processes, ours=_is_given_them):
            yield found


def _is_given_them(command: list[str]) -> bool:
    """Return whether a process is envpack itself or what a person runs by it: they have the person's variables."""
    return THEIRS in command or any(Path(word).name == "envpack" for word in command[:2])


def _variables(port: int, home: Path) -> dict[str, str]:
    password = quote(SECRETS["password of a variable of uv"], safe="")
    return {
        SECRETS_DIRECTORY: "1",
        "HOME": str(home),
        "INDEX_PASSWORD": SECRETS["index password"],
        "PATH_TOKEN": SECRETS["index token in a path"],
        "SIG": SECRETS["signature of a requirement"],
        "UV_INDEX": f"http://{USER}:{password}@{host(4, port)}/uv/simple",
        "GITHUB_TOKEN": SECRETS["token variable"],
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": SECRETS["AWS secret key"],
        "AWS_SESSION_TOKEN": SECRETS["AWS session token"],
        "AWS_REGION": "us-east-1",
        "JENKINS_URL": "https://ci.example.org/",
        "JOB_NAME": "envs",
        "BUILD_NUMBER": "7",
        "BUILD_URL": f"https://ci.example.org/job/envs/7/?key={SECRETS['address of a CI job']}",
    }


def _write_inputs(desk: Desk, port: int) -> None:
    basic = f"http://{USER}:{quote(SECRETS['channel password'], safe='')}@{host(1, port)}/basic/channel"
    desk.write(
        "envpack.yaml",
        "store: a store",
        f"channels: ['{basic}']",
        f"glibc: '{desk.channel.glibc}'",
        "ci: {requirements: [envs/all.txt], catalog: true}",
    )
    (desk.home / "envs").mkdir()
    desk.write(
        "envs/all.txt",
        f"--index-url http://{USER}:${{INDEX_PASSWORD}}@{host(2, port)}/basic/simple",
        f"--extra-index-url http://{host(5, port)}/pypi/${{PATH_TOKEN}}/simple",
        f"--extra-index-url http://{host(6, port)}/query/simple?auth={SECRETS['index token under a name']}",
        f"--extra-index-url http://{host(7, port)}/signed/simple",
        f"--extra-index-url http://{host(3, port)}/netrc/simple",
        f"--find-links http://{host(8, port)}/links/page.html?key={SECRETS['parameter of a page of links']}",
        "greeter",
        *(PROJECTS[kind] for kind in ("basic", "pypi", "query", "signed", "links", "netrc", "uv")),
        f"theta @ http://{host(9, port)}/direct/theta-1.0-py3-none-any.whl?sig=${{SIG}}",
        f"iota @ http://{USER}:{SECRETS['password of a requirement']}@{host(10, port)}"
        "/direct-basic/iota-1.0-py3-none-any.whl?raw=true",
    )


def test_no_secret_is_in_an_output_a_file_or_another_process(site: Site, tmp_path: Path) -> None:
    desk, run = site.desk, site.run
    run("lock", "envs/all.txt", "--verbose")
    built = run("build", "envs/all.txt", "--verbose", "--output", "json").json()
    assert {package["name"] for package in built["packages"]} >= {*PROJECTS.values(), "greeter"}
    lock = (desk.home / "envs/all.txt.lock").read_text()
    assert f"http://{host(9, site.port)}/direct/theta-1.0-py3-none-any.whl?sig=${{SIG}}" in lock
    assert "/direct-basic/iota-1.0-py3-none-any.whl?raw=true" in lock
    for kind in ("channel token", "token behind a path"):
        begin = "t" if kind == "channel token" else "api/conda/t"
        url = f"http://{host(1, site.port)}/{begin}/{SECRETS[kind]}/channel"
        desk.write("tokens.yml", f"channels: ['{url}']", "dependencies: [greeter]")
        run("build", "tokens.yml", "--verbose", "--name", begin.replace("/", "-"))
    run("ci", "--all", "--verbose", "--report", "report")
    for arguments in (
        ("settings", "all"),
        ("list", "--output", "json"),
        ("show", "all", "--output", "json"),
        ("show", "all"),
        ("diff", "all", "envs/all.txt", "--upgrade"),
        ("search", "alpha"),
        ("tag", "all", "prod"),
        ("tag", "--history", "all:prod"),
        ("catalog", "site"),
        ("catalog", "--publish"),
        ("verify", "all"),
        ("pull", "all", "pulled"),
        ("run", "all", "--", "python", "-c", THEIRS),
        ("pack", "pulled", str(tmp_path / "packed.tar.gz")),
        ("gc", "--keep-last", "1"),
        ("doctor", "all", "--verbose"),
        ("completion", "bash"),
    ):
        run(*arguments, code=None if arguments[0] == "doctor" else 0)
    _search(site, tmp_path)


def test_from_the_lock_alone_whoever_has_the_credentials_builds_the_same(site: Site, tmp_path: Path) -> None:
    site.run("lock", "envs/all.txt")
    first = site.run("build", "envs/all.txt", "--output", "json").json()
    cold = {"ENVPACK_CACHE_DIR": str(tmp_path / "cold")}
    again = site.run(
        "build",
        "envs/all.txt",
        "--locked",
        "--store",
        str(tmp_path / "elsewhere"),
        "--output",
        "json",
        variables=cold,
    )
    assert again.json()["digest"] == first["digest"]
    third = ("--store", str(tmp_path / "third"))
    without = site.run("build", "envs/all.txt", "--locked", *third, code=3, variables={**cold, "SIG": ""})
    assert "SIG" in without.err


FAILING = {
    "a channel that says no": (
        "channels: ['http://{user}:{odd}wrong@{h1}/basic/channel']",
        "dependencies: [greeter]",
    ),
    "a token that is wrong": ("channels: ['http://{h1}/t/{token}wrong/channel']", "dependencies: [greeter]"),
    "a token behind a path that is wrong": (
        "channels: ['http://{h1}/api/conda/t/{behind}wrong/channel']",
        "dependencies: [greeter]",
    ),
    "a raw password in a channel": (
        "channels: ['http://{user}:{odd_raw}@{h1}/basic/channel']",
        "dependencies: [x]",
    ),
    "a mistyped scheme": ("channels: ['htps://{user}:{index}@{h1}/c']", "dependencies: [x]"),
    "a file with a password": ("channels: ['file://{user}:{index}@{h1}/c']", "dependencies: [x]"),
    "a spec with a channel": ("dependencies: ['http://{user}:{index}@{h1}/c::greeter[']",),
}

FAILING_LINES = {
    "an index that says no": ("--index-url http://{user}:{index}wrong@{h1}/basic/simple", "nothing"),
    "an index without the project": ("--index-url http://{user}:{index}@{h2}/basic/simple", "no-such-project"),
    "a raw password": ("--index-url http://{user}:{odd_raw}@{h1}/simple", "alpha"),
    "a literal signature": ("theta @ http://{h1}/direct/theta-1.0-py3-none-any.whl?sig={sig}",),
    "a wrong wheel": ("theta @ http://{user}:{index}@{h1}/direct/no-such.whl?sig={sig}",),
    "a git address": ("x @ git+https://{user}:{index}@{h1}/x.git",),
    "a redirect": ("alpha @ http://{h1}/redirected/alpha-1.0-py3-none-any.whl",),
    "a mistyped index": ("--index-url htps://{user}:{index}@{h1}/simple", "alpha"),
    "a mistyped page": ("--find-links https:/{user}:{index}@{h1}/simple", "alpha"),
    "an included address": ("-r https://{user}:{index}@{h1}/x.txt",),
    "an option that is none": ("--index https://{user}:{index}@{h1}/simple", "alpha"),
}


@pytest.mark.parametrize("case", [*FAILING, *FAILING_LINES])
def test_no_secret_is_in_what_fails(site: Site, case: str) -> None:
    values = {
        "user": USER,
        "odd": quote(SECRETS["channel password"], safe=""),
        "odd_raw": SECRETS["channel password"].replace("'", "''"),
        "token": SECRETS["channel token"],
        "behind": SECRETS["token behind a path"],
        "index": SECRETS["index password"],
        "sig": SECRETS["signature of a requirement"],
        "h1": host(21, site.port),
        "h2": host(2, site.port),
    }
    name, lines = ("f.yml", FAILING[case]) if case in FAILING else ("f.txt", FAILING_LINES[case])
    site.desk.write(name, *(line.format_map(values) for line in lines))
    ran = site.run("lock", name, "--verbose", code=None)
    assert ran.code in (2, 3, 4, 5, 6), (ran.out, ran.err)
    site.run("ci", name, "--all", "--report", "report-f", code=ran.code)
    assert leaks(site.desk.home / "report-f") == {}


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://{user}:{key}@127.0.0.1:9",
        "http://{user}:{odd}@127.0.0.1:9",
        "htp//{user}:{key}@h",
        "{user}:{key}@h:80",
    ],
)
@pytest.mark.parametrize(
    "command", [("list",), ("doctor", "--timeout", "5"), ("build", "envs/all.txt", "--verbose")]
)
def test_no_secret_of_an_endpoint_is_told(site: Site, endpoint: str, command: tuple[str, ...]) -> None:
    url = endpoint.format(user=USER, key=SECRETS["index password"], odd=SECRETS["channel password"])
    for option in (("--s3-endpoint-url", url), ()):
        ran = site.run(
            *command, "--store", "s3://bucket/x", *option, code=None, variables={"AWS_ENDPOINT_URL_S3": url}
        )
        assert ran.code not in (0, 1), ran.err
        assert "Traceback" not in ran.out + ran.err


def test_children_get_no_secret_and_no_cache_is_open_to_others(site: Site) -> None:
    assert site.processes == {}
    for name in ("uv", "repodata", "indexes"):
        directory = site.desk.cache / name
        assert not directory.exists() or directory.stat().st_mode & 0o077 == 0, name


def test_every_command_was_run_with_secrets_at_hand(site: Site, tmp_path: Path) -> None:
    for command in sorted({words[0] for words, _ in leaves(cli.cli)} - site.used):
        site.run(command, *(("init", str(tmp_path / "new")) if command == "channel" else ("none-such",)), code=None)
    assert leaks(site.desk.home / "report") == {}


def _search(site: Site, tmp_path: Path) -> None:
    desk = site.desk
    own = {"envpack.yaml", "all.txt", "tokens.yml", "config"}
    written = leaks(desk.home, but=lambda path: path.name in own or ".git" in path.parts)
    assert written == {}
    private = [desk.cache / name for name in ("uv",)]
    assert leaks(desk.cache, but=lambda path: any(path.is_relative_to(place) for place in private)) == {}
    assert leaks(tmp_path, but=lambda path: "cold" in path.parts) == {}
    for place in private:
        assert place.stat().st_mode & 0o077 == 0
