"""Check wheels against all of their `Requires-Python`.

uv ignores upper bounds such as `<3.11` (its documentation, "Resolution"). pip does not, and linked wheels have to
fulfil them. So uv's choice is checked, and uv chooses again without the versions that do not fit.
"""

from __future__ import annotations

import contextlib
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from email.parser import HeaderParser
from functools import cache as remembered
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import parse_wheel_filename

from envpack.errors import Unsatisfiable
from envpack.resolve import pypi
from envpack.tools.download import opened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from envpack.lock.lock import Wheel

MOST_ROUNDS = 40
"""The most choices that are made."""

_AT_ONCE = 8
_TIMEOUT = 10.0
_LARGEST = 4 << 20


def solve(question: pypi.Question, *, cache: Path, scratch: Callable[[], Path]) -> pypi.Answer:
    """Return the wheels that fulfil the requirements and whose whole `Requires-Python` admits the Python.

    `scratch` makes an empty directory. Raises as `pypi.solve` does, and Unsatisfiable when no version is for the
    Python.
    """
    told: dict[str, tuple[str, str]] = {}
    for _ in range(MOST_ROUNDS):
        try:
            answer = pypi.solve(question, cache=cache, scratch=scratch())
        except Unsatisfiable as error:
            if not told:
                raise
            raise _without_choice(told, question) from error
        unfit = dict(_unfit(answer.wheels, question))
        if not unfit:
            notes = _notes(told, answer.wheels, question.python)
            return replace(answer, warnings=(*answer.warnings, *notes))
        bounds: dict[str, str] = {**question.bounds}
        for wheel, needs in unfit.items():
            told.setdefault(wheel.name, (wheel.version, needs))
            bounds[wheel.name] = ",".join(filter(None, [bounds.get(wheel.name), f"!={wheel.version}"]))
        question = replace(question, bounds=bounds)
    raise _without_choice(told, question)


def _unfit(wheels: Iterable[Wheel], question: pypi.Question) -> list[tuple[Wheel, str]]:
    """Return the wheels that are not for the Python, with their `Requires-Python`."""
    asked = [wheel for wheel in wheels if not _is_for(wheel, question.python) and not wheel.by_index]
    logins = tuple(filter(None, (question.indexes.index_url, *question.indexes.extra_index_urls)))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        needs = list(pool.map(lambda wheel: requires_python(wheel.url, logins), asked))
    return [
        (wheel, need)
        for wheel, need in zip(asked, needs, strict=True)
        if need and not _admits(need, question.python)
    ]


def _is_for(wheel: Wheel, python: str) -> bool:
    """Return whether a wheel's file name says that it is for this Python and no other."""
    minor = "cp" + "".join(python.split(".")[:2])
    name = unquote(urlsplit(wheel.url).path).rpartition("/")[2]
    return all(tag.interpreter == minor and tag.abi.startswith(minor) for tag in parse_wheel_filename(name)[3])


def _admits(need: str, python: str) -> bool:
    try:
        return SpecifierSet(need).contains(python, prereleases=True)
    except InvalidSpecifier:
        return True


@remembered
def requires_python(url: str, logins: tuple[str, ...] = ()) -> str | None:
    """Return the `Requires-Python` of a wheel, or None where it has none or it cannot be read.

    A file is opened; of a URL the metadata beside it are fetched (PEP 658). `logins` are addresses of indexes whose
    credentials also apply to wheels on the same host. A wheel that cannot be fetched is reported when it is linked.
    """
    parts = urlsplit(url)
    text = None
    with contextlib.suppress(OSError, ValueError, KeyError, HTTPException, zipfile.BadZipFile):
        if parts.scheme == "file":
            text = _in_wheel(Path(unquote(parts.path)))
        elif parts.scheme in ("http", "https") and "${" not in url:
            text = _beside(url, logins)
    return HeaderParser().parsestr(text)["Requires-Python"] if text else None


def _in_wheel(path: Path) -> str:
    with zipfile.ZipFile(path) as wheel:
        member = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        with wheel.open(member) as file:
            return file.read(_LARGEST).decode("utf-8", "replace")


def _beside(url: str, logins: tuple[str, ...]) -> str:
    with opened(f"{url.partition('#')[0]}.metadata", logins, timeout=_TIMEOUT) as answer:
        return answer.read(_LARGEST).decode("utf-8", "replace")


def _notes(told: dict[str, tuple[str, str]], wheels: Iterable[Wheel], python: str) -> Iterable[str]:
    taken = {str(wheel.name): wheel.version for wheel in wheels}
    for name, (version, needs) in told.items():
        instead = f"{taken[name]} is taken instead" if name in taken else "it is not needed then"
        yield f"{name} {version} is for Python {needs}, and {python} is chosen; {instead}"


def _without_choice(told: dict[str, tuple[str, str]], question: pypi.Question) -> Unsatisfiable:
    places = {str(line.name): f"{line.origin}: " for line in question.requirements}
    lines = [
        f"{places.get(name, '')}{name} {version} is for Python {needs}, not {question.python}"
        for name, (version, needs) in sorted(told.items())
    ]
    return Unsatisfiable(
        "\n".join([*lines, "no other version fits"]),
        hint="choose another Python with --python, or loosen the lines that require these versions",
    )
