"""The imports of Python workers, where the job was run with envpack's import hook, and unused packages."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from envpack.codec import PythonVersion
from envpack.errors import EnvpackError, UsageError
from envpack.explain.findings import Unevaluated, found
from envpack.files.regular import open_regular
from envpack.releases import file_list
from envpack.releases.lookup import read_beside
from envpack.units import count, human_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from envpack.explain.findings import Case, Found
    from envpack.packages.package import PackedPackage
    from envpack.releases.file_list import File

MODULE = "envpack_imports"
"""The hook's module name."""

_MARK = b"envpack-imports: "
_LONGEST_LINE = 1 << 20
_MOST_FILES = 20_000
_MOST_MODULES = 20_000
_SHOWN = 12
_NO_RECORD = "no record of imports was given: `envpack explain --import-hook` says how to make one"
_SPARKS = frozenset({"python", "pyspark", "py4j", "pip", "setuptools", "wheel"})
"""Packages that Spark needs, or that functions do not import themselves."""


@dataclass(frozen=True, kw_only=True)
class ImportRecord:
    """The imports of a process."""

    process: str
    """`worker` or `driver`."""
    python: str
    """Its version."""
    modules: Mapping[str, str]
    """Top-level modules of `site-packages` with their versions, empty where a module does not say its own."""


def hook() -> str:
    """Return the text of the module that records imports."""
    return Path(__file__).with_name("imports_script.py").read_text("utf-8").rstrip("\n")


SETTINGS = (
    f"--files {MODULE}.py",
    "--conf spark.executorEnv.PYTHONPATH=.",
    f"--conf spark.python.daemon.module={MODULE}",
)
"""The options with which a job's workers report their imports."""


def read(paths: Sequence[Path]) -> tuple[ImportRecord, ...]:
    """Return the records in files, or in all files below directories, of executors' output such as `yarn logs`.

    Raises UsageError when a path cannot be read or none holds a record.
    """
    records = [record for path in paths for file in _files(path) for record in _records(file)]
    if paths and not records:
        raise UsageError(
            f"{', '.join(map(str, paths))}: no record of imports was found",
            hint="install the module that `envpack explain --import-hook` prints, and run the application again",
        )
    return tuple(records)


def versions_differ(case: Case) -> Iterator[Found]:
    """Yield packages that driver and workers have in versions that differ by more than a patch."""
    drivers, workers = _of(case, "driver"), _of(case, "worker")
    if not drivers or not workers:
        reason = _NO_RECORD if not workers else f"the driver's imports were not recorded: `import {MODULE}` there"
        yield Unevaluated(name="versions-differ", reason=reason)
        return
    there = {module: version for record in workers for module, version in record.modules.items() if version}
    here = {module: version for record in drivers for module, version in record.modules.items() if version}
    differ = [name for name in sorted(here.keys() & there.keys()) if _minor(here[name]) != _minor(there[name])]
    if differ:
        owners = owners_in_release(case) or {}
        pairs = ", ".join(f"{name} {here[name]} and {there[name]}" for name in differ[:_SHOWN])
        yield from found(
            "versions-differ",
            f"driver and workers have other versions of {count(len(differ), 'package')}: {pairs}",
            len(differ),
            quote=f"imported by the driver: Python {drivers[0].python}; by workers: Python {workers[0].python}",
            advice="run the driver in the release as well, or give its Python the release's versions",
            settings=[
                shlex.join(["pip", "install", *(f"{owners.get(n, n)}=={there[n]}" for n in differ[:_SHOWN])])
            ],
        )


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]


