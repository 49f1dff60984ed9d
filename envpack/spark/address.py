"""An archive's address for a launcher's Spark, and the shell commands that fetch it."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from envpack.archive.formats import FORMATS
from envpack.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from envpack.archive.formats import FormatName
    from envpack.spark.launcher import Launcher

_NOT_IN_A_URI = re.compile(r"[\s#]")
_NOT_IN_ARCHIVES = re.compile(r"[,*?\[\]{}\\]")
_HINT = "use a store whose URL has only letters, digits and / . _ -"


def of_archive(uri: str, launcher: Launcher) -> str:
    """Return an archive's address as this launcher's Spark reads it.

    spark-submit splits `--archives` at commas and treats each part as a pattern after it has decoded it
    (Spark's DependencyUtils.resolveGlobPaths), so that no form of quoting helps. Raises UsageError for an address
    that Spark would misread, or that this launcher cannot read at all.
    """
    if found := _NOT_IN_A_URI.search(uri) or _NOT_IN_ARCHIVES.search(unquote(uri)):
        raise UsageError(f"Spark cannot read an archive whose URL contains {found[0]!r}: {uri}", hint=_HINT)
    if launcher.local_refused and uri.startswith("file:"):
        raise UsageError(
            f"{launcher.local}, but this archive is at {uri}", hint="publish to a store on S3: --store s3://..."
        )
    # Flink takes an address as it stands: `%20` would be part of the file's name (seen with 2.3).
    return re.sub(r"^s3://", f"{launcher.scheme}://", unquote(uri) if launcher.flink else uri)


def local_file(uri: str) -> tuple[str, tuple[str, ...]]:
    """Return the archive as a local file, and the shell commands that download it."""
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return unquote(parts.path), ()
    name = unquote(parts.path.rsplit("/", 1)[-1])
    return name, (f"{_copy(uri)} {shlex.quote(name)}",)


def unpack(uri: str, archive_format: FormatName, directory: Path) -> tuple[str, ...]:
    """Return the shell commands that unpack an archive into a directory of this machine."""
    file, fetch = local_file(uri)
    target = shlex.quote(str(directory))
    make = f"mkdir -p {target}"
    format = FORMATS[archive_format]
    if fetch and format.stream:
        return (make, f"{_copy(uri)} - | {format.stream.format(directory=target)}")
    return (*fetch, make, format.unpack.format(file=shlex.quote(file), directory=target))


def _copy(uri: str) -> str:
    return f"aws s3 cp --only-show-errors {shlex.quote(re.sub(r'^s3a://', 's3://', uri))}"
