"""The code of a job: git's files, the same bytes everywhere, sent once."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from io import BytesIO
from typing import TYPE_CHECKING

import pytest

from envpack.errors import Conflict, UsageError
from envpack.jobs import code, job_file, plan
from envpack.releases import keys
from envpack.stores import open_store
from tests.support import command
from tests.support.submitting import JOB, Site, site_at, write

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return site_at(tmp_path / "work")


def packed(home: Path) -> code.CodeBundle:
    """Return the code of the job file of a directory."""
    return code.pack(job_file.read(home / "job.yaml"))


def test_the_files_are_those_of_git_with_what_is_new_and_without_what_is_ignored(site: Site) -> None:
    write(site.home, ".gitignore", "*.secret\n")
    write(site.home, ".envpackignore", "/notes/\n!/notes/kept.py\n*.md\n")
    for name in ("new.py", "x.secret", "notes/a.py", "README.md", "churn/__pycache__/x.pyc"):
        write(site.home, name, "")
    (site.home / "plain/helper.py").unlink()
    assert packed(site.home).files == ("churn/__init__.py", "churn/features.py", "main.py", "new.py")


def test_without_a_repository_all_files_are_taken_but_hidden_ones(tmp_path: Path) -> None:
    for name in ("main.py", "a/b.py", ".env", ".venv/c.py", "a/__pycache__/b.pyc"):
        write(tmp_path, name, "")
    write(tmp_path, "job.yaml", JOB)
    bundle = packed(tmp_path)
    assert bundle.files == ("a/b.py", "main.py")
    assert "there is no git repository" in bundle.notes[0]


def test_the_same_files_have_the_same_digest_whatever_their_times_and_permissions(
    site: Site, tmp_path: Path
) -> None:
    first = packed(site.home)
    for path in site.home.rglob("*.py"):
        os.utime(path, (1, 1))
        path.chmod(0o600)
    other = site_at(tmp_path / "elsewhere" / "place")
    assert packed(site.home).digest == packed(other.home).digest == first.digest
    assert hashlib.sha256(first.data).hexdigest() == first.digest
    (site.home / "main.py").write_text("changed")
    assert packed(site.home).digest != first.digest


def test_a_change_of_the_job_file_is_no_change_of_the_code(site: Site) -> None:
    first = packed(site.home)
    write(site.home, "job.yaml", JOB.replace("rows: 10", "rows: 11"))
    assert packed(site.home).digest == first.digest


@pytest.mark.parametrize(
    ("layout", "keys_of_job", "module"),
    [
        (("app.py",), "code: app.py", "app"),
        (("churn/__init__.py", "churn/__main__.py"), "code: churn", "churn"),
        (("churn/__init__.py", "churn/daily.py"), "code: churn\nentrypoint: daily.py", "churn.daily"),
        (("src/churn/daily.py",), "code: src\nentrypoint: churn/daily.py", "churn.daily"),
        (("src/churn/daily.py",), "code: src\nentrypoint: churn.daily", "churn.daily"),
        (("src/01-load.py",), "code: src\nentrypoint: 01-load.py", "01-load"),
    ],
)
def test_the_runner_finds_the_entry_point_in_the_zip_whatever_the_layout(
    layout: tuple[str, ...], keys_of_job: str, module: str, tmp_path: Path
) -> None:
    for name in layout:
        write(tmp_path, name, "import sys; print(__name__, sys.argv[1:])\n" if "__init__" not in name else "")
    write(tmp_path, "job.yaml", f"{keys_of_job}\nenvironment: udf\n")
    job = job_file.read(tmp_path / "job.yaml")
    bundle = code.pack(job)
    assert code.module_of(job) == module
    (tmp_path / f"{bundle.digest}.zip").write_bytes(bundle.data)
    done = subprocess.run(
        [sys.executable, "-I", plan.RUNNER, bundle.digest, "udf@1", module, "--a", "b c"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "__main__ ['--a', 'b c']\n"
    assert done.stderr == f"envpack: code {bundle.digest}, environment udf@1\n"


def test_the_runner_ends_as_the_code_does_and_says_when_the_code_is_not_there(tmp_path: Path) -> None:
    write(tmp_path, "app.py", "raise SystemExit(7)\n")
    write(tmp_path, "job.yaml", "code: app.py\nenvironment: udf\n")
    bundle = packed(tmp_path)
    words = [sys.executable, str(plan.RUNNER), bundle.digest, "udf@1", "app"]
    missing = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert (missing.returncode, "was not sent to the driver" in missing.stderr) == (1, True)
    (tmp_path / f"{bundle.digest}.zip").write_bytes(bundle.data)
    assert subprocess.run(words, cwd=tmp_path, capture_output=True).returncode == 7


def test_code_is_sent_once_and_other_bytes_under_its_name_are_refused(site: Site) -> None:
    store, bundle = open_store(str(site.store)), packed(site.home)
    assert code.send(store, bundle)
    assert not code.send(store, bundle)
    with zipfile.ZipFile(BytesIO(code.there(store, bundle.digest) or b"")) as archive:
        assert archive.testzip() is None
        assert {*bundle.files, "churn/", "plain/"} == {*archive.namelist()}
    assert code.by_digest(store, bundle.digest[:8]) == bundle.digest
    with pytest.raises(UsageError, match="has no code base ffff"):
        code.by_digest(store, "ffff")
    (site.store / keys.code(bundle.digest)).write_bytes(b"another")
    with pytest.raises(Conflict):
        code.send(store, bundle)


def test_what_cannot_be_sent_is_said_with_its_files(site: Site, tmp_path: Path) -> None:
    (site.home / "out.py").symlink_to(tmp_path / "outside.py")
    (tmp_path / "outside.py").write_text("")
    (site.home / "gone.py").symlink_to("nowhere.py")
    with pytest.raises(UsageError) as refusal:
        packed(site.home)
    assert "out.py is a link that leads out of" in refusal.value.message
    assert "gone.py is not a regular file" in refusal.value.message
    write(site.home, ".envpackignore", "*\n")
    with pytest.raises(UsageError, match="has no files to send"):
        packed(site.home)


@pytest.mark.parametrize("file", [".gitignore", ".envpackignore"])
def test_code_is_not_sent_without_the_file_that_is_run(file: str, site: Site) -> None:
    site.repository.git("rm", "--cached", "--quiet", "main.py")
    write(site.home, file, "main.py\n")
    with pytest.raises(UsageError, match="is run, and it is not among the files to send"):
        packed(site.home)


def test_a_link_inside_is_sent_as_the_file_it_leads_to(site: Site) -> None:
    (site.home / "alias.py").symlink_to("main.py")
    with zipfile.ZipFile(BytesIO(packed(site.home).data)) as archive:
        assert archive.read("alias.py") == archive.read("main.py")


def test_data_in_the_code_base_is_refused_with_its_largest_files(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code, "_LARGEST", 1000)
    write(site.home, "big.csv", "x" * 2000)
    with pytest.raises(UsageError, match=r"big\.csv \(2\.0 kB\)"):
        packed(site.home)


def test_a_secret_that_envpack_was_given_is_not_sent_with_the_code(site: Site) -> None:
    secret = "Zq7-wX9_kP2m-hidden"
    write(site.home, "settings.py", f"key = {secret!r}\n")
    variables = {**site.environment, "MY_TOKEN": secret}
    ran = command.run("job", "code", cwd=site.home, environment=variables)
    assert (ran.code, "settings.py contains a secret" in ran.err, secret in ran.err) == (2, True, False)
