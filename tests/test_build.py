from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest

import envpack
from envpack import digest
from envpack.cli import cli
from envpack.errors import PackingFailed
from tests.support.cache import shared
from tests.support.channel import Channel
from tests.support.command import Desk, Ran, copy_of, desk_at
from tests.support.private import PASSWORD, TOKEN, USER, private_channel, private_index
from tests.support.wheels import write_wheel

DOCS = Path(__file__).parent.parent / "docs"


@dataclass(frozen=True, kw_only=True)
class First:
    """One real build that many tests look at."""

    desk: Desk
    ran: Ran
    result: Any

    @property
    def archive(self) -> Path:
        (archive,) = self.desk.store.glob("party/*/*.tar.gz")
        return archive


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory, full_channel: Channel) -> First:
    made = shared(tmp_path_factory, "first build", lambda home: build_first(home, full_channel))
    desk = desk_at(made / "a desk", full_channel, made / "a cache")
    ran = Ran(**json.loads((made / "ran.json").read_text()))
    return First(desk=desk, ran=ran, result=ran.json())


def build_first(home: Path, channel: Channel) -> None:
    """Build an environment with every module of Python, and keep what was said."""
    desk = desk_at(home / "a desk", channel, home / "a cache")
    shelf = desk.home / "shelf"
    shelf.mkdir()
    write_wheel(
        shelf, "party", "1", requires=["greeter"], scripts={"party": "party:main"}, files={"party.py": PARTY}
    )
    desk.write("party.txt", "--no-index", "--find-links ./shelf", "party", "greeter  # from conda")
    ran = desk.run("build", "party.txt", "--spark", "3.5", "--python", channel.python, "--output", "json")
    assert ran.code == 0, ran.err
    (home / "ran.json").write_text(json.dumps(asdict(ran)))


PARTY = """
import greeter
def main():
    print("party with", greeter.__name__)
"""


def unpacked(archive: Path, directory: Path) -> Path:
    environment = directory / "environment"
    environment.mkdir(parents=True)
    subprocess.run(["tar", "-xzf", archive, "-C", environment], check=True)
    return environment


def test_the_release_lies_where_the_design_says(first: First) -> None:
    sha256 = digest.of_file(first.archive)
    short = sha256[:16]
    files = sorted(path.relative_to(first.desk.store).as_posix() for path in first.desk.store.rglob("*.*"))
    builds = [file for file in files if file.startswith("party/builds/")]
    assert first.result["digest"] == sha256
    assert len(builds) == 1
    assert set(files) - set(builds) == {
        f"party/{short}/party-{short}.tar.gz",
        f"party/{short}/manifest.json",
        f"party/{short}/party.lock",
        f"party/{short}/files.json.gz",
        f"party/{short}/pieces.json",
        f"party/{short}/piece-facts.json.gz",
        f"party/{short}/sbom.cdx.json",
        f"party/{short}/verification.json.gz",
        "party/index.json.gz",
        "party/tags/latest.json",
    }


def test_the_result_says_where_every_package_came_from(first: First, channel: Channel) -> None:
    assert first.result["packages"] == [
        {"name": "greeter", "version": "2.0", "source": "conda"},
        {"name": "party", "version": "1", "source": "pypi"},
        {"name": "python", "version": channel.python, "source": "conda"},
    ]


def test_the_results_follow_their_schemas(first: First) -> None:
    jsonschema.validate(first.result, json.loads((DOCS / "build.schema.json").read_text()))
    (manifest,) = first.desk.releases()
    jsonschema.validate(json.loads(manifest.read_text()), json.loads((DOCS / "manifest.schema.json").read_text()))
    assert set(first.result["seconds"]) == {"solve", "install", "pack", "verify", "publish", "total"}


