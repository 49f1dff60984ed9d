from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from envpack.config.target import Target
from envpack.errors import Unreachable, Unsatisfiable, UsageError
from envpack.files.cache import Cache
from envpack.lock.lock import Lock
from envpack.requirements import read
from envpack.resolve.names import Names
from envpack.resolve.request import Addition, Limit, Provided, Request
from envpack.resolve.solve import Resolved, resolve
from tests.support.channel import Channel
from tests.support.small_channel import write_channel
from tests.support.wheels import write_wheel

Solve = Callable[..., Resolved]


@pytest.fixture
def solve(tmp_path: Path, channel: Channel) -> Solve:
    """Resolve the text of a requirements file against the test channel."""

    def run(text: str, *, suffix: str = ".txt", **changes: object) -> Resolved:
        file = tmp_path / f"requirements{suffix}"
        file.write_text(text, "utf-8")
        given: dict[str, object] = {"target": Target(glibc=channel.glibc), "channels": (channel.url,), **changes}
        cache = Cache(tmp_path / "cache")
        with cache.scratch() as scratch:
            request = Request(requirements=read(file), **given)  # type: ignore[arg-type] # a test's own values
            return resolve(request, cache=cache, scratch=scratch)

    return run


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A folder of wheels that serves as an index."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    return folder


def offline(shelf: Path, *lines: str) -> str:
    return "\n".join(["--no-index", f"--find-links {shelf}", *lines])


def sources(lock: Lock) -> dict[str, tuple[str, str]]:
    found = {str(p.name): (p.version, "conda") for p in lock.packages}
    return {**found, **{w.name: (w.version, "pypi") for w in lock.wheels}}


def test_a_line_comes_from_conda_where_a_channel_carries_it(solve: Solve, channel: Channel) -> None:
    lock = solve("greeter\n").lock
    assert sources(lock) == {"greeter": ("2.0", "conda"), "python": (channel.python, "conda")}
    assert lock.requested == ("greeter",)


def test_a_line_that_no_channel_carries_comes_from_pypi(solve: Solve) -> None:
    lock = solve("idna ==3.10\n").lock
    assert sources(lock)["idna"] == ("3.10", "pypi")
    (wheel,) = lock.wheels
    assert wheel.sha256 == "946d195a0d259cbba61165e88e65941f16e9b36ea6ddb97f00452bae8b1287d3"


def test_a_version_that_conda_does_not_carry_comes_from_pypi_and_is_said(solve: Solve, shelf: Path) -> None:
    write_wheel(shelf, "greeter", "3.0")
    resolved = solve(offline(shelf, "greeter >=3"))
    assert sources(resolved.lock)["greeter"] == ("3.0", "pypi")
    assert "greeter: conda carries 1.0, 2.0, none fits >=3" in resolved.notes[0]


def test_the_version_asked_for_is_the_one_that_conda_gives(solve: Solve) -> None:
    assert sources(solve("greeter <2\n").lock)["greeter"] == ("1.0", "conda")
    assert sources(solve("greeter ~=1.0\n").lock)["greeter"] == ("1.0", "conda")


def test_a_person_can_say_where_a_project_comes_from(solve: Solve, shelf: Path) -> None:
    write_wheel(shelf, "greeter", "2.0")
    text = offline(shelf, "greeter")
    assert sources(solve(text, from_pypi=frozenset({"greeter"})).lock)["greeter"] == ("2.0", "pypi")
    with pytest.raises(Unsatisfiable, match="idna must come from conda"):
        solve("idna\n", from_conda=frozenset({"idna"}))


def test_a_table_entry_names_the_conda_package(solve: Solve) -> None:
    lock = solve("salutation\n", names=Names({"salutation": "greeter"})).lock
    assert sources(lock)["greeter"] == ("2.0", "conda")
    assert lock.requested == ("salutation",)


def test_what_conda_provides_is_never_taken_from_pypi_as_well(solve: Solve, shelf: Path) -> None:
    write_wheel(shelf, "greeter", "2.0")
    write_wheel(shelf, "party", "1", requires=["greeter >=1"])
    assert sources(solve(offline(shelf, "greeter <2", "party")).lock) == {
        **sources(solve("greeter <2").lock),
        "party": ("1", "pypi"),
    }


