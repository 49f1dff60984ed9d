"""The one reader of what packages left in a prefix: conda's records and the `.dist-info` of distributions.

Conda's records: CEP 32. Distributions: the specification of recorded installations
(https://packaging.python.org/en/latest/specifications/recording-installed-packages/).
"""

from __future__ import annotations

import json
import posixpath
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.metadata import PathDistribution
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from packaging.utils import canonicalize_name

from envpack import digest
from envpack.errors import BrokenPackage
from envpack.files.wheel_record import rows_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_INFO = "lib/python*/site-packages/*.dist-info"
_OLDER = "lib/python*/site-packages/*.egg-info"


@dataclass(frozen=True)
class CondaRecord:
    """conda's record of one package: a `conda-meta/*.json`."""

    path: str
    """From the prefix."""
    data: dict[str, Any]

    @property
    def name(self) -> str:
        """The conda name."""
        return str(self.data["name"])

    @property
    def version(self) -> str:
        """The version, as conda writes it."""
        return str(self.data["version"])

    @property
    def owner(self) -> str:
        """The package's name among all that share a prefix."""
        return f"conda/{self.name}"

    @property
    def entries(self) -> list[dict[str, Any]]:
        """The lines of `paths_data`; `original_path` is in those of files that another package replaced."""
        return cast("list[dict[str, Any]]", (self.data.get("paths_data") or {}).get("paths") or [])

    @property
    def source(self) -> Path | None:
        """Where the package was extracted in the cache that it was linked from, if it is there."""
        source = (self.data.get("link") or {}).get("source")
        return Path(source) if source and Path(source).is_dir() else None

    @cached_property
    def files(self) -> dict[str, str]:
        """By path from the prefix: the SHA-256 that the file has there, in hex; empty where it is not known."""
        here = {
            entry["_path"]: entry.get("sha256_in_prefix") or entry.get("sha256") or "" for entry in self.entries
        }
        return {path: here.get(path, "") for path in self.data.get("files", ())}

    @cached_property
    def packaged(self) -> dict[str, str]:
        """The same with the SHA-256 that the file has in the package."""
        there = {entry["_path"]: entry.get("sha256") or "" for entry in self.entries}
        return {path: there.get(path, "") for path in self.data.get("files", ())}

    @property
    def placed(self) -> frozenset[str]:
        """The files that linking changed, because they contain the prefix, or made, such as entry points."""
        return frozenset(
            entry["_path"]
            for entry in self.entries
            if entry.get("prefix_placeholder") or "entry_point" in str(entry.get("path_type"))
        )


@dataclass(frozen=True)
class Distribution:
    """A distribution with a `.dist-info` or an `.egg-info`, installed by any tool."""

    prefix: Path
    folder: str
    """The path of its `.dist-info` from the prefix, or of the `.egg-info` of older setuptools."""

    @property
    def spelling(self) -> str:
        """The project name in the folder's name."""
        return self._called[0]

    @property
    def version(self) -> str:
        """The version in the folder's name."""
        return self._called[1]

    @property
    def _called(self) -> tuple[str, str]:
        name = posixpath.basename(self.folder)
        if name.endswith(".egg-info"):  # NAME[-VERSION[-pyX.Y]]
            spelling, _, rest = name.removesuffix(".egg-info").partition("-")
            return spelling, rest.partition("-")[0]
        spelling, _, version = name.removesuffix(".dist-info").rpartition("-")
        return spelling, version

    @property
    def project(self) -> str:
        """The normalised project name."""
        return str(canonicalize_name(self.spelling))

    @property
    def owner(self) -> str:
        """The wheel's name among all that share a prefix."""
        return f"pypi/{self.project}"

    @property
    def site_packages(self) -> str:
        """The directory that the distribution is installed to, from the prefix."""
        return posixpath.dirname(self.folder)

    @property
    def metadata(self) -> PathDistribution:
        """Its metadata."""
        return PathDistribution(self.prefix / self.folder)

    @cached_property
    def files(self) -> Mapping[str, str]:
        """By path from the prefix: the digest in its `RECORD`, see `digest.of_record`.

        Raises BrokenPackage when the `RECORD` cannot be read.
        """
        path = self.prefix / self.folder / "RECORD"
        try:
            return _listed(path.read_bytes(), self.site_packages)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise BrokenPackage(
                f"{self.folder}/RECORD cannot be read: {error}",
                hint="install the package again (`pip install --force-reinstall NAME`)",
            ) from error

    @property
    def listed(self) -> tuple[str, ...]:
        """The paths from the prefix that it says it installed, present or not; approximate without a `RECORD`.

        Raises BrokenPackage when the `RECORD` cannot be read.
        """
        if files := self.files:
            return tuple(files)
        folder = self.prefix / self.folder
        names = _lines(folder / "top_level.txt")
        paths = [f"{name}/__init__.py" for name in names]
        # setuptools wrote paths from the folder itself.
        paths = paths or [
            f"{posixpath.basename(self.folder)}/{path}" for path in _lines(folder / "installed-files.txt")
        ]
        return tuple(posixpath.normpath(f"{self.site_packages}/{path}") for path in paths)

    def sha256(self, path: str) -> str:
        """Return the SHA-256 of one of its files in hex; empty where it is not known."""
        return digest.of_record(self.files.get(path, ""))


