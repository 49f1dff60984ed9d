"""Ask conda channels for their packages, and solve: the part of the resolver that uses py-rattler."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote, urlsplit

from rattler import (
    BuildString,
    Channel,
    Gateway,
    GenericVirtualPackage,
    MatchSpec,
    PackageName,
    RepoDataRecord,
    Subdir,
    Version,
    VirtualPackage,
    solve,
)
from rattler.exceptions import FetchRepoDataError, GatewayError, SolverError

from envpack import digest
from envpack.channel_names import name_of, without_subdir
from envpack.errors import NoSolution, Unreachable, Unsatisfiable
from envpack.lock.lock import CondaPackage
from envpack.redact import meet_files, redact, take_apart
from envpack.requirements.match_spec import file_parts, of_package
from envpack.requirements.names import CondaName
from envpack.resolve.channel_addresses import channel_addresses
from envpack.tools import rattler
from envpack.tools.channel_access import ChannelAddress, client_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Mapping, Sequence
    from typing import Any

    from envpack.config.target import Target

T = TypeVar("T")

PROVIDED = "cluster"
"""The build string of packages that the target has already."""


@dataclass(frozen=True, kw_only=True)
class Carried:
    """The channels' packages of one name."""

    versions: tuple[str, ...]
    is_python: bool
    """Whether it is a Python distribution: it depends on Python or is `noarch: python`."""


@dataclass(frozen=True, kw_only=True)
class Platform:
    """The target of a solve, in conda's terms."""

    platform: str
    """The subdir."""
    virtual_packages: tuple[tuple[str, str, str], ...]
    """Name, version and build of the packages that the machine itself provides."""

    @classmethod
    def of_target(cls, target: Target) -> Platform:
        """Return the cluster's nodes."""
        return cls(platform=target.platform, virtual_packages=target.virtual_packages())

    @classmethod
    def here(cls) -> Platform:
        """Return the machine that this process runs on."""
        found = (package.into_generic() for package in VirtualPackage.detect())
        return cls(
            platform=str(Subdir.current()),
            virtual_packages=tuple((p.name.normalized, str(p.version), str(p.build_string)) for p in found),
        )

    def __str__(self) -> str:
        details = [
            f"{name[2:]} {version}" for name, version, _ in self.virtual_packages if version not in ("0", "1")
        ]
        return f"{self.platform} ({', '.join(details)})" if details else self.platform


