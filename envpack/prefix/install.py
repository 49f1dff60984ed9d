"""From a lock to a linked prefix, with a Python for this machine that can compile for it."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from envpack.errors import DamagedPackage, Unsatisfiable
from envpack.files.installed import read
from envpack.prefix import irregular, wheel_copies
from envpack.prefix.clobber import settle
from envpack.prefix.ledger import Arrival, Ledger
from envpack.prefix.link import Login, link_conda, link_wheels
from envpack.resolve.channel_addresses import channel_addresses
from envpack.resolve.conda import Channels, Platform
from envpack.resolve.pypi import access_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from envpack.config.target import Target
    from envpack.files.cache import Cache
    from envpack.files.installed import Distribution
    from envpack.lock.lock import CondaPackage, Lock, Wheel
    from envpack.progress import Progress
    from envpack.requirements.names import ProjectName
    from envpack.resolve.request import Request


@dataclass(frozen=True, kw_only=True)
class InstalledPrefix:
    """A linked prefix."""

    prefix: Path
    python: Path
    """A Python of exactly the same version that this machine can run: the prefix's own, or another one."""
    clobbered: frozenset[str]
    """The files that more than one package has, and for which it is decided whose are used."""
    warnings: tuple[str, ...]


def install(
    lock: Lock,
    request: Request,
    *,
    cache: Cache,
    scratch: Path,
    built: Mapping[ProjectName, Path] | None = None,
    allow_clobber: Collection[str] = (),
    progress: Progress,
) -> InstalledPrefix:
    """Link a lock's packages into a new prefix in `scratch`.

    `built` says where the wheels built from sources are. `allow_clobber` are packages whose files may replace
    others', or be replaced, without a message. Raises Unreachable, PackingFailed, Unsatisfiable.
    """
    prefix = _room(scratch, "prefix")
    login = login_of(request)
    lock = replace(lock, wheels=tuple(at_hand(wheel, built or {}) for wheel in lock.wheels))
    of_conda = link_conda(
        lock.packages,
        prefix,
        platform=lock.target.platform,
        login=login,
        cache=cache,
        progress=progress,
    )
    python = (
        prefix / "bin" / "python"
        if lock.target.is_this_machine
        else _other_python(lock.python, lock.target, login, cache, scratch=scratch, progress=progress)
    )
    own = prefix / "bin" / "python"
    link_wheels(
        lock.wheels,
        prefix,
        python=own,
        version=lock.python,
        target=lock.target,
        login=login,
        cache=cache,
        scratch=_room(scratch, "wheels"),
        progress=progress,
    )
    stage = partial(_alone, lock=lock, prefix=prefix, python=own, login=login, cache=cache, scratch=scratch)
    settled = settle(prefix, lock, stage=stage, allowed=allow_clobber)
    odd = _look_at_wheels(lock, prefix, settled.paths, cache)
    warnings = (*of_conda, *settled.warnings, *odd)
    return InstalledPrefix(prefix=prefix, python=python, clobbered=settled.paths, warnings=warnings)


def only_wheels(
    lock: Lock,
    request: Request,
    *,
    cache: Cache,
    scratch: Path,
    built: Mapping[ProjectName, Path],
    progress: Progress,
) -> Path:
    """Install the wheels of a lock into a new directory in `scratch`, and return it.

    Their metadata hold what no lock has, such as their licences. Raises as `install` does.
    """
    prefix = _room(scratch, "only-wheels")
    link_wheels(
        [at_hand(wheel, built) for wheel in lock.wheels],
        prefix,
        python=prefix / "bin" / "python",
        version=lock.python,
        target=lock.target,
        login=login_of(request),
        cache=cache,
        scratch=_room(scratch, "wheels"),
        progress=progress,
    )
    return prefix


def at_hand(wheel: Wheel, built: Mapping[ProjectName, Path]) -> Wheel:
    """Return a wheel as it is installed: a built one from its local file, which no requirement names."""
    if wheel.made is None:
        return wheel
    return replace(wheel, url=built[wheel.name].as_uri(), direct=False, made=None)