def test_a_wheel_that_needs_another_version_than_condas_is_refused_with_both_named(
    solve: Solve, shelf: Path
) -> None:
    write_wheel(shelf, "party", "1", requires=["greeter >=2"])
    with pytest.raises(Unsatisfiable, match="greeter") as caught:
        solve(offline(shelf, "greeter <2", "party"))
    assert "party" in str(caught.value)


def test_constraints_bind_conda_and_pypi_alike_and_bring_nothing_in(
    solve: Solve, shelf: Path, tmp_path: Path
) -> None:
    for version in ("1", "2"):
        write_wheel(shelf, "party", version)
    (tmp_path / "constraints.txt").write_text("greeter <2\nparty <2\nabsent ==1\n", "utf-8")
    lock = solve(offline(shelf, "-c constraints.txt", "greeter", "party")).lock
    assert (sources(lock)["greeter"], sources(lock)["party"]) == (("1.0", "conda"), ("1", "pypi"))
    assert "absent" not in sources(lock)


def test_markers_are_evaluated_for_the_target_and_its_python(solve: Solve, shelf: Path, channel: Channel) -> None:
    for name in ("a", "b", "c", "d"):
        write_wheel(shelf, name, "1")
    minor = ".".join(channel.python.split(".")[:2])
    lock = solve(
        offline(
            shelf,
            f'a ; python_version == "{minor}"',
            f'b ; python_version != "{minor}"',
            'c ; platform_machine == "aarch64"',
            'd ; sys_platform == "linux"',
        ),
        target=Target(platform="linux-64", glibc=channel.glibc),
    ).lock
    assert lock.requested == ("a", "d")
    assert {wheel.name for wheel in lock.wheels} == {"a", "d"}


def test_wheels_are_chosen_for_the_targets_platform_glibc_and_python(
    solve: Solve, shelf: Path, channel: Channel
) -> None:
    tag = "cp{}{}".format(*channel.python.split("."))
    glibc = max("2.35", channel.glibc, key=lambda text: int(text.partition(".")[2]))  # what its Python needs
    for platform in (
        "manylinux_2_17_x86_64",
        "manylinux_2_28_x86_64",
        "manylinux_2_99_x86_64",
        "manylinux_2_28_aarch64",
    ):
        write_wheel(shelf, "native", "1", tag=f"{tag}-{tag}-{platform}")
    (wheel,) = solve(offline(shelf, "native"), target=Target(glibc=glibc)).lock.wheels
    assert "manylinux_2_28_x86_64" in wheel.url
    other = Target(platform="linux-aarch64", glibc=glibc)
    (wheel,) = solve(offline(shelf, "native"), target=other).lock.wheels
    assert "manylinux_2_28_aarch64" in wheel.url


def test_a_hash_is_required_of_the_wheel(solve: Solve, shelf: Path) -> None:
    sha256 = write_wheel(shelf, "party", "1")
    (wheel,) = solve(offline(shelf, f"party ==1 --hash=sha256:{sha256}")).lock.wheels
    assert wheel.sha256 == sha256
    with pytest.raises(Unsatisfiable, match="party"):
        solve(offline(shelf, f"party ==1 --hash=sha256:{'0' * 64}"))


def test_a_wheel_can_be_named_by_its_file(solve: Solve, shelf: Path) -> None:
    write_wheel(shelf, "party", "1")
    (wheel,) = solve("./shelf/party-1-py3-none-any.whl\n--no-index\n").lock.wheels
    assert (wheel.name, wheel.version, wheel.direct) == ("party", "1", True)


def test_the_answer_does_not_depend_on_this_machines_virtual_packages(
    solve: Solve, monkeypatch: pytest.MonkeyPatch, channel: Channel
) -> None:
    monkeypatch.setenv("CONDA_OVERRIDE_GLIBC", "2.5")
    assert sources(solve("greeter\n").lock)["python"] == (channel.python, "conda")


def test_a_newer_glibc_than_the_nodes_have_is_refused_with_the_way_out(solve: Solve) -> None:
    with pytest.raises(Unsatisfiable, match="__glibc") as caught:
        solve("greeter\n", target=Target(glibc="2.5"))
    assert "--glibc" in str(caught.value.hint)


def test_a_conflict_is_explained_by_the_solver(solve: Solve) -> None:
    with pytest.raises(Unsatisfiable) as caught:
        solve("dependencies: [left, right]\n", suffix=".yml")
    assert "base-lib" in str(caught.value)