def unused_packages(case: Case) -> Iterator[Found]:
    """Yield the packages that no worker imported and no imported package needs, and their size."""
    if not _of(case, "worker"):
        yield Unevaluated(name="unused-packages", reason=_NO_RECORD)
        return
    if case.release is None or case.store is None:
        yield Unevaluated(name="unused-packages", reason="the application's release is not known: name its --store")
        return
    packages = case.release.manifest.packages
    owners = owners_in_release(case)
    if owners is None or any(package.requires is None for package in packages):
        reason = (
            f"{case.release.manifest.reference} does not say which package needs which, or has no list of files"
        )
        yield Unevaluated(name="unused-packages", reason=reason)
        return
    imported = {module for record in _of(case, "worker") for module in record.modules}
    unused = not_needed(packages, owners, imported)
    saved = sum(package.unpacked_size or 0 for package in unused)
    names = [package.name for package in sorted(unused, key=lambda p: -(p.unpacked_size or 0))]
    asked = [name for name in case.release.manifest.requested if name.split()[0].lower() in names]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    yield from found(
        "unused-packages",
        f"no worker imported {count(len(unused), 'package')} of {case.release.manifest.reference}: "
        f"{', '.join(names[:_SHOWN])}{more}; they are {human_size(saved)} of what each node unpacks",
        saved,
        quote=f"imported were {', '.join(sorted(imported)[:_SHOWN])}",
        advice="leave them out of the requirements if no other job needs them, nor the driver in cluster mode"
        + (f". Asked for were {', '.join(asked)}" if asked else ""),
        settings=["envpack build FILE --dry-run"],
    )


def not_needed(
    packages: Sequence[PackedPackage], owners: Mapping[str, str], imported: Iterable[str]
) -> tuple[PackedPackage, ...]:
    """Return the packages that were not imported and that none of the imported needs.

    `owners` gives the package of a top-level module. A package without modules is kept if another needs it.
    """
    by_name = {package.name: package for package in packages}
    waiting = [*_SPARKS, *(owners[module] for module in imported if module in owners)]
    kept: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in by_name and name not in kept:
            kept.add(name)
            waiting += by_name[name].requires or ()
    return tuple(package for package in packages if package.name not in kept)


def modules_of(files: Iterable[File]) -> dict[str, str]:
    """Return the package of each top-level module in `site-packages`."""
    owners: dict[str, str] = {}
    for file in files:
        _, inside, rest = file.path.partition("/site-packages/")
        first = rest.partition("/")[0]
        if (
            inside
            and file.owner
            and not first.endswith((".dist-info", ".pth", ".egg-info"))
            and first != "__pycache__"
        ):
            owners.setdefault(first.partition(".")[0], file.owner.partition("/")[2])
    return owners


def owners_in_release(case: Case) -> dict[str, str] | None:
    """Return the package of each top-level module of the release, by its list of files; None without one."""
    if case.store is None or case.release is None:
        return None
    try:
        data = read_beside(case.store, case.release, file_list.FILE)
        return modules_of(file_list.loads(data, file_list.FILE)) if data else None
    except EnvpackError:
        return None


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for number, each in enumerate(sorted(path.rglob("*"))):
        if number >= _MOST_FILES:
            return
        if each.is_file():
            yield each


def _records(path: Path) -> list[ImportRecord]:
    """Return a record for each process of a file: a worker's later record includes its earlier ones."""
    records: dict[str, ImportRecord] = {}
    try:
        with open_regular(path) as file:
            while line := file.readline(_LONGEST_LINE):
                _, mark, text = line.partition(_MARK)
                if mark and (found := _read(text)):
                    before = records.get(found.process)
                    modules = {**(before.modules if before else {}), **found.modules}
                    records[found.process] = replace(found, modules=dict(list(modules.items())[:_MOST_MODULES]))
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}",
            hint="give files of executors' output, such as that of `yarn logs`",
        ) from error
    return list(records.values())


def _read(text: bytes) -> ImportRecord | None:
    try:
        told = _decoder.decode(text)
    except (ValueError, RecursionError):
        return None
    return ImportRecord(process=told.process, python=told.python, modules=told.modules)


class _Told(Struct):
    """A line of the hook."""

    process: Literal["worker", "driver"]
    python: PythonVersion
    modules: dict[Annotated[str, Meta(max_length=200)], Annotated[str, Meta(max_length=200)]]


_decoder = msgspec.json.Decoder(_Told)


def _of(case: Case, process: str) -> list[ImportRecord]:
    return [record for record in case.imports if record.process == process]
