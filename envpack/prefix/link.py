"""Link a lock into a prefix: conda packages by rattler, then wheels by uv."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name
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

from envpack.errors import PackingFailed, Unreachable
from envpack.progress import SILENT, Progress, Step
from envpack.redact import redact
from envpack.tools import rattler, uv

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from envpack.config.target import Target
    from envpack.files.cache import Cache
    from envpack.lock.lock import CondaPackage, Wheel


@dataclass(frozen=True)
class Login:
    """Addresses with their credentials, which a lock does not hold."""

    channels: tuple[str, ...] = ()
    index_arguments: tuple[str, ...] = ()
    """uv's options that name the indexes."""

    def address(self, url: str) -> str:
        """Return a locked package's URL with the credentials of the channel that it lies in."""
        for channel in self.channels:
            plain = redact(channel).rstrip("/") + "/"
            if url.startswith(plain):
                return channel.rstrip("/") + "/" + url.removeprefix(plain)
        return url


def link_conda(
    packages: Sequence[CondaPackage],
    prefix: Path,
    *,
    platform: str,
    login: Login,
    cache: Cache,
    progress: Progress = SILENT,
) -> tuple[str, ...]:
    """Link conda packages into an empty prefix and return the names of those with a post-link script.

    The scripts are not run: they may do anything, and what they do is not in the lock. Raises Unreachable when a
    package cannot be fetched, PackingFailed when it cannot be linked.
    """
    size = sum(package.size or 0 for package in packages)
    records = [_record(package, login) for package in packages]
    with (
        progress.step("download", total=size, unit="bytes") as download,
        progress.step("link", total=len(packages)) as linking,
    ):
        sizes = {package.name: package.size or 0 for package in packages}
        # rattler's protocol has bodies that do nothing, which mypy takes for abstract ones.
        reporter = _Reporter(download, linking, sizes)  # type: ignore[abstract]
        try:
            rattler.run(_install(records, prefix, platform, cache, reporter))
        except (ExtractError, FetchRepoDataError, InstallerError, IoError, LinkError, TransactionError) as error:
            raise _explained(error, prefix) from error
        linking.note(f"{len(packages)} conda packages")
    return tuple(sorted(package.name for package in packages if _post_link(prefix, package).exists()))


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

    `python` is an interpreter of that version which this machine can run: the prefix's own, or another when the
    prefix is for another platform. Raises Unreachable and PackingFailed.
    """
    if not wheels:
        return
    requirements = scratch / "wheels.txt"
    requirements.write_text("".join(f"{w.name} @ {w.url} --hash=sha256:{w.sha256}\n" for w in wheels), "utf-8")
    sizes = {wheel.name: wheel.size or 0 for wheel in wheels}
    with progress.step("wheels", total=sum(sizes.values()), unit="bytes") as step:

        def tell(line: str) -> None:
            # uv tells when a wheel that was not cached has arrived: ` Downloaded NAME`.
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
                str(python),
            ),
            *("--python-version", version, "--python-platform", target.uv_platform()),
            *("--no-deps", "--require-hashes", "--only-binary", ":all:"),
            *login.index_arguments,
        ]
        try:
            _from_cache_or_network(arguments, cache=cache, scratch=scratch, tell=tell)
        except uv.Failure as failure:
            raise PackingFailed(
                f"the wheels cannot be installed: {failure.text}",
                hint="if a file was replaced where it lies, solve anew with --upgrade",
            ) from failure
        _forget_urls(prefix, wheels)
        step.note(f"{len(wheels)} wheels")


def _from_cache_or_network(
    arguments: Sequence[str], *, cache: Cache, scratch: Path, tell: Callable[[str], None]
) -> None:
    """Run uv without the network if every wheel is cached: uv asks servers whether cached files are still fresh.

    Builds that need the network take turns: uv's cache stays whole when two fill it, but both would fetch the same.
    """
    try:
        uv.run([*arguments, "--offline"], cache=cache.uv, workdir=scratch)
    except (uv.Failure, Unreachable):
        with cache.fetching():
            uv.run(arguments, cache=cache.uv, workdir=scratch, on_line=tell)


def _forget_urls(prefix: Path, wheels: Sequence[Wheel]) -> None:
    """Take back what uv notes of wheels that it was given by URL: an index chose them, not the person (PEP 610)."""
    chosen = {wheel.name for wheel in wheels if not wheel.direct}
    for noted in prefix.glob("lib/python*/site-packages/*.dist-info/direct_url.json"):
        folder = noted.parent
        if canonicalize_name(folder.name.partition("-")[0]) not in chosen:
            continue
        record = folder / "RECORD"
        own = f"{folder.name}/{noted.name},"
        lines = record.read_text("utf-8").splitlines(keepends=True)
        record.write_text("".join(line for line in lines if not line.startswith(own)), "utf-8")
        noted.unlink()


async def _install(
    records: list[RepoDataRecord], prefix: Path, platform: str, cache: Cache, reporter: InstallerReporter
) -> None:
    await install(
        records,
        prefix,
        cache_dir=cache.packages,
        platform=Subdir(platform),
        execute_link_scripts=False,
        reporter=reporter,
    )


class _Reporter(InstallerReporter):
    """Turns rattler's callbacks into the advance of two steps."""

    def __init__(self, download: Step, linking: Step, sizes: dict[str, int]) -> None:
        self._download = download
        self._linking = linking
        self._sizes = sizes
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
        size = self._sizes.get(self._names[cache_entry], 0)
        self._download.advance(max(0, size - self._arrived.get(cache_entry, 0)))

    def on_link_complete(self, index: int) -> None:  # noqa: ARG002
        self._linking.advance(1)


def _record(package: CondaPackage, login: Login) -> RepoDataRecord:
    url = login.address(package.url)
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
    return RepoDataRecord(record, file, url, package.url.rsplit("/", 2)[0])


def _post_link(prefix: Path, package: CondaPackage) -> Path:
    return prefix / "bin" / f".{package.name}-post-link.sh"


def _explained(error: Exception, prefix: Path) -> PackingFailed | Unreachable:
    text = redact(str(error)).replace("\nCaused by: ", ": ").replace(str(prefix), "PREFIX")
    if "error sending request" in text or "error decoding response" in text:
        return Unreachable(
            f"a package cannot be fetched: {text}", hint="check the network and the channel's address"
        )
    if "No space left" in text:
        return PackingFailed(
            f"the disk is full: {text}", hint="make room, or name another cache with ENVPACK_CACHE_DIR"
        )
    return PackingFailed(
        f"the conda packages cannot be linked: {text}",
        hint="if a package was replaced in its channel, solve anew with --upgrade",
    )