@dataclass(frozen=True)
class Installed:
    """What is installed in a prefix."""

    prefix: Path
    conda: tuple[CondaRecord, ...]
    """Sorted by path."""
    distributions: tuple[Distribution, ...]
    """Sorted by folder; conda packages bring some of them."""
    older: tuple[Distribution, ...] = ()
    """Those with an `.egg-info`, which conda packages of old projects bring; sorted by folder."""

    @cached_property
    def wheels(self) -> tuple[Distribution, ...]:
        """The distributions that pip or uv installed: no conda package contains their `RECORD`."""
        managed = {path for record in self.conda for path in record.files}
        return tuple(
            each
            for each in self.distributions
            if f"{each.folder}/RECORD" not in managed and (self.prefix / each.folder / "RECORD").is_file()
        )


def read(prefix: Path) -> Installed:
    """Read what a prefix says it holds. Raises BrokenPackage for an invalid record of conda's."""
    paths = sorted(prefix.glob("conda-meta/*.json"))
    return Installed(
        prefix=prefix,
        conda=tuple(_record(path) for path in paths),
        distributions=tuple(_distributions(prefix, (path for path in prefix.glob(_INFO) if path.is_dir()))),
        older=tuple(_distributions(prefix, prefix.glob(_OLDER))),
    )


def named_in(paths: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Yield the packages whose records are among the paths of an archive: name, version, `conda` or `pypi`."""
    for path in paths:
        folder, _, file = path.rpartition("/")
        if folder == "conda-meta" and file.endswith(".json") and file.count("-") >= 2:
            name, version, _ = file.removesuffix(".json").rsplit("-", 2)
            yield name, version, "conda"
        elif file == "METADATA" and folder.endswith(".dist-info"):
            found = Distribution(Path(), folder)
            yield found.project, found.version, "pypi"


def _distributions(prefix: Path, paths: Iterable[Path]) -> Iterator[Distribution]:
    yield from (Distribution(prefix, path.relative_to(prefix).as_posix()) for path in sorted(paths))


@lru_cache(maxsize=1000)
def _listed(record: bytes, site_packages: str) -> Mapping[str, str]:
    """Return the rows of a `RECORD`: path from the prefix, and digest. Several steps of a build read the same ones.

    Raises ValueError for an invalid list.
    """
    rows = [row for row in rows_of(record.decode()) if len(row) > 1]
    found = {posixpath.normpath(posixpath.join(site_packages, row[0])): row[1] for row in rows}
    return MappingProxyType({path: field for path, field in found.items() if not path.startswith(("../", "/"))})


def _lines(path: Path) -> list[str]:
    """Return the words of a small file, one a line; none if it is not a file."""
    try:
        return [line for line in path.read_text("utf-8", "replace").splitlines() if line.strip()]
    except OSError:
        return []


def _record(path: Path) -> CondaRecord:
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise BrokenPackage(f"{path} is not JSON: {error}", hint="create the conda environment again") from error
    if not _is_record(data):
        raise BrokenPackage(f"{path} is not a record of a conda package", hint="create the conda environment again")
    return CondaRecord(f"conda-meta/{path.name}", data)


def _is_record(data: Any) -> bool:  # noqa: ANN401 - any JSON value
    return (
        isinstance(data, dict)
        and all(isinstance(data.get(key), str) for key in ("name", "version"))
        and _texts(data.get("files", []))
        and isinstance(data.get("paths_data") or {}, dict)
        and all(_is_entry(entry) for entry in (data.get("paths_data") or {}).get("paths") or [])
    )


def _is_entry(entry: Any) -> bool:  # noqa: ANN401 - any JSON value
    return isinstance(entry, dict) and isinstance(entry.get("_path"), str)


def _texts(value: Any) -> bool:  # noqa: ANN401 - any JSON value
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def claims(installed: Installed) -> Iterator[tuple[str, str]]:
    """Yield each file of each package: path and owner. Bytecode is left out: it follows from its module."""
    packages: tuple[tuple[str, Mapping[str, str]], ...] = (
        *((record.owner, record.files) for record in installed.conda),
        *((wheel.owner, wheel.files) for wheel in installed.wheels),
    )
    for owner, files in packages:
        yield from ((path, owner) for path in files if not path.endswith(".pyc"))
