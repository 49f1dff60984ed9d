"""The one reader of what packages left in a prefix: conda's records and the `.dist-info` of distributions.

Conda's records: CEP 32. Distributions: the specification of recorded installations
(https://packaging.python.org/en/latest/specifications/recording-installed-packages/).
"""

from __future__ import annotations

import csv
import json
import posixpath
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PathDistribution
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from packaging.utils import canonicalize_name

from envpack import digest
from envpack.errors import BrokenPackage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_INFO = "lib/python*/site-packages/*.dist-info"


@dataclass(frozen=True)
class CondaRecord:
    """What conda noted of one package: a `conda-meta/*.json`."""

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
        """What the package is called among all that share a prefix."""
        return f"conda/{self.name}"

    @property
    def entries(self) -> list[dict[str, Any]]:
        """The lines of `paths_data`; `original_path` stands in those of files that another package replaced."""
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
        """The files that linking changed, as they name the prefix, or made, such as entry points."""
        return frozenset(
            entry["_path"]
            for entry in self.entries
            if entry.get("prefix_placeholder") or "entry_point" in str(entry.get("path_type"))
        )


@dataclass(frozen=True)
class Distribution:
    """A distribution with a `.dist-info`, whoever put it there."""

    prefix: Path
    folder: str
    """The path of its `.dist-info` from the prefix."""

    @property
    def spelling(self) -> str:
        """The project name as the folder has it."""
        return posixpath.basename(self.folder).removesuffix(".dist-info").rpartition("-")[0]

    @property
    def version(self) -> str:
        """The version that the folder has."""
        return posixpath.basename(self.folder).removesuffix(".dist-info").rpartition("-")[2]

    @property
    def project(self) -> str:
        """The normalised project name."""
        return str(canonicalize_name(self.spelling))

    @property
    def owner(self) -> str:
        """What the wheel is called among all that share a prefix."""
        return f"pypi/{self.project}"

    @property
    def site_packages(self) -> str:
        """The directory that the distribution is installed to, from the prefix."""
        return posixpath.dirname(self.folder)

    @property
    def metadata(self) -> PathDistribution:
        """What it says of itself."""
        return PathDistribution(self.prefix / self.folder)

    @cached_property
    def files(self) -> dict[str, str]:
        """By path from the prefix: the digest as its `RECORD` has it, see `digest.of_record`.

        Raises BrokenPackage when the `RECORD` cannot be read.
        """
        path = self.prefix / self.folder / "RECORD"
        try:
            rows = [row for row in csv.reader(path.read_text("utf-8").splitlines()) if len(row) > 1]
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise BrokenPackage(f"{self.folder}/RECORD cannot be read: {error}", hint="install it anew") from error
        found = {posixpath.normpath(posixpath.join(self.site_packages, row[0])): row[1] for row in rows}
        return {path: field for path, field in found.items() if not path.startswith(("../", "/"))}

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

    @cached_property
    def wheels(self) -> tuple[Distribution, ...]:
        """What pip or uv installed: the distributions whose `RECORD` no conda package brought."""
        managed = {path for record in self.conda for path in record.files}
        return tuple(
            each
            for each in self.distributions
            if f"{each.folder}/RECORD" not in managed and (self.prefix / each.folder / "RECORD").is_file()
        )


def read(prefix: Path) -> Installed:
    """Read what a prefix says it holds. Raises BrokenPackage for a record of conda's that is none."""
    paths = sorted(prefix.glob("conda-meta/*.json"))
    folders = sorted(path for path in prefix.glob(_INFO) if path.is_dir())
    return Installed(
        prefix=prefix,
        conda=tuple(_record(path) for path in paths),
        distributions=tuple(Distribution(prefix, path.relative_to(prefix).as_posix()) for path in folders),
    )


def _record(path: Path) -> CondaRecord:
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise BrokenPackage(f"{path} is not JSON: {error}", hint="make the environment anew") from error
    if not _is_record(data):
        raise BrokenPackage(f"{path} is no record of a conda package", hint="make the environment anew")
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
    """Yield each file of each package: path and owner. Bytecode is no claim: it follows from its module."""
    packages: tuple[tuple[str, Mapping[str, str]], ...] = (
        *((record.owner, record.files) for record in installed.conda),
        *((wheel.owner, wheel.files) for wheel in installed.wheels),
    )
    for owner, files in packages:
        yield from ((path, owner) for path in files if not path.endswith(".pyc"))
