"""The exact answer to a request: every conda package and every wheel by URL and SHA-256."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from envpack import digest
from envpack.lock.source import public

if TYPE_CHECKING:
    from collections.abc import Mapping

    from envpack.config.target import Target
    from envpack.lock.source import Source
    from envpack.requirements.names import CondaName, ProjectName


@dataclass(frozen=True, kw_only=True)
class CondaPackage:
    """One locked conda package."""

    name: CondaName
    version: str
    build: str
    build_number: int
    subdir: str
    """`noarch` or the target's platform."""
    url: str
    """Where the package is, without credentials."""
    sha256: str
    size: int | None = None
    """Bytes to download."""
    md5: str | None = None
    noarch: Literal["python", "generic"] | None = None
    depends: tuple[str, ...] = ()
    constrains: tuple[str, ...] = ()
    license: str | None = None
    timestamp: int | None = None
    """When it was built, in milliseconds since 1970."""
    python_site_packages_path: str | None = None

    @property
    def source(self) -> Source:
        """Where the package came from."""
        return "conda"


SourceKind = Literal["project", "archive", "git"]


@dataclass(frozen=True, kw_only=True)
class BuildFacts:
    """How a locked wheel is built from its source."""

    kind: SourceKind
    """A project on this machine, a source distribution, a git repository."""
    sha256: str
    """Of the archive; of a project or a repository the digest of the files that are built."""
    file: str
    """The wheel's file name."""
    commit: str = ""
    """The full commit of a repository."""
    subdirectory: str = ""
    """Where the project is in the archive or the repository."""
    requires: tuple[Wheel, ...] = ()
    """The wheels that it is built with, sorted by name."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Path in the wheel to the first 16 hex digits of the file's SHA-256; used to report which file differs."""
    needs: str = ""
    """The digest of what the wheel says that it needs; empty in locks that older envpacks wrote."""

    @property
    def compiled(self) -> bool:
        """Whether compilers were used: another compiler may make other bytes."""
        return not self.file.endswith("-none-any.whl")


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """One locked wheel."""

    name: ProjectName
    version: str
    url: str
    """Where the wheel is, or the source that it is made from, without credentials; a project by its path from the
    requirements, such as `./features`."""
    sha256: str
    """Of the wheel."""
    size: int | None = None
    """Bytes to download."""
    direct: bool = False
    """Whether the requirement named this URL itself."""
    by_index: bool = False
    """Whether the index signs its addresses: `url` alone does not fetch it, and the index has to be asked again."""
    made: BuildFacts | None = None
    """How it is built from its source; None for one that is fetched."""

    @property
    def source(self) -> Source:
        """Where the package came from."""
        return "pypi"


@dataclass(frozen=True, kw_only=True)
class Lock:
    """The solved environment for one target."""

    target: Target
    channels: tuple[str, ...]
    """Channel URLs without credentials, highest priority first."""
    indexes: tuple[str, ...] = ()
    """Package index URLs without credentials."""
    packages: tuple[CondaPackage, ...] = ()
    """Sorted by name."""
    wheels: tuple[Wheel, ...] = ()
    """Sorted by name."""
    requested: tuple[CondaName | ProjectName, ...] = ()
    """What the user asked for: lines by their project, match specs by their package. Verification imports it."""
    variables: dict[str, str] = field(default_factory=dict)
    """An environment file's `variables:`."""
    request: str = ""
    """Digest of what was asked for; a lock is stale when the requirements have another digest."""
    frame: str = ""
    """The same without the content of the team's own projects; empty where there is none."""

    asked: dict[str, str] = field(default_factory=dict)
    """What was asked for, by name, shortened; empty in locks that older envpacks wrote."""

    @property
    def python(self) -> str:
        """The version of the environment's Python, such as `3.11.7`."""
        return next(package.version for package in self.packages if package.name == "python")

    @property
    def python_minor(self) -> str:
        """The environment's Python as `3.11`: what driver and workers must share."""
        return ".".join(self.python.split(".")[:2])

    def identity(self) -> dict[str, Any]:
        """Return what decides the archive's bytes, as JSON values.

        A package is identified by its content and its public address. A local path is not included: the same
        channel in another directory makes the same environment.
        """
        return {
            "packages": [[p.name, p.version, p.build, p.subdir, p.sha256, public(p.url)] for p in self.packages],
            "wheels": [[w.name, w.version, w.sha256, public(w.url)] for w in self.wheels],
            "requested": list(self.requested),
            "variables": self.variables,
            "target": self.target.to_json(),
        }

    def package_identities(self) -> dict[str, str]:
        """Return by owner (`conda/NAME`, `pypi/NAME`) what decides the content of a package's files in an archive.

        That is the package itself, what the lock says of it (a channel may have corrected that, and it is in the
        package's record), and the Python, for where modules go and for their bytecode.
        """
        python = next((package.sha256 for package in self.packages if package.name == "python"), "")
        conda = {f"conda/{p.name}": {**asdict(p), "url": public(p.url)} for p in self.packages}
        wheels = {f"pypi/{w.name}": _identity(w) for w in self.wheels}
        return {owner: digest.of_json([facts, python]) for owner, facts in {**conda, **wheels}.items()}


def _identity(wheel: Wheel) -> dict[str, Any]:
    """Return what decides the content of a wheel's files; for one that is built here that is the wheel itself."""
    facts = {**asdict(wheel), "url": public(wheel.url)}
    del facts["made"]
    return facts
