"""`doctor REF` in client modes: which Python the driver would be, and what it lacks beside the release."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from envpack.config.config import Config
from envpack.doctor import driver
from envpack.doctor.finding import Finding
from envpack.packages.package import PackedPackage
from envpack.releases.lookup import Release
from envpack.releases.references import FoundRelease
from envpack.stores import open_store
from tests.support.manifests import S3, manifest

PACKED = {"pandas": "2.2.3", "pyarrow": "18.1.0", "numpy": "1.26.4"}


@pytest.fixture
def driver_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that is first on PATH as the release's Python, and answers what is in its file."""
    packages = tuple(
        PackedPackage(name=name, version=version, source="pypi", sha256="0" * 64, url="")
        for name, version in PACKED.items()
    )
    release = Release(manifest=replace(manifest(), packages=packages), manifest_uri="", archive_uri=S3)
    found = FoundRelease(store=open_store(str(tmp_path / "store")), release=release)
    monkeypatch.setattr("envpack.doctor.driver.references.find", lambda *_: found)
    program = tmp_path / "python3.11"
    program.write_text(f"#!/bin/sh\ncat {tmp_path}/says\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path / "conf"))
    for name in ("SPARK_HOME", "PYSPARK_DRIVER_PYTHON"):
        monkeypatch.delenv(name, raising=False)
    return program


def looked(launcher: str = "yarn-client") -> list[Finding]:
    return list(driver.look("pandas-udf", Config(launcher=launcher)))


@pytest.mark.parametrize(
    ("there", "level", "said", "hint"),
    [
        ({"python": "3.11", **PACKED}, "ok", "pandas 2.2.3", None),
        ({"python": "3.11", **PACKED, "pandas": "2.2.9"}, "ok", "pandas 2.2.9", None),
        (
            {"python": "3.11", **PACKED, "pandas": "1.5.3"},
            "warning",
            "pandas 1.5.3 instead of 2.2.3",
            "pandas==2.2.3",
        ),
        ({"python": "3.11", "numpy": "1.26.0"}, "warning", "no pandas (2.2.3 in the release)", "pyarrow==18.1.0"),
        (
            {"python": "3.12", **PACKED},
            "problem",
            "it is Python 3.12, and the release has 3.11",
            "--driver-python auto",
        ),
        ([], "problem", "it is not a Python that runs here", "install Python 3.11"),
    ],
)
def test_the_drivers_packages_are_compared_with_the_releases(
    driver_python: Path, there: object, level: str, said: str, hint: str | None
) -> None:
    driver_python.with_name("says").write_text(json.dumps(there))
    (finding,) = looked()
    assert finding.level == level
    assert said in finding.text
    assert hint is None or hint in (finding.hint or "")


def test_what_chooses_the_driver_is_named(driver_python: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert driver.chosen_python("3.11", {"PATH": "/x"})[0] == "python3.11"
    assert driver.chosen_python("3.11", {"PYSPARK_DRIVER_PYTHON": "/p"}) == (
        "/p",
        "PYSPARK_DRIVER_PYTHON=/p is set",
    )
    conf = driver_python.with_name("conf")
    conf.mkdir()
    (conf / "spark-defaults.conf").write_text("spark.pyspark.driver.python /q\n")
    environ = {"PYSPARK_DRIVER_PYTHON": "/p", "SPARK_CONF_DIR": str(conf)}
    python, said = driver.chosen_python("3.11", environ)
    assert python == "/q"
    assert "spark-defaults.conf:1 sets spark.pyspark.driver.python=/q" in said
    (conf / "spark-defaults.conf").unlink()
    monkeypatch.setenv("PYSPARK_DRIVER_PYTHON", "jupyter")
    (finding,) = looked()
    assert finding.level == "note"
    assert "envpack kernel pandas-udf" in (finding.hint or "")


@pytest.mark.parametrize("launcher", ["yarn-cluster", "local", "livy-session"])
def test_no_driver_is_looked_for_where_it_runs_in_the_release(driver_python: Path, launcher: str) -> None:
    assert looked(launcher) == []
