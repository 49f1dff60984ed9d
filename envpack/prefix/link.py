"""Link a lock into a prefix: conda packages by rattler, then wheels by uv."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from rattler import BuildString, NoArchType, PackageRecord, RepoDataRecord, Subdir, VersionWithSource, install
from rattler.exceptions import (
    ExtractError,
    FetchRepoDataError,
    InstallerError,
    IoError,
    LinkError,
    TransactionError,
)
from rattler.install import InstallerReporter

from envpack.errors import BrokenPackage, PackingFailed, Unreachable, Unsatisfiable
from envpack.files.wheel import WheelTarget, problems_of, unpacked_at_most
from envpack.prefix.arrivals import Arrivals, local_path
from envpack.prefix.ledger import Ledger
from envpack.prefix.refusals import check_local, explained, refused
from envpack.progress import SILENT, Progress, Step
from envpack.redact import VARIABLE, know
from envpack.requirements.names import ProjectName
from envpack.tools import rattler, stand_in, uv, uv_bounds
from envpack.tools.channel_access import ChannelAddress, client_of
from envpack.tools.uv_access import NO_ACCESS, Access, write_requirements
from envpack.units import agreeing, count

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from rattler.networking import Client

    from envpack.config.target import Target
    from envpack.files.cache import Cache
    from envpack.lock.lock import CondaPackage, Wheel


@dataclass(frozen=True)
class Login:
    """The credentials that a lock does not hold."""

    channels: tuple[ChannelAddress, ...] = ()
    indexes: Access = NO_ACCESS
    wheels: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Project name to the address of a wheel that the requirements name, credentials included."""

    def requirement(self, wheel: Wheel) -> str:
        """Return what uv has to install for a locked wheel.

        Raises PackingFailed when its address needs a variable that is not set.
        """
        if wheel.by_index:
            return f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}"
        address = self.wheels.get(wheel.name) if wheel.direct else None
        return f"{wheel.name} @ {address or _filled(wheel)} --hash=sha256:{wheel.sha256}"


def link_conda(
    packages: Sequence[CondaPackage],
    prefix: Path,
    *,
    platform: str,
    login: Login,
    cache: Cache,
    named: Path | None = None,
    progress: Progress = SILENT,
) -> tuple[str, ...]:
    """Link conda packages into an empty prefix and return notes on them for the user.

    Their files contain the path of the prefix, or of the directory `named` instead.

    Each is checked before it is linked. Post-link scripts are not run: they may do anything, and their effects are
    not in the lock. Raises Unreachable when a package cannot be fetched, DamagedPackage with those that were
    damaged in the cache and are now removed, PackingFailed when one cannot be linked.
    """
    size = sum(package.size or 0 for package in packages)
    records = [_record(package) for package in packages]
    arrivals = Arrivals(packages, cache.packages, Ledger(cache.checked))
    client = client_of(login.channels)
    with (
        progress.step("download", total=size, unit="bytes") as download,
        progress.step("link", total=len(packages)) as linking,
    ):
        check_local(arrivals)
        sizes = {str(package.name): package.size or 0 for package in packages}
        # rattler's protocol has bodies that do nothing, which mypy takes for abstract ones.
        reporter = _Reporter(download, linking, sizes, arrivals)  # type: ignore[abstract]
        try:
            with arrivals.bounded():
                rattler.run(
                    _install(records, prefix, platform, named=named, cache=cache, client=client, reporter=reporter)
                )
        except (ExtractError, FetchRepoDataError, InstallerError, IoError, LinkError, TransactionError) as error:
            raise refused(arrivals) or explained(error, prefix) from error
        if refusal := refused(arrivals):
            raise refusal
        linking.note(count(len(packages), "conda package"))
    scripts = sorted(package.name for package in packages if _post_link(prefix, package).exists())
    return (*sorted(arrivals.warnings), *(f"{name} has a post-link script, which was not run" for name in scripts))


def link_wheels(
    wheels: Sequence[Wheel],
    prefix: Path,
    *,
    python: Path,
    version: str,
    target: Target,
    login: Login,
    cache: Cache,
    scratch: Path,
    progress: Progress = SILENT,
) -> None:
    """Install wheels into a prefix that holds Python, whose version is `version`.

    `python` is the interpreter for the wheels' programs; it is not run. Raises Unreachable and
    PackingFailed.
    """
    if not wheels:
        return
    _check_files(wheels, WheelTarget(python=version, machine=target.machine, glibc=target.glibc), cache)
    requirements = scratch / "wheels.txt"
    write_requirements(requirements, [*login.indexes.lines, *map(login.requirement, wheels)])
    sizes = {str(wheel.name): wheel.size or 0 for wheel in wheels}
    with progress.step("wheels", total=sum(sizes.values()), unit="bytes") as step:

        def tell(line: str) -> None:
            # uv reports the download of a wheel that was not cached: ` Downloaded NAME`.
            words = line.split()
            if len(words) == 2 and words[0] == "Downloaded":
                step.advance(sizes.get(words[1], 0))

        arguments = [
            *(
                "pip",
                "install",
                "--requirements",
                str(requirements),
                "--prefix",
                str(prefix),
                "--python",
                str(stand_in.write(scratch, python=python, version=version)),
            ),
            *("--python-version", version, "--python-platform", target.uv_platform()),
            *("--no-deps", "--require-hashes", "--only-binary", ":all:"),
        ]
        run = partial(uv.run, cache=cache.uv, workdir=scratch, access=login.indexes, most=_unpacked_at_most(wheels))
        _from_cache_or_network(run, arguments, cache=cache, tell=tell)
        _forget_urls(prefix, wheels)
        step.note(count(len(wheels), "wheel"))


