"""The check of a conda package between its extraction into the cache and its linking; unfit ones are removed.

rattler fetches, extracts and links in one step, many packages at a time. It calls back when a package has been
extracted, and continues only when that call returns; it ignores exceptions of the call. A package that must not be
linked is therefore removed from the cache, and rattler then fails because it is missing.
"""

from __future__ import annotations

import bz2
import os
import re
import resource
import shutil
import threading
import zipfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import url2pathname

from envpack import digest
from envpack.prefix.conda_package import Links, changed, check, every, read_here, unlisted, unproven
from envpack.requirements.names import CondaName

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from envpack.lock.lock import CondaPackage
    from envpack.prefix.ledger import Arrival, Ledger

SAFE_SIZE = 1 << 30
"""The extracted size in bytes that any package may have."""

_MOST_GROWTH = 100
"""The largest ratio of extracted to packed size of a larger package; conda-forge's largest have 4 to 20."""

_PIECE = 1 << 20
"""Bytes to decompress at once."""

_NAME = re.compile(r"[a-z0-9_][a-z0-9._-]*")
"""The name at the beginning of a line of `depends`."""

_LOOK = 0.5
"""Seconds between two checks of the free disk space."""

_LOOKS = 20
"""After so many of them the extraction is checked in any case: others may have freed space meanwhile."""


_ENTRY = 512


class Arrivals:
    """Checks the packages of one prefix as they arrive in the cache."""

    def __init__(self, packages: Sequence[CondaPackage], directory: Path, ledger: Ledger) -> None:
        """`directory` is rattler's package cache; `ledger` records which packages were found intact."""
        self.damaged: dict[str, str] = {}
        """Packages that were intact and no longer are: name to a sentence that says so. They are removed."""
        self.problems: list[str] = []
        """The reasons not to link, each a sentence that begins with a package's name."""
        self.warnings: list[str] = []
        self._packages = {package.name: package for package in packages}
        self._directory = directory
        self._ledger = ledger
        self._links = Links()
        self._stopped: set[Path] = set()
        self._lock = threading.Lock()
        self._checks = threading.Condition()
        self._running = 0
        self._ended = False
        python = self._packages.get(CondaName("python"))
        minor = ".".join(python.version.split(".")[:2]) if python else "3"
        self._site_packages = (python and python.python_site_packages_path) or f"lib/python{minor}/site-packages"
        self._runs = self._needed_by(CondaName("python"))

    def arrived(self, name: str) -> None:
        """Check a package in the cache; it is removed from there when it must not be linked.

        After the end of `bounded` this does nothing: rattler's other tasks may outlive an error of one of them.
        """
        with self._checks:
            if self._ended:
                return
            self._running += 1
        try:
            self._check(name)
        finally:
            with self._checks:
                self._running -= 1
                self._checks.notify_all()

    def _check(self, name: str) -> None:
        package = self._packages[CondaName(name)]
        place = self._place(package)
        try:
            known = self._ledger.recall(package.sha256)
            problems, warnings = self._look_at(package, place, known)
        except Exception as error:  # noqa: BLE001 - whatever prevents the check must prevent the linking
            problems, warnings = [f"could not be checked: {error}"], ()
        told = f"{package.name} {package.version}"
        with self._lock:
            self.problems += [f"{told} {problem}" for problem in problems]
            self.warnings += [f"{told} {warning}" for warning in warnings]
        if problems or name in self.damaged:
            shutil.rmtree(place, ignore_errors=True)
            self._ledger.forget(package.sha256)

    def _look_at(
        self, package: CondaPackage, place: Path, known: Arrival | None
    ) -> tuple[list[str], tuple[str, ...]]:
        """Return the reasons not to link a package and the warnings, or note that it is damaged.

        For a package that was found intact before, only the files that this build reads or runs are read again; the
        others are compared with the same list when they are packed. Raises OSError.
        """
        spoiled = changed(place, known.digests) if known else ()
        site_packages = self._site_packages if package.noarch == "python" else None
        contents = read_here if known and package.name not in self._runs else every
        checked = check(place, site_packages=site_packages, contents=contents)
        if known and (spoiled or checked.problems):
            what = "; ".join(checked.problems) or f"has another {' and '.join(spoiled)} than before"
            with self._lock:
                self.damaged[str(package.name)] = (
                    f"the cached copy of {package.name} {package.version} is damaged: it {what}"
                )
            return [], ()
        problems = list(checked.problems)
        if not known and size_of(place) > self._limit(package):  # it was extracted between two checks of the watch
            problems.append(self._too_large(package))
        with self._lock:
            if not problems and (wrong := self._links.add(checked.links)):
                problems.append(wrong)
        if known or problems:
            return problems, known.warnings if known else ()
        warnings = unlisted(place, checked.listed)
        self._ledger.keep(package.sha256, digests=unproven(place, checked.listed), warnings=warnings)
        return [], warnings

    def _needed_by(self, name: CondaName) -> frozenset[CondaName]:
        """Return a package and all that it needs, as far as they are among these: everything that runs with it."""
        found: set[CondaName] = set()
        waiting = [name]
        while waiting:
            package = self._packages.get(waiting.pop())
            if package and package.name not in found:
                found.add(package.name)
                waiting += [CondaName(match[0]) for spec in package.depends if (match := _NAME.match(spec))]
        return frozenset(found)

    def local_and_new(self) -> Iterator[tuple[CondaPackage, Path]]:
        """Yield the packages of directory channels that are not in the cache, with their paths."""
        for package in self._packages.values():
            if (path := local_path(package.url)) and not self._place(package).is_dir():
                yield package, path

    @contextmanager
    def bounded(self) -> Iterator[None]:
        """Stop the extraction of a package that becomes much larger than any real one.

        The operating system stops a single file; many files are stopped by removing their directory. At the end
        this waits for the checks that are running: a late one would remove what another attempt extracts.
        """
        largest = max([self._limit(package) for package in self._packages.values()], default=SAFE_SIZE)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        ended = threading.Event()
        watch = threading.Thread(target=self._watch, args=(ended,), name="extraction", daemon=True)
        bounded = soft == resource.RLIM_INFINITY or soft > largest
        if bounded:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest, hard))
        watch.start()
        try:
            yield
        finally:
            with self._checks:
                self._ended = True
                self._checks.wait_for(lambda: not self._running)
            ended.set()
            watch.join()
            for path in self._stopped:
                path.unlink(missing_ok=True)
            if bounded:
                resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    def _watch(self, ended: threading.Event) -> None:
        free, looks = _free(self._directory), 0
        while not ended.wait(_LOOK):
            looks += 1
            if free - _free(self._directory) < SAFE_SIZE and looks % _LOOKS:
                continue
            for package in self._packages.values():
                for growing in self._directory.glob(f".{_glob_safe(self._place(package).name)}*"):
                    if growing.is_dir() and size_of(growing) > self._limit(package):
                        self._stop(package, growing)

    def _stop(self, package: CondaPackage, growing: Path) -> None:
        """Replace the directory that a package is extracted to by a file."""
        text = f"{package.name} {package.version} {self._too_large(package)}"
        with self._lock:
            self._stopped.add(growing)
            if text not in self.problems:
                self.problems.append(text)
        for _ in range(100):  # more may be written while it is removed
            shutil.rmtree(growing, ignore_errors=True)
            with suppress(OSError):
                growing.touch(exist_ok=False)
                return

    def _too_large(self, package: CondaPackage) -> str:
        return f"unpacks to more than {self._limit(package):,} bytes, the limit for a package"

    def _limit(self, package: CondaPackage) -> int:
        return max(SAFE_SIZE, _MOST_GROWTH * (package.size or 0))

    def _place(self, package: CondaPackage) -> Path:
        return place_of(package, self._directory)


