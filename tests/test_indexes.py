"""Wheels and indexes: what a lock depends on is in the request, and nothing else reaches uv."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from envpack.build import pipeline
from envpack.config import config
from envpack.errors import BadConfiguration, Unreachable, Unsatisfiable, UsageError
from envpack.files.cache import Cache
from envpack.lock.file import dump
from envpack.requirements import Indexes, read
from envpack.requirements.indexes import with_environment
from envpack.requirements.names import ProjectName
from envpack.resolve.building import Offered
from envpack.resolve.request import Request
from envpack.resolve.solve import Resolved, resolve
from envpack.sources import offered
from envpack.tools import uv
from envpack.tools.uv_access import access, environment
from tests.support.private import PASSWORD, USER, private_index, write_certificate
from tests.support.projects import write_sdist
from tests.support.small_channel import write_channel
from tests.support.wheels import write_wheel

Ask = Callable[..., Request]


@pytest.fixture(scope="module")
def channel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_channel(tmp_path_factory.mktemp("indexes") / "channel", {})


@pytest.fixture
def ask(tmp_path: Path, channel: Path) -> Ask:
    """Return the request that lines and the environment make."""

    def run(*lines: str, **flags: object) -> Request:
        file = tmp_path / "requirements.txt"
        file.write_text("\n".join([*lines, ""]), "utf-8")
        given = {"channels": (str(channel),), "cache_dir": str(tmp_path / "cache"), **flags}
        return pipeline.request_of(read(file), config.load(given, os.environ, tmp_path))

    return run


@pytest.fixture
def solve(tmp_path: Path, ask: Ask) -> Callable[..., Resolved]:
    def run(*lines: str, **flags: object) -> Resolved:
        cache = Cache(tmp_path / "cache")
        with cache.scratch() as scratch:
            return resolve(ask(*lines, **flags), cache=cache, scratch=scratch)

    return run


def index(folder: Path, *wheels: tuple[str, str]) -> str:
    """Write a package index of wheels as files, and return its address."""
    for name, version in wheels:
        project = folder / name
        project.mkdir(parents=True, exist_ok=True)
        write_wheel(project, name, version)
        links = [f'<a href="{wheel.name}">{wheel.name}</a>' for wheel in project.glob("*.whl")]
        (project / "index.html").write_text(f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>", "utf-8")
    return folder.as_uri()


CHANGING = (
    "UV_CONSTRAINT",
    "UV_BUILD_CONSTRAINT",
    "UV_OVERRIDE",
    "UV_EXCLUDE",
    "UV_EXCLUDE_NEWER",
    "UV_RESOLUTION",
    "UV_PRERELEASE",
    "UV_FORK_STRATEGY",
    "UV_INDEX_STRATEGY",
    "UV_NO_BINARY",
    "UV_NO_BINARY_PACKAGE",
    "UV_NO_BUILD",
    "UV_NO_BUILD_PACKAGE",
    "UV_REQUIRE_HASHES",
    "UV_NO_VERIFY_HASHES",
    "UV_CONFIG_FILE",
    "UV_NO_SOURCES",
    "UV_TORCH_BACKEND",
    "UV_CUDA_DRIVER_VERSION",
    "UV_AMD_GPU_ARCHITECTURE",
    "UV_OFFLINE",
    "UV_NO_CACHE",
    "UV_CACHE_DIR",
    "UV_PYTHON",
    "UV_SYSTEM_PYTHON",
    "UV_LINK_MODE",
    "UV_COMPILE_BYTECODE",
    "UV_PREVIEW",
    "UV_PREVIEW_FEATURES",
    "UV_PROJECT",
    "UV_WORKING_DIR",
    "UV_ENV_FILE",
    "UV_LIBC",
    "UV_SKIP_WHEEL_FILENAME_CHECK",
    "UV_INSECURE_NO_ZIP_VALIDATION",
    "UV_SOMETHING_OF_A_NEWER_UV",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "PYTHONPATH",
)


@pytest.mark.parametrize("variable", [*CHANGING, "UV_DEFAULT_INDEX", "UV_INDEX", "UV_FIND_LINKS"])
def test_no_variable_that_could_change_an_answer_reaches_uv(variable: str) -> None:
    assert variable not in environment({"HOME": "/home/me", variable: "x"})


@pytest.mark.parametrize(
    "variable", ["UV_HTTP_TIMEOUT", "UV_KEYRING_PROVIDER", "SSL_CERT_FILE", "HTTPS_PROXY", "HOME"]
)
def test_variables_that_say_how_to_reach_a_server_do(variable: str) -> None:
    assert environment({variable: "x"}) == {variable: "x"}


def test_a_lock_is_the_same_whatever_the_environment_says_to_uv(
    solve: Callable[..., Resolved], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in ("1", "2", "3rc1"):
        write_wheel(tmp_path, "party", version)
    lines = ("--no-index", f"--find-links {tmp_path}", "party")
    alone = solve(*lines).lock
    (tmp_path / "said.txt").write_text("party<2\n", "utf-8")
    (tmp_path / "uv.toml").write_text('[pip]\nresolution = "lowest"\n', "utf-8")
    (tmp_path / "uv").mkdir()
    (tmp_path / "uv" / "uv.toml").write_text('[pip]\nresolution = "lowest"\n', "utf-8")
    said = {
        "UV_CONSTRAINT": str(tmp_path / "said.txt"),
        "UV_OVERRIDE": str(tmp_path / "said.txt"),
        "UV_RESOLUTION": "lowest",
        "UV_PRERELEASE": "allow",
        "UV_EXCLUDE_NEWER": "2001-01-01",
        "UV_CONFIG_FILE": str(tmp_path / "uv.toml"),
        "XDG_CONFIG_HOME": str(tmp_path),
        "UV_OFFLINE": "1",
    }
    for variable, value in said.items():
        monkeypatch.setenv(variable, value)
    assert solve(*lines).lock == alone
    assert [(wheel.name, wheel.version) for wheel in alone.wheels] == [("party", "2")]


def test_indexes_that_variables_name_are_part_of_the_request(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = ask("six")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://mirror.example/simple")
    mirrored = ask("six")
    assert mirrored.requirements.indexes.index_url == "https://mirror.example/simple"
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://me:secret@mirror.example/simple")
    assert ask("six").digest() == mirrored.digest()
    monkeypatch.setenv("UV_INDEX", "https://more.example/simple")
    monkeypatch.setenv("UV_HTTP_TIMEOUT", "7")
    assert len({alone.digest(), mirrored.digest(), ask("six").digest()}) == 3


def test_a_files_own_index_comes_before_what_variables_say() -> None:
    said = {
        "UV_DEFAULT_INDEX": "https://b.example/simple",
        "UV_INDEX_URL": "https://c.example/simple",
        "UV_INDEX": "team=https://d.example/simple https://e.example/simple",
        "UV_EXTRA_INDEX_URL": "https://f.example/simple",
        "UV_FIND_LINKS": "https://g.example/links,/shelf",
        "UV_INDEX_TEAM_USERNAME": "me",
        "UV_INDEX_TEAM_PASSWORD": "p@ss",
    }
    own = Indexes(index_url="https://a.example/simple", extra_index_urls=("https://z.example/simple",))
    found = with_environment(own, said)
    assert found.index_url == "https://a.example/simple"
    assert found.extra_index_urls == (
        "https://z.example/simple",
        "https://me:p%40ss@d.example/simple",
        "https://e.example/simple",
        "https://f.example/simple",
    )
    assert found.find_links == ("https://g.example/links", "/shelf")
    assert with_environment(Indexes(), said).index_url == "https://b.example/simple"
    assert with_environment(Indexes(no_index=True), said) == Indexes(no_index=True)
    assert "p@ss" not in " ".join(access(extra_index_urls=found.extra_index_urls).arguments)


def test_a_project_is_taken_from_the_first_index_that_has_it_unless_told_otherwise(
    solve: Callable[..., Resolved], ask: Ask, tmp_path: Path
) -> None:
    main = index(tmp_path / "main", ("party", "2"), ("guest", "1"))
    extra = index(tmp_path / "extra", ("party", "1"))
    lines = (f"--index-url {main}", f"--extra-index-url {extra}", "party", "guest")

    def party(**flags: object) -> dict[str, str]:
        return {wheel.name: wheel.version for wheel in solve(*lines, **flags).lock.wheels}

    assert party() == {"party": "1", "guest": "1"}
    assert party(index_strategy="unsafe-best-match") == {"party": "2", "guest": "1"}
    assert ask(*lines).digest() != ask(*lines, index_strategy="unsafe-best-match").digest()


def test_the_hint_about_indexes_names_an_option_that_exists(solve: Callable[..., Resolved], tmp_path: Path) -> None:
    main = index(tmp_path / "main", ("party", "2"))
    extra = index(tmp_path / "extra", ("party", "1"))
    with pytest.raises(Unsatisfiable) as caught:
        solve(f"--index-url {main}", f"--extra-index-url {extra}", "party>=2")
    assert "--index-strategy unsafe-best-match" in str(caught.value.hint)
    assert "`--index-strategy" not in caught.value.message


def test_an_index_strategy_that_is_none_is_told_with_its_source(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENVPACK_INDEX_STRATEGY", "union")
    (tmp_path / "r.txt").write_text("six\n", "utf-8")
    with pytest.raises(UsageError, match="ENVPACK_INDEX_STRATEGY: unknown index strategy 'union'"):
        pipeline.lock(tmp_path / "r.txt", config=config.load({}, os.environ, tmp_path))


def test_a_wheel_for_older_pythons_only_gives_way_to_an_older_one_as_with_pip(
    solve: Callable[..., Resolved], tmp_path: Path
) -> None:
    for version, needs in (("1", ""), ("2", "Requires-Python: >=3.7,<3.11"), ("3", "Requires-Python: !=3.11.*")):
        write_wheel(tmp_path, "party", version, headers=[needs] if needs else [])
    lines = ("--no-index", f"--find-links {tmp_path}")
    for python, version in (("3.11", "1"), ("3.10", "3"), ("3.12", "3")):
        resolved = solve(*lines, "party", python=python)
        assert [(wheel.name, wheel.version) for wheel in resolved.lock.wheels] == [("party", version)]
        assert any("party 3 is for Python !=3.11.*" in note for note in resolved.notes) is (version == "1")
    with pytest.raises(
        Unsatisfiable, match=r"requirements.txt:3: party 2 is for Python >=3.7,<3.11, not 3.12"
    ) as caught:
        solve(*lines, "party==2", python="3.12")
    assert "--python" in str(caught.value.hint)


def test_a_dependency_for_older_pythons_only_gives_way_too(solve: Callable[..., Resolved], tmp_path: Path) -> None:
    write_wheel(tmp_path, "host", "1", requires=["party"])
    write_wheel(tmp_path, "party", "1")
    write_wheel(tmp_path, "party", "2", headers=["Requires-Python: <3"])
    resolved = solve("--no-index", f"--find-links {tmp_path}", "host")
    assert {wheel.name: wheel.version for wheel in resolved.lock.wheels} == {"host": "1", "party": "1"}


def test_a_wheel_named_by_its_file_is_held_to_it_as_well(solve: Callable[..., Resolved], tmp_path: Path) -> None:
    write_wheel(tmp_path, "party", "2", headers=["Requires-Python: <3"])
    with pytest.raises(Unsatisfiable, match="party 2 is for Python <3"):
        solve("--no-index", "./party-2-py3-none-any.whl")


def test_where_no_index_is_named_the_one_of_uv_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://localhost:1/simple")  # the request has it, and uv is not asked
    address = urlsplit(uv.default_index(cache=tmp_path / "cache", workdir=tmp_path))
    assert (address.scheme, address.path) == ("https", "/simple")


# An index that some names belong to


def offered_by(asked: Request, name: str) -> Offered | None:
    """Return the newest source distribution that might be built."""
    found = offered.sources(
        ProjectName(name),
        asked.requirements.indexes,
        default=lambda: "http://localhost:1",
        hashes=(),
        python="3.11.7",
    )
    return next(iter(found), None)


def test_a_project_is_taken_from_the_one_index_that_its_name_belongs_to(
    solve: Callable[..., Resolved], ask: Ask, tmp_path: Path
) -> None:
    public = index(tmp_path / "public", ("acme-core", "9"), ("acme-tool", "9"), ("guest", "1"))
    private = index(tmp_path / "private", ("acme-core", "1"))
    write_wheel(tmp_path / "public/guest", "guest", "1", requires=["acme-core"])
    write_sdist(tmp_path / "public/acme-source", "acme-source")
    lines = (f"--index-url {public}", "guest")
    owned = {"package_index": {"Acme_*": private}}
    assert {wheel.name: wheel.version for wheel in solve(*lines, **owned).lock.wheels} == {
        "guest": "1",
        "acme-core": "1",
    }
    assert ask(*lines).digest() != ask(*lines, **owned).digest()
    with pytest.raises(Unsatisfiable, match=r"^acme-tool==9 must come from .* .package-index.") as told:
        solve(*lines, "acme-tool", **owned)
    assert "stranger" in str(told.value.hint)
    with pytest.raises(UsageError, match="could take a higher version from another index"):
        ask(*lines, **owned, index_strategy="unsafe-best-match")
    assert offered_by(ask(*lines), "acme-source")
    assert offered_by(ask(*lines, **owned), "acme-source") is None


def test_the_default_index_and_one_that_names_belong_to_each_have_a_mirror(
    solve: Callable[..., Resolved], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = index(tmp_path / "public", ("guest", "1"), ("acme-core", "9"))
    private = index(tmp_path / "private", ("acme-core", "1"))
    monkeypatch.setenv("UV_DEFAULT_INDEX", public)
    wheels = solve("guest", "acme-core", package_index={"acme-*": private}).lock.wheels
    places = {wheel.name: (wheel.version, "/private/" in wheel.url, "/public/" in wheel.url) for wheel in wheels}
    assert places == {"guest": ("1", False, True), "acme-core": ("1", True, False)}


def test_a_name_that_belongs_to_an_index_is_not_taken_from_a_channel(ask: Ask) -> None:
    owned = {"package_index": {"acme-*": "https://pypi.acme.example/simple"}}
    assert ask("acme-core", "guest", **owned).from_pypi == {"acme-core"}


@pytest.mark.parametrize(
    ("name", "url", "said"),
    [
        (
            "acme core",
            "https://acme.example/simple",
            "'acme core' is neither the name of a PyPI project nor a pattern",
        ),
        ("acme", "acme.example/simple", "begin it with https://"),
        ("acme", "https://me:pa/ss@acme.example", "reserved characters"),
    ],
)
def test_a_name_that_belongs_to_no_index_is_refused(tmp_path: Path, name: str, url: str, said: str) -> None:
    (tmp_path / "r.txt").write_text("six\n")
    (tmp_path / "envpack.yaml").write_text(f"package-index:\n  {name}: {url}\n")
    with pytest.raises(BadConfiguration, match=said) as told:
        pipeline.lock(tmp_path / "r.txt", config=config.load({}, {}, tmp_path))
    assert "pa/ss" not in str(told.value)


# Who may ask


def way_in(way: str, host: str, folder: Path) -> tuple[str, dict[str, str]]:
    """Return the address of an index, and the variables with which a person may ask it."""
    if way == "address":
        return f"http://{USER}:{PASSWORD}@{host}/simple", {}
    if way == "variables":
        return "", {
            "UV_INDEX": f"the-team=http://{host}/simple",
            "UV_INDEX_THE_TEAM_USERNAME": USER,
            "UV_INDEX_THE_TEAM_PASSWORD": PASSWORD,
        }
    if way == "netrc":
        (folder / "netrc").write_text(f"machine 127.0.0.1 login {USER} password {PASSWORD}\n")
        return f"http://{host}/simple", {"NETRC": str(folder / "netrc")}
    keyring = folder / "bin/keyring"
    keyring.parent.mkdir()
    keyring.write_text(f'#!/bin/sh\n[ "$1 $3" = "get {USER}" ] && echo {PASSWORD}\n')
    keyring.chmod(0o755)
    path = f"{keyring.parent}:{os.environ['PATH']}"
    return f"http://{USER}@{host}/simple", {"UV_KEYRING_PROVIDER": "subprocess", "PATH": path}


@pytest.mark.parametrize("way", ["address", "variables", "netrc", "keyring"])
def test_a_password_reaches_its_index_whoever_asks_and_no_lock(
    way: str, solve: Callable[..., Resolved], ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_wheel(tmp_path, "party", "1")
    write_sdist(tmp_path, "source")
    with private_index(tmp_path) as host:
        url, variables = way_in(way, host, tmp_path)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        lines = (*([f"--extra-index-url {url}"] if url else []), "party")
        lock = solve(*lines).lock
        assert [wheel.name for wheel in lock.wheels] == ["party"]
        assert offered_by(ask(*lines), "source")
    assert PASSWORD not in dump(lock)


def test_an_index_that_wants_a_certificate_is_shown_it(
    solve: Callable[..., Resolved], ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_wheel(tmp_path, "party", "1")
    write_sdist(tmp_path, "source")
    own = write_certificate(tmp_path / "own.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(own))
    monkeypatch.setenv("SSL_CLIENT_CERT", str(own))
    with private_index(tmp_path, certificate=own) as host:
        lines = (f"--index-url https://{USER}:{PASSWORD}@{host}/simple", "party")
        assert [wheel.name for wheel in solve(*lines).lock.wheels] == ["party"]
        assert offered_by(ask(*lines), "source")
        monkeypatch.delenv("SSL_CLIENT_CERT")
        with pytest.raises(Unreachable):
            offered_by(ask(*lines), "source")


# Mirrors


@pytest.mark.parametrize("end", ["", "/"])
def test_an_index_with_a_mirror_is_never_asked_itself(
    end: str, solve: Callable[..., Resolved], ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_wheel(tmp_path, "party", "1")
    write_sdist(tmp_path, "late")
    own = "http://localhost:1/simple"
    (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login {USER} password {PASSWORD}\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    with private_index(tmp_path) as host:
        mirrors = {own + end: f"http://{host}/simple/"}
        for line in (f"--index-url {own}", f"--extra-index-url {own}/"):
            (wheel,) = solve(line, "party", index_mirrors=mirrors).lock.wheels
            assert host in wheel.url
            assert own not in str(ask(line, "party", index_mirrors=mirrors).requirements.indexes)
        assert offered_by(ask(f"--index-url {own}", "party", index_mirrors=mirrors), "late")
        monkeypatch.setenv("UV_DEFAULT_INDEX", own)
        assert solve("party", index_mirrors=mirrors).lock.wheels
        owned = ask("party", index_mirrors=mirrors, package_index={"party": own}).requirements.indexes
        assert owned.owner_of("party") == f"http://{host}/simple/"
        assert PASSWORD not in dump(solve("party", index_mirrors=mirrors).lock)


def test_the_index_that_nobody_names_has_a_mirror_too(ask: Ask, tmp_path: Path) -> None:
    default = uv.default_index(cache=tmp_path / "cache", workdir=tmp_path)
    asked = ask("party", index_mirrors={default: "https://mirror.example/simple"}).requirements.indexes
    assert asked.index_url == "https://mirror.example/simple"
    assert ask("party", index_mirrors={"https://other.example": "https://m.example"}).requirements.indexes == (
        ask("party").requirements.indexes
    )


# Versions that were withdrawn


def withdrawn(folder: Path, *files: str) -> None:
    """Write the page of a project, on which some files are yanked."""
    links = [
        f'<a href="{path.name}"{" data-yanked=broken" if path.name in files else ""}>{path.name}</a>'
        for path in folder.iterdir()
    ]
    (folder / "index.html").write_text(f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>", "utf-8")


def test_a_yanked_version_is_taken_where_it_is_pinned_whoever_pins_it(
    solve: Callable[..., Resolved], tmp_path: Path
) -> None:
    address = index(tmp_path / "index", ("party", "1"), ("party", "2"), ("host", "1"))
    write_wheel(tmp_path / "index/host", "host", "1", requires=["party==1"])
    withdrawn(tmp_path / "index/party", "party-1-py3-none-any.whl")
    for line in ("party==1", "host", "party===1"):
        resolved = solve(f"--index-url {address}", line)
        assert {wheel.version for wheel in resolved.lock.wheels if wheel.name == "party"} == {"1"}
        assert any("yanked" in note for note in resolved.notes)
    assert solve(f"--index-url {address}", "party").lock.wheels[0].version == "2"
    with pytest.raises(Unsatisfiable, match="yanked"):
        solve(f"--index-url {address}", "party<2")
