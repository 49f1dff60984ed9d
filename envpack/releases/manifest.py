"""What is known about one archive: the JSON that stands beside it in the store."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, cast

from envpack import digest
from envpack.archive.formats import FormatName, Saving
from envpack.config.target import Target
from envpack.errors import UsageError
from envpack.packages.package import PackedPackage

SCHEMA = 1
"""Version of the manifest's JSON; a reader refuses a newer one."""


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Who made a release, and from which state of the requirements file. It is no part of the archive."""

    by: str
    """A user's name, or the CI system with its job: `Jenkins team/envs #12`."""
    job: str | None = None
    """The CI job's address."""
    repository: str | None = None
    """Where the requirements file's git repository comes from, without credentials."""
    commit: str | None = None
    """The commit that was checked out."""
    file: str | None = None
    """The requirements file's path in the repository."""
    modified: bool = False
    """Whether the file differed from the commit."""


@dataclass(frozen=True, kw_only=True)
class ArchiveFacts:
    """The archive's file."""

    file: str
    """Its name beside the manifest."""
    format: FormatName
    size: int
    """Bytes."""
    sha256: str
    """The digest."""
    unpacked_size: int
    """Bytes of all files when unpacked."""
    members: int
    """How many files, links and directories it holds."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """One release, complete: settings can be made from it without the archive."""

    name: str
    archive: ArchiveFacts
    python: str
    """Version of the Python inside, such as `3.11.7`."""
    target: Target
    packages: tuple[PackedPackage, ...]
    """Sorted by name."""
    requested: tuple[str, ...] = ()
    """What the requirements asked for."""
    variables: dict[str, str] = field(default_factory=dict)
    """Environment variables the environment wants, values relative to where it is unpacked."""
    input_digest: str = ""
    """Digest of everything the build was made from."""
    created: str = ""
    """When the build ended, UTC, ISO 8601."""
    envpack: str = ""
    """Version of envpack that made it."""
    verified: str = ""
    """How it was verified: `run` (its Python ran), `inspected` (another platform's, read only) or `no`."""
    warnings: tuple[str, ...] = ()
    """What the build warned about."""
    slim: tuple[Saving, ...] | None = None
    """What a node never needs and was left out; None when nothing was to be."""
    provenance: Provenance | None = None
    """Who built it, and from what; None in manifests of before this was kept."""

    @property
    def digest(self) -> str:
        """The SHA-256 of the archive."""
        return self.archive.sha256

    @property
    def short_digest(self) -> str:
        """The part of the digest that stands in paths."""
        return self.digest[: digest.SHORT]

    @property
    def reference(self) -> str:
        """How to name this release for good."""
        return f"{self.name}@{self.short_digest}"

    @property
    def folder(self) -> str:
        """Where the release lies, from the store's root."""
        return f"{self.name}/{self.short_digest}"

    @property
    def python_minor(self) -> str:
        """The Python inside as `3.11`: what driver and workers must share."""
        return ".".join(self.python.split(".")[:2])

    def to_json(self) -> dict[str, Any]:
        """Return the manifest as JSON values (schema: docs/manifest.schema.json)."""
        value = asdict(self)
        value["target"] = self.target.to_json()
        value["packages"] = [_known_values(package) for package in value["packages"]]
        if self.slim is None:
            del value["slim"]
        if self.provenance:
            value["provenance"] = _known_values(value["provenance"])
        else:
            del value["provenance"]
        return {"schema": SCHEMA, **value}

    def dumps(self) -> bytes:
        """Return the manifest as the bytes that are stored."""
        return (json.dumps(self.to_json(), indent=1, ensure_ascii=False) + "\n").encode()

    @classmethod
    def loads(cls, data: bytes, where: str) -> Manifest:
        """Read a manifest; `where` names it in errors. Keys of a newer minor version are passed over."""
        try:
            value = json.loads(data)
            if value["schema"] > SCHEMA:
                raise UsageError(
                    f"{where} was written by a newer envpack ({value.get('envpack')})", hint="upgrade envpack"
                )
            return cls(
                name=value["name"],
                archive=_known(ArchiveFacts, value["archive"]),
                python=value["python"],
                target=Target.from_json(value["target"]),
                packages=tuple(_package(package) for package in value["packages"]),
                requested=tuple(value.get("requested", ())),
                variables=dict(value.get("variables", {})),
                input_digest=value.get("input_digest", ""),
                created=value.get("created", ""),
                envpack=value.get("envpack", ""),
                verified=value.get("verified", ""),
                warnings=tuple(value.get("warnings", ())),
                slim=tuple(_known(Saving, saving) for saving in value["slim"]) if "slim" in value else None,
                provenance=_known(Provenance, value["provenance"]) if value.get("provenance") else None,
            )
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{where} is not a manifest: {error!r}", hint="was it edited by hand?") from error


def _package(value: dict[str, Any]) -> PackedPackage:
    requires = value.get("requires")
    return cast(
        "PackedPackage",
        _known(PackedPackage, value if requires is None else {**value, "requires": tuple(requires)}),
    )


def _known_values(value: dict[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in value.items() if each is not None}


def _known(kind: type[Any], value: dict[str, Any]) -> Any:  # noqa: ANN401 - the type that was asked for
    return cast("Any", kind(**{name: value[name] for name in kind.__dataclass_fields__ if name in value}))