def test_stdout_holds_the_answer_and_stderr_one_line_for_each_step(first: First) -> None:
    steps = [line.split()[0] for line in first.ran.err.splitlines()]
    assert {"solve", "download", "link", "wheels", "compile", "pack", "verify", "upload"} <= set(steps)
    assert len(first.ran.err.splitlines()) < 25


def test_the_unpacked_environment_runs_its_own_python_anywhere(first: First, tmp_path: Path) -> None:
    environment = unpacked(first.archive, tmp_path / "a node")
    ran = subprocess.run(
        ["./environment/bin/python", "-c", "import sys, party, greeter; print(sys.prefix)"],
        cwd=tmp_path / "a node",
        env={},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == str(environment)
    script = subprocess.run(
        [environment / "bin" / "party"], env={"PATH": "/usr/bin:/bin"}, capture_output=True, check=True
    )
    assert script.stdout == b"party with greeter\n"


def test_the_settings_name_the_archive_under_its_digest(first: First) -> None:
    uri = first.result["archive"]["uri"]
    assert uri == first.archive.as_uri()
    assert first.result["settings"]["arguments"] == ["--archives", f"{uri}#environment"]
    assert first.result["settings"]["conf"]["spark.pyspark.python"] == "./environment/bin/python"


def test_the_settings_of_a_published_release_are_those_that_the_build_printed(first: First) -> None:
    ran = first.desk.run("settings", "party", "--spark", "3.5", "--output", "json")
    assert ran.code == 0, ran.err
    assert ran.json()["settings"] == first.result["settings"]
    assert ran.json()["reference"] == first.result["reference"]


def test_an_unchanged_build_ends_with_the_release_that_is_there(first: First, channel: Channel) -> None:
    before = {path: path.stat().st_mtime_ns for path in first.desk.cache.glob("pkgs/*")}
    again = first.desk.build("party.txt", "--spark", "3.5", "--python", channel.python)
    assert (again["reused"], again["reference"]) == (True, first.result["reference"])
    assert set(again["seconds"]) == {"solve", "publish", "total"}
    assert {path: path.stat().st_mtime_ns for path in first.desk.cache.glob("pkgs/*")} == before


def test_the_lock_is_kept_beside_the_requirements_and_inside_the_release(first: First) -> None:
    lock = (first.desk.home / "party.txt.lock").read_text()
    (published,) = first.desk.store.glob("party/*/party.lock")
    assert published.read_text() == lock


def test_list_and_show_tell_what_the_store_holds(first: First) -> None:
    listed = first.desk.run("list")
    shown = first.desk.run("show", "party:latest")
    assert first.result["reference"] in listed.out
    assert "latest" in listed.out
    for words in (first.result["digest"], first.archive.as_uri(), "greeter", "conda", "party", "pypi"):
        assert words in shown.out
    assert first.desk.run("list", "--output", "json").json()["releases"][0]["tags"] == ["latest"]
    assert (
        first.desk.run("show", "party", "--output", "json").json()["manifest"]["archive"]["sha256"]
        == first.result["digest"]
    )


def test_text_output_is_lines_that_paste_into_a_shell(first: First) -> None:
    ran = first.desk.run("settings", "party")
    words = subprocess.run(
        ["bash", "-c", f"printf '%s\\n' {ran.out}"], capture_output=True, text=True, check=True
    ).stdout
    assert words.splitlines()[:2] == ["--archives", f"{first.result['archive']['uri']}#environment"]
    assert "spark.pyspark.python=./environment/bin/python" in words.splitlines()


def test_the_archive_holds_nothing_of_the_machine_that_made_it(first: First) -> None:
    own = [str(first.desk.home).encode(), str(first.desk.cache).encode(), b"/scratch/"]
    with tarfile.open(first.archive) as archive:
        for member in archive:
            assert (member.uid, member.gid, member.uname, member.gname) == (0, 0, "", "")
            data = archive.extractfile(member) if member.isfile() else None
            if data:
                content = data.read()
                assert not [path for path in own if path in content], member.name


def test_an_environment_for_another_platform_is_built_and_said_to_be_only_inspected(desk: Desk) -> None:
    shelf = desk.home / "shelf"
    shelf.mkdir()
    machine = {"linux-64": "x86_64", "linux-aarch64": "aarch64"}[desk.channel.foreign]
    minor = "cp{}{}".format(*desk.channel.python.split("."))
    write_wheel(
        shelf, "native", "1", tag=f"{minor}-{minor}-manylinux_2_17_{machine}", files={"native.py": "X = 1\n"}
    )
    write_wheel(shelf, "pure", "1", scripts={"pure": "pure:main"})
    desk.write("r.txt", "--no-index", "--find-links shelf", "native", "pure", "greeter")
    built = desk.build("r.txt", "--platform", desk.channel.foreign, PATH="/nowhere")
    assert {package["name"] for package in built["packages"]} == {"native", "pure", "greeter", "python"}
    assert any(f"not run: made for {desk.channel.foreign}" in note for note in built["notes"])
    assert desk.run("show", "r", "--output", "json").json()["manifest"]["verified"] == "inspected"
    (archive,) = desk.store.glob("r/*/*.tar.gz")
    with tarfile.open(archive) as members:
        names = members.getnames()
        program = members.extractfile("bin/pure")
        assert program
        assert b'/python" "$0" "$@"' in program.read(), "it starts the Python of this machine"
    library = f"lib/python{minor[2]}.{minor[3:]}/site-packages"
    assert {f"{library}/native.py", f"{library}/__pycache__/native.{minor.replace('cp', 'cpython-')}.pyc"} <= set(
        names
    )


def test_a_build_that_does_not_work_on_a_node_is_not_published(desk: Desk) -> None:
    shelf = desk.home / "shelf"
    shelf.mkdir()
    write_wheel(shelf, "broken", "1", files={"broken.py": "import nowhere_to_be_found\n"})
    desk.write("r.txt", "--no-index", "--find-links shelf", "broken")
    ran = desk.run("build", "r.txt")
    assert (ran.code, ran.out) == (7, "")
    assert "nowhere_to_be_found" in ran.err
    assert desk.releases() == []
    assert desk.run("build", "r.txt", "--no-verify").code == 0
    assert len(desk.releases()) == 1
    assert desk.run("build", "r.txt").code == 7


def test_a_release_that_was_published_unverified_is_verified_once(desk: Desk) -> None:
    desk.write("r.yml", "dependencies: [greeter]")
    assert not desk.build("r.yml", "--no-verify")["reused"]
    assert "verify" in desk.build("r.yml")["seconds"]
    again = desk.build("r.yml")
    assert again["reused"]
    assert "verify" not in again["seconds"]
    assert len(desk.releases()) == 1


def test_a_release_that_is_gone_or_is_not_what_it_should_be_is_published_again_and_right(desk: Desk) -> None:
    desk.write("r.yml", "dependencies: [greeter]")
    digest = desk.build("r.yml")["digest"]
    folder = desk.store / "r" / digest[:16]
    (archive,) = folder.glob("*.tar.gz")
    for gone in ([archive], [folder / "manifest.json"], sorted(folder.iterdir())):
        for path in gone:
            path.unlink()
        for command in (["settings", "r"], ["doctor", "r"]):
            assert desk.run(*command).code != 0, gone
        assert desk.build("r.yml")["digest"] == digest
        assert hashlib.sha256(archive.read_bytes()).hexdigest() == digest
        assert desk.run("settings", "r").code == 0
    data = archive.read_bytes()
    (folder / "manifest.json").unlink()
    archive.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))  # a writer that is not envpack
    refused = desk.run("build", "r.yml")
    assert refused.code == 10
    assert "belongs to no release" in refused.err
    for path in folder.iterdir():
        os.utime(path, (0, time.time() - 2 * 86400))
    ran = desk.run("build", "r.yml")
    assert ran.code == 0, ran.err
    assert "it was removed" in ran.err
    assert archive.read_bytes() == data


