"""Build the wheels of a request's sources, or use those that were built before."""

from __future__ import annotations

import os
import platform
import sysconfig
import tempfile
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import parse_wheel_filename

from envpack import digest
from envpack.archive.bytecode import compile_prefix
from envpack.config.target import PLATFORMS, Target
from envpack.errors import BadRequirements, BrokenPackage, NotReady, PackingFailed, Problem, Unsatisfiable
from envpack.files.wheel import WheelTarget
from envpack.lock.lock import BuildFacts, Wheel
from envpack.prefix.install import at_hand, login_of, python_here, python_packages
from envpack.prefix.link import link_wheels
from envpack.redact import hide, public
from envpack.requirements.pep508 import read as read_line
from envpack.requirements.sources import SourceRef
from envpack.requirements.text import Refused
from envpack.requirements.values import Origin
from envpack.resolve import pypi
from envpack.resolve.building import BuiltWheel
from envpack.resolve.with_sources import with_sources
from envpack.sources import archives, checkout, environments, files, frontend, offered, scm_version, wheels
from envpack.sources.frontend import BuildEnvironment, Hooks
from envpack.sources.kept import KeptWheels, Key
from envpack.tools import uv

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from envpack.files.cache import Cache
    from envpack.lock.lock import CondaPackage, Lock
    from envpack.progress import Progress
    from envpack.requirements import PyRequirement
    from envpack.requirements.names import ProjectName
    from envpack.resolve.building import Offered
    from envpack.resolve.request import Request
    from envpack.tools.cage import Confine

ALL = ":all:"
"""Means every project where builds are forbidden."""


@dataclass(frozen=True, kw_only=True)
class _Source:
    """A source on this machine."""

    key: Key
    commit: str
    tree: Callable[[Path], Path]
    """Puts the source tree into a new directory and returns the project's own."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Further variables of its build: its version, where git has it."""
    listed: bool = False
    """Whether its files are those that git lists."""


