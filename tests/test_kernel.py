"""`envpack kernel`: what Jupyter is told, where it lies, and what is refused. Notebooks run in acceptance."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from envpack.cli.kernel import SCHEMA
from envpack.errors import UsageError
from envpack.kernel import install, spec
from envpack.releases.lookup import Release
from tests.support.manifests import S3, manifest
from tests.support.schemas import check

HERE = Path("/kernels/k/environment-3f2a9c1b4d5e6f70")


def release(*packages: str, **changes: Any) -> Release:
    made = manifest(packages=("ipykernel", *packages), **changes)
    return Release(manifest=made, manifest_uri=S3.rpartition("/")[0] + "/manifest.json", archive_uri=S3)


def test_a_local_kernel_and_its_workers_run_the_same_python() -> None:
    made = spec.kernel_json(release(variables={"DATA": "./environment/share", "PRICE": "5$"}), HERE)
    assert made["argv"] == [f"{HERE}/bin/python", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    assert made["env"]["PYSPARK_PYTHON"] == made["env"]["PYSPARK_DRIVER_PYTHON"] == f"{HERE}/bin/python"
    assert made["env"]["DATA"] == f"{HERE}/share"
    assert made["env"]["PRICE"] == "5$$"  # Jupyter fills in what a single one begins
    assert made["env"]["PATH"] == f"{HERE}/bin:${{PATH}}"
    assert "PYSPARK_SUBMIT_ARGS" not in made["env"]
    assert made["metadata"]["envpack"]["reference"] == "pandas-udf@3f2a9c1b4d5e6f70"
    facts = {"name": "k", "folder": "/kernels/k", "reference": "pandas-udf@3f2a9c1b4d5e6f70"}
    check({"schema": SCHEMA, **facts, "kernel": made}, "kernel")


@pytest.mark.parametrize(
    ("launcher", "master", "begins"),
    [
        ("yarn-client", None, ["--master", "yarn", "--deploy-mode", "client", "--archives"]),
        ("standalone", "spark://host:7077", ["--master", "spark://host:7077", "--archives"]),
        ("k8s-client", None, ["--archives"]),
    ],
)
def test_a_kernel_for_a_cluster_sends_the_archive_to_its_workers(
    launcher: str, master: str | None, begins: list[str]
) -> None:
    env = spec.kernel_json(release(), HERE, launcher=launcher, master=master)["env"]
    words = shlex.split(env["PYSPARK_SUBMIT_ARGS"])
    assert words[: len(begins)] == begins
    assert words[-1] == "pyspark-shell"
    assert env["PYSPARK_PYTHON"] == "./environment/bin/python"
    assert env["PYSPARK_DRIVER_PYTHON"] == f"{HERE}/bin/python"


def test_a_launcher_with_its_driver_elsewhere_is_refused() -> None:
    with pytest.raises(UsageError, match="the driver of yarn-cluster does not run on this machine"):
        spec.kernel_json(release(), HERE, launcher="yarn-cluster")


def test_a_release_without_ipykernel_is_refused() -> None:
    bare = release()
    with pytest.raises(UsageError, match="has no ipykernel"):
        spec.check_release(replace(bare, manifest=replace(bare.manifest, packages=())))
    spec.check_release(bare)


@pytest.mark.parametrize("name", ["", "a/b", "../x", "a b", "ü", "x" * 201])
def test_a_name_that_jupyter_does_not_take_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="not a valid name of a kernel"):
        spec.check_name(name)


def test_pyspark_comes_from_a_spark_where_the_release_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "python/lib").mkdir(parents=True)
    with pytest.raises(UsageError, match="is not a Spark installation"):
        spec.kernel_json(release(), HERE, spark_home=tmp_path)
    for name in ("pyspark.zip", "py4j-0.10.9.9-src.zip"):
        (tmp_path / "python/lib" / name).touch()
    env = spec.kernel_json(release(), HERE, spark_home=tmp_path)["env"]
    assert env["SPARK_HOME"] == str(tmp_path)
    assert env["PYTHONPATH"] == f"{tmp_path}/python/lib/pyspark.zip:{tmp_path}/python/lib/py4j-0.10.9.9-src.zip"
    monkeypatch.chdir(tmp_path.parent)  # Jupyter starts a kernel in the notebook's folder, not in this one
    assert spec.kernel_json(release(), HERE, spark_home=Path(tmp_path.name))["env"] == env
    assert spec.has_pyspark(release("pyspark"))


def test_kernels_lie_where_jupyter_looks() -> None:
    assert install.home_of({"JUPYTER_DATA_DIR": "/data"}) == Path("/data/kernels")
    assert install.home_of({}, Path("/opt/jupyter")) == Path("/opt/jupyter/share/jupyter/kernels")
    assert install.home_of({"HOME": "/home/me"}).parts[:3] == ("/", "home", "me")


def test_a_kernel_moves_to_another_release_and_the_one_before_stays_for_those_who_run_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pulled: list[Path] = []

    def pull(_store: object, _release: object, directory: Path, **_options: object) -> None:
        directory.mkdir()
        pulled.append(directory)
        os.utime(directory, (len(pulled), len(pulled)))

    monkeypatch.setattr(install, "pull", pull)
    for number in ("1", "2", "3", "3"):
        directory = tmp_path / "kernels/k" / f"environment-{number}"
        folder = install.install(
            None,  # type: ignore[arg-type]
            release(),
            directory,
            {"argv": [number]},
            cache=None,  # type: ignore[arg-type]
        )
    assert [path.name for path in pulled] == ["environment-1", "environment-2", "environment-3"]
    assert sorted(path.name for path in folder.iterdir()) == ["environment-2", "environment-3", "kernel.json"]
    assert json.loads((folder / "kernel.json").read_text()) == {"argv": ["3"]}
