"""A lock of another tool, or an explicit list, as an envpack lock: nothing is solved, files are used unchanged."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote, urlsplit

from envpack.errors import BadRequirements, Problem, Unsatisfiable
from envpack.lock.lock import CondaPackage, Lock, Wheel
from envpack.redact import public
from envpack.requirements.match_spec import file_parts, parse
from envpack.requirements.names import CondaName
from envpack.requirements.pins import ANY_PLATFORM, Pins
from envpack.requirements.text import Refused
from envpack.resolve import specs
from envpack.resolve.conda import is_python_distribution

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from envpack.config.target import Target
    from envpack.requirements.names import ProjectName
    from envpack.requirements.pins import PinnedConda, PinnedFile, PinnedWheel
    from envpack.resolve.conda import Channels
    from envpack.resolve.request import Request


def lock_as_is(request: Request, pinned: PinnedFile, channels: Channels) -> Lock:
    """Return a lock of the package files that a file names for the target.

    Data that the file lacks, such as a package's digest, comes from the channel's index. Raises BadRequirements
    when the file has nothing for the target, names a package twice or no Python, and Unsatisfiable when the target
    lacks what a package needs, or a digest cannot be found.
    """
    pins = _of_platform(request, pinned)
    if pins.problems:
        raise BadRequirements(pins.problems)
    packages = tuple(sorted(_conda(pins.conda, channels), key=lambda package: package.name))
    wheels = tuple(
        sorted(
            (
                Wheel(name=pin.name, version=pin.version, url=public(pin.url), sha256=pin.sha256, size=pin.size)
                for pin in pins.wheels
            ),
            key=lambda wheel: wheel.name,
        )
    )
    _check(request, pinned, pins, packages, wheels)
    _check_target(packages, request.target)
    return Lock(
        target=request.target,
        channels=tuple(address.locked for address in channels.addresses),
        packages=packages,
        wheels=wheels,
        requested=_roots(packages, wheels, request),
        request=request.digest(),
        asked=request.parts(),
    )


def _of_platform(request: Request, pinned: PinnedFile) -> Pins:
    platform = request.target.platform
    pins = pinned.platforms.get(platform) or pinned.platforms.get(ANY_PLATFORM)
    if pins is None:
        has = ", ".join(sorted(pinned.platforms)) or "no platform"
        reason = f"{pinned.kind} has packages for {has}, not for {platform}"
        raise BadRequirements(
            [Problem(str(request.requirements.path), 0, reason)],
            hint=f"lock again with {platform}, or choose another platform with --platform",
        )
    return pins


def _conda(pins: Sequence[PinnedConda], channels: Channels) -> list[CondaPackage]:
    incomplete = [pin for pin in pins if pin.sha256 is None or pin.depends is None]
    known, failures = channels.packages_at([pin.url for pin in incomplete])
    packages, problems = [], []
    for pin in pins:
        found = known.get(pin.url)
        if found and _differs(pin, found):
            problems.append(f"{pin.origin}: its channel has another file with this name: {public(pin.url)}")
        elif found or pin.sha256:
            packages.append(_package(pin, found))
        else:
            problems.append(f"{pin.origin}: neither the line nor the channel has its SHA-256: {public(pin.url)}")
    if problems and failures:
        raise failures[0]
    if problems:
        raise Unsatisfiable(
            problems,
            hint="write the list again with `conda list --explicit --sha256`",
        )
    return packages


def _differs(pin: PinnedConda, found: CondaPackage) -> bool:
    return (pin.sha256 or found.sha256, pin.md5 or found.md5) != (found.sha256, found.md5)


def _package(pin: PinnedConda, found: CondaPackage | None) -> CondaPackage:
    """Return the package of a file, with the data of a channel's index if that was asked."""
    if found:
        return replace(found, url=public(pin.url))
    file = unquote(urlsplit(pin.url).path.rpartition("/")[2])
    subdir = pin.url.rsplit("/", 2)[-2]
    name, version, build = file_parts(file) or (CondaName(file), "0", "0")
    number = build.rpartition("_")[2]
    return CondaPackage(
        name=name,
        version=version,
        build=build,
        build_number=pin.build_number if pin.build_number is not None else int(number) if number.isdecimal() else 0,
        subdir=subdir,
        url=public(pin.url),
        sha256=pin.sha256 or "",
        size=pin.size,
        md5=pin.md5,
        noarch=pin.noarch or _noarch(subdir, pin.depends or ()),
        depends=pin.depends or (),
        constrains=pin.constrains,
        license=pin.license,
        timestamp=pin.timestamp,
        python_site_packages_path=pin.python_site_packages_path,
    )


def _noarch(subdir: str, depends: Iterable[str]) -> Literal["python", "generic"] | None:
    if subdir != ANY_PLATFORM:
        return None
    return "python" if is_python_distribution(depends) else "generic"


def _check(
    request: Request, pinned: PinnedFile, pins: Pins, packages: Sequence[CondaPackage], wheels: Sequence[Wheel]
) -> None:
    """Raise BadRequirements for packages that are named twice, and for a file without Python."""
    file = str(request.requirements.path)
    problems = []
    seen: dict[CondaName | ProjectName, str] = {}
    named: list[PinnedConda | PinnedWheel] = [*pins.conda, *pins.wheels]
    places = {public(pin.url): pin.origin for pin in named}
    found: list[CondaPackage | Wheel] = [*packages, *wheels]
    for package in found:
        origin = places[package.url]
        if (first := seen.setdefault(package.name, package.url)) != package.url:
            problems.append(
                Problem(
                    origin.file,
                    origin.line,
                    f"{package.name} is listed twice, first as {first}; remove one of the lines",
                )
            )
    if not any(package.name == "python" for package in packages):
        problems.append(
            Problem(file, 0, f"{pinned.kind} has no Python, which Spark needs; add python to it and lock again")
        )
    if problems:
        raise BadRequirements(problems)


def _check_target(packages: Iterable[CondaPackage], target: Target) -> None:
    """Raise Unsatisfiable with what packages need of the nodes and the nodes lack."""
    has = {name: (version, build) for name, version, build in target.virtual_packages()}
    problems: dict[str, CondaName] = {}
    for package in packages:
        for text in package.depends:
            if text.startswith("__") and not _holds(text, has):
                problems.setdefault(text, package.name)
    if problems:
        told = [f"{name} needs {text}, which the nodes do not have" for text, name in problems.items()]
        raise Unsatisfiable(told, hint="if they have it, give --glibc and --cuda; otherwise lock for these nodes")


def _holds(text: str, has: Mapping[str, tuple[str, str]]) -> bool:
    try:
        spec = parse(text)
    except Refused:
        return True
    version, build = has.get(spec.name, (None, ""))
    if version is None:
        return False
    return (spec.version is None or specs.admits(spec.version, version)) and (
        spec.build is None or specs.fits(build, spec.build)
    )


def _roots(
    packages: Sequence[CondaPackage], wheels: Sequence[Wheel], request: Request
) -> tuple[CondaName | ProjectName, ...]:
    """Return the packages that no other package in the file needs: these were probably asked for.

    The file does not have the needs of wheels, so all wheels count.
    """
    needed = {spec.split()[0].partition("[")[0] for package in packages for spec in package.depends}
    conda = [p.name for p in packages if p.name not in needed and p.name != "python" and p.depends]
    held = {request.names.project(name) for name in conda}
    return tuple(sorted([*conda, *(wheel.name for wheel in wheels if wheel.name not in held)]))