def test_a_post_link_script_is_not_run_and_is_reported(desk: Desk) -> None:
    desk.write("r.yml", "dependencies: [post-linked]")
    built = desk.build("r.yml")
    assert any("post-linked has a post-link script" in note for note in built["notes"])


def test_a_cache_whose_path_is_longer_than_packages_have_room_for_is_told(desk: Desk) -> None:
    desk.write("r.yml", "dependencies: [placed]")
    ran = desk.run("build", "r.yml", ENVPACK_CACHE_DIR=str(desk.home / ("long" * 60)))
    assert (ran.code, "ENVPACK_CACHE_DIR" in ran.err) == (PackingFailed.exit_code, True)
    assert re.search(r"error: placed-1\.0-\S+ has no room .* which has \d\d\d bytes", ran.err)


def test_an_environment_files_variables_are_in_the_settings(desk: Desk) -> None:
    desk.write("r.yml", "name: from-yml", "dependencies: [greeter]", "variables:", "  GREETING: hello")
    built = desk.build("r.yml")
    assert built["name"] == "from-yml"
    assert built["settings"]["conf"]["spark.executorEnv.GREETING"] == "hello"


def test_a_links_escape_is_refused(desk: Desk) -> None:
    for name in ("hostile-absolute", "hostile-climbing"):
        desk.write("r.yml", f"dependencies: [{name}]")
        ran = desk.run("build", "r.yml")
        assert ran.code == 6, ran.err
    assert desk.releases() == []