def test_a_limit_that_takes_part_is_named_with_its_reason(solve: Solve) -> None:
    with pytest.raises(Unsatisfiable) as caught:
        solve("greeter\n", limits=(Limit(bounds={"python": "<3"}, reason="Spark 1 runs Python 2"),))
    assert "Spark 1 runs Python 2" in str(caught.value.hint)


def test_a_limit_binds_conda_packages_and_wheels_alike_and_brings_nothing_in(solve: Solve, shelf: Path) -> None:
    for version in ("1", "2"):
        write_wheel(shelf, "party", version)
    limits = (Limit(bounds={"greeter": "<2", "party": "<2", "absent": "<2"}, reason="because"),)
    found = sources(solve(offline(shelf, "greeter", "party"), limits=limits).lock)
    assert (found["greeter"], found["party"]) == (("1.0", "conda"), ("1", "pypi"))
    assert "absent" not in found


def test_only_the_limits_that_take_part_are_named(solve: Solve, shelf: Path) -> None:
    write_wheel(shelf, "party", "1", requires=["guests >=2"])
    for version in ("1", "2"):
        write_wheel(shelf, "guests", version)
    limits = (
        Limit(bounds={"greeter": "<2"}, reason="few greet twice"),
        Limit(bounds={"guests": "<2"}, reason="one guest is enough"),
        Limit(bounds={"party": ">=1"}, reason="there must be a party"),
        Limit(bounds={"guests": ">=1"}, reason="nobody is no guest", soft=True),
    )
    with pytest.raises(Unsatisfiable) as caught:
        solve(offline(shelf, "greeter", "party"), limits=limits)
    assert caught.value.hint == "one guest is enough"
    with pytest.raises(Unsatisfiable, match="nowhere") as caught:
        solve(offline(shelf, "party", "nowhere"), limits=limits)
    assert "guest" not in f"{caught.value} {caught.value.hint}"


def test_soft_limits_give_way_as_far_as_they_must_and_each_as_a_whole(solve: Solve, shelf: Path) -> None:
    names = ("cake", "cream", "tea", "milk")
    for name in names:
        for version in ("1", "2"):
            write_wheel(shelf, name, version)
    limits = (
        Limit(bounds={"cake": "<2", "cream": "<2"}, reason="sweet", soft=True),
        Limit(bounds={"tea": "<2"}, reason="hot", soft=True),
        Limit(bounds={"milk": "<2"}, reason="white", soft=True),
    )

    def versions(*lines: str) -> tuple[str, ...]:
        found = sources(solve(offline(shelf, *names, *lines), limits=limits).lock)
        return tuple(found[name][0] for name in names)

    assert versions() == ("1", "1", "1", "1")
    assert versions("cream >=2") == ("2", "2", "1", "1")
    assert versions("tea >=2") == ("1", "1", "2", "1")
    assert versions("tea >=2", "cake >=2") == ("2", "2", "2", "1")


def test_what_the_cluster_provides_is_never_taken_from_a_channel_or_an_index(
    solve: Solve, shelf: Path, tmp_path: Path
) -> None:
    packages = {"engine 1.9": ["python", "fuel"], "fuel 1": ["python"], "wheel-rim 1": ["python", "engine >=1"]}
    channel = write_channel(tmp_path / "own channel", packages)
    write_wheel(shelf, "engine", "1.9", requires=["fuel"])
    write_wheel(shelf, "cart", "1", requires=["engine >=1"])
    engine = Provided(name="engine", versions=("1.2", "1.3"), extras={}, reason="the cluster has one")
    given = {"channels": (str(channel),), "target": Target(), "provided": (engine,)}
    for line in ("wheel-rim", "cart"):
        resolved = solve(offline(shelf, line), **given)
        assert set(sources(resolved.lock)) == {line, "python"}
        assert resolved.notes == ("engine is left out: the cluster has one",)


def test_unknown_names_get_the_nearest_ones(solve: Solve, shelf: Path) -> None:
    for text, suffix in ((offline(shelf, "greter"), ".txt"), ("dependencies:\n- greter\n- lefft\n", ".yml")):
        with pytest.raises(Unsatisfiable) as caught:
            solve(text, suffix=suffix)
        assert "did you mean greeter" in f"{caught.value} {caught.value.hint}"
    assert "requirements.yml:3: no channel has lefft; did you mean left?" in str(caught.value)


