"""The facts about one archive: the JSON beside it in the store."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import Enum
from typing import Annotated, Any

from msgspec import Meta

from envpack import digest
from envpack.archive.formats import FormatName  # noqa: TC001 - the codec reads the types
from envpack.archive.saving import Saving  # noqa: TC001 - the codec reads the types
from envpack.codec import (
    Count,
    Digest,
    FileName,
    Kind,
    Line,
    MaybeDigest,
    Moment,
    Name,
    PythonVersion,
    Text,
    VariableName,
    VariableValue,
    Word,
)
from envpack.config.target import Target  # noqa: TC001 - the codec reads the types
from envpack.packages.package import PackedPackage  # noqa: TC001 - the codec reads the types
from envpack.releases import keys

SCHEMA = 1
"""Version of the manifest's JSON; a reader refuses a newer one."""

_MOST = Meta(max_length=20_000)
"""More packages, or warnings, than any environment has."""


class Verification(str, Enum):
    """How a release was verified."""

    RUN = "run"
    """Its Python ran."""
    INSPECTED = "inspected"
    """It is another platform's, and was read only."""
    NO = "no"
    """Not at all."""

    @property
    def in_words(self) -> str:
        """Its text on a page."""
        return {"run": "its Python ran", "inspected": "by reading", "no": "no"}[self.value]


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Who made a release, and from which state of the requirements file. It is no part of the archive."""

    by: Text
    """A user's name, or the CI system with its job: `Jenkins team/envs #12`."""
    job: Text | None = None
    """The CI job's address."""
    repository: Text | None = None
    """Where the requirements file's git repository comes from, without credentials."""
    commit: Word | None = None
    """The commit that was checked out."""
    file: Text | None = None
    """The requirements file's path in the repository."""
    modified: bool = False
    """Whether the file differed from the commit."""


@dataclass(frozen=True, kw_only=True)
class ArchiveFacts:
    """The archive's file."""

    file: FileName
    """Its name beside the manifest."""
    format: FormatName
    size: Count
    """Bytes."""
    sha256: Digest
    """The digest."""
    unpacked_size: Count
    """Bytes of all files when unpacked."""
    members: Count
    """How many files, links and directories it holds."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """One release, complete: settings can be made from it without the archive."""

    name: Name
    archive: ArchiveFacts
    python: PythonVersion
    """Version of the Python inside, such as `3.11.7`."""
    target: Target
    packages: Annotated[tuple[PackedPackage, ...], _MOST]
    """Sorted by name."""
    requested: Annotated[tuple[Line, ...], _MOST] = ()
    """What the requirements asked for."""
    variables: Annotated[dict[VariableName, VariableValue], _MOST] = field(default_factory=dict)
    """Environment variables the environment wants, values relative to where it is unpacked."""
    input_digest: MaybeDigest = ""
    """Digest of everything the build was made from."""
    created: Moment = ""
    """When the build ended, UTC, ISO 8601."""
    envpack: Word = ""
    """Version of envpack that made it."""
    verified: Verification = Verification.NO
    """How it was verified."""
    warnings: Annotated[tuple[Text, ...], _MOST] = ()
    """What the build warned about."""
    slim: Annotated[tuple[Saving, ...], _MOST] | None = None
    """What a node never needs and was left out; None when nothing was to be."""
    description: Text | None = None
    """What the environment is for, as its requirements file says."""
    owner: Text | None = None
    """Whose it is, as its requirements file says."""
    provenance: Provenance | None = None
    """Who built it, and from what; None in older manifests."""
    beside: Annotated[dict[FileName, Digest], _MOST] = field(default_factory=dict)
    """SHA-256 of each object that was published with it; empty in manifests of before this was kept."""
    packer: Word | None = None
    """What wrote the archive's bytes, as `envpack.archive.packer` names it; None in manifests of before this was
    kept, whose archives let a node's configuration win over them."""

    @property
    def digest(self) -> str:
        """The SHA-256 of the archive."""
        return self.archive.sha256

    @property
    def short_digest(self) -> str:
        """The part of the digest that is used in paths."""
        return self.digest[: digest.SHORT]

    @property
    def reference(self) -> str:
        """The permanent name of this release."""
        return f"{self.name}@{self.short_digest}"

    @property
    def folder(self) -> str:
        """The release's place, from the store's root."""
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
        for name in ("slim", "description", "owner", "beside", "packer"):
            if value[name] in (None, {}):
                del value[name]
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
        """Read a manifest; `where` is its address in errors. Raises Unreadable."""
        return STORED.loads(data, where)


def contradiction(manifest: Manifest) -> str | None:
    """Return an impossible statement of a manifest about itself, or None."""
    facts = manifest.archive
    expected = keys.archive_file(manifest.name, facts.sha256, facts.format)
    if facts.file != expected:
        return f"its archive is called {facts.file!r}, not {expected}"
    if not manifest.created:
        return "it does not say when it was created"
    datetime.fromisoformat(manifest.created.replace("Z", "+00:00"))  # ValueError for a 30th of February
    return None


STORED = Kind(
    what="a manifest",
    type=Manifest,
    limit=16 << 20,
    schema=SCHEMA,
    hint="it was edited or is damaged: remove the release's folder and build it again",
    check=contradiction,
)


def _known_values(value: dict[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in value.items() if each is not None}