def test_an_s3_store_serves_as_a_directory_does(desk: Desk, s3_store_url: str) -> None:
    desk.write("r.txt", "greeter")
    s3 = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    built = desk.build("r.txt", "--store", s3_store_url, **s3)
    assert built["archive"]["uri"].startswith("s3://")
    assert built["settings"]["arguments"][1].startswith("s3a://")
    again = desk.build("r.txt", "--store", s3_store_url, **s3)
    assert (again["reused"], again["reference"]) == (True, built["reference"])
    listed = desk.run("list", "--store", s3_store_url, **s3)
    assert built["reference"] in listed.out


@pytest.mark.acceptance
def test_a_private_index_is_read_with_credentials_that_appear_nowhere(desk: Desk, tmp_path: Path) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    write_wheel(shelf, "party", "1")
    with private_index(shelf) as host:
        desk.write("r.txt", f"--index-url http://{USER}:${{INDEX_PASSWORD}}@{host}/simple", "party")
        ran = desk.run("build", "r.txt", "--verbose", "--output", "json", INDEX_PASSWORD=PASSWORD)
    assert ran.code == 0, ran.err
    assert {"name": "party", "version": "1", "source": "pypi"} in ran.json()["packages"]
    assert PASSWORD not in ran.out + ran.err
    assert not places_of(PASSWORD, desk)


def test_a_private_channel_is_read_with_a_token_that_appears_nowhere(desk: Desk, tmp_path: Path) -> None:
    desk.write("r.txt", "greeter")
    with private_channel(desk.channel.path) as host:
        channel = ["--channel", f"http://{host}/t/{TOKEN}/channel"]
        cold = {"ENVPACK_CACHE_DIR": str(tmp_path / "cold")}
        assert desk.run("lock", "r.txt", *channel, **cold).code == 0
        ran = desk.run("build", "r.txt", "--locked", "--verbose", *channel, **cold)
    assert ran.code == 0, ran.err
    assert TOKEN not in ran.out + ran.err
    assert not places_of(TOKEN, desk)


def places_of(secret: str, desk: Desk) -> list[str]:
    """Return every file of a desk, its store and its archives that holds a secret."""
    files = [*desk.home.glob("*.lock"), *desk.store.rglob("*.json"), *desk.store.rglob("*.lock")]
    found = [str(path) for path in files if secret in path.read_text()]
    for path in desk.store.glob("*/*/*.tar.gz"):
        with tarfile.open(path) as archive:
            contents = ((member.name, archive.extractfile(member)) for member in archive if member.isfile())
            found += [name for name, data in contents if data and secret.encode() in data.read()]
    return found