class Channels:
    """The channels of one solve, most wanted first, seen from one machine."""

    def __init__(self, addresses: Sequence[ChannelAddress], machine: Platform, repodata: Path) -> None:
        """Take the channels and the directory that caches their indexes."""
        meet_files(os.environ)
        self.addresses = tuple(addresses)
        self.machine = machine
        self._platforms = (Subdir(machine.platform), Subdir("noarch"))
        self._sources = [Channel(address.plain) for address in addresses]
        self._gateway = Gateway(cache_dir=repodata, client=client_of(addresses))

    def carried(self, names: Iterable[str]) -> dict[str, Carried]:
        """Return the channels' packages of each name; names that no channel holds are missing.

        The first channel that has a name hides it in the others, as in the solver.
        """
        wanted = sorted(set(names))
        answer = self._ask(self._gateway.query(self._sources, self._platforms, wanted, recursive=False))
        records: dict[str, list[RepoDataRecord]] = {}
        for record in (record for found in answer for record in found):
            known = records.setdefault(record.name.normalized, [])
            if not known or known[0].channel == record.channel:
                known.append(record)
        return {
            name: Carried(
                versions=tuple(sorted({str(record.version) for record in found})),
                is_python=any(is_python_distribution(record.depends) for record in found),
            )
            for name, found in records.items()
        }

    def records(self, name: str) -> list[tuple[str, RepoDataRecord]]:
        """Return every record of a package on the target with the URL of its channel, most wanted channel first."""
        found = []
        for address, source in zip(self.addresses, self._sources, strict=True):
            answer = self._ask(self._gateway.query([source], self._platforms, [name], recursive=False))
            found += [(address.plain, record) for records in answer for record in records]
        return found

    def listed(self, channel: str) -> tuple[str, ...]:
        """Return the URLs of the listed channels that a spec's `channel::` means, most wanted first.

        A name means its own channel, or else a listed one with the name at another address, such as a mirror
        (conda's `ChannelMatch`). A URL means itself, without credentials.
        """
        meant = {address.plain for address in channel_addresses([channel], Path())} if channel != "local" else set()
        own = tuple(address.plain for address in self.addresses if address.plain in meant)
        named = (address.plain for address in self.addresses if name_of(address.plain) == channel)
        return own or (() if "://" in channel else tuple(named))

    def packages_at(self, urls: Iterable[str]) -> tuple[dict[str, CondaPackage], tuple[Unreachable, ...]]:
        """Return the packages at addresses, and the failures of channels that could not be asked.

        They are in the index of the address's channel, which need not be one of these channels. A file on this
        machine that is in no index is read itself.
        """
        folders: defaultdict[str, dict[str, str]] = defaultdict(dict)
        for url in urls:
            folder, _, file = url.rpartition("/")
            folders[folder][unquote(file)] = url
        found: dict[str, CondaPackage] = {}
        failures: list[Unreachable] = []
        for folder, files in folders.items():
            try:
                records = self._records_in(folder, [parts[0] for file in files if (parts := file_parts(file))])
            except Unreachable as failure:
                failures.append(failure)
                records = []
            found |= {files[r.file_name]: _locked(r) for r in records if r.file_name in files and r.sha256}
            for url in files.values():
                if url not in found and url.startswith("file://") and Path(unquote(urlsplit(url).path)).is_file():
                    found[url] = self._package_of_file(url)
        return found, tuple(failures)

    def _records_in(self, folder: str, names: Sequence[str]) -> list[RepoDataRecord]:
        channel, subdir = without_subdir(folder)
        known = next((each for each in self.addresses if each.url == channel), None)
        asked = [Channel(known.plain if known else channel)]
        answer = self._ask(self._gateway.query(asked, [Subdir(subdir or "noarch")], names, recursive=False))
        return [record for records in answer for record in records]

    def _package_of_file(self, url: str) -> CondaPackage:
        """Return the package of a file on this machine."""
        sha256 = digest.of_file(Path(unquote(urlsplit(url).path)))
        spec = MatchSpec(of_package(url, f"sha256:{sha256}").for_solver())
        answer = self._ask(self._gateway.query([], self._platforms, [spec], recursive=False))
        return _locked(next(record for records in answer for record in records))

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

        `constraints` restrict packages in the answer and add none. `provided` are packages that the target already
        has, with their possible versions: others may depend on them, the answer never holds them. Raises NoSolution
        with the solver's explanation.
        """
        # For the solver they are virtual packages; the build string distinguishes them from a channel's own.
        given = [(name, version, PROVIDED) for name, versions in (provided or {}).items() for version in versions]
        only_given = [f"{name} * {PROVIDED}" for name in provided or {}]
        try:
            records = self._ask(
                solve(
                    sources=self._sources,
                    specs=list(specs),
                    gateway=self._gateway,
                    platforms=list(self._platforms),
                    virtual_packages=_virtual_packages((*self.machine.virtual_packages, *given)),
                    constraints=[*constraints, *only_given],
                )
            )
        except SolverError as error:
            raise NoSolution(redact(str(error))) from error
        return tuple(sorted((_locked(record) for record in records), key=lambda package: package.name))

    def _ask(self, question: Awaitable[T]) -> T:
        try:
            return rattler.run(question)
        except (GatewayError, FetchRepoDataError) as error:
            where = ", ".join(address.plain for address in self.addresses)
            reason = redact(str(error)).replace("\nCaused by: ", ": ")
            raise Unreachable(
                f"a channel cannot be read ({where}): {reason}",
                hint="check the network and the channel's URL; offline, give a directory with --channel, "
                "which `envpack channel init DIR` can make",
            ) from error


def is_python_distribution(depends: Iterable[str]) -> bool:
    """Return whether a package with these dependencies is installed into Python's site-packages."""
    return any(spec.split()[0] in ("python", "python_abi") for spec in depends)


def _virtual_packages(packages: Iterable[tuple[str, str, str]]) -> list[Any]:
    return [
        GenericVirtualPackage(PackageName(name), Version(version), BuildString(build))
        for name, version, build in packages
    ]


def _locked_url(url: str) -> str:
    """Return a package's address for a lock; rattler encodes the braces of variables."""
    plain = re.sub(r"\$%7B(\w+)%7D", r"${\1}", url)
    parts = take_apart(plain)
    if parts.lost():
        raise Unsatisfiable(
            f"the channel's index has URLs that may contain a secret ({parts.shown()}), which a lock must not "
            "contain",
            hint="ask the channel's owner to remove it from `base_url` in repodata.json, or use a mirror",
        )
    return parts.public()


def _locked(record: RepoDataRecord) -> CondaPackage:
    noarch = record.noarch
    if record.sha256 is None:
        raise Unsatisfiable(
            f"the channel's index has no SHA-256 for {record.file_name}",
            hint="run `conda index` on the channel again, or use another channel",
        )
    return CondaPackage(
        name=CondaName(record.name.normalized),
        version=str(record.version),
        build=str(record.build),
        build_number=record.build_number,
        subdir=record.subdir,
        url=_locked_url(record.url),
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
