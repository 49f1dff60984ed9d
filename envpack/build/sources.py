"""How a build handles sources, including the team's own project."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from envpack.errors import UsageError
from envpack.files.inside import inside
from envpack.progress import Step
from envpack.requirements import pep508
from envpack.requirements.names import ProjectName
from envpack.requirements.text import Refused
from envpack.requirements.values import Origin
from envpack.tools.cage import Confine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from envpack.config.config import Config
    from envpack.files.cache import Cache
    from envpack.lock.lock import Lock, Wheel
    from envpack.progress import Progress
    from envpack.requirements import PyRequirement, Requirements
    from envpack.resolve.request import Request
    from envpack.sources.builder import WheelBuilder
    from envpack.stores.base import Store

_ALL = ":all:"


def with_project(asked: Requirements, config: Config) -> Requirements:
    """Return requirements with a line for the configured project, if they have none. Raises UsageError."""
    if not config.project:
        return asked
    where = config.origins.get("project", "project")
    try:
        line = pep508.read(config.project, hashes=(), origin=Origin(file=where, line=0), folder=asked.path.parent)
    except Refused as refused:
        raise UsageError(f"{where}: {refused.reason}") from refused
    if line.source is None or line.source.kind != "project":
        raise UsageError(
            f"{where}: {config.project} is not a Python project", hint="give a directory that has a pyproject.toml"
        )
    if any(other.name == line.name for other in asked.pypi):
        return asked
    return replace(asked, pypi=(*asked.pypi, line))


def forbidden(config: Config) -> frozenset[str]:
    """Return the normalised names of projects that must not be built."""
    return frozenset(name if name == _ALL else str(ProjectName(name)) for name in config.no_build)


def contents(asked: Requirements, config: Config) -> dict[str, str]:
    """Return the digest of each of the team's own projects, by normalised name.

    For a project that is left out only its declared dependencies count; all its files, where its build finds them.
    """
    lines = [line for line in asked.pypi if line.source and line.source.kind == "project"]
    if not lines:
        return {}
    from envpack.requirements.sources import FILES, states_its_needs
    from envpack.sources import files, scm_version

    found = {}
    for line in lines:
        directory = Path(_directory(line))
        names = files.project_files(directory, without=_without(config))
        if config.without_project and states_its_needs(directory):
            names = [name for name in names if name in FILES]
        told = {} if config.without_project else scm_version.of_project(directory)
        found[str(line.name)] = scm_version.with_version(files.digest_of(directory, names), told)
    return found


def builder(request: Request, config: Config, cache: Cache, scratch: Path, progress: Progress) -> WheelBuilder:
    """Return the builder for the wheels of a request's sources."""
    from envpack.sources.builder import WheelBuilder

    return WheelBuilder(
        request=request,
        cache=cache,
        scratch=scratch,
        confine=Confine.named(config.confine),
        progress=progress,
        without=_without(config),
    )


def renewed(old: Lock, request: Request, building: WheelBuilder) -> Lock | None:
    """Return a lock in which the team's own projects are as they are now.

    None when one of them needs other things than before: then all is solved again.
    """
    lines = {line.name: line for line in request.requirements.pypi if line.source and line.source.kind == "project"}
    building.settled = {wheel.name: wheel.made.requires for wheel in old.wheels if wheel.made}
    wheels = []
    for wheel in old.wheels:
        if wheel.made is None or wheel.made.kind != "project":
            wheels.append(wheel)
            continue
        if wheel.name not in lines:
            return None
        now = building.of_line(lines[wheel.name], old.packages).wheel
        if not _needs_the_same(now, wheel):
            return None
        wheels.append(now)
    if request.without_project:
        return None
    return replace(old, wheels=tuple(wheels), request=request.digest(), frame=request.frame())


def provided(
    lock: Lock, building: Callable[[], WheelBuilder], published: Callable[[Wheel], Path | None]
) -> dict[ProjectName, Path]:
    """Return where a lock's wheels from sources are; see `WheelBuilder.provide`."""
    return building().provide(lock, published) if any(wheel.made for wheel in lock.wheels) else {}


def compiled(lock: Lock, building: Callable[[], WheelBuilder]) -> dict[str, tuple[Path, str]]:
    """Return the wheels with compiled parts that were built here, by file name: where each is and its SHA-256."""
    return building().compiled(lock) if any(wheel.made and wheel.made.compiled for wheel in lock.wheels) else {}


def published(wheel: Wheel, *, store: Store, name: str, scratch: Path) -> Path | None:
    """Fetch a wheel that was built elsewhere from beside a release of the same name; None where there is none."""
    from envpack import digest
    from envpack.releases import keys, lookup

    file = wheel.made.file if wheel.made else ""
    for short in lookup.digests(store, name):
        key = f"{keys.folder(name, short)}/{file}"
        if not file or store.size(key) != wheel.size:
            continue
        path = inside(Path(tempfile.mkdtemp(prefix="published-", dir=scratch)), file)
        store.download(key, path, Step())
        if digest.of_file(path) == wheel.sha256:
            return path
    return None


def own_projects(lock: Lock) -> frozenset[ProjectName]:
    """Return the names of the team's own projects, which change more often than the rest of a lock."""
    return frozenset(wheel.name for wheel in lock.wheels if wheel.made and wheel.made.kind == "project")


def _needs_the_same(now: Wheel, before: Wheel) -> bool:
    """Return whether a project's dependencies are unchanged; a lock of an older envpack does not say."""
    return bool(now.made and before.made and now.made.needs == before.made.needs)


def _directory(line: PyRequirement) -> str:
    return line.source.location if line.source else ""


def _without(config: Config) -> tuple[Path, ...]:
    return tuple(_places(config))


def _places(config: Config) -> Iterator[Path]:
    yield Path(config.cache_dir).resolve()
    if config.store and "://" not in config.store:
        yield Path(config.store).resolve()
