"""Ask conda channels what they carry, and solve: the part of the resolver that is py-rattler's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from rattler import (
    BuildString,
    Channel,
    Gateway,
    GenericVirtualPackage,
    PackageName,
    RepoDataRecord,
    Subdir,
    Version,
    VirtualPackage,
    solve,
)
from rattler.exceptions import FetchRepoDataError, GatewayError, SolverError

from envpack.errors import Unreachable, Unsatisfiable, UsageError
from envpack.lock.lock import CondaPackage
from envpack.redact import redact
from envpack.tools import rattler

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Mapping, Sequence
    from typing import Any

    from envpack.config.target import Target

T = TypeVar("T")

PROVIDED = "cluster"
"""The build string of packages that the target has already."""


def channel_url(channel: str, base: Path) -> str:
    """Return the URL of a channel given by name, URL or directory; directories are relative to `base`.

    Raises UsageError for a directory that does not exist.
    """
    if "://" in channel:
        return channel.rstrip("/")
    path = base / Path(channel).expanduser()
    if (path / "noarch").is_dir():
        return path.resolve().as_uri()
    if "/" in channel or channel.startswith((".", "~")):
        raise UsageError(
            f"there is no channel in the directory {channel}", hint="make one with `envpack channel init DIR`"
        )
    return Channel(channel).base_url.rstrip("/")


@dataclass(frozen=True, kw_only=True)
class Carried:
    """What the channels hold of one package name."""

    versions: tuple[str, ...]
    is_python: bool
    """Whether it is a Python distribution: it depends on Python or is `noarch: python`."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What a solve is for, in conda's terms."""

    platform: str
    """The subdir."""
    virtual_packages: tuple[tuple[str, str, str], ...]
    """Name, version and build of what the machine itself provides."""

    @classmethod
    def of_target(cls, target: Target) -> Machine:
        """Return the cluster's nodes."""
        return cls(platform=target.platform, virtual_packages=target.virtual_packages())

    @classmethod
    def here(cls) -> Machine:
        """Return the machine that this process runs on."""
        found = (package.into_generic() for package in VirtualPackage.detect())
        return cls(
            platform=str(Subdir.current()),
            virtual_packages=tuple((p.name.normalized, str(p.version), str(p.build_string)) for p in found),
        )

    def __str__(self) -> str:
        details = [f"{name[2:]} {version}" for name, version, _ in self.virtual_packages if version != "0"]
        return f"{self.platform} ({', '.join(details)})" if details else self.platform


class Channels:
    """The channels of one solve, most wanted first, seen from one machine."""

    def __init__(self, urls: Sequence[str], machine: Machine, repodata: Path) -> None:
        """Take channel URLs (credentials included) and the directory that caches their indexes."""
        repodata.mkdir(parents=True, exist_ok=True)
        self.urls = tuple(urls)
        self._machine = machine
        self._platforms = (Subdir(machine.platform), Subdir("noarch"))
        self._sources = [Channel(url) for url in urls]
        self._gateway = Gateway(cache_dir=repodata)

    def carried(self, names: Iterable[str]) -> dict[str, Carried]:
        """Return what the channels hold of each name; names that no channel holds are missing."""
        wanted = sorted(set(names))
        answer = self._ask(self._gateway.query(self._sources, self._platforms, wanted, recursive=False))
        records: dict[str, list[RepoDataRecord]] = {}
        for channel in answer:
            for record in channel:
                records.setdefault(record.name.normalized, []).append(record)
        return {
            name: Carried(
                versions=tuple(sorted({str(record.version) for record in found})),
                is_python=any(is_python_distribution(record.depends) for record in found),
            )
            for name, found in records.items()
        }

    def names(self) -> frozenset[str]:
        """Return every package name that the channels hold."""
        found = self._ask(self._gateway.names(self._sources, self._platforms))
        return frozenset(name.normalized for name in found)

    def solve(
        self,
        specs: Sequence[str],
        constraints: Sequence[str] = (),
        provided: Mapping[str, Sequence[str]] | None = None,
    ) -> tuple[CondaPackage, ...]:
        """Return the packages that fulfil the match specs on the target, sorted by name.

        `constraints` bind packages that are in the answer and bring none in. `provided` are packages that the
        target has already, with the versions they may have: others may depend on them, the answer never holds
        them. Raises Unsatisfiable with the solver's explanation.
        """
        # To the solver they are what it calls virtual packages; the build tells them from a channel's own.
        given = [(name, version, PROVIDED) for name, versions in (provided or {}).items() for version in versions]
        only_given = [f"{name} * {PROVIDED}" for name in provided or {}]
        try:
            records = self._ask(
                solve(
                    sources=self._sources,
                    specs=list(specs),
                    gateway=self._gateway,
                    platforms=list(self._platforms),
                    virtual_packages=_virtual_packages((*self._machine.virtual_packages, *given)),
                    constraints=[*constraints, *only_given],
                )
            )
        except SolverError as error:
            raise Unsatisfiable(
                f"no set of packages fulfils the request on {self._machine}:\n{redact(str(error))}"
            ) from error
        return tuple(sorted((_locked(record) for record in records), key=lambda package: package.name))

    def _ask(self, question: Awaitable[T]) -> T:
        try:
            return rattler.run(question)
        except (GatewayError, FetchRepoDataError) as error:
            where = ", ".join(redact(url) for url in self.urls)
            reason = redact(str(error)).replace("\nCaused by: ", ": ")
            raise Unreachable(
                f"a channel cannot be read ({where}): {reason}",
                hint="check the network and the channel's address; without a network name one with --channel, "
                "or make one with `envpack channel init DIR`",
            ) from error


def is_python_distribution(depends: Iterable[str]) -> bool:
    """Return whether a package with these dependencies is installed into Python's site-packages."""
    return any(spec.split()[0] in ("python", "python_abi") for spec in depends)


def _virtual_packages(packages: Iterable[tuple[str, str, str]]) -> list[Any]:
    return [
        GenericVirtualPackage(PackageName(name), Version(version), BuildString(build))
        for name, version, build in packages
    ]


def _locked(record: RepoDataRecord) -> CondaPackage:
    noarch = record.noarch
    if record.sha256 is None:
        raise Unsatisfiable(
            f"the channel gives no SHA-256 for {record.file_name}", hint="index the channel anew, or use another"
        )
    return CondaPackage(
        name=record.name.normalized,
        version=str(record.version),
        build=str(record.build),
        build_number=record.build_number,
        subdir=record.subdir,
        url=redact(record.url),
        sha256=record.sha256.hex(),
        size=record.size,
        md5=record.md5.hex() if record.md5 else None,
        noarch="python" if noarch.python else "generic" if noarch.generic else None,
        depends=tuple(record.depends),
        constrains=tuple(record.constrains),
        license=record.license,
        timestamp=int(record.timestamp.timestamp() * 1000) if record.timestamp else None,
        python_site_packages_path=record.python_site_packages_path,
    )
