"""`envpack build` and `envpack lock`."""

from __future__ import annotations

import shutil
import textwrap
from typing import TYPE_CHECKING, Any

import click

from envpack.cli import options
from envpack.cli.answer import say, say_json
from envpack.cli.choice import OneOf
from envpack.cli.screen import screen
from envpack.units import human_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from envpack.build.results import Built
    from envpack.packages.package import PackedPackage

_WIDEST = 110
"""Characters in a line."""


@click.command(
    "build",
    epilog="Example: envpack build pandas-udf.txt --store s3://bucket/envs --spark 3.5 --launcher yarn-cluster",
)
@options.FILES
@click.option(
    "-n",
    "--name",
    metavar="NAME",
    help="The name of the release; by default `name:` of an environment file, else the name of "
    "FILE without its ending.",
)
@options.STORE
@options.SOLVE
@options.SPARK
@options.FORMAT
@options.LAUNCHER
@options.TAG
@click.option("--no-verify", is_flag=True, help="Publish the archive without verifying it.")
@click.option("--dry-run", is_flag=True, help="Solve and show what would be built; change nothing.")
@options.DRIVER_PYTHON
@options.ARCHIVES
@options.CONFINE
@options.CACHE
@options.OUTPUT
@options.TALK
def build_command(file: Path | None, output: str, *, quiet: bool, verbose: bool, **given: Any) -> None:
    """Build the environment that FILE describes, publish it, and print the Spark settings that use it.

    FILE is a requirements file of pip (*.txt), a conda environment file (*.yml, *.yaml), a project's
    pyproject.toml, or a lock: pylock.toml, uv.lock, poetry.lock, a `conda list --explicit` file, conda-lock.yml,
    pixi.lock. `-` reads requirement lines from standard input.
    """
    from envpack.build.pipeline import Options, build
    from envpack.cli.settings import echo_settings

    progress = screen(quiet=quiet, verbose=verbose)
    chosen = Options(
        name=given["name"],
        tag=given["tag"],
        latest=not given["no_latest"],
        locked=given["locked"],
        upgrade=given["upgrade"],
        verify=not given["no_verify"],
        dry_run=given["dry_run"],
        driver_python=given["driver_python"],
    )
    asked, text = options.asked_for(file, given)
    built = build(asked, text=text, config=options.configuration(given), options=chosen, progress=progress)
    for note in built.notes:
        progress.warn(note)
    if output == "json":
        say_json(built.to_json())
        return
    for line in _summary(built, dry_run=chosen.dry_run):
        if chosen.dry_run:
            say(line)
        else:
            progress.info(line)
    if built.settings and not chosen.dry_run:
        echo_settings(built.settings, output, progress)


@click.command("lock", epilog="Example: envpack lock pandas-udf.txt --python 3.11")
@options.FILES
@click.option("-n", "--name", metavar="NAME", help="The name of the lock if there is no FILE: NAME.txt.lock.")
@click.option(
    "--format",
    "form",
    type=OneOf(["pixi", "pylock"]),
    default="pixi",
    help="pylock also writes pylock.NAME.toml (PEP 751), with the packages from PyPI.",
)
@options.SOLVE
@options.SPARK
@options.CACHE
@options.OUTPUT_JSON
@options.TALK
def lock_command(file: Path | None, output: str, form: str, *, quiet: bool, verbose: bool, **given: Any) -> None:
    """Solve FILE for the cluster and write the lock to FILE.lock, unless the lock there is up to date."""
    from envpack.build.pipeline import Options, lock, write_pylock
    from envpack.packages.package import packages_of

    progress = screen(quiet=quiet, verbose=verbose)
    chosen = Options(locked=given["locked"], upgrade=given["upgrade"])
    asked, text = options.asked_for(file, given)
    locked = lock(asked, text=text, config=options.configuration(given), options=chosen, progress=progress)
    for note in locked.notes:
        progress.warn(note)
    also = write_pylock(asked, locked.lock) if form == "pylock" else None
    if output == "json":
        say_json({**locked.to_json(), **({"pylock": str(also)} if also else {})})
        return
    for line in package_lines(packages_of(locked.lock)):
        progress.info(line)
    say(locked.path)
    if also:
        say(also)


def package_lines(packages: Sequence[PackedPackage]) -> Iterator[str]:
    """Yield the packages with their sources, a few wrapped lines for each source."""
    for source, title in (("conda", "from conda"), ("pypi", "from PyPI")):
        names = [f"{package.name} {package.version}" for package in packages if package.source == source]
        if names:
            text = ", ".join(name.replace(" ", "\u00a0") for name in names)
            head = f"{title:<10} "
            yield textwrap.fill(
                text,
                _width(),
                initial_indent=head,
                subsequent_indent=" " * len(head),
                break_long_words=False,
                break_on_hyphens=False,
            ).replace("\u00a0", " ")
    for package in packages:
        if package.built_from:
            yield f"{'built':<10} {package.name} {package.version} from {package.built_from}"


def _width() -> int:
    """Return how wide a line may be: the terminal's width, at most 110 characters."""
    return max(40, min(_WIDEST, shutil.get_terminal_size((_WIDEST, 24)).columns))


def _summary(built: Built, *, dry_run: bool) -> Iterator[str]:
    yield from package_lines(built.packages)
    if built.release is None:
        yield f"would publish {built.name}: nothing was built from these inputs yet"
        return
    manifest = built.release.manifest
    facts = f"{human_size(manifest.archive.size)}, Python {manifest.python}, {built.seconds['total']:.1f} s"
    state = "is published" if dry_run else "was published before" if built.reused else "published"
    yield f"{'release':<10} {manifest.reference} {state}: {facts}"