def test_a_store_that_does_not_answer_is_named(desk: Desk) -> None:
    desk.write("r.txt", "greeter")
    keys = {"AWS_ACCESS_KEY_ID": "key-id", "AWS_SECRET_ACCESS_KEY": "secret-key", "AWS_REGION": "us-east-1"}
    ran = desk.run("build", "r.txt", "--store", "s3://bucket/x", "--s3-endpoint-url", "http://127.0.0.1:9", **keys)
    assert ran.code == 9
    assert "127.0.0.1:9" in ran.err
    assert "secret-key" not in ran.err


def test_the_library_builds_what_the_command_line_builds(first: First, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(first.desk.home)
    monkeypatch.setenv("ENVPACK_CACHE_DIR", str(first.desk.cache))
    built = envpack.build("party.txt", spark="3.5", python=first.result["python"])
    assert built.reused
    assert built.release is not None
    assert built.release.manifest.reference == first.result["reference"]


def test_a_dry_run_changes_nothing(desk: Desk, channel: Channel) -> None:
    desk.write("r.txt", "greeter")
    ran = desk.run("build", "r.txt", "--dry-run")
    assert ran.code == 0, ran.err
    assert "greeter 2.0" in ran.out
    assert "would publish r" in ran.out
    assert not desk.store.exists() or not list(desk.store.rglob("*.*"))
    assert not (desk.home / "r.txt.lock").exists()


def test_locked_fails_when_the_lock_is_missing_or_stale_and_upgrade_mends_it(desk: Desk) -> None:
    desk.write("r.txt", "greeter <2")
    missing = desk.run("lock", "r.txt", "--locked")
    assert (missing.code, "does not exist" in missing.err) == (3, True)
    assert desk.run("lock", "r.txt").code == 0
    assert desk.run("lock", "r.txt", "--locked").code == 0
    desk.write("r.txt", "greeter")
    stale = desk.run("lock", "r.txt", "--locked")
    assert (stale.code, "does not match" in stale.err) == (3, True)
    assert "envpack lock" in stale.err
    assert desk.run("lock", "r.txt").code == 0
    assert "greeter-2.0" in (desk.home / "r.txt.lock").read_text()


def test_every_directory_may_be_named_by_way_of_its_parent(desk: Desk, seed: Path) -> None:
    below = desk.home / "below"
    below.mkdir()
    desk.write("env.txt", "activated")
    copy_of(seed, desk.home / "another cache")
    there = replace(desk, home=below, environment={**desk.environment, "ENVPACK_CACHE_DIR": "../another cache"})
    built = there.build("../env.txt", "--from-conda", "activated", "--store", "../another store")
    assert (desk.home / "another store").is_dir()
    pulled = there.run("pull", built["reference"], "../pulled", "--store", "../another store")
    assert pulled.code == 0, pulled.err
    assert str(desk.home / "pulled/bin") in pulled.out
    packed = there.run("pack", "../pulled", "../packed.tar.gz")
    assert packed.code == 0, packed.err
    assert (desk.home / "packed.tar.gz").is_file()


def test_a_good_lock_is_used_without_asking_any_channel(desk: Desk) -> None:
    desk.write("r.txt", "greeter <2")
    with private_channel(desk.channel.path) as host:
        channel = ["--channel", f"http://{host}/t/{TOKEN}/channel"]
        assert desk.run("lock", "r.txt", *channel).code == 0
    cold = {"ENVPACK_CACHE_DIR": str(desk.home / "cold")}
    ran = desk.run("lock", "r.txt", *channel, "--output", "json", **cold)
    assert (ran.code, ran.json()["solved"]) == (0, False)
    assert desk.run("lock", "r.txt", *channel, "--upgrade", **cold).code == 5


@pytest.mark.parametrize(
    ("arguments", "lines", "code", "words"),
    [
        (["r.txt"], ["a b c", "-e ."], 3, ["r.txt:1: ", "r.txt:2: "]),
        (["nowhere.txt"], [], 3, ["nowhere.txt"]),
        (["r.txt"], ["greeter >9", "--no-index"], 4, ["greeter"]),
        (["r.txt", "--channel", "http://127.0.0.1:9/c"], ["greeter"], 5, ["127.0.0.1:9", "hint:"]),
        (["r.txt", "--store", "ftp://x"], ["greeter"], 2, ["ftp://x"]),
        (["r.txt", "--name", "A B"], ["greeter"], 2, ["'A B'"]),
        (["r.txt", "--platform", "win-64"], ["greeter"], 2, ["win-64"]),
        (["r.txt", "--launcher", "standalone", "--format", "zip", "--spark", "3.5"], ["greeter"], 2, ["zip"]),
    ],
)
def test_each_kind_of_failure_has_its_exit_code_and_its_words(
    desk: Desk, arguments: list[str], lines: list[str], code: int, words: list[str]
) -> None:
    desk.write("r.txt", *lines)
    ran = desk.run("build", *arguments, "--python", desk.channel.python)
    assert (ran.code, ran.out) == (code, ""), ran.err
    assert "Traceback" not in ran.err
    for word in words:
        assert word in ran.err


def test_help_and_version_are_told(desk: Desk) -> None:
    assert "build" in desk.run("--help").out
    assert desk.run("--version").out.startswith("envpack ")


@pytest.mark.parametrize("command", sorted(cli.list_commands(click.Context(cli))))
def test_every_commands_help_has_an_example(command: str) -> None:
    found = cli.get_command(click.Context(cli), command)
    assert found is not None
    inner = list(found.commands.values()) if isinstance(found, click.Group) else [found]
    for each in inner:
        shown = each.get_help(click.Context(each, info_name=command))
        _, said, example = shown.rpartition("Example")
        assert said
        assert "envpack " in example


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands(desk: Desk, shell: str) -> None:
    assert "_ENVPACK_COMPLETE" in desk.run("completion", shell).out
    current = "bu" if shell == "fish" else "1"
    completed = desk.run(_ENVPACK_COMPLETE=f"{shell}_complete", COMP_WORDS="envpack bu", COMP_CWORD=current)
    assert "build" in completed.out


def test_importing_the_library_imports_no_heavy_part() -> None:
    code = "import sys, envpack; print(sorted({'click', 'rich', 'boto3', 'rattler'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_an_existing_prefix_is_packed_the_same_every_time_and_not_changed(desk: Desk, tmp_path: Path) -> None:
    prefix = tmp_path / "prefix"
    desk.channel.link(prefix, "python", "greeter")
    before = {path: path.lstat().st_mtime_ns for path in prefix.rglob("*")}
    assert desk.run("pack", str(prefix), "one.tar.gz").code == 0
    ran = desk.run("pack", str(prefix), "two.tar.gz", "--output", "json")
    assert (
        ran.json()["sha256"] == digest.of_file(desk.home / "one.tar.gz") == digest.of_file(desk.home / "two.tar.gz")
    )
    assert {path: path.lstat().st_mtime_ns for path in prefix.rglob("*")} == before
    environment = unpacked(desk.home / "one.tar.gz", tmp_path / "node")
    subprocess.run([environment / "bin/python", "-c", "import greeter, ssl"], env={}, check=True)
    again = desk.run("pack", str(prefix), "one.tar.gz")
    assert (again.code, "--force" in again.err) == (2, True)
    assert desk.run("pack", str(prefix), "one.tar.xz").code == 2
    assert desk.run("pack", str(tmp_path / "nowhere"), "x.zip").code == 6
