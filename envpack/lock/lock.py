"""The exact answer to a request: every conda package and every wheel by URL and SHA-256."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from envpack import digest
from envpack.redact import public as without_secrets

if TYPE_CHECKING:
    from envpack.config.target import Target
    from envpack.requirements.names import CondaName, ProjectName

Source = Literal["conda", "pypi"]


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


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """One locked wheel."""

    name: ProjectName
    version: str
    url: str
    """Where the wheel is, without credentials."""
    sha256: str
    size: int | None = None
    """Bytes to download."""
    direct: bool = False
    """Whether the requirement named this URL itself."""
    by_index: bool = False
    """Whether the index signs its addresses: `url` alone does not fetch it, and the index has to be asked again."""

    @property
    def source(self) -> Source:
        """Where the package came from."""
        return "pypi"


@dataclass(frozen=True, kw_only=True)
class Lock:
    """The solved environment for one target."""

    target: Target
    channels: tuple[str, ...]
    """Channel URLs without credentials, most wanted first."""
    indexes: tuple[str, ...] = ()
    """Package index URLs without credentials."""
    packages: tuple[CondaPackage, ...] = ()
    """Sorted by name."""
    wheels: tuple[Wheel, ...] = ()
    """Sorted by name."""
    requested: tuple[CondaName | ProjectName, ...] = ()
    """What a person asked for: lines by their project, match specs by their package. Verification imports it."""
    variables: dict[str, str] = field(default_factory=dict)
    """An environment file's `variables:`."""
    request: str = ""
    """Digest of what was asked for; a lock is stale when the requirements give another one."""

    asked: dict[str, str] = field(default_factory=dict)
    """What was asked for, by name and in short; empty in locks that older envpacks wrote."""

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

        A package is known by its content and its public address. A local path is no part of it: the same channel
        in another directory makes the same environment.
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
        wheels = {f"pypi/{w.name}": {**asdict(w), "url": public(w.url)} for w in self.wheels}
        return {owner: digest.of_json([facts, python]) for owner, facts in {**conda, **wheels}.items()}


def public(url: str) -> str:
    """Return a URL as it may be known outside this machine: without secrets, a local file by its last two parts.

    `file:///home/me/channel/noarch/six-1.conda` becomes `file:///noarch/six-1.conda`.
    """
    parts = urlsplit(url)
    if parts.scheme in ("http", "https", "s3", "oci", "gs"):
        return without_secrets(url)
    return "file:///" + "/".join(parts.path.rstrip("/").split("/")[-2:])
