"""Requirements that cannot hold together, found without asking any index."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet

from envpack.requirements.pep508 import pinned_version
from envpack.requirements.text import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from envpack.requirements.values import Origin, PyRequirement


def find(pypi: Sequence[PyRequirement], constraints: Sequence[PyRequirement]) -> Iterator[tuple[Origin, str]]:
    """Yield place and reason for every line that pins its project differently than a constraint or an earlier line.

    Lines with different markers may never meet and are left to the solver, as is everything but a pinned version.
    """
    before: defaultdict[tuple[str, str | None], list[PyRequirement]] = defaultdict(list)
    for constraint in constraints:
        before[constraint.name, constraint.marker].append(constraint)
    for requirement in pypi:
        rivals = before[requirement.name, requirement.marker]
        if rival := next((rival for rival in rivals if _clash(rival, requirement)), None):
            yield (
                requirement.origin,
                f"{quoted(requirement.text)} clashes with {quoted(rival.text)} at {rival.origin}",
            )
        rivals.append(requirement)


def _clash(first: PyRequirement, second: PyRequirement) -> bool:
    if first.url and second.url:
        return first.url != second.url
    verdicts = [verdict for verdict in (_excludes(first, second), _excludes(second, first)) if verdict is not None]
    # Both must object when both pin: `==2.1` excludes nothing that `==2.1+cpu` allows, the other way it seems to.
    return bool(verdicts) and all(verdicts)


def _excludes(one: PyRequirement, other: PyRequirement) -> bool | None:
    """Return whether `other` rules out the version that `one` pins, or None when it pins none."""
    pinned = pinned_version(one)
    return None if pinned is None else not SpecifierSet(other.specifier).contains(pinned, prereleases=True)
