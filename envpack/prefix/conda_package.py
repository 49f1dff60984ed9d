"""Check whether an extracted conda package matches its own list of files, and may be linked.

rattler links what `info/paths.json` names without checks: a path that leads out of the prefix is followed, an
absolute one ends the process, digests and sizes are not compared (rattler's `rattler/src/install` and
`path_resolver`). conda compares sizes, and digests when `extra_safety_checks` is on. So each package is checked
when it has been extracted and before it is linked.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envpack import digest
from envpack.archive import links
from envpack.archive.members import Entry
from envpack.errors import PackingFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

MOST_FILES = 1_000_000
"""A package that lists more is refused."""

_LIST_AT_MOST = 1 << 28
"""Bytes of `info/paths.json` that are read."""

_SHOWN = 4

_READ_BY_INSTALLERS = ("paths.json", "files", "has_prefix", "no_link", "no_softlink", "index.json", "link.json")
"""The files in a package's `info/` that control linking."""

_METADATA = re.compile(r"\.(dist|egg)-info(/|$)")

_OWN_TO_CONDA = ("conda-meta/history", "conda-meta/frozen")


@dataclass(frozen=True, kw_only=True)
class ListedFile:
    """One line of a package's list of files."""

    path: str
    """As in the package: `site-packages/...` in a noarch Python package."""
    link: bool = False
    sha256: str | None = None
    size: int | None = None


@dataclass(frozen=True, kw_only=True)
class Checked:
    """The result of a package's check."""

    problems: tuple[str, ...] = ()
    """The reasons not to link it, each the end of a sentence that begins with its name."""
    listed: tuple[ListedFile, ...] = ()
    """Its list of files."""
    links: tuple[Entry, ...] = ()
    """Its symbolic links, by their paths in the prefix."""


@dataclass
class Links:
    """The symbolic links of all packages of a prefix so far: one may lead out only through another's."""

    known: dict[str, Entry] = field(default_factory=dict)

    def add(self, new: Iterable[Entry]) -> str | None:
        """Add a package's links; say what is wrong if one of them leads out, or makes an earlier one do so."""
        arrived = {link.path: link for link in new}
        if not arrived:
            return None
        self.known |= arrived
        tree = links.Tree(self.known.values())
        behind = next((path for path in self.known if any(folder in self.known for folder in _above(path))), None)
        if behind:
            return f"makes {behind} a link whose path leads through another link"
        winding = [link for link in self.known.values() if _winds(link.link) and link.path not in arrived]
        for link in (*arrived.values(), *winding):
            try:
                tree.resolve(link)
            except PackingFailed as error:
                return f"cannot be linked: {error.message}"
        return None


def check(directory: Path, *, site_packages: str | None, contents: Callable[[str], bool]) -> Checked:
    """Check a package that was extracted into a directory.

    `site_packages` is where the modules of a noarch Python package go; None for other packages. Every file is
    compared with its size, and those whose path `contents` accepts with their digest. Raises OSError.
    """
    try:
        listed = read_list(directory)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return Checked(problems=(f"has a list of files that cannot be read: {_plain(str(error))}",))
    if len(listed) > MOST_FILES:
        return Checked(problems=(f"lists {len(listed):,} files; more than {MOST_FILES:,} are not linked",))
    problems = list(_grouped(_unfit(listed)))
    if problems:
        return Checked(problems=tuple(problems))
    found = list(_grouped(_differing(directory, listed, contents=contents)))
    if found:
        return Checked(problems=tuple(found))
    return Checked(listed=tuple(listed), links=tuple(_links(directory, listed, site_packages)))


def every(path: str) -> bool:  # noqa: ARG001 - of `contents`
    """Accept every file."""
    return True


def read_here(path: str) -> bool:
    """Accept the files that a build reads or runs on this machine, whether it packs them or not.

    They are the metadata of distributions, and the activation files.
    """
    return path.startswith("etc/conda/") or _METADATA.search(path) is not None


def unlisted(directory: Path, listed: Iterable[ListedFile]) -> tuple[str, ...]:
    """Return findings that are legal but suspicious: files that a package has and does not list."""
    known = {entry.path for entry in listed}
    there = [path for path in _walk(directory, "") if not path.startswith("info/") and path not in known]
    return (f"holds files that it does not list, which were not linked: {_some(there)}",) if there else ()


def unproven(directory: Path, listed: Iterable[ListedFile]) -> dict[str, str]:
    """Return the digests, by path, that a package's list of files lacks: of the list, and of files without one.

    Raises OSError.
    """
    paths = [f"info/{name}" for name in _READ_BY_INSTALLERS]
    paths += [entry.path for entry in listed if not entry.link and not entry.sha256]
    return {path: digest.of_file(here) for path in paths if (here := directory / path).is_file()}