@dataclass(kw_only=True)
class WheelBuilder:
    """Builds wheels for one request; each is built once, and kept."""

    request: Request
    cache: Cache
    scratch: Path
    confine: Confine
    progress: Progress
    without: tuple[Path, ...] = ()
    """Paths in a project's directory that are not part of it: stores, caches."""
    settled: Mapping[str, tuple[Wheel, ...]] = field(default_factory=dict)
    """Build requirements of earlier builds, by name; they are kept as long as they fulfil the project's
    requests."""
    _of_lines: dict[tuple[str, str], BuiltWheel] = field(default_factory=dict)
    _offered: dict[tuple[ProjectName, tuple[str, ...], str], tuple[Offered, ...]] = field(default_factory=dict)
    _pythons: dict[str, Path] = field(default_factory=dict)
    _under_way: set[str] = field(default_factory=set)

    def of_line(self, line: PyRequirement, packages: Sequence[CondaPackage]) -> BuiltWheel:
        """Return the wheel of a line that names a source; see `resolve.building.Builder`."""
        known = (line.text, _python_of(packages).sha256)
        if known not in self._of_lines:
            assert line.source is not None  # noqa: S101 - for the type checker: that is what the caller has seen
            self._of_lines[known] = self._build(line, line.source, packages)
        return self._of_lines[known]

    def offered(
        self, name: ProjectName, hashes: Sequence[str], packages: Sequence[CondaPackage]
    ) -> Sequence[Offered]:
        """Return the source distributions of a project that indexes offer; see `resolve.building.Builder`."""
        self._refuse_if_forbidden(name, f"{name} has no wheel that fits")
        if {ALL, name} & self.request.requirements.only_binary:
            raise Unsatisfiable(
                f"{name} has no wheel that fits, and --only-binary forbids building it",
                hint="choose a version that has a wheel, or leave out --only-binary",
            )
        python = _python_of(packages).version
        known = (name, tuple(hashes), python)
        if known not in self._offered:
            self._offered[known] = offered.sources(
                name,
                self.request.requirements.indexes,
                default=lambda: uv.default_index(cache=self.cache.uv, workdir=self._room("index")),
                hashes=hashes,
                python=python,
            )
        return self._offered[known]

    def of_index(
        self, name: ProjectName, source: Offered, hashes: Sequence[str], packages: Sequence[CondaPackage]
    ) -> BuiltWheel:
        """Return the wheel of a source distribution that an index offers; see `resolve.building.Builder`."""
        url = source.url.partition("#")[0]
        hashes = hashes or ([f"sha256:{source.sha256}"] if source.sha256 else [])
        origin = Origin(file=str(self.request.requirements.path), line=0)
        folder = self.request.requirements.path.parent
        try:
            line = read_line(f"{name} @ {url}", hashes=hashes, origin=origin, folder=folder)
        except Refused as refused:
            raise BrokenPackage(
                f"the source {url.rpartition('/')[2]} is not the expected file: {refused.reason}",
                hint="ask the index's owner why the file changed; only if you trust it, correct the hash in the "
                "requirements",
            ) from refused
        line = replace(line, address=hide(public(url)))
        built = self.of_line(line, packages)
        return replace(built, wheel=replace(built.wheel, direct=False))

    def provide(self, lock: Lock, published: Callable[[Wheel], Path | None]) -> dict[ProjectName, Path]:
        """Return the paths of a lock's built wheels on this machine, after building the missing ones.

        `published` looks for a wheel beside the releases of the store. Raises BrokenPackage with the files that
        differ when a build makes another wheel than the locked one.
        """
        return {
            wheel.name: self._provided(wheel, wheel.made, lock.packages, published)
            for wheel in lock.wheels
            if wheel.made
        }

    def compiled(self, lock: Lock) -> dict[str, tuple[Path, str]]:
        """Return the wheels of a lock with compiled parts that are here, by file name, with their SHA-256."""
        found = {}
        for wheel in lock.wheels:
            if wheel.made and wheel.made.compiled:
                key = self._key(wheel.made.sha256, wheel.made.subdirectory, lock.packages)
                kept = self._kept.find(key, wheel.made.requires)
                if kept and kept[1].sha256 == wheel.sha256:
                    found[wheel.made.file] = (kept[0], wheel.sha256)
        return found

    def _provided(
        self,
        wheel: Wheel,
        made: BuildFacts,
        packages: Sequence[CondaPackage],
        published: Callable[[Wheel], Path | None] = lambda _: None,
    ) -> Path:
        key = self._key(made.sha256, made.subdirectory, packages)
        kept = self._kept.find(key, made.requires)
        if kept and kept[1].sha256 == wheel.sha256:
            return kept[0]
        if made.compiled and (there := published(wheel)):
            return there
        source = self._open(_reference(wheel, made, self.request), packages, locked=wheel)
        if source.key != key:
            raise BrokenPackage(
                f"the source of {wheel.name} changed since it was locked ({made.sha256[:16]})",
                hint="to use the source as it is now, solve again with --upgrade",
            )
        built = self._run(wheel.name, source, packages, known=made.requires)
        if built.wheel.sha256 != wheel.sha256 and built.wheel.made:
            raise BrokenPackage(
                f"the build of {wheel.name} {wheel.version} gives a wheel that differs from the locked one: "
                f"{wheels.difference(made.files, built.wheel.made.files)}",
                hint="use --store with the store that has the release: it keeps the wheel; or solve again with "
                "--upgrade",
            )
        return built.path

    @cached_property
    def _kept(self) -> KeptWheels:
        return KeptWheels(self.cache.built)

    def _build(self, line: PyRequirement, source: SourceRef, packages: Sequence[CondaPackage]) -> BuiltWheel:
        self._refuse_if_forbidden(line.name, f"{line.origin}: {line.name} would be built from its source")
        opened = self._open(source, packages, hashes=line.hashes)
        kept = self._kept.newest(opened.key)
        if kept and kept[1].name == line.name:
            built = BuiltWheel(path=kept[0], wheel=kept[1])
        else:
            built = self._run(line.name, opened, packages, settled=self.settled.get(line.name))
        made = built.wheel.made
        assert made is not None  # noqa: S101 - for the type checker: it was built
        self._check(built.path, line.name, packages)
        self._refuse_paths(built.path, line.name)
        return replace(
            built,
            wheel=replace(
                built.wheel,
                url=_address(line, source, self.request.requirements.path.parent),
                direct=True,
                made=replace(
                    made,
                    kind=source.kind,
                    sha256=opened.key.source,
                    commit=opened.commit,
                    subdirectory=source.subdirectory,
                ),
            ),
        )

    def _refuse_paths(self, wheel: Path, name: ProjectName) -> None:
        """Refuse a wheel that needs another by a path that exists only while it is built."""
        if not self.request.requirements.exact and (needs := wheels.missing_places(wheel)):
            raise Unsatisfiable(
                f"{name} needs {', '.join(needs)} by a path that exists only while it is built",
                hint="build the lock of the project, such as poetry.lock; or write only the name among its "
                "dependencies, and add a line with the directory to the requirements",
            )

    def _refuse_if_forbidden(self, name: str, said: str) -> None:
        if {ALL, name} & self.request.no_build:
            raise Unsatisfiable(
                f"{said}, and no-build forbids building it",
                hint="choose a version that has a wheel, or leave out --no-build or the name under `no-build:`",
            )

    def _run(
        self,
        name: ProjectName,
        source: _Source,
        packages: Sequence[CondaPackage],
        *,
        known: tuple[Wheel, ...] | None = None,
        settled: tuple[Wheel, ...] | None = None,
    ) -> BuiltWheel:
        """Build a source's wheel, and keep it; with the `known` requirements, or the `settled` ones if they fit."""
        if name in self._under_way:
            raise Unsatisfiable(
                f"{name} cannot be built: its build needs {name} itself",
                hint=f"build a wheel of {name} on another machine, and give its directory with --find-links",
            )
        self._under_way.add(name)
        try:
            return self._made(name, source, packages, known=known, settled=settled)
        finally:
            self._under_way.discard(name)

    def _made(
        self,
        name: ProjectName,
        source: _Source,
        packages: Sequence[CondaPackage],
        *,
        known: tuple[Wheel, ...] | None,
        settled: tuple[Wheel, ...] | None,
    ) -> BuiltWheel:
        room = self._room(name)
        with self.progress.step(f"build {name}") as step:
            tree = source.tree(room / "tree")
            if settled and frontend.will_do(settled, tree, name):
                known = settled
            hooks = Hooks(
                lock=lambda requires: self._lock(requires, packages),
                install=lambda needed: self._environment(needed, packages),
                variables=source.variables,
                listed=source.listed,
                confine=self.confine,
                progress=self.progress,
            )
            built = frontend.build(tree, room, hooks, shown=name, known=known)
            again = room / built.wheel.name
            wheels.write_again(built.wheel, again)
            self._check(again, name, packages)
            wheel = Wheel(
                name=name,
                version=str(parse_wheel_filename(again.name)[1]),
                url="",
                sha256=digest.of_file(again),
                size=again.stat().st_size,
            )
            made = BuildFacts(
                kind="archive",
                sha256="",
                file=again.name,
                requires=built.requires,
                files=wheels.files_of(again),
                needs=wheels.needs_of(again),
            )
            wheel = replace(wheel, made=made)
            step.note(again.name)
        return BuiltWheel(path=self._kept.keep(source.key, again, wheel, made), wheel=wheel)

    def _open(
        self,
        source: SourceRef,
        packages: Sequence[CondaPackage],
        *,
        hashes: Sequence[str] = (),
        locked: Wheel | None = None,
    ) -> _Source:
        """Return a source with its digest; a remote one is fetched.

        `locked` is the wheel to reproduce: then its commit, its digest and its version are known.
        """
        made = locked.made if locked else None
        if source.kind == "project":
            directory = Path(source.location)
            names = files.project_files(directory, without=self.without)
            told = scm_version.of_project(directory, locked.version if locked else None)
            found = scm_version.with_version(files.digest_of(directory, names), told)

            def copied(into: Path) -> Path:
                files.copy(directory, names, into)
                return into

            return _Source(key=self._key(found, "", packages), commit="", tree=copied, variables=told, listed=True)
        if source.kind == "archive":
            sha256 = made.sha256 if made else None
            archive = archives.fetched(
                source.location, sha256, hashes, self.cache, self.request.requirements.indexes
            )
            found = archive.parent.name

            def unpacked(into: Path) -> Path:
                return _below(archives.unpack(archive, into, shown=archive.name), source.subdirectory, archive.name)

            return _Source(key=self._key(found, source.subdirectory, packages), commit="", tree=unpacked)
        place = self._room("repository") / "files"
        commit, told = checkout.check_out(
            source, place, commit=made.commit if made else "", version=locked.version if locked else None
        )
        names = files.all_files(place)
        found = scm_version.with_version(files.digest_of(place, names), told)

        def cloned(into: Path) -> Path:
            files.copy(place, names, into)
            return _below(into, source.subdirectory, public(source.location))

        key = self._key(found, source.subdirectory, packages)
        return _Source(key=key, commit=commit, tree=cloned, variables=told, listed=True)

    def _key(self, source: str, subdirectory: str, packages: Sequence[CondaPackage]) -> Key:
        here = self._here()
        return Key(
            source=source, subdirectory=subdirectory, python=_python_of(packages).sha256, platform=here.platform
        )

    def _lock(self, requires: Sequence[str], packages: Sequence[CondaPackage]) -> tuple[Wheel, ...]:
        """Return the wheels that fulfil build requirements on this machine; missing ones are built too."""
        origin = Origin(file="build-system", line=0)
        folder = self.request.requirements.path.parent
        question = pypi.Question(
            requirements=tuple(read_line(text, hashes=(), origin=origin, folder=folder) for text in requires),
            constraints=(),
            bounds={},
            linked={},
            provided=(),
            indexes=self.request.requirements.indexes,
            python=_python_of(packages).version,
            target=self._here(),
        )

        def solve(asked: pypi.Question) -> pypi.Answer:
            return pypi.solve(asked, cache=self.cache.uv, scratch=self._room("requires"))

        return with_sources(question, packages, self, solve).wheels

    def _environment(self, needed: Sequence[Wheel], packages: Sequence[CondaPackage]) -> BuildEnvironment:
        """Return a virtual environment of the environment's Python with build requirements in it."""
        python = self._python(packages)
        built = {wheel.name: self._provided(wheel, wheel.made, packages) for wheel in needed if wheel.made}
        key = digest.of_json([str(python), sorted([wheel.name, wheel.sha256] for wheel in needed)])

        def make(home: Path) -> Path:
            return self._installed([at_hand(wheel, built) for wheel in needed], home, python, packages)

        program = environments.kept(self.cache.tools, key, make)
        prefix, version = python.parents[1], _python_of(packages).version
        headers = _headers(prefix, ".".join(version.split(".")[:2]), version)
        return BuildEnvironment(python=program, readable=(program.parents[1], prefix), headers=headers)

    def _installed(
        self, needed: Sequence[Wheel], home: Path, python: Path, packages: Sequence[CondaPackage]
    ) -> Path:
        """Install wheels with their bytecode into a new virtual environment of a Python; return its interpreter."""
        version = _python_of(packages).version
        minor = ".".join(version.split(".")[:2])
        (home / "bin").mkdir(parents=True)
        (home / "lib" / f"python{minor}" / "site-packages").mkdir(parents=True)
        (home / "bin" / "python").symlink_to(python)
        (home / "pyvenv.cfg").write_text(f"home = {python.parent}\nversion = {version}\n", "utf-8")
        link_wheels(
            needed,
            home,
            python=home / "bin" / "python",
            version=version,
            target=self._here(),
            login=replace(login_of(self.request), wheels={}),
            cache=self.cache,
            scratch=self._room("environment"),
        )
        # Every build reads it, and none can write it: the cage does not allow it.
        compile_prefix(home, python=home / "bin" / "python", confine=self.confine)
        return home / "bin" / "python"

    def _python(self, packages: Sequence[CondaPackage]) -> Path:
        package = _python_of(packages)
        if package.sha256 not in self._pythons:
            linked = [each.sha256 for each in python_packages(packages)]
            key = digest.of_json([sorted(linked), str(self.request.target.platform), self._here().platform])

            def make(place: Path) -> Path:
                return python_here(packages, self.request, cache=self.cache, scratch=place, progress=self.progress)

            self._pythons[package.sha256] = environments.kept(self.cache.tools, key, make)
        return self._pythons[package.sha256]

    def _check(self, path: Path, name: str, packages: Sequence[CondaPackage]) -> None:
        """Check that a wheel is valid and fits the target."""
        target = self.request.target
        compiled = not path.name.endswith("-none-any.whl")
        if compiled and not target.is_this_machine:
            raise Unsatisfiable(
                f"{name} has compiled parts, and this machine cannot build it for {target.platform}",
                hint=f"build on a machine with {target.platform}, or give a wheel for {target.platform} with "
                "--find-links",
            )
        machine = WheelTarget(python=_python_of(packages).version, machine=target.machine, glibc=target.glibc)
        wheels.check(path, machine, name=name)

    def _here(self) -> Target:
        target = self.request.target
        if target.is_this_machine:
            own = platform.libc_ver()[1]
            return Target(platform=target.platform, glibc=own or target.glibc)
        machine = platform.machine()
        for name in PLATFORMS:
            other = Target(platform=name)
            if platform.system() == "Linux" and other.machine == machine:
                return Target(platform=name, glibc=platform.libc_ver()[1] or other.glibc)
        raise NotReady("wheels can be built on Linux only", hint="build on a machine with the nodes' platform")

    def _room(self, name: str) -> Path:
        return Path(tempfile.mkdtemp(prefix=f"source-{name}-", dir=self.scratch))


