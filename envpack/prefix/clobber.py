"""Two packages with the same file: a fixed rule decides whose file is used.

If wheels are among them, a wheel wins, because wheels are installed after conda packages. Among the rest, the
package that no other of them needs wins; of several the first by name. That is also the order of rattler, which has
already decided between files of conda packages, but not between their entry points, which are a race.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement

from envpack import digest
from envpack.errors import PackingFailed
from envpack.files.installed import CondaRecord, Distribution, Installed, claims, read
from envpack.requirements.names import CondaName, ProjectName
from envpack.verify.modules import belongs, modules_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from envpack.lock.lock import Lock

_LIBRARY = re.compile(r"\.(so|dylib)(\.[0-9]+)*$")
_ELF = b"\x7fELF"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_NAMESPACE = re.compile(r"pkg_resources|pkgutil|extend_path|declare_namespace|__path__|__import__")
_SHOWN = 4


@dataclass(frozen=True, order=True)
class Clobber:
    """A file of one package that another package replaced with a different one."""

    winner: str
    """The owner whose file is used, such as `pypi/NAME`."""
    loser: str
    path: str
    """From the prefix."""


@dataclass(frozen=True)
class Settled:
    """A prefix in which whose files are used is decided."""

    clobbered: tuple[Clobber, ...]
    warnings: tuple[str, ...]

    @property
    def paths(self) -> frozenset[str]:
        """The files that more than one package has, with different content."""
        return frozenset(clobber.path for clobber in self.clobbered)


@dataclass
class _Owned:
    """What is in a prefix, by owner."""

    installed: Installed
    needs: Mapping[str, frozenset[str]]
    """Owner to all owners that it needs, directly or not."""
    stage: Callable[[str], Path]
    """Installs one owner's package alone into a directory of the prefix's layout, which it returns."""
    staged: dict[str, Path] = field(default_factory=dict)

    @cached_property
    def packages(self) -> dict[str, CondaRecord | Distribution]:
        conda: dict[str, CondaRecord | Distribution] = {each.owner: each for each in self.installed.conda}
        return conda | {each.owner: each for each in self.installed.wheels}

    @cached_property
    def lost_to_rattler(self) -> dict[tuple[str, str], tuple[str, str]]:
        """Owner and path to the place where rattler put the file, and its digest."""
        return {
            (record.owner, entry["original_path"]): (
                entry["_path"],
                entry.get("sha256_in_prefix") or entry.get("sha256") or "",
            )
            for record in self.installed.conda
            for entry in record.entries
            if isinstance(entry.get("original_path"), str)
        }

    def alone(self, owner: str) -> Path:
        if owner not in self.staged:
            self.staged[owner] = self.stage(owner)
        return self.staged[owner]

    def content(self, owner: str, path: str) -> str:
        """Return what distinguishes an owner's file from another's; empty if nothing does."""
        if known := self.lost_to_rattler.get((owner, path)):
            return known[1]
        package = self.packages[owner]
        if isinstance(package, Distribution):
            return package.sha256(path)
        return package.files.get(path) or _entry_point(package, path) or _in_cache(package, path)

    def file(self, owner: str, path: str) -> Path:
        """Return where an owner's own file is."""
        if known := self.lost_to_rattler.get((owner, path)):
            return self.installed.prefix / known[0]
        return self.alone(owner) / path


