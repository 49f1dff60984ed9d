"""Find which modules each requested distribution has in an environment."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from envpack.files import installed
from envpack.verify.finding import Defect, listed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from envpack.files.installed import CondaRecord, Distribution

_NOT_FOR_IMPORT = {"bin", "doc", "docs", "example", "examples", "scripts", "test", "testing", "tests"}


@dataclass(frozen=True)
class Modules:
    """The modules of a distribution or conda package, sorted."""

    required: tuple[str, ...] = ()
    """Those without which it does not work: they have its name, or hold most of its files."""
    others: tuple[str, ...] = ()
    """Those that may need optional dependencies, such as duckdb's `adbc_driver_duckdb` and black's `blackd`."""


@dataclass(frozen=True, kw_only=True)
class InstalledModules:
    """The metadata of an environment: the distributions and conda packages it holds."""

    python_minor: str
    """Version of the Python, such as `3.11`."""
    environment: Path
    distributions: Mapping[str, Sequence[Distribution]]
    """Those that its Python finds, by normalised project name; more than one is an error."""
    conda: Mapping[str, CondaRecord]
    """By conda name."""

    @classmethod
    def read(cls, environment: Path, python_minor: str) -> InstalledModules:
        """Read the metadata of an unpacked environment; none of its code runs. Raises BrokenPackage."""
        found = installed.read(environment)
        here = f"lib/python{python_minor}/site-packages"
        distributions: dict[str, list[Distribution]] = defaultdict(list)
        for each in (*found.distributions, *found.older):
            if each.site_packages == here:
                distributions[each.project].append(each)
        return cls(
            python_minor=python_minor,
            environment=environment,
            distributions=dict(distributions),
            conda={record.name: record for record in found.conda},
        )

    @property
    def site_packages(self) -> Path:
        """Where its Python looks for distributions."""
        return self.environment / "lib" / f"python{self.python_minor}" / "site-packages"

    def modules(self, name: str) -> Modules | None:
        """Return the modules to import for a requested name, a project's or a conda package's.

        Empty when it has none, such as stubs and programs; None when there is nothing of that name. Raises
        BrokenPackage.
        """
        found = self.distributions.get(canonicalize_name(name))
        if not found:
            return modules_of(name, self._below(self.conda[name].files)) if name in self.conda else None
        return modules_of(name, self._below(found[0].listed))

    def _below(self, paths: Iterable[str]) -> Iterator[PurePosixPath]:
        """Yield the paths below `site-packages`, relative to it."""
        above = f"lib/python{self.python_minor}/site-packages/"
        yield from (PurePosixPath(path.removeprefix(above)) for path in paths if path.startswith(above))


def modules_of(name: str, files: Iterable[PurePosixPath]) -> Modules:
    """Divide the modules among the files of a distribution or conda package, whose paths are below `site-packages`.

    Where none has the name and none holds more than half of the files, those with the most are required.
    """
    paths = list(files)
    found = top_modules(paths)
    sizes = _sizes(paths, found)
    named = {module for module in found if _bears(module, name)}
    most = {module for module in found if 2 * sizes[module] > sum(sizes.values())}
    largest = {module for module in found if sizes[module] == max(sizes.values())}
    required = named | most or largest
    return Modules(
        required=tuple(module for module in found if module in required),
        others=tuple(module for module in found if module not in required),
    )


def _sizes(paths: Sequence[PurePosixPath], modules: Collection[str]) -> dict[str, int]:
    """Return how many files belong to each module, see `belongs`; the paths are gone through once."""
    steps = {tuple(module.split(".")): module for module in modules}
    deepest = max(map(len, steps), default=0)
    sizes = dict.fromkeys(modules, 0)
    for path in paths:
        parts = path.parts
        if parts and len(parts) <= deepest:
            parts = (*parts[:-1], parts[-1].split(".")[0])
        for depth in range(1, min(len(parts), deepest) + 1):
            if module := steps.get(parts[:depth]):
                sizes[module] += 1
    return sizes


def belongs(file: PurePosixPath, module: str) -> bool:
    """Say whether a file, below `site-packages`, is a module's own or is in the package that the module is."""
    steps = tuple(module.split("."))
    inside = file.parts[: len(steps)]
    if len(file.parts) == len(steps):
        inside = (*inside[:-1], inside[-1].split(".")[0])
    return inside == steps