def _look_at_wheels(lock: Lock, prefix: Path, settled: Collection[str], cache: Cache) -> tuple[str, ...]:
    """Check what wheels left in the prefix: everything for a new wheel, else whether it has changed.

    Raises BrokenPackage, and DamagedPackage with all that are damaged in uv's cache.
    """
    ledger = Ledger(cache.checked)
    here = read(prefix)
    keys = {str(wheel.name): f"{wheel.sha256}-installed-{lock.python}" for wheel in lock.wheels}
    known = {name: note for name, key in keys.items() if (note := ledger.recall(key))}
    seen = [wheel for wheel in here.wheels if wheel.project in known]
    damaged = {wheel: paths for wheel in seen if (paths := _damage(wheel, known[wheel.project], settled))}
    if damaged:
        told = [
            f"the cached copy of {wheel.project} {wheel.version} is damaged: {' and '.join(paths[:2])} was changed"
            for wheel, paths in damaged.items()
        ]
        raise DamagedPackage(told, owners={wheel.owner for wheel in damaged})
    unchecked = keys.keys() - known.keys()
    warnings = irregular.check(here, unchecked=unchecked, settled=settled, python=lock.python)
    for wheel in here.wheels:
        if wheel.project in unchecked:
            if scripts := wheel_copies.spoiled_scripts(wheel, cache.uv):
                raise DamagedPackage(
                    f"the cached copy of {wheel.project} {wheel.version} is damaged: {' and '.join(scripts)} "
                    "does not match its RECORD",
                    owners={wheel.owner},
                )
            ledger.keep(keys[wheel.project], digests=wheel_copies.digests(wheel))
    return warnings


def _damage(wheel: Distribution, known: Arrival, settled: Collection[str]) -> list[str]:
    return [path for path in wheel_copies.changed(wheel, known.digests) if path not in settled]


def _alone(
    owner: str, *, lock: Lock, prefix: Path, python: Path, login: Login, cache: Cache, scratch: Path
) -> Path:
    """Install one package of a lock alone into a directory that has the prefix's layout, and return it."""
    source, _, name = owner.partition("/")
    into = _room(scratch, f"alone-{source}-{name}")
    if source == "pypi":
        link_wheels(
            [wheel for wheel in lock.wheels if wheel.name == name],
            into,
            python=python,
            version=lock.python,
            target=lock.target,
            login=login,
            cache=cache,
            scratch=_room(scratch, f"alone-{source}-{name}-files"),
        )
    else:
        packages = [package for package in lock.packages if package.name in {"python", name}]
        link_conda(packages, into, platform=lock.target.platform, login=login, cache=cache, named=prefix)
    return into


def login_of(request: Request) -> Login:
    """Return the credentials that a request names for its channels, indexes and wheels."""
    asked = request.requirements
    base = asked.path.parent
    return Login(
        channels=channel_addresses(request.channels, base, asked.place),
        indexes=access_of(asked.indexes),
        wheels={line.name: line.url for line in asked.pypi if line.url and not line.source},
    )


def python_packages(packages: Sequence[CondaPackage]) -> tuple[CondaPackage, ...]:
    """Return the Python among conda packages, and the packages that it needs."""
    by_name = {str(package.name): package for package in packages}
    needed: dict[str, CondaPackage] = {}
    waiting = ["python"]
    while waiting:
        package = by_name.get(waiting.pop())
        if package and str(package.name) not in needed:
            needed[str(package.name)] = package
            waiting += [spec.split()[0] for spec in package.depends]
    return tuple(needed.values())


def python_here(
    packages: Sequence[CondaPackage], request: Request, *, cache: Cache, scratch: Path, progress: Progress
) -> Path:
    """Link the Python among conda packages, and what it needs, into a prefix in `scratch`; return its program.

    For another platform it is one of the same version for this machine. Raises as `install` does.
    """
    login = login_of(request)
    python = next(package for package in packages if package.name == "python")
    if not request.target.is_this_machine:
        return _other_python(python.version, request.target, login, cache, scratch=scratch, progress=progress)
    prefix = scratch / "prefix"
    link_conda(
        python_packages(packages),
        prefix,
        platform=request.target.platform,
        login=login,
        cache=cache,
        progress=progress,
    )
    return prefix / "bin" / "python"


def _other_python(
    version: str, target: Target, login: Login, cache: Cache, *, scratch: Path, progress: Progress
) -> Path:
    """Return an interpreter for this machine of exactly the version that is packed for another platform.

    Bytecode differs between versions, so the version must be the same. The channels are asked first.
    """
    here = Platform.here()
    try:
        packages = Channels(login.channels, here, cache.repodata).solve([f"python =={version}"])
    except Unsatisfiable as error:
        if ".".join(map(str, sys.version_info[:3])) == version:
            return Path(sys.executable)
        raise Unsatisfiable(
            f"to build for {target.platform}, envpack needs Python {version} for this machine too, and the "
            f"channels have none for {here.platform}",
            hint=f"run envpack with Python {version}, or add that Python to a channel with `envpack channel init`",
        ) from error
    prefix = _room(scratch, "other-python")
    link_conda(packages, prefix, platform=here.platform, login=login, cache=cache, progress=progress)
    return prefix / "bin" / "python"


def _room(scratch: Path, name: str) -> Path:
    path = scratch / name
    path.mkdir()
    return path
