"""`envpack pack`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from envpack.archive.formats import SUFFIXES, FormatName, format_of
from envpack.cli import options
from envpack.cli.answer import say, say_json
from envpack.cli.screen import screen
from envpack.errors import UsageError
from envpack.units import count, human_size

SCHEMA = 1
"""Version of the JSON that the command prints (docs/pack.schema.json)."""


@click.command("pack", epilog="Example: envpack pack ~/miniconda3/envs/analysis analysis.tar.gz")
@click.argument("prefix", type=click.Path(path_type=Path))
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Overwrite FILE if it exists.")
@options.COMPRESSION
@options.SLIM
@options.CONFINE
@options.CACHE
@options.OUTPUT_JSON
@options.TALK
def pack_command(
    prefix: Path, file: Path, output: str, *, force: bool, quiet: bool, verbose: bool, **given: Any
) -> None:
    """Pack the conda environment at PREFIX into FILE (.tar.gz, .tar or .zip), with the same bytes every time.

    PREFIX is not changed, and no store is involved.
    """
    from envpack.build.pack_prefix import pack_prefix

    if file.exists() and not force:
        raise UsageError(f"{file} exists", hint="give another file, or overwrite it with --force")
    progress = screen(quiet=quiet, verbose=verbose)
    config = options.configuration(given)
    packed = pack_prefix(prefix, file, _format_of(file), config=config, progress=progress)
    if output == "json":
        facts = {name: value for name, value in vars(packed).items() if name not in ("path", "pieces")}
        saved = [vars(saving) for saving in packed.saved]
        say_json({"schema": SCHEMA, "path": str(packed.path), **facts, "slim": saved})
        return
    progress.info(f"{count(packed.members, 'member')}, {human_size(packed.size)}, SHA-256 {packed.sha256}")
    say(packed.path)


def _format_of(file: Path) -> FormatName:
    if format := format_of(file.name):
        return format.name
    raise UsageError(
        f"{file.name} has no extension that Spark unpacks", hint=f"give a name that ends in {' or '.join(SUFFIXES)}"
    )
