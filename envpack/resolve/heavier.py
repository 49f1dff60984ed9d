"""Say what a package costs where a smaller one is the same project: `matplotlib` adds Qt."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpack.requirements.names import CondaName
from envpack.units import count, human_size

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from envpack.lock.lock import CondaPackage
    from envpack.resolve.names import Names

_FEW = 3
_NAMED = 3


def notes(asked: Collection[CondaName], packages: Iterable[CondaPackage], names: Names) -> Iterator[str]:
    """Yield what each package adds to the smaller one of the same project, if that is more than a few.

    `asked` are all conda packages that are asked for, by any kind of line.
    """
    known = {package.name: package for package in packages}
    for name in asked:
        smaller = names.smaller(name)
        if name not in known or smaller is None or smaller in asked:
            continue
        roots = {*asked, smaller, CondaName("python")} - {name}
        extra = [known[each] for each in known.keys() - _reached(roots, known) if each != name]
        if len(extra) > _FEW:
            yield _told(known[name], smaller, extra)


def _told(package: CondaPackage, smaller: CondaName, extra: list[CondaPackage]) -> str:
    direct = _needs(package)
    largest = sorted(extra, key=lambda each: (each.name not in direct, -(each.size or 0), each.name))
    size = sum(each.size or 0 for each in extra)
    told = f", {human_size(size)}" if size else ""
    some = ", ".join(each.name for each in largest[:_NAMED])
    return f"{package.name} brings {count(len(extra), 'package')} ({some}, ...{told}) that {smaller} does without"


def _reached(roots: Iterable[CondaName], known: Mapping[CondaName, CondaPackage]) -> set[CondaName]:
    waiting, seen = [name for name in roots if name in known], set[CondaName]()
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += _needs(known[name]) & known.keys()
    return seen


def _needs(package: CondaPackage) -> set[CondaName]:
    return {CondaName(spec.split()[0].partition("[")[0]) for spec in package.depends}
