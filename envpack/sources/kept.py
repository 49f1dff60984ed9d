"""Built wheels, kept under the digest of everything that decided their bytes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from envpack import digest
from envpack.codec import Digest, FileName, Kind, Line, Text, Word
from envpack.files.inside import inside
from envpack.lock.lock import BuildFacts, Wheel
from envpack.requirements.names import ProjectName
from envpack.sources.frontend import VERSION

if TYPE_CHECKING:
    from pathlib import Path


class _Made(Struct, frozen=True, kw_only=True):
    kind: Literal["project", "archive", "git"]
    sha256: Word
    file: FileName
    commit: Word
    subdirectory: Line
    requires: tuple[_Wheel, ...]
    files: dict[Text, Word]
    needs: Word = ""


class _Wheel(Struct, frozen=True, kw_only=True):
    """A wheel as in a lock."""

    name: Word
    version: Word
    url: Line
    sha256: Digest
    size: int | None = None
    by_index: bool = False
    made: _Made | None = None


class _Pointer(Struct, frozen=True, kw_only=True):
    full: Word
    """The name of the latest wheel from a source."""


_HINT = "remove it: it is built again"
STORED = Kind(what="a built wheel", type=_Wheel, limit=64 << 20, hint=_HINT)
POINTER = Kind(what="the name of a built wheel", type=_Pointer, limit=1 << 10, hint=_HINT)


@dataclass(frozen=True, kw_only=True)
class Key:
    """What decides a build, except for its build requirements."""

    source: str
    """The digest of the source."""
    subdirectory: str
    python: str
    """The digest of the Python's package."""
    platform: str

    def full(self, requires: tuple[Wheel, ...]) -> str:
        """Return the name of the wheel with these build requirements."""
        return self._digest(sorted([wheel.name, wheel.sha256] for wheel in requires))

    def first(self) -> str:
        """Return the name of the source, independent of build requirements."""
        return self._digest(None)

    def _digest(self, requires: list[list[str]] | None) -> str:
        return digest.of_json([VERSION, self.source, self.subdirectory, self.python, self.platform, requires])


class KeptWheels:
    """A directory of built wheels, which several processes may use at once."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def newest(self, key: Key) -> tuple[Path, Wheel] | None:
        """Return the latest wheel from a source: its file, and its facts except for the address."""
        pointer = POINTER.recall(inside(self._root, f"{key.first()}.json"))
        return self._recall(pointer.full) if pointer else None

    def find(self, key: Key, requires: tuple[Wheel, ...]) -> tuple[Path, Wheel] | None:
        """Return the wheel that was built from a source with these build requirements, as `newest` does."""
        return self._recall(key.full(requires))

    def keep(self, key: Key, path: Path, wheel: Wheel, made: BuildFacts) -> Path:
        """Move a wheel into the directory, and return its path."""
        name = key.full(made.requires)
        folder = inside(self._root, name)
        folder.mkdir(parents=True, exist_ok=True)
        place = folder / path.name
        path.replace(place)
        STORED.keep(inside(self._root, f"{name}.json"), asdict(wheel))
        POINTER.keep(inside(self._root, f"{key.first()}.json"), {"full": name})
        return place

    def _recall(self, name: str) -> tuple[Path, Wheel] | None:
        kept = STORED.recall(inside(self._root, f"{name}.json"))
        if kept is None or kept.made is None:
            return None
        path = inside(self._root, name) / kept.made.file
        if not path.is_file() or digest.of_file(path) != kept.sha256:
            return None
        return path, _wheel(kept)


def _wheel(kept: _Wheel) -> Wheel:
    return Wheel(
        name=ProjectName(kept.name),
        version=kept.version,
        url=kept.url,
        sha256=kept.sha256,
        size=kept.size,
        by_index=kept.by_index,
        made=_made(kept.made) if kept.made else None,
    )


def _made(kept: _Made) -> BuildFacts:
    return BuildFacts(
        kind=kept.kind,
        sha256=kept.sha256,
        file=kept.file,
        commit=kept.commit,
        subdirectory=kept.subdirectory,
        requires=tuple(map(_wheel, kept.requires)),
        files=kept.files,
        needs=kept.needs,
    )
