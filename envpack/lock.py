"""The exact answer to a request: every conda package and every wheel by URL and SHA-256.

The text is pixi's lock format, version 6 (https://pixi.sh, "The lock file"), so pixi and rattler read it. What
envpack needs beside it stands under the key `envpack`, which they pass over.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, cast
from urllib.parse import urlsplit

import yaml

from envpack import digest
from envpack.errors import BadRequirements, Problem
from envpack.target import Target

FORMAT = 6
"""pixi's version of the lock format."""

Source = Literal["conda", "pypi"]


@dataclass(frozen=True, kw_only=True)
class CondaPackage:
    """One locked conda package."""

    name: str
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

    name: str
    """The normalised project name."""
    version: str
    url: str
    """Where the wheel is, without credentials."""
    sha256: str
    size: int | None = None
    """Bytes to download."""
    direct: bool = False
    """Whether the requirement named this URL itself."""

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
    requested: tuple[str, ...] = ()
    """The distributions a person asked for, by normalised project name: what verification imports."""
    variables: dict[str, str] = field(default_factory=dict)
    """An environment file's `variables:`."""
    request: str = ""
    """Digest of what was asked for; a lock is stale when the requirements give another one."""

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

    def digest(self) -> str:
        """Return the SHA-256 of `identity`."""
        return digest.of_json(self.identity())


def public(url: str) -> str:
    """Return a URL as it may be known outside this machine: for a local file only its last two parts.

    `file:///home/me/channel/noarch/six-1.conda` becomes `file:///noarch/six-1.conda`.
    """
    parts = urlsplit(url)
    if parts.scheme in ("http", "https", "s3", "oci", "gs"):
        return url
    return "file:///" + "/".join(parts.path.rstrip("/").split("/")[-2:])


def dump(lock: Lock) -> str:
    """Return the lock as text; the same lock gives the same text."""
    environment: dict[str, Any] = {"channels": [{"url": url} for url in lock.channels]}
    if lock.indexes:
        environment["indexes"] = list(lock.indexes)
    environment["packages"] = {
        lock.target.platform: [{"conda": p.url} for p in lock.packages] + [{"pypi": w.url} for w in lock.wheels]
    }
    document = {
        "version": FORMAT,
        "environments": {"default": environment},
        "packages": [_conda_to_yaml(p) for p in lock.packages] + [_wheel_to_yaml(w) for w in lock.wheels],
        "envpack": {
            "request": lock.request,
            "target": lock.target.to_json(),
            "requested": list(lock.requested),
            "variables": dict(sorted(lock.variables.items())),
            "direct": [w.name for w in lock.wheels if w.direct],
        },
    }
    head = "# Written by `envpack lock`. Do not edit: change the requirements and lock again.\n"
    return head + yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True)


def parse(text: str, file: str) -> Lock:
    """Read a lock from its text; `file` is its name in errors.

    Raises BadRequirements when the text is not a lock that envpack wrote.
    """
    try:
        document = yaml.load(text, Loader=_Loader)  # noqa: S506 - the C form of the safe loader
        if document["version"] != FORMAT:
            raise ValueError(f"its format is version {document['version']}, envpack reads {FORMAT}")
        return _from_yaml(document)
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadRequirements(
            [Problem(file, 0, f"not a lock that envpack wrote: {error}")],
            hint="delete it, or solve anew with --upgrade",
        ) from error


def _from_yaml(document: dict[str, Any]) -> Lock:
    own = document["envpack"]
    environment = document["environments"]["default"]
    direct = set(own.get("direct", ()))
    entries = document["packages"]
    return Lock(
        target=Target.from_json(own["target"]),
        channels=tuple(channel["url"] for channel in environment["channels"]),
        indexes=tuple(environment.get("indexes", ())),
        packages=tuple(_conda_from_yaml(entry) for entry in entries if "conda" in entry),
        wheels=tuple(_wheel_from_yaml(entry, direct) for entry in entries if "pypi" in entry),
        requested=tuple(own["requested"]),
        variables=dict(own.get("variables", {})),
        request=own["request"],
    )


def _conda_to_yaml(package: CondaPackage) -> dict[str, Any]:
    entry = {
        "conda": package.url,
        "name": package.name,
        "version": package.version,
        "build": package.build,
        "build_number": package.build_number,
        "subdir": package.subdir,
        "noarch": package.noarch,
        "sha256": package.sha256,
        "md5": package.md5,
        "depends": list(package.depends) or None,
        "constrains": list(package.constrains) or None,
        "license": package.license,
        "size": package.size,
        "timestamp": package.timestamp,
        "python_site_packages_path": package.python_site_packages_path,
    }
    return {key: value for key, value in entry.items() if value is not None}


def _conda_from_yaml(entry: dict[str, Any]) -> CondaPackage:
    return CondaPackage(
        name=entry["name"],
        version=str(entry["version"]),
        build=str(entry["build"]),
        build_number=entry["build_number"],
        subdir=entry["subdir"],
        url=entry["conda"],
        sha256=entry["sha256"],
        size=entry.get("size"),
        md5=entry.get("md5"),
        noarch=cast("Literal['python', 'generic'] | None", entry.get("noarch")),
        depends=tuple(entry.get("depends", ())),
        constrains=tuple(entry.get("constrains", ())),
        license=entry.get("license"),
        timestamp=entry.get("timestamp"),
        python_site_packages_path=entry.get("python_site_packages_path"),
    )


def _wheel_to_yaml(wheel: Wheel) -> dict[str, Any]:
    entry = {
        "pypi": wheel.url,
        "name": wheel.name,
        "version": wheel.version,
        "sha256": wheel.sha256,
        "size": wheel.size,
    }
    return {key: value for key, value in entry.items() if value is not None}


def _wheel_from_yaml(entry: dict[str, Any], direct: set[str]) -> Wheel:
    return Wheel(
        name=entry["name"],
        version=str(entry["version"]),
        url=entry["pypi"],
        sha256=entry["sha256"],
        size=entry.get("size"),
        direct=entry["name"] in direct,
    )


_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BaseDumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Dumper(_BaseDumper):  # type: ignore[misc] # chosen at run time
    """Writes equal lists in full instead of naming them once and referring to them."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        return True


def _quoted_if_number_like(dumper: Any, text: str) -> Any:  # noqa: ANN401 - PyYAML has no types
    # `12e3` is text to PyYAML (YAML 1.1) and a number to rattler (YAML 1.2).
    style = "'" if text[:1] in "0123456789+-." else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _quoted_if_number_like)
