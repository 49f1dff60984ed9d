"""`envpack diff`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from envpack.cli import complete, options
from envpack.cli.answer import say, say_json
from envpack.cli.choice import OneOf
from envpack.cli.screen import screen
from envpack.errors import UsageError
from envpack.units import human_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpack.build.pipeline import Options
    from envpack.config.config import Config
    from envpack.inspect.diff import Change, Difference, Side
    from envpack.progress import Progress

_SUFFIXES = (".txt", ".yml", ".yaml")
_MOST_FILES = 40


@click.command(
    "diff",
    epilog="""\b
Examples:
  envpack diff pandas-udf:prod pandas-udf:latest
  envpack diff pandas-udf:prod pandas-udf.txt --spark 3.5     what a build would change
  envpack diff pandas-udf:prod pandas-udf --output markdown""",
)
@click.argument("before", metavar="A", shell_complete=complete.reference)
@click.argument("after", metavar="B", shell_complete=complete.reference)
@options.STORE
@options.SOLVE
@options.SPARK
@options.LAUNCHER
@options.CACHE
@click.option("--files", is_flag=True, help="List every file that differs, not only the largest.")
@click.option(
    "--output", type=OneOf(["text", "markdown", "json"]), default="text", help="The form of the result on stdout."
)
@options.TALK
def diff_command(
    before: str, after: str, output: str, *, files: bool, quiet: bool, verbose: bool, **given: Any
) -> None:
    """Show how B differs from A: packages, sizes, target, settings, files.

    A and B are references of releases, or requirements files. A requirements file is solved, not built.
    """
    from envpack.build.pipeline import Options
    from envpack.inspect.diff import difference

    progress = screen(quiet=quiet, verbose=verbose)
    config = options.configuration(given)
    chosen = Options(dry_run=True, verify=False, locked=given["locked"], upgrade=given["upgrade"])
    found = difference(*(_side(text, config, chosen, progress) for text in (before, after)))
    if output == "json":
        say_json(found.to_json())
        return
    for line in _markdown(found, every=files) if output == "markdown" else _text(found, every=files):
        say(line)
    for note in found.notes:
        progress.info(f"note: {note}")


def _side(text: str, config: Config, chosen: Options, progress: Progress) -> Side:
    from envpack.build import pipeline
    from envpack.inspect.diff import side_of_lock, side_of_release

    path = Path(text)
    if path.suffix not in _SUFFIXES or not path.is_file():
        try:
            return side_of_release(text, config)
        except UsageError as error:
            if path.suffix not in _SUFFIXES or path.exists():
                raise
            raise UsageError(f"the file {text} does not exist, and {error.message}", hint=error.hint) from error
    built = pipeline.build(path, config=config, options=chosen, progress=progress)
    return side_of_release(built.release.archive_uri, config) if built.release else side_of_lock(text, built.lock)


def _text(found: Difference, *, every: bool) -> Iterator[str]:
    from envpack.packages.compare import told_apart

    yield f"{found.before.label} -> {found.after.label}"
    if not found:
        yield "the same packages, target, settings and files"
    yield from _changes("facts", found.facts)
    yield from (f"  ? {name}: not known before it is built" for name in found.unknown)
    yield from (f"  {name:<10} {_from_to(old, new)}" for name, (old, new) in found.sizes.items() if old != new)
    changes = found.packages
    if changes:
        counts = {"added": changes.added, "removed": changes.removed, "changed": changes.changed}
        yield f"packages: {', '.join(f'{len(some)} {what}' for what, some in counts.items())}"
    yield from (f"  + {package.name} {package.version} ({package.kind})" for package in changes.added)
    yield from (f"  - {package.name} {package.version} ({package.kind})" for package in changes.removed)
    for old, new in changes.changed:
        yield f"  ~ {old.name} {told_apart(old, new)} -> {told_apart(new, old)}"
    yield from _changes("settings", found.settings or ())
    if found.files:
        yield _file_counts(found)
        yield from _file_lines(found, every=every)


def _changes(title: str, changes: tuple[Change, ...]) -> Iterator[str]:
    if changes:
        yield f"{title}:"
    for change in changes:
        if change.before is None:
            yield f"  + {change.name} {change.after}"
        elif change.after is None:
            yield f"  - {change.name} {change.before}"
        else:
            yield f"  ~ {change.name} {change.before} -> {change.after}"


def _from_to(old: int | None, new: int | None) -> str:
    before, after = (human_size(size) if size is not None else "not known" for size in (old, new))
    if old is None or new is None:
        return f"{before} -> {after}"
    return f"{before} -> {after} ({'+' if new > old else '-'}{human_size(abs(new - old))})"


def _file_counts(found: Difference) -> str:
    files = found.files or ()
    added = sum(file.before is None for file in files)
    removed = sum(file.after is None for file in files)
    return f"files: {added} added, {removed} removed, {len(files) - added - removed} changed"


def _file_lines(found: Difference, *, every: bool) -> Iterator[str]:
    """Yield the files that differ; without `every` only those that add or take most."""
    files = list(found.files or ())
    shown = files if every else sorted(files, key=lambda file: -abs((file.after or 0) - (file.before or 0)))
    for file in shown if every else shown[:_MOST_FILES]:
        sign = "+" if file.before is None else "-" if file.after is None else "~"
        yield f"  {sign} {file.path} {_sizes(file.before, file.after)}"
    if not every and len(files) > _MOST_FILES:
        yield f"  ... {len(files) - _MOST_FILES} more: --files shows all"


def _sizes(old: int | None, new: int | None) -> str:
    return " -> ".join(human_size(size) for size in dict.fromkeys((old, new)) if size is not None)


def _markdown(found: Difference, *, every: bool) -> Iterator[str]:
    from envpack.inspect.markdown import code, package_table, text

    yield f"## {code(found.before.label)} → {code(found.after.label)}"
    yield ""
    yield from package_table(found.packages, found.before.label, code(found.after.label))
    rows = [(name, _from_to(old, new)) for name, (old, new) in found.sizes.items() if old != new]
    rows += [(change.name, f"{change.before or ''} → {change.after or ''}") for change in found.facts]
    rows += [(name, "not known before it is built") for name in found.unknown]
    rows += [(change.name, f"{change.before or ''} → {change.after or ''}") for change in found.settings or ()]
    if rows:
        yield "| what | change |"
        yield "|---|---|"
        yield from (f"| {code(name)} | {text(change)} |" for name, change in rows)
        yield ""
    if found.files:
        yield text(_file_counts(found))
        yield ""
        yield from (f"- {code(line.strip())}" for line in _file_lines(found, every=every))
