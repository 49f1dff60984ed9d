"""The user's requirements as values: pip's files, conda's environment files, locks of other tools."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from envpack.errors import BadRequirements
from envpack.requirements import clashes, comments, formats
from envpack.requirements.formats import (
    conda_list,
    explicit,
    header,
    lines,
    pixi_lock,
    poetry_lock,
    pylock,
    pyproject,
    uv_lock,
)
from envpack.requirements.formats.content import FileContent
from envpack.requirements.pep508 import pinned_version
from envpack.requirements.txt import Reading, Source
from envpack.requirements.values import CondaSpec, Indexes, Origin, PyRequirement, Requirements

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_REMEDIES = {
    "Pipfile.lock": "pipenv requirements > requirements.txt",
}

__all__ = ["CondaSpec", "Indexes", "Origin", "PyRequirement", "Requirements", "read"]


def read(
    path: Path,
    *,
    environment: str | None = None,
    extras: Sequence[str] = (),
    groups: Sequence[str] = (),
    text: str | None = None,
) -> Requirements:
    """Return what a requirements file and all files that it includes ask for.

    `environment` chooses one of a file that has several, as pixi.lock may; `extras` and `groups` are those of a
    project that are wanted besides. `text` takes the place of the file's content: then there is no such file.
    Raises BadRequirements with all problems of all files, each as `file:line: reason`.
    """
    reading = Reading(
        root=path.parent,
        environment=environment,
        extras=tuple(map(canonicalize_name, extras)),
        groups=tuple(map(canonicalize_name, groups)),
    )
    source = Source(path=path, shown=str(path))
    content = _content(source, reading) if text is None else lines.read(text, source, reading)
    for origin, reason in _of_the_whole(reading, content, source):
        reading.refuse(origin, reason)
    if reading.problems:
        raise BadRequirements(reading.problems)
    return Requirements(
        path=path,
        stem=content.name or path.stem,
        pypi=tuple(reading.pypi),
        conda_first=content.conda_first,
        conda=content.conda,
        constraints=tuple(reading.constraints),
        channels=content.channels,
        indexes=_effective(reading.indexes),
        variables=content.variables,
        description=content.description,
        owner=content.owner,
        files=tuple(reading.files),
        places=reading.places,
        requires_python=content.requires_python,
        environments=content.environments,
        exact=content.exact,
        pinned=content.pinned,
        only_binary=reading.only_binary,
        warnings=tuple(reading.warnings),
    )


def _content(source: Source, reading: Reading) -> FileContent:
    """Return the content of the file, read in its own format."""
    text = reading.read_text(source)
    if text is None:
        return FileContent()
    found = formats.format_of(source.path, text)
    if found is None:
        reading.refuse(source.at(0), _of_no_format(source.path, text))
        return FileContent()
    if (reading.extras or reading.groups) and found not in (poetry_lock, pylock, pyproject, uv_lock):
        reading.warn(
            source.at(0), "--extra and --group have no effect: they choose of a pyproject.toml or its lock"
        )
    if reading.environment and found is not pixi_lock:
        reading.warn(
            source.at(0), f"--environment {reading.environment} has no effect: it chooses one of pixi.lock's"
        )
    content = found.read(text, source, reading)
    if found in (explicit, conda_list):
        return _with_comments(content, text, source, reading)
    if found is not lines:
        for number in comments.headers(text):
            reading.warn(source.at(number), "`# envpack:` has no effect here: it is for lines and explicit lists")
    return content


def _with_comments(content: FileContent, text: str, source: Source, reading: Reading) -> FileContent:
    """Return what a list of packages says, with what its comments say; its channels are in its addresses."""
    said = header.read(text, source, reading)
    if said.channels:
        reading.warn(
            source.at(0), "channels: of `# envpack:` have no effect: the list names where packages come from"
        )
    return replace(content, variables=said.variables, description=said.description, owner=said.owner)


def _of_no_format(path: Path, text: str) -> str:
    """Return why a file of none of the formats cannot be read, and what to do."""
    if pixi_lock.is_own(text):
        return f"is a lock that envpack wrote; give {path.stem}, and envpack uses the lock beside it by itself"
    if remedy := _REMEDIES.get(path.name):
        return f"is a lock of another tool; `{remedy}` makes requirements of it"
    if path.suffix == ".toml":
        remedy = f"`uv pip compile {path.name} -o requirements.txt` makes one of it"
    elif path.suffix == ".lock":
        remedy = f"give {path.stem}; envpack uses the lock beside it by itself"
    else:
        remedy = "rename it if it is one of these"
    return f"is not {formats.KINDS}; {remedy}"


def _of_the_whole(reading: Reading, content: FileContent, source: Source) -> Iterator[tuple[Origin, str]]:
    """Yield place and reason of the problems that concern more than one line."""
    if not (reading.pypi or content.conda or content.pinned or reading.problems):
        yield source.at(0), "asks for no package"
    yield from clashes.find(reading.pypi, reading.constraints)
    if reading.needs_hashes:
        for requirement in reading.pypi:
            if not requirement.hashes or pinned_version(requirement) is None:
                yield requirement.origin, f"--require-hashes wants `{requirement.name}==VERSION` with a --hash"


def _effective(indexes: Indexes) -> Indexes:
    """Return the indexes that will be asked: none under `--no-index`."""
    return replace(indexes, index_url=None, extra_index_urls=()) if indexes.no_index else indexes
