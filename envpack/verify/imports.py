"""Import what was requested, in as many processes as there are cores, and judge the result."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from envpack.archive import guard
from envpack.verify.binaries import is_of_driver
from envpack.verify.finding import Defect, listed
from envpack.verify.trial import OF_THE_NODE, hint_for, missing_library, missing_of_cluster, try_modules

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from envpack.config.target import Target
    from envpack.verify.modules import Wanted
    from envpack.verify.trial import Loaded, Node, Trial


@dataclass(frozen=True, kw_only=True)
class ImportTrial:
    """Modules for one process to import, and the result."""

    owners: Mapping[str, str]
    """Each module with the requested name that it belongs to."""
    last: frozenset[str]
    """Those of them that were imported after the others."""
    trial: Trial
    notes: tuple[Defect, ...]

    @property
    def imported(self) -> set[str]:
        """The modules that could be imported."""
        return self.owners.keys() & {*self.trial.imported}

    def together(self) -> Iterator[tuple[dict[str, str], Loaded]]:
        """Yield modules, with the requested name of each, and what their process had loaded after the last of them.

        Nothing where several processes were needed, or the process did not say.
        """
        if self.trial.processes != 1:
            return
        there = {module: name for module, name in self.owners.items() if module in self.imported - self.trial.alone}
        before = {module: name for module, name in there.items() if module not in self.last}
        if before and self.trial.before:
            yield before, self.trial.before
            there = {module: name for module, name in there.items() if module not in before}
        if there and self.trial.loaded:
            yield there, self.trial.loaded


def attempt(node: Node, owners: Mapping[str, str], *, shares: int, last: Collection[str] = ()) -> list[ImportTrial]:
    """Import modules, those of one requested name in one process; at most `shares` processes run at a time.

    `owners` has each module's requested name. The modules of the `last` names come last in their process, so that
    what the others load is known without them. The first process imports `ssl` as well.
    """
    names = list(dict.fromkeys(owners.values()))
    groups = [
        {module: name for module, name in owners.items() if name in share}
        for n in range(max(1, min(shares, len(names))))
        for share in (names[n :: max(1, min(shares, len(names)))],)
    ]

    def one(number: int) -> ImportTrial:
        first = ["ssl"] if number == 0 else []
        group = groups[number]
        begins = [module for module, name in group.items() if name not in last]
        ends = [module for module in group if module not in begins]
        if not begins:
            begins, ends = ends, []
        trial, notes = try_modules(node, [*first, *begins], ends)
        return ImportTrial(owners=group, last=frozenset(ends), trial=trial, notes=tuple(notes))

    with ThreadPoolExecutor(len(groups), thread_name_prefix="imports") as pool:
        return list(pool.map(one, range(len(groups))))


def findings(
    found: ImportTrial, wanted: Wanted, *, python: str, environment: Path, target: Target
) -> Iterator[Defect]:
    """Yield what is wrong, for an environment whose Python has to be `python`."""
    trial = found.trial
    if trial.version is None:
        yield Defect(text=f"bin/python does not start: {trial.ended}", hint=hint_for(trial.ended))
        return
    yield from found.notes
    if trial.version != python:
        yield Defect(text=f"its Python is {trial.version}, not {python}")
    own = [Path(folder).is_relative_to(environment) for folder in trial.path]
    of_node = [Path(folder).name == OF_THE_NODE for folder in trial.path]
    if guard.is_in(environment) and True in of_node and True in own[of_node.index(True) :]:
        text = "its start-up files have no effect: packages in a node's PYTHONPATH come before the archive's"
        yield Defect(text=text, hint=f"find what changes {guard.MODULE}.py, or what its Python does at its start")
    outside = [
        folder for folder, inside, node in zip(trial.path, own, of_node, strict=True) if not inside and not node
    ]
    if outside:
        text = f"its Python takes modules from {listed(outside)}, not from the archive"
        yield Defect(text=text, hint="a virtual environment borrows another Python: build with envpack")
    if trial.certificates == 0:
        text = "no certificates: HTTPS from a worker will fail"
        yield Defect(text=text, hint="add ca-certificates, or set SSL_CERT_FILE under `variables:`")
    for module, reason in trial.failed.items():
        yield _failure(module, wanted, reason, target)


def _failure(module: str, wanted: Wanted, reason: str, target: Target) -> Defect:
    """Return the finding for a module that failed; a note when a node has, or does not need, what is missing."""
    owner = wanted.owners.get(module, module)
    name = module if module == owner else f"{module} (of {owner})"
    library = missing_library(reason)
    if missing_of_cluster(reason):
        return Defect(text=f"{name} was not imported: it needs the cluster's own pyspark", fatal=False)
    of_driver = library is not None and is_of_driver(library, target)
    fatal = not of_driver and (module == "ssl" or module in wanted.required)
    return Defect(text=f"{name} cannot be imported: {reason}", hint=hint_for(reason), fatal=fatal)