def test_only_names_that_the_channels_carry_are_offered_for_what_must_come_from_them(
    solve: Solve,
) -> None:
    """PyPI and the table know numpy and ipython; this channel has neither."""
    with pytest.raises(Unsatisfiable) as caught:
        solve("dependencies:\n- nunpy\n- pythn\n", suffix=".yml")
    assert tuple(text.rpartition("/")[2] for text in caught.value.texts) == (
        "requirements.yml:2: no channel has nunpy",
        "requirements.yml:3: no channel has pythn; did you mean python?",
    )
    with pytest.raises(Unsatisfiable) as caught:
        solve("nunpy\n", from_conda=frozenset({"nunpy"}))
    assert "did you mean" not in f"{caught.value} {caught.value.hint}"


def test_the_pip_part_of_an_environment_file_is_pypis(solve: Solve, shelf: Path) -> None:
    write_wheel(shelf, "greeter", "2.0")
    pip = f"- pip: ['--no-index', '--find-links {shelf}', greeter]"
    text = f"dependencies:\n- python\n{pip}\nvariables: {{A: b}}\n"
    lock = solve(text, suffix=".yml").lock
    assert sources(lock)["greeter"] == ("2.0", "pypi")
    assert lock.variables == {"A": "b"}


def test_a_python_is_chosen_as_asked(solve: Solve, channel: Channel) -> None:
    minor = ".".join(channel.python.split(".")[:2])
    assert solve("greeter\n", python=minor).lock.python == channel.python
    with pytest.raises(Unsatisfiable) as caught:
        solve("greeter\n", python="3.7")
    assert channel.python in str(caught.value.hint)


@pytest.mark.parametrize("channel_name", ["http://127.0.0.1:9/c", "https://me:secret@127.0.0.1:9/t/token/c"])
def test_a_channel_that_does_not_answer_is_named_without_its_secrets(solve: Solve, channel_name: str) -> None:
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9/c") as caught:
        solve("greeter\n", channels=(channel_name,))
    assert "secret" not in str(caught.value)
    assert "token" not in str(caught.value)


def test_an_index_that_does_not_answer_is_named_without_its_secrets(
    solve: Solve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:9/simple") as caught:
        solve("--index-url http://me:secret@127.0.0.1:9/simple\nidna\n")
    assert "secret" not in f"{caught.value}{caught.value.hint}"


def test_a_directory_that_is_no_channel_is_refused(solve: Solve) -> None:
    with pytest.raises(UsageError, match="is not a conda channel"):
        solve("greeter\n", channels=("./nowhere",))


def test_no_secret_reaches_the_lock(solve: Solve, shelf: Path, channel: Channel) -> None:
    write_wheel(shelf, "party", "1")
    lock = solve(f"--extra-index-url https://me:secret@example.com/simple\n--find-links {shelf}\ngreeter\n").lock
    assert lock.indexes == ("https://example.com/simple",)


def test_the_request_digest_knows_what_matters(tmp_path: Path) -> None:
    def of(text: str, **changes: object) -> str:
        file = tmp_path / "r.txt"
        file.write_text(text, "utf-8")
        given: dict[str, object] = {"target": Target(), "channels": ("conda-forge",), **changes}
        return Request(requirements=read(file), **given).digest()  # type: ignore[arg-type] # a test's own values

    same = {of("six\nidna\n"), of("# words\nidna\n\nsix\n"), of("six\nidna\n", channels=("conda-forge",))}
    other = {
        of("six\nidna<4\n"),
        of("six\nidna\n", target=Target(glibc="2.17")),
        of("six\nidna\n", python="3.11"),
        of("six\nidna\n", channels=("other",)),
        of("six\nidna\n", from_pypi=frozenset({"six"})),
        of("six\nidna\n", limits=(Limit(bounds={"python": "<3"}, reason=""),)),
        of("six\nidna\n", limits=(Limit(bounds={"python": "<3"}, reason="", soft=True),)),
        of("six\nidna\n", limits=(Limit(bounds={"python": "<3.12"}, reason=""),)),
        of("six\nidna\n", additions=(Addition(name="six", beside=frozenset("a"), python=">3", reason=""),)),
        of("six\nidna\n", provided=(Provided(name="six", versions=("1",), extras={}, reason=""),)),
    }
    assert len(same) == 1
    assert len(other) == 10
    assert not same & other
    with_token = [of("six\n", channels=(f"https://example.com/t/{token}/c",)) for token in ("one", "two")]
    assert with_token[0] == with_token[1]


def test_this_module_runs_on_the_python_that_the_channel_carries(channel: Channel) -> None:
    assert channel.python.startswith(".".join(map(str, sys.version_info[:2])))
