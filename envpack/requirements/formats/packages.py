"""Package files that a lock names: checked, with absolute addresses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from envpack import digest
from envpack.redact import meet, public
from envpack.requirements.addresses import check_storable
from envpack.requirements.match_spec import SUFFIXES, file_parts
from envpack.requirements.names import ProjectName, problem_of
from envpack.requirements.pins import PinnedConda, PinnedWheel
from envpack.requirements.text import Refused, check_path, quoted

if TYPE_CHECKING:
    from envpack.requirements.values import Origin

_SHA256 = re.compile(r"[0-9a-f]{64}")
_MD5 = re.compile(r"[0-9a-f]{32}")


def conda_file(url: str, origin: Origin, *, folder: Path, **facts: Any) -> PinnedConda:  # noqa: ANN401 - its fields
    """Return the conda package at a URL or a path, which may be relative to `folder`.

    Raises Refused for anything that is not a package file, such as a source.
    """
    meet(url)
    file = _file_name(url)
    if not file.endswith(SUFFIXES):
        raise Refused(
            f"{quoted(public(url))} is not a package file (*.conda, *.tar.bz2), and envpack uses only built "
            "packages of a lock"
        )
    parts = file_parts(file)
    if parts is None or problem_of(parts[0]):
        raise Refused(f"{quoted(file)} is not the file name of a conda package (NAME-VERSION-BUILD.conda)")
    url = _absolute(url, folder)
    for key, digits in (("sha256", _SHA256), ("md5", _MD5)):
        if facts.get(key) and not digits.fullmatch(facts[key]):
            raise Refused(f"the {key} {quoted(facts[key])} of {file} is not valid")
    if facts.get("sha256") is None and url.startswith("file:"):
        facts["sha256"] = _digest(url)
    return PinnedConda(url=url, origin=origin, **facts)


def wheel_file(
    url: str, origin: Origin, *, sha256: str | None, folder: Path, size: int | None = None
) -> PinnedWheel:
    """Return the wheel at a URL or a path, which may be relative to `folder`. Raises Refused for anything else."""
    url = url.removeprefix("direct+").partition("#")[0]
    meet(url)
    file = _file_name(url)
    if not file.endswith(".whl"):
        raise Refused(
            f"{quoted(public(url))} is not a wheel, and envpack uses only wheels of this lock; "
            "build a wheel with `pip wheel`, then lock again with it"
        )
    try:
        name, version, _, _ = parse_wheel_filename(file)
    except InvalidWheelFilename as error:
        raise Refused(
            f"{quoted(file)} is not the file name of a wheel (NAME-VERSION-PYTHON-ABI-PLATFORM.whl)"
        ) from error
    url = _absolute(url, folder)
    if not url.startswith("file:"):
        check_storable(url)
    sha256 = _digest(url) if sha256 is None and url.startswith("file:") else sha256
    if sha256 is None or not _SHA256.fullmatch(sha256):
        raise Refused(f"{name} has no SHA-256, which envpack needs to use a locked wheel; lock again with hashes")
    return PinnedWheel(
        name=ProjectName(name), version=str(version), url=url, sha256=sha256, origin=origin, size=size
    )


def _file_name(url: str) -> str:
    try:
        return unquote(urlsplit(url).path.rpartition("/")[2])
    except ValueError as error:
        raise Refused(f"{quoted(url)} is not a valid URL") from error


def _absolute(url: str, folder: Path) -> str:
    if "://" in url:
        return url
    path = folder / url
    try:
        check_path(path)
    except Refused as refused:
        raise Refused(f"{quoted(url)}: {refused.reason}") from refused
    return path.resolve().as_uri()


def _digest(url: str) -> str | None:
    try:
        return digest.of_file(Path(unquote(urlsplit(url).path)))
    except OSError as error:
        raise Refused(f"{quoted(url)} cannot be read: {error.strerror}") from error
