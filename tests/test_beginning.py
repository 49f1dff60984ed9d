"""`envpack init`: files for what is found, which envpack then reads, and none that is overwritten."""

from __future__ import annotations

import json
from pathlib import Path

from envpack import requirements
from envpack.config import config
from envpack.doctor import beginning
from tests.support.command import Desk
from tests.support.projects import write_project
from tests.support.schemas import check


def spark(folder: Path, version: str) -> Path:
    (folder / "jars").mkdir(parents=True)
    (folder / f"jars/spark-core_2.13-{version}.jar").touch()
    (folder / "bin").mkdir()
    (folder / "bin/spark-submit").write_text("#!/bin/sh\n")
    (folder / "bin/spark-submit").chmod(0o755)
    return folder


def conda_environment(prefix: Path) -> Path:
    meta = prefix / "conda-meta"
    meta.mkdir(parents=True)
    for name, version in (("python", "3.11.7"), ("numpy", "2.1.0"), ("libblas", "3.9.0")):
        (meta / f"{name}-{version}-0.json").write_text(
            json.dumps({"name": name, "version": version, "build": "0", "files": [], "paths_data": {"paths": []}})
        )
    (meta / "history").write_text(
        "==> 2026-01-01 00:00:00 <==\n# cmd: conda create -n spark\n+defaults::numpy-2.1.0-0\n"
        "# update specs: ['python=3.11', \"conda-forge::numpy[version='>=2']\", 'six']\n"
        '# update specs: ["numpy>=2", "gone"]\n# remove specs: ["six"]\n'
    )
    info = prefix / "lib/python3.11/site-packages/party-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: party\nVersion: 1.0\n")
    (info / "RECORD").write_text("party-1.0.dist-info/METADATA,,\nparty-1.0.dist-info/RECORD,,\n")
    return prefix


def begun(directory: Path, **environ: str) -> tuple[Path, config.Config]:
    """Write the files; return the requirements, and the configuration as envpack reads it."""
    found = beginning.look(directory, {"PATH": "", **environ})
    for name, text in beginning.files(found).items():
        (directory / name).write_text(text)
    return directory / beginning.requirements(found), config.load({}, {}, directory)


def test_an_empty_directory_gets_what_most_jobs_import(tmp_path: Path) -> None:
    file, chosen = begun(tmp_path)
    asked = requirements.read(file)
    assert [line.name for line in asked.pypi] == ["pandas", "pyarrow"]
    assert chosen.store == str(tmp_path / "envpack-store")
    assert chosen.ci_requirements == ("requirements.txt",)
    assert chosen.spark is None


def test_a_project_and_the_spark_that_is_there_are_taken_up(tmp_path: Path) -> None:
    write_project(tmp_path)
    home = spark(tmp_path.parent / f"{tmp_path.name}-spark", "3.5.6")
    for environ in ({"SPARK_HOME": str(home)}, {"PATH": str(home / "bin")}):
        file, chosen = begun(tmp_path, **environ)
        (line,) = requirements.read(file).pypi
        assert line.source
        assert (line.name, line.source.kind, chosen.spark) == ("features", "project", "3.5")


def test_a_conda_environment_becomes_what_was_asked_for_in_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    write_project(home)
    prefix = conda_environment(tmp_path / "My Spark")
    file, chosen = begun(home, CONDA_PREFIX=str(prefix))
    asked = requirements.read(file)
    assert (file.name, asked.stem) == ("environment.yml", "my-spark")
    assert [each.text for each in asked.conda] == ["python=3.11", "numpy>=2"]
    assert [line.text.partition(" @ ")[0] for line in asked.pypi] == ["party==1.0", "features"]
    assert chosen.ci_requirements == ("environment.yml",)


def test_what_is_there_is_left_as_it_is(desk: Desk) -> None:
    home = desk.home / "begun"
    first = desk.run("init", "begun", CONDA_PREFIX="")
    assert first.code == 0, first.err
    assert first.out.split() == ["begun/requirements.txt", "begun/envpack.yaml"]
    (home / "envpack.yaml").write_text("store: mine\n")
    (home / "requirements.txt").unlink()
    again = desk.run("init", "begun", CONDA_PREFIX="")
    assert (again.code, again.out.split()) == (0, ["begun/requirements.txt"])
    assert "envpack.yaml exists" in again.err
    assert (home / "envpack.yaml").read_text() == "store: mine\n"
    told = check(desk.run("init", "begun", "--output", "json", CONDA_PREFIX="").json(), "init")
    assert (told["written"], told["left"]) == ([], ["begun/requirements.txt", "begun/envpack.yaml"])
    (desk.home / "file").touch()
    refused = desk.run("init", str(desk.home / "file/below"))
    assert (refused.code, "Traceback" in refused.err) == (2, False)