def settle(
    prefix: Path,
    lock: Lock,
    *,
    stage: Callable[[str], Path],
    allowed: Collection[str] = (),
) -> Settled:
    """Ensure that each file of several packages is the right one's, and return these files.

    `stage` installs one owner's package alone. `allowed` are names of packages whose clobbering is neither warned
    about nor refused. Raises PackingFailed when the replaced file is a shared library, part of Python, or a module
    of a requested package that verification would import.
    """
    installed = read(prefix)
    owned = _Owned(installed, _needs(installed, lock), stage)
    clobbered = sorted(_decided(owned))
    troubles, warnings = [], []
    for (winner, loser), paths in _by_pair(clobbered).items():
        if {_plain(winner), _plain(loser)} & {*map(CondaName, allowed), *map(ProjectName, allowed)}:
            continue
        told = f"{_name(owned, winner)} and {_name(owned, loser)} both bring {_some(paths)}"
        reasons = {path: reason for path in paths if (reason := _ruin(owned, loser, path, lock))}
        if reasons:
            path, reason = next(iter(reasons.items()))
            troubles.append(f"{told}; {path} would be that of {_plain(winner)}, and {reason}")
        else:
            warnings.append(f"{told}; {_plain(winner)}'s is used")
    if troubles:
        raise PackingFailed(
            troubles, hint="leave one of them out; if it does no harm, give one with --allow-clobber"
        )
    return Settled(tuple(clobbered), tuple(warnings))


def _decided(owned: _Owned) -> Iterator[Clobber]:
    """Put the right file in each contested place, and yield the losers."""
    first: dict[str, str] = {}
    claimants: dict[str, set[str]] = {}
    lost = ((path, owner) for owner, path in owned.lost_to_rattler)
    for path, owner in (*claims(owned.installed), *lost):
        other = first.setdefault(path, owner)
        if other != owner:
            claimants.setdefault(path, {other}).add(owner)
    for path, owners in sorted(claimants.items()):
        contents = {owner: owned.content(owner, path) for owner in owners}
        if len({*contents.values()}) == 1 and "" not in contents.values():
            continue
        winner = winner_of(owners, owned.needs)
        kept = [owner for owner in owners if (owner, path) not in owned.lost_to_rattler]
        if len(kept) == 1 and not winner.startswith("pypi/"):
            winner = kept[0]
        else:
            _put(owned, winner, path, contents[winner])
        yield from (
            Clobber(winner, owner, path)
            for owner in owners
            if owner != winner and (not contents[owner] or contents[owner] != contents[winner])
        )


def winner_of(owners: Collection[str], needs: Mapping[str, frozenset[str]]) -> str:
    """Return which of several owners of one file wins; `needs` are all that each one needs, directly or not."""
    wheels = [owner for owner in owners if owner.startswith("pypi/")]
    among = wheels or list(owners)

    def is_base(owner: str) -> bool:
        return any(
            owner in needs.get(other, ()) and other not in needs.get(owner, ()) for other in among if other != owner
        )

    return min([owner for owner in among if not is_base(owner)] or among)


def _put(owned: _Owned, winner: str, path: str, content: str) -> None:
    """Put an owner's file in its place unless it is there."""
    here = owned.installed.prefix / path
    if _SHA256.fullmatch(content) and here.is_file() and digest.of_file(here) == content:
        return
    own = owned.file(winner, path)
    if not os.path.lexists(own):
        return
    here.unlink(missing_ok=True)  # it may be a hard link to a cache
    shutil.copy2(own, here, follow_symlinks=False)


_SHA256 = re.compile("[0-9a-f]{64}")


def _entry_point(record: CondaRecord, path: str) -> str:
    """Return what an entry point of a noarch Python package calls; empty when the path is not one."""
    if record.source is None or not path.startswith("bin/"):
        return ""
    try:
        points = json.loads((record.source / "info/link.json").read_bytes())["noarch"]["entry_points"]
        pairs = [point.partition("=") for point in points]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""
    return next((called.strip() for name, _, called in pairs if f"bin/{name.strip()}" == path), "")


def _in_cache(record: CondaRecord, path: str) -> str:
    """Return a link's identity, or the digest of a file, from its package; empty if unknown."""
    source = record.source / path if record.source else None
    if source is None or not os.path.lexists(source):
        return ""
    return f"-> {os.readlink(source)}" if source.is_symlink() else digest.of_file(source)  # noqa: PTH115 - as it stands