def changed(directory: Path, digests: Mapping[str, str]) -> tuple[str, ...]:
    """Return the paths that no longer have the digests they had."""
    return tuple(path for path, known in digests.items() if _digest(directory / path) != known)


def _digest(path: Path) -> str:
    try:
        return digest.of_file(path)
    except OSError:
        return ""


def read_list(directory: Path) -> list[ListedFile]:
    """Return an extracted package's list of files: `info/paths.json`, or `info/files` of packages before 2017.

    Raises ValueError, KeyError, TypeError or AttributeError when it is invalid.
    """
    path, older = directory / "info/paths.json", directory / "info/files"
    if not path.is_file():
        if not older.is_file():
            raise ValueError("it has neither info/paths.json nor info/files")
        return [ListedFile(path=line) for line in older.read_text("utf-8").splitlines() if line]
    if path.stat().st_size > _LIST_AT_MOST:
        raise ValueError(f"it has {path.stat().st_size:,} bytes")
    return [_listed(entry) for entry in json.loads(path.read_bytes())["paths"]]


def _listed(entry: dict[str, Any]) -> ListedFile:
    path, kind = entry["_path"], entry.get("path_type", "hardlink")
    if not isinstance(path, str):
        raise TypeError(f"{path!r} is no path")
    sha256, size = entry.get("sha256"), entry.get("size_in_bytes")
    return ListedFile(
        path=path.removeprefix("./"),
        link=kind == "softlink",
        sha256=sha256.lower() if isinstance(sha256, str) and kind == "hardlink" else None,
        size=size if isinstance(size, int) and kind == "hardlink" else None,
    )


def _unfit(listed: Sequence[ListedFile]) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with the paths themselves."""
    for entry in listed:
        path = entry.path
        if path.startswith("/") or ".." in path.split("/"):
            yield "lists files outside the environment", path
        elif not path or not path.isprintable() or posixpath.normpath(path) != path:
            yield "lists files whose names no file should have", path
        elif path in _OWN_TO_CONDA or (path.startswith("conda-meta/") and path.endswith(".json")):
            yield "would write among conda's records", path


def _differing(
    directory: Path, listed: Sequence[ListedFile], *, contents: Callable[[str], bool]
) -> Iterator[tuple[str, str]]:
    """Yield the differences between the files and the list."""
    root = f"{directory}/"
    for entry in listed:
        try:
            status = os.lstat(root + entry.path)
        except OSError:
            yield "lacks files that it lists", entry.path
            continue
        if stat.S_ISLNK(status.st_mode) or stat.S_ISDIR(status.st_mode):
            continue
        if not stat.S_ISREG(status.st_mode):
            yield "holds what is neither a file nor a link nor a directory", entry.path
        elif (entry.size is not None and entry.size != status.st_size) or (
            entry.sha256 and contents(entry.path) and entry.sha256 != digest.of_file(Path(root + entry.path))
        ):
            yield "has files that are not what its list says", entry.path


def _walk(directory: Path | str, above: str) -> Iterator[str]:
    with os.scandir(directory) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(entry.path, f"{above}{entry.name}/")
            else:
                yield above + entry.name


def _links(directory: Path, listed: Sequence[ListedFile], site_packages: str | None) -> Iterator[Entry]:
    for entry in listed:
        here = directory / entry.path
        if entry.link or here.is_symlink():
            yield Entry(_placed(entry.path, site_packages), "link", 0, os.readlink(here), executable=False)  # noqa: PTH115 - a Path would drop `./`


def _placed(path: str, site_packages: str | None) -> str:
    """Return where a file of a package goes in the prefix (CEP 17, and the noarch Python layout)."""
    if site_packages and path.startswith("site-packages/"):
        return f"{site_packages}/{path.removeprefix('site-packages/')}"
    if site_packages and path.startswith("python-scripts/"):
        return f"bin/{path.removeprefix('python-scripts/')}"
    return path


def _above(path: str) -> Iterator[str]:
    while path := posixpath.dirname(path):
        yield path


def _winds(target: str) -> bool:
    """Say whether a link goes down and up again, so that its target depends on other links on the way."""
    steps = [step for step in target.split("/") if step not in ("", ".")]
    return ".." in steps[next((at for at, step in enumerate(steps) if step != ".."), len(steps)) :]


def _grouped(found: Iterable[tuple[str, str]]) -> Iterator[str]:
    by_trouble: dict[str, list[str]] = {}
    for trouble, path in found:
        by_trouble.setdefault(trouble, []).append(path)
    yield from (f"{trouble}: {_some(paths)}" for trouble, paths in by_trouble.items())


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(_plain(name) for name in names[:_SHOWN]) + more


def _plain(text: str) -> str:
    """Return a name or message as it can be shown on a terminal."""
    shown = text if text.isprintable() and text else ascii(text)
    return shown if len(shown) <= 200 else f"{shown[:197]}..."
