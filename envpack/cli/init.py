"""`envpack init`."""

from __future__ import annotations

import os
from pathlib import Path

import click

from envpack.cli import options
from envpack.cli.answer import say, say_json
from envpack.cli.screen import screen
from envpack.errors import UsageError


@click.command(
    "init",
    epilog="""\b
Examples:
  envpack init
  envpack init jobs/features     for the project in that directory""",
)
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False), default=".")
@options.OUTPUT_JSON
def init_command(directory: Path, output: str) -> None:
    """Write a commented requirements file and envpack.yaml into DIRECTORY.

    If DIRECTORY has a Python project, the requirements get a line for it. If a conda environment is active, its
    requested packages are written to environment.yml. `spark:` is the version of the Spark in SPARK_HOME or on
    PATH. No file is ever overwritten. The paths of the new files are printed.
    """
    from envpack.doctor import beginning
    from envpack.files.inside import inside

    progress = screen(quiet=False, verbose=False)
    found = beginning.look(directory, os.environ)
    written, left = [], []
    for name, text in beginning.files(found).items():
        path = inside(directory, name)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8") as file:
                file.write(text)
        except FileExistsError:
            progress.info(f"{path} exists, and is not changed")
            left.append(path)
            continue
        except OSError as error:
            raise UsageError(
                f"{path} cannot be written: {error.strerror}", hint="use a directory that you can write to"
            ) from error
        written.append(path)
    for what, value in (
        ("project", found.project),
        ("conda environment", found.environment and found.environment.prefix),
        ("Spark", found.spark and f"{found.spark} in {found.spark_home}"),
    ):
        progress.info(f"{what}: {value or 'none found'}")
    if output == "json":
        found_here = {"project": found.project, "spark": found.spark, "spark_home": _text(found.spark_home)}
        environment = _text(found.environment.prefix if found.environment else None)
        files = {"written": list(map(str, written)), "left": list(map(str, left))}
        say_json({"schema": 1, **files, **found_here, "environment": environment})
        return
    for path in written:
        say(path)
    if written:
        progress.info(
            f"next: read them, then `envpack doctor`, then `envpack build {beginning.requirements(found)}`"
        )


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