def _ruin(owned: _Owned, loser: str, path: str, lock: Lock) -> str | None:
    """Say why the loser needs its file, if so."""
    if _plain(loser) == "python" and loser.startswith("conda/"):
        return "it is part of Python"
    here = owned.installed.prefix / path
    if _LIBRARY.search(path) or _starts_with(here, _ELF):
        return f"it is a shared library or program that {_plain(loser)} would no longer find"
    own = _imported(owned, loser, lock)
    module = next((module for module in own if belongs(_below(path), module)), None)
    if module is None or not path.endswith(".py") or not _differs(owned.file(loser, path), here):
        return None
    return f"{_plain(loser)} would no longer have its own module {module}"


def _imported(owned: _Owned, owner: str, lock: Lock) -> Iterator[str]:
    """Yield the modules that verification would import of a package because it was requested."""
    package = owned.packages[owner]
    requested: set[str] = {*lock.requested}
    names: set[str] = set()
    if isinstance(package, Distribution):
        names = {package.project} & requested
        files: Iterable[str] = package.files
    else:
        here = [each for each in owned.installed.distributions if f"{each.folder}/METADATA" in package.files]
        projects = {each.project for each in here}
        if requested & {package.name, *projects}:
            names = {package.name, *projects}
        files = [*package.files, *(path for who, path in owned.lost_to_rattler if who == owner)]
    inside = [_below(path) for path in files if "/site-packages/" in path]
    for name in sorted(names):
        yield from modules_of(name, inside).required


def _below(path: str) -> PurePosixPath:
    """Return a path below `site-packages`."""
    return PurePosixPath(path.partition("/site-packages/")[2] or path)


def _differs(loser: Path, winner: Path) -> bool:
    """Say whether a module contains code that its replacement does not."""
    try:
        lost, used = (ast.parse(path.read_bytes()) for path in (loser, winner))
    except (OSError, SyntaxError, ValueError):
        return True
    code = [node for node in lost.body if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))]
    if not code or ast.dump(lost) == ast.dump(used):
        return False
    return not (_NAMESPACE.search(loser.read_text("utf-8", "replace")) and len(code) <= _SHOWN)


def _needs(installed: Installed, lock: Lock) -> dict[str, frozenset[str]]:
    """Return all that each package needs, directly or not, by owner."""
    direct: dict[str, set[str]] = {
        f"conda/{package.name}": {
            f"conda/{match[0].lower()}" for spec in package.depends if (match := _NAME.match(spec))
        }
        for package in lock.packages
    }
    target = dict(lock.target.marker_environment(lock.python), extra="")
    for wheel in installed.wheels:
        parsed = [found for text in wheel.metadata.requires or () if (found := _parsed(text))]
        names = {ProjectName(one.name) for one in parsed if one.marker is None or one.marker.evaluate(target)}
        direct[wheel.owner] = {f"pypi/{name}" for name in names}
    return {owner: frozenset(_reached(owner, direct)) for owner in direct}


def _reached(owner: str, direct: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    waiting = [*direct[owner]]
    while waiting:
        if (each := waiting.pop()) not in found:
            found.add(each)
            waiting += direct.get(each, ())
    return found


def _parsed(text: str) -> Requirement | None:
    try:
        return Requirement(text)
    except InvalidRequirement:
        return None


def _by_pair(clobbered: Iterable[Clobber]) -> dict[tuple[str, str], list[str]]:
    pairs: dict[tuple[str, str], list[str]] = {}
    for clobber in clobbered:
        pairs.setdefault((clobber.winner, clobber.loser), []).append(clobber.path)
    return pairs


def _name(owned: _Owned, owner: str) -> str:
    return f"{_plain(owner)} {owned.packages[owner].version}"


def _plain(owner: str) -> str:
    return owner.partition("/")[2]


def _starts_with(path: Path, wanted: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(wanted)) == wanted
    except OSError:
        return False


def _some(paths: Sequence[str]) -> str:
    more = f" and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return ", ".join(paths[:_SHOWN]) + more