def place_of(package: CondaPackage, directory: Path) -> Path:
    """Return where rattler extracts a package below its cache."""
    return directory / f"{package.name}-{package.version}-{package.build}"


def local_path(url: str) -> Path | None:
    """Return the path of a `file:` URL; None for other URLs."""
    parts = urlsplit(url)
    return Path(url2pathname(parts.path)) if parts.scheme == "file" else None


def damage(package: CondaPackage, path: Path) -> str | None:
    """Say how a package's file differs from its channel's index; None if it does not. Raises OSError."""
    if digest.of_file(path) == package.sha256:
        return None
    size = path.stat().st_size
    if package.size is not None and size < package.size and not _is_whole(path):
        return f"is truncated: {size:,} of {package.size:,} bytes"
    return "is not the file that its channel's index names: its SHA-256 is another"


def _is_whole(path: Path) -> bool:
    """Say whether a package's file is complete: a zip has its directory, a bzip2 stream its last block."""
    if path.suffix == ".conda":
        return zipfile.is_zipfile(path)
    stream = bz2.BZ2Decompressor()
    try:
        with path.open("rb") as file:
            while not stream.eof:
                chunk = file.read(digest.CHUNK) if stream.needs_input else b""
                if not chunk and stream.needs_input:
                    break
                stream.decompress(chunk, _PIECE)
    except OSError:
        return False
    return stream.eof


def _free(directory: Path) -> int:
    try:
        return shutil.disk_usage(directory).free
    except OSError:
        return 0


def size_of(directory: Path) -> int:
    """Return the bytes of all files below a directory; files that are moved or removed meanwhile are skipped.

    Each file and directory counts for `_ENTRY` bytes at least: a million empty ones are a bomb as well.
    """
    total = 0
    for folder, folders, names in os.walk(directory):
        total += _ENTRY * len(folders)
        for name in names:
            with suppress(OSError):
                total += max(_ENTRY, Path(folder, name).lstat().st_size)
    return total


def _glob_safe(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