def _below(tree: Path, subdirectory: str, shown: str) -> Path:
    """Return the directory of a project in a source's tree. Raises PackingFailed where it is missing."""
    if not (tree / subdirectory).is_dir():
        raise PackingFailed(
            f"{shown} has no directory {subdirectory}", hint="correct `#subdirectory=` in the requirements"
        )
    return tree / subdirectory


def _python_of(packages: Sequence[CondaPackage]) -> CondaPackage:
    return next(package for package in packages if package.name == "python")


def _headers(prefix: Path, minor: str, version: str) -> Path | None:
    """Return the headers of the Python that runs envpack for a Python that was made from it without headers.

    A starter channel's Python is one: it has no headers, as no node needs them.
    """
    own = Path(sysconfig.get_path("include"))
    if (prefix / "include" / f"python{minor}" / "Python.h").exists() or platform.python_version() != version:
        return None
    return own if (own / "Python.h").exists() else None


def _address(line: PyRequirement, source: SourceRef, base: Path) -> str:
    """Return how a lock names a source: a project by its path from the requirements."""
    if source.kind == "project":
        path = os.path.relpath(source.location, base.resolve())
        return "./" if path == "." else f"./{path}"
    if source.kind == "git":
        return f"git+{public(source.location)}"
    return (line.address or hide(public(source.location))).partition("#")[0]


def _reference(wheel: Wheel, made: BuildFacts, request: Request) -> SourceRef:
    """Return where the source of a locked wheel is; credentials come from the requirements."""
    for line in request.requirements.pypi:
        if line.name == wheel.name and line.source and line.source.kind == made.kind:
            return line.source
    if made.kind == "project":
        problem = Problem(
            str(request.requirements.path),
            0,
            f"the lock has your project {wheel.name}, but no requirement leads to it",
        )
        raise BadRequirements([problem], hint="solve again with --upgrade")
    return SourceRef(kind=made.kind, location=wheel.url.removeprefix("git+"), subdirectory=made.subdirectory)
