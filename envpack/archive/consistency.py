"""Check whether the prefix matches its packages; if not, which package damaged which."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from envpack import digest
from envpack.errors import PackingFailed
from envpack.redact import redact

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from envpack.files.installed import Installed

_MOST = 4
"""How many files are listed for one kind of problem."""


@dataclass(frozen=True, kw_only=True)
class PackageFiles:
    """A package in the prefix and the files it brought."""

    name: str
    """Name and version, with a mark for wheels."""
    project: str
    """The normalised name."""
    owner: str
    """Its name among those that share a prefix: `conda/NAME` or `pypi/NAME`."""
    files: Mapping[str, str]
    """By path from the prefix: the SHA-256 in the package's record, in hex or in the form of a wheel's `RECORD`;
    empty where it is not known."""
    record: str = ""
    """The path of a conda package's record; a wheel's is one of its files."""
    packaged: dict[str, str] = field(default_factory=dict)
    """The same as `files` with the SHA-256 of a file before linking, where that differs."""
    placed: frozenset[str] = frozenset()
    """Those of the files that were made or changed for this prefix."""

    def sha256(self, path: str) -> str:
        """Return the SHA-256 of one of the package's files from its record, in hex; empty if it has none."""
        known = self.files.get(path, "")
        return known if self.record else digest.of_record(known)


def conda_packages(found: Installed) -> list[PackageFiles]:
    """Return the conda packages of a prefix."""
    return [
        PackageFiles(
            name=f"{record.name} {record.version}",
            project=canonicalize_name(record.name),
            owner=record.owner,
            files=record.files,
            record=record.path,
            packaged={path: sha256 for path, sha256 in record.packaged.items() if sha256 != record.files[path]},
            placed=record.placed,
        )
        for record in found.conda
    ]


def wheels(found: Installed) -> list[PackageFiles]:
    """Return the packages of a prefix from pip or uv."""
    return [
        PackageFiles(
            name=f"the wheel {wheel.spelling} {wheel.version}",
            project=wheel.project,
            owner=wheel.owner,
            files=wheel.files,
            placed=frozenset(path for path in wheel.files if path.startswith("bin/")),
        )
        for wheel in found.wheels
    ]


def check(
    prefix: Path, conda: Sequence[PackageFiles], pypi: Sequence[PackageFiles], settled: Collection[str] = ()
) -> None:
    """Check that every file of every conda package exists and that no wheel has overwritten one.

    Bytecode is ignored, and `settled` files are correct. Where two conda packages have the same file, the one in
    the prefix is used. Raises PackingFailed with the package, the files and the package that is to blame.
    """
    problems = [*_missing(prefix, conda, pypi), *_overwritten(conda, pypi, settled)]
    if problems:
        raise PackingFailed(
            "files in the environment differ from its packages:\n"
            + "\n".join(f"- {problem}" for problem in problems),
            hint="install each package from one place only, conda or PyPI, into a new environment",
        )


def check_nothing_leads_out(prefix: Path, pypi: Sequence[PackageFiles]) -> None:
    """Check that no package's code is outside the prefix: editable installations, `.pth` and `.egg-link` files.

    Raises PackingFailed naming the package.
    """
    problems = [*_editable(prefix), *_paths_outside(prefix, pypi)]
    if problems:
        raise PackingFailed(problems, hint="build a wheel of it with `pip wheel DIR`, and install the wheel")


def _missing(prefix: Path, conda: Sequence[PackageFiles], pypi: Sequence[PackageFiles]) -> Iterator[str]:
    root = f"{prefix}/"
    for package in conda:
        gone = sorted(path for path in package.files if not _is_bytecode(path) and not os.path.lexists(root + path))
        if gone:
            culprit = next((other for other in pypi if other.project == package.project), None)
            blame = f"; {culprit.name} was installed over it" if culprit else ""
            yield f"{package.name} lacks {_listed(gone)}{blame}"


def _overwritten(
    conda: Sequence[PackageFiles], pypi: Sequence[PackageFiles], settled: Collection[str]
) -> Iterator[str]:
    owners = {path: wheel for wheel in pypi for path in wheel.files}
    for package in conda:
        changed: dict[str, list[str]] = {}
        for path, known in package.files.items():
            wheel = owners.get(path)
            if (
                wheel
                and path not in settled
                and not _is_bytecode(path)
                and not (known and known == digest.of_record(wheel.files[path]))
            ):
                changed.setdefault(wheel.name, []).append(path)
        for name, paths in changed.items():
            yield f"{_listed(sorted(paths))} of {package.name} was overwritten by {name}"


def _editable(prefix: Path) -> Iterator[str]:
    for path in sorted(prefix.glob("lib/python*/site-packages/*.dist-info/direct_url.json")):
        try:
            facts = json.loads(path.read_bytes())
        except ValueError:
            continue
        if isinstance(facts, dict) and facts.get("dir_info", {}).get("editable") is True:
            name = path.parent.name.removesuffix(".dist-info").replace("-", " ")
            place = redact(str(facts.get("url")))
            yield f"{name} is installed in editable mode: its code is in {place}, outside the environment"
    for path in sorted(prefix.glob("lib/python*/site-packages/*.egg-link")):
        yield f"{path.stem} is installed in development mode: {path.name} leads out of the environment"


def _paths_outside(prefix: Path, pypi: Sequence[PackageFiles]) -> Iterator[str]:
    inside = prefix.resolve()
    for path in sorted(prefix.glob("lib/python*/site-packages/*.pth")):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if not line.strip() or line.startswith(("#", "import ", "import\t")):
                continue
            if not (path.parent / line.rstrip()).resolve().is_relative_to(inside):
                relative = path.relative_to(prefix).as_posix()
                owner = next((wheel.name for wheel in pypi if relative in wheel.files), "no package")
                yield f"{relative} (of {owner}) puts {line.strip()} on the path, which is outside the environment"


def _is_bytecode(path: str) -> bool:
    return path.endswith(".pyc")


def _listed(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _MOST} more" if len(paths) > _MOST else ""
    return ", ".join(paths[:_MOST]) + more
