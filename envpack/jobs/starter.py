"""Write a job file to start from, with every key explained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpack.errors import Conflict, UsageError
from envpack.redact import redact

if TYPE_CHECKING:
    from pathlib import Path

_TEXT = """\
# A job: code, parameters, environment and launcher. `envpack submit {file}` runs it, with --dry-run it prints
# what would be run. Every key: docs/jobs.md.

# The application's name; by default the name of this file's directory.
name: {name}

# The code base: a directory, a package or one Python file. git says which files of a directory belong to it;
# .envpackignore, in the form of a .gitignore, leaves out more.
code: .

# What is run: a file of the code base, or a module such as churn.daily.
entrypoint: {entrypoint}

# What may differ between runs. Each becomes an argument, such as `--date 2026-01-31`. `envpack submit --set
# date=2026-02-28` gives another value, and one without a value must be set.
parameters: {{}}
#  date:
#  rows: 1000

# Further arguments, passed on as they are.
# arguments: [--verbose]

# Where it runs: NAME, NAME:TAG or NAME@DIGEST of a release, or a requirements file, which is built when it changed.
environment: {environment}

# What starts it; `envpack settings --help` lists all. The default is that of envpack.yaml, or yarn-cluster.
# launcher: yarn-cluster
# master: spark://HOST:7077          # for standalone; k8s://https://HOST:PORT for Kubernetes
# server: https://livy.example.com   # for livy-batch and kyuubi

# Spark's own properties.
# conf:
#   spark.sql.shuffle.partitions: 200

# Variables of driver and executors. They are printed and recorded: no place for a secret.
# env: {{STAGE: test}}

# resources:
#   driver-memory: 2g
#   executor-memory: 4g
#   executor-cores: 2
#   executors: 10
#   queue: default                   # YARN's

# kubernetes: {{namespace: jobs, image: "apache/spark:3.5.6", service-account: spark}}

# Killed when it takes longer.
# timeout: 2h
"""


def write(path: Path, *, name: str, environment: str) -> str:
    """Write a job file that runs a file beside it, and return that file's name: `main.py` or the only one there is.

    Raises Conflict when a file of that name exists, and UsageError when it cannot be written.
    """
    there = sorted(each.name for each in path.absolute().parent.glob("*.py"))
    entrypoint = there[0] if len(there) == 1 else "main.py"
    text = _TEXT.format(file=path.name, name=name, environment=environment, entrypoint=entrypoint)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(redact(text))
    except FileExistsError as error:
        raise Conflict(f"{path} exists", hint="give another file, or edit that one") from error
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}", hint="give a file that you can write"
        ) from error
    return entrypoint
