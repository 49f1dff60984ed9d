"""Join other archives to a release's: Spark takes one list, and a second replaces the first."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from envpack.archive.formats import ALIAS
from envpack.errors import UsageError
from envpack.spark import address

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from envpack.spark.launcher import Launcher

UNPACKED = (".zip", ".jar", ".tar.gz", ".tgz", ".tar")
"""Formats that Spark's Utils.unpack and YARN's FSDownload unpack; others stay one file under the directory's
name."""

_WHOLE = ("s3", "s3a", "s3n", "file")
"""Schemes that need both slashes: without them there is no bucket. Hadoop's own, such as `hdfs:/x`, do not."""

_DIRECTORY = re.compile(r"[a-z][a-z-]{0,30}")
"""Directory names that the filter of secrets accepts: anything else after a `#` may be a token."""


def joined(others: Sequence[str], own: str, launcher: Launcher) -> tuple[str, ...]:
    """Return other archives as a launcher takes them in addition to a release's own.

    `others` are addresses or paths, each with `#DIRECTORY`, where it is to be unpacked; a relative path starts at
    the working directory. `own` is the release's address. Raises UsageError with every reason why they cannot be
    joined.
    """
    if others and launcher.archives is None and launcher.driver != "session":
        raise UsageError(
            f"{launcher.name} unpacks no archives, so --also-archives has no effect",
            hint="leave --also-archives out, and unpack these archives yourself where the job reads them",
        )
    problems: list[str] = []
    taken = {ALIAS: "the environment"}
    files = {_file(own): "the environment"}
    found = []
    for text in others:
        try:
            uri, directory = _parts(text, launcher)
            problems += _clashes(text, uri, directory, taken=taken, files=files, yarn=launcher.yarn)
            found.append(f"{uri}#{directory}")
        except UsageError as error:
            problems.append(error.message)
    if problems:
        raise UsageError(problems, hint="for example: --also-archives s3://bucket/models.zip#models")
    return tuple(found)


def _parts(text: str, launcher: Launcher) -> tuple[str, str]:
    """Return the address of an archive as the launcher reads it, and the directory that it is unpacked to."""
    uri, mark, directory = text.partition("#")
    scheme, local = urlsplit(uri).scheme, not urlsplit(uri).scheme
    if launcher.driver == "session" and not local:
        raise UsageError(f"{text}: the client of this launcher can only send files on its own machine; give a path")
    if scheme in _WHOLE and not urlsplit(uri).netloc and not uri.startswith("file:///"):
        right = f"{scheme}://{'/' if scheme == 'file' else ''}{uri.partition(':')[2].lstrip('/')}"
        raise UsageError(f"{text}: {uri!r} is not a valid URL: write {right}")
    # In a list all are written with `//`, by which readers and the filter of secrets find where one begins.
    if local and launcher.driver != "session":
        uri = Path(uri).absolute().as_uri()
    elif not local and not uri.startswith(f"{scheme}://"):
        uri = f"{scheme}:///{uri.partition(':')[2].lstrip('/')}"
    uri = address.of_archive(uri, launcher)
    if not _file(uri).lower().endswith(UNPACKED):
        raise UsageError(f"{text}: Spark cannot unpack this file; it unpacks {', '.join(UNPACKED)}")
    if not mark or not _DIRECTORY.fullmatch(directory):
        raise UsageError(f"{text}: add #DIRECTORY, where it is unpacked to: lowercase letters and '-' only")
    return uri, directory


def _clashes(
    text: str, uri: str, directory: str, *, taken: dict[str, str], files: dict[str, str], yarn: bool
) -> Iterator[str]:
    """Yield why an archive cannot be unpacked beside the earlier ones, and remember it."""
    if other := taken.get(directory):
        yield f"{text}: {directory!r} is already the directory of {other}"
    if yarn and (other := files.get(_file(uri))):
        yield f"{text}: YARN cannot take two files of one name, and {_file(uri)!r} is already the name of {other}"
    taken.setdefault(directory, text)
    files.setdefault(_file(uri), text)


def _file(uri: str) -> str:
    return unquote(urlsplit(uri).path.rsplit("/", 1)[-1])