def _check_files(wheels: Sequence[Wheel], machine: WheelTarget, cache: Cache) -> None:
    """Check that the wheels in local folders may be installed. Raises BrokenPackage with all that is wrong."""
    found: list[str] = []
    for wheel in wheels:
        path = local_path(wheel.url)
        mark = cache.checked / f"{wheel.sha256}-{machine.python}-{machine.machine}"
        if path is None or mark.exists():
            continue
        try:
            problems = problems_of(path, machine, name=wheel.name, version=wheel.version)
        except OSError as error:
            problems = [f"cannot be read: {error.strerror}"]
        found += [f"{path.name} {problem}" for problem in problems]
        if not problems:
            cache.checked.mkdir(parents=True, exist_ok=True)
            mark.touch()
    if found:
        raise BrokenPackage(
            "\n".join(found) if len(found) == 1 else "wheels must not be installed:\n" + "\n".join(found),
            hint="build the wheel again, or use another version",
        )


def _filled(wheel: Wheel) -> str:
    """Return the address of a locked wheel with the environment's variables filled in."""
    names = [name[2:-1] for name in VARIABLE.findall(wheel.url)]
    if missing := [name for name in names if not os.environ.get(name)]:
        unset = agreeing(missing, "the variable {} is not set", "the variables {} are not set")
        raise PackingFailed(
            f"the wheel of {wheel.name} cannot be fetched: {unset}",
            hint=f"set it to your credential for the server of {wheel.url}",
        )
    know(*(os.environ[name] for name in names))
    return VARIABLE.sub(lambda found: os.environ[found[0][2:-1]], wheel.url)


def _unpacked_at_most(wheels: Sequence[Wheel]) -> int:
    """Return the unpacked size in bytes that the largest of some wheels may have."""
    sizes = [wheel.size for wheel in wheels]
    return max(unpacked_at_most(size) if size else uv_bounds.ANY for size in sizes)


def _from_cache_or_network(
    run: Callable[..., None], arguments: Sequence[str], *, cache: Cache, tell: Callable[[str], None]
) -> None:
    """Run uv without the network if every wheel is cached: uv asks servers whether cached files are still fresh.

    Builds that need the network take turns: uv's cache stays intact when two fill it, but both would fetch the
    same.
    """
    try:
        run([*arguments, "--offline"])
    except (Unsatisfiable, Unreachable, PackingFailed):
        with cache.fetching():
            run(arguments, on_line=tell)


def _forget_urls(prefix: Path, wheels: Sequence[Wheel]) -> None:
    """Remove uv's notes on wheels that were given by URL: an index chose them, not the user (PEP 610)."""
    chosen = {wheel.name for wheel in wheels if not wheel.direct}
    for noted in prefix.glob("lib/python*/site-packages/*.dist-info/direct_url.json"):
        folder = noted.parent
        if ProjectName(folder.name.partition("-")[0]) not in chosen:
            continue
        record = folder / "RECORD"
        own = f"{folder.name}/{noted.name},"
        lines = record.read_text("utf-8").splitlines(keepends=True)
        record.write_text("".join(line for line in lines if not line.startswith(own)), "utf-8")
        noted.unlink()


async def _install(
    records: list[RepoDataRecord],
    prefix: Path,
    platform: str,
    *,
    named: Path | None,
    cache: Cache,
    client: Client | None,
    reporter: InstallerReporter,
) -> None:
    await install(
        records,
        prefix,
        cache_dir=cache.packages,
        platform=Subdir(platform),
        execute_link_scripts=False,
        alternative_target_prefix=named,
        client=client,
        reporter=reporter,
    )


class _Reporter(InstallerReporter):
    """Turns rattler's callbacks into the progress of two steps."""

    def __init__(self, download: Step, linking: Step, sizes: dict[str, int], arrivals: Arrivals) -> None:
        self._download = download
        self._linking = linking
        self._sizes = sizes
        self._arrivals = arrivals
        self._names: list[str] = []
        self._arrived: dict[int, int] = {}

    def on_populate_cache_start(self, operation: int, package_name: str) -> int:  # noqa: ARG002
        self._names.append(package_name)
        return len(self._names) - 1

    def on_download_start(self, cache_entry: int) -> int:
        self._arrived[cache_entry] = 0
        return cache_entry

    def on_download_progress(self, download_idx: int, progress: int, total: int | None) -> None:  # noqa: ARG002
        self._download.advance(progress - self._arrived[download_idx])
        self._arrived[download_idx] = progress

    def on_populate_cache_complete(self, cache_entry: int) -> None:
        self._arrivals.arrived(self._names[cache_entry])
        size = self._sizes.get(self._names[cache_entry], 0)
        self._download.advance(max(0, size - self._arrived.get(cache_entry, 0)))

    def on_link_complete(self, index: int) -> None:  # noqa: ARG002
        self._linking.advance(1)


def _record(package: CondaPackage) -> RepoDataRecord:
    file = package.url.rsplit("/", 1)[-1]
    record = PackageRecord(
        name=package.name,
        version=VersionWithSource(package.version),
        build=BuildString(package.build),
        build_number=package.build_number,
        subdir=package.subdir,
        noarch=NoArchType(package.noarch),
        depends=list(package.depends),
        constrains=list(package.constrains),
        sha256=bytes.fromhex(package.sha256),
        md5=bytes.fromhex(package.md5) if package.md5 else None,
        size=package.size,
        license=package.license,
        python_site_packages_path=package.python_site_packages_path,
    )
    return RepoDataRecord(record, file, package.url, package.url.rsplit("/", 2)[0])


def _post_link(prefix: Path, package: CondaPackage) -> Path:
    return prefix / "bin" / f".{package.name}-post-link.sh"
