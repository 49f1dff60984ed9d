"""The Spark Operator's own schema of a SparkApplication, out of its Go module."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.support.cache import kept
from tests.support.missing import missing

VERSION = "v2.4.0"
MODULE = f"github.com/kubeflow/spark-operator/v2@{VERSION}"
FILE = "config/crd/bases/sparkoperator.k8s.io_sparkapplications.yaml"


def schema() -> dict[str, Any]:
    """Return the schema of v1beta2, in which a key that it does not have is a mistake, as the API server has it."""
    path = kept(f"spark-operator-{VERSION}", _fetch) / "crd.yaml"
    crd = yaml.load(path.read_text("utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    (version,) = (each for each in crd["spec"]["versions"] if each["name"] == "v1beta2")
    found: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    _closed(found)
    # Of metadata a CRD says only that it is an object.
    del found["properties"]["metadata"]["additionalProperties"]
    return found


def _closed(schema: Any) -> None:
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            schema.setdefault("additionalProperties", False)
        for each in schema.values():
            _closed(each)


def _fetch(directory: Path) -> None:
    if not shutil.which("go"):
        missing("no schema of the Spark Operator: there is no go on PATH")
    variables = {**os.environ, "GOMODCACHE": str(directory / "modules"), "GOFLAGS": "-modcacherw"}
    command = ["go", "mod", "download", "-json", MODULE]
    (directory / "go.mod").write_text("module fetch\n")
    done = subprocess.run(command, cwd=directory, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        missing(f"no schema of the Spark Operator: the Go module proxy gave none: {done.stderr or done.stdout}")
    shutil.copy(Path(json.loads(done.stdout)["Dir"]) / FILE, directory / "crd.yaml")
    shutil.rmtree(directory / "modules")