def _bears(module: str, name: str) -> bool:
    return canonicalize_name(name) in {
        canonicalize_name(part) for part in (module, module.split(".", maxsplit=1)[0])
    }


def top_modules(files: Iterable[PurePosixPath]) -> tuple[str, ...]:
    """Return the modules that a user would import from these files, sorted.

    The outermost packages, also those inside a namespace (`google.cloud.storage`), and single modules. Private ones
    count only where there are no others; tests and examples never do.
    """
    code = [file for file in files if file.suffix in {".py", ".so"} and ".." not in file.parts]
    packages = {file.parts[:-1] for file in code if file.name.split(".")[0] == "__init__"}
    folders = {folder for file in code if (folder := file.parts[:-1])}
    at_top = [file for file in code if len(file.parts) == 1]
    parts = {_outermost(folder, packages) for folder in folders}
    parts |= {(file.name.split(".")[0],) for file in at_top if not _is_library(file)}
    found = {".".join(steps) for steps in parts if _can_be_imported(steps)}
    found = {name for name in found if not any(other.startswith(f"{name}.") for other in found)}
    public = {name for name in found if not any(part.startswith("_") for part in name.split("."))}
    return tuple(sorted(public or found))


def _outermost(folder: tuple[str, ...], packages: set[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the outermost package that a folder is in, else the namespace that it is in."""
    above = (folder[:depth] for depth in range(1, len(folder) + 1))
    return next((parent for parent in above if parent in packages), folder[:1])


def _is_library(file: PurePosixPath) -> bool:
    return file.suffix == ".so" and file.name.startswith("lib")


def _can_be_imported(steps: tuple[str, ...]) -> bool:
    return all(part.isidentifier() for part in steps) and steps[0] not in _NOT_FOR_IMPORT


@dataclass(frozen=True)
class Wanted:
    """The modules to import."""

    owners: dict[str, str]
    """Each module with the requested name it belongs to."""
    required: frozenset[str]
    """Those that have to be imported; a failure of another is only a note."""


def requested_modules(environment: InstalledModules, requested: Sequence[str]) -> tuple[Wanted, list[Defect]]:
    """Return the modules to import, and the requested names that are missing."""
    owners: dict[str, str] = {}
    required: set[str] = set()
    findings = []
    for name in requested:
        modules = environment.modules(name)
        if modules is None:
            findings.append(Defect(text=f"{name} was requested but is not in the environment"))
            continue
        required.update(modules.required)
        for module in (*modules.required, *modules.others):
            owners.setdefault(module, name)
    return Wanted(dict(sorted(owners.items())), frozenset(required)), findings


def check_distributions(environment: InstalledModules) -> Iterator[Defect]:
    """Yield the distributions that are installed twice: which one is imported is undefined."""
    for name, found in sorted(environment.distributions.items()):
        if len(found) > 1:
            versions = [f"{name} {distribution.version}" for distribution in found]
            yield Defect(
                text=f"{name} is installed more than once: {listed(versions)}",
                hint="a conda package and a wheel brought the same files: take it from one of the two",
            )


def check_paths(environment: InstalledModules) -> Iterator[Defect]:
    """Yield the `.pth` files that add a directory outside the environment, as editable installs do."""
    for path in sorted(environment.site_packages.glob("*.pth")):
        outside = [line for line in path.read_text("utf-8", "replace").splitlines() if line.startswith("/")]
        if outside:
            yield Defect(
                text=f"{path.name} adds {listed(outside)}, which no node has",
                hint="install the project itself, not as editable",
            )


def check_present(environment: InstalledModules, owners: dict[str, str]) -> Iterator[Defect]:
    """Yield the modules whose files are missing; used when nothing can be imported."""
    for module, owner in owners.items():
        path = environment.site_packages.joinpath(*module.split("."))
        if not path.is_dir() and not any(path.parent.glob(f"{path.name}.*")):
            yield Defect(text=f"{owner}: there is no module {module} in the archive")
