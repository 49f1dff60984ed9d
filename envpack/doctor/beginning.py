"""The starting points for a first build: a project, a conda environment, a Spark; and files for it."""

from __future__ import annotations

import ast
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from envpack.files.inside import inside
from envpack.files.installed import read
from envpack.requirements.sources import FILES, declared_name
from envpack.requirements.text import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CONFIGURATION = "envpack.yaml"
LINES = "requirements.txt"
ENVIRONMENT = "environment.yml"

_ASKED = re.compile(r"# (?P<what>update|remove|neutered) specs: (?P<specs>\[.*\])")
_JAR = re.compile(r"spark-core_[\d.]+-(?P<version>\d+\.\d+)\.\d+.*\.jar")


@dataclass(frozen=True, kw_only=True)
class CondaEnvironment:
    """The conda environment that is active."""

    prefix: Path
    python: str | None
    """Its Python as `3.11`; None where it has none."""
    specs: tuple[str, ...]
    """What the user asked for, as match specs; sorted."""
    wheels: tuple[str, ...]
    """What pip installed into it, as `NAME==VERSION`; sorted."""


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """What was found."""

    project: str | None
    """The name of the project in the directory, or the directory's own where its files have none."""
    environment: CondaEnvironment | None
    spark: str | None
    """The version of the Spark on PATH or in SPARK_HOME, as `3.5`."""
    spark_home: Path | None = None


def look(directory: Path, environ: Mapping[str, str]) -> Beginning:
    """Return the starting points for a first build in a directory; nothing is run."""
    home, version = _spark(environ)
    prefix = Path(environ.get("CONDA_PREFIX") or "/nowhere")
    return Beginning(
        project=_project(directory),
        environment=_environment(prefix) if (prefix / "conda-meta").is_dir() else None,
        spark=version,
        spark_home=home,
    )


def requirements(found: Beginning) -> str:
    """Return the name of the requirements file that fits."""
    return ENVIRONMENT if found.environment else LINES


def files(found: Beginning) -> dict[str, str]:
    """Return the files for a first build: a requirements file and `envpack.yaml`, by name."""
    name = requirements(found)
    lines = _environment_lines(found.environment, found) if found.environment else _requirement_lines(found)
    return {
        name: "".join(f"{line}\n" for line in lines),
        CONFIGURATION: "".join(f"{line}\n" for line in _configuration_lines(found, name)),
    }


def _project(directory: Path) -> str | None:
    if not any(inside(directory, name).is_file() for name in FILES):
        return None
    try:
        return declared_name(directory) or directory.absolute().name
    except Refused:
        return directory.absolute().name


def _environment(prefix: Path) -> CondaEnvironment:
    here = read(prefix)
    conda = {record.name: record.version for record in here.conda}
    python = conda.get("python")
    return CondaEnvironment(
        prefix=prefix,
        python=".".join(python.split(".")[:2]) if python else None,
        specs=tuple(sorted(spec for name, spec in _asked(prefix).items() if name in conda and name != "python")),
        wheels=tuple(sorted(f"{each.project}=={each.version}" for each in here.wheels)),
    )


def _asked(prefix: Path) -> dict[str, str]:
    """Return what the user asked conda for, by name, from conda's history.

    Source: conda's `History`, the lines `# update specs: [...]` of `conda-meta/history`.
    """
    try:
        text = (prefix / "conda-meta" / "history").read_text("utf-8", errors="replace")
    except OSError:
        return {}
    asked: dict[str, str] = {}
    for found in _ASKED.finditer(text):
        try:
            specs = [str(spec) for spec in ast.literal_eval(found["specs"])]
        except (ValueError, SyntaxError, TypeError, RecursionError):
            continue
        for spec in specs:
            name = re.split(r"[\s=<>!~\[]", spec.rpartition("::")[2], maxsplit=1)[0].lower()
            if found["what"] == "remove":
                asked.pop(name, None)
            else:
                asked[name] = spec
    return asked


def _spark(environ: Mapping[str, str]) -> tuple[Path | None, str | None]:
    """Return the Spark that SPARK_HOME names or that PATH leads to, and its version by the name of its jar."""
    homes = [Path(environ["SPARK_HOME"])] if environ.get("SPARK_HOME") else []
    if program := shutil.which("spark-submit", path=environ.get("PATH")):
        real = Path(program).resolve()
        homes += [real.parents[1], *real.parents[1].glob("lib/python*/site-packages/pyspark")]
    for home in homes:
        for jar in sorted(home.glob("jars/spark-core_*.jar")):
            if found := _JAR.fullmatch(jar.name):
                return home, found["version"]
    return None, None


def _requirement_lines(found: Beginning) -> Iterator[str]:
    yield "# What the environment is made of, one requirement a line, as pip reads them."
    yield "# `envpack build` takes each from a conda channel where one carries it, else from PyPI."
    if found.project:
        yield ""
        yield f"# Your project, {found.project}, with what it needs; it is built into a wheel."
        yield "-e ."
    yield ""
    yield "# What the jobs import."
    yield from ("# pandas>=2", "# pyarrow") if found.project else ("pandas>=2", "pyarrow")


def _environment_lines(environment: CondaEnvironment, found: Beginning) -> Iterator[str]:
    name = re.sub(r"[^a-z0-9._-]+", "-", environment.prefix.name.lower()).strip("-._") or "environment"
    yield f"# What was asked for in the conda environment {name}; `envpack build` solves it for the cluster."
    yield f"name: {name}"
    yield "dependencies:"
    yield f"  - python={environment.python}" if environment.python else "  - python"
    yield from (f"  - {json.dumps(spec)}" for spec in environment.specs)
    lines = [*environment.wheels, *(["-e ."] if found.project else [])]
    if lines:
        yield "  # What pip is for: lines as it reads them."
        yield "  - pip:"
        yield from (f"      - {json.dumps(line)}" for line in lines)


def _configuration_lines(found: Beginning, name: str) -> Iterator[str]:
    yield "# What envpack's commands take in this directory and below it. A flag or an ENVPACK_* variable"
    yield "# goes before it; `envpack doctor` shows each value and where it comes from."
    yield ""
    yield "# Where releases are kept: a directory for a start, s3://BUCKET/PREFIX for a cluster."
    yield "store: envpack-store"
    yield ""
    yield "# Conda channels, most wanted first: names, URLs or directories."
    yield "# channels: [conda-forge]"
    yield ""
    if found.spark:
        yield f"# The cluster's Spark; {found.spark} is the one in {found.spark_home}."
        yield f"spark: '{found.spark}'"
    else:
        yield "# The cluster's Spark: what does not work with it is refused or reported."
        yield "# spark: '3.5'"
    yield ""
    yield "# What starts the jobs: yarn-cluster, k8s-cluster, livy, ...; `envpack settings --help` lists them."
    yield "# launcher: yarn-cluster"
    yield ""
    yield "# The oldest glibc among the cluster's nodes, which `ldd --version` prints there."
    yield "# glibc: '2.28'"
    yield ""
    yield "# What `envpack ci` builds when it changes."
    yield "ci:"
    yield f"  requirements: [{name}]"
