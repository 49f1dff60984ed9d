"""Express in conda's syntax which versions a PEP 440 specifier admits.

The two orders differ: conda counts pre-releases as ordinary versions, puts `1.0.post1` before `1.0.1`, and refuses
`1.0+cpu` for `==1.0`. No spec can express the difference for all possible versions. So a specifier is translated to
the nearest conda operators, and corrected for the versions in the channels. Sources: PEP 440, CEP 33 (versions),
conda's "Package match specifications".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.version import InvalidVersion, Version
from rattler import Version as CondaVersion
from rattler import VersionSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from packaging.specifiers import Specifier, SpecifierSet


def admitted(specifier: SpecifierSet, versions: Iterable[str]) -> tuple[str, ...]:
    """Return the versions that a specifier admits, oldest first.

    As in pip, pre-releases are included only where the specifier names one or where there is nothing else. A
    version that PEP 440 does not allow, such as OpenSSL's `1.1.1w`, is compared as conda does.
    """
    known, foreign = _parted(versions)
    spec = _said(specifier)
    within = set(specifier.filter(known))
    more = [version for version in foreign if spec is None or VersionSpec(spec).matches(CondaVersion(version))]
    return in_order([*within, *more])


def version_spec(specifier: SpecifierSet, versions: Iterable[str]) -> str | None:
    """Return the conda version spec that admits, of these versions, those that a specifier admits; None for all.

    Where none fits, the spec admits none of them.
    """
    versions = tuple(versions)
    wanted = set(admitted(specifier, versions))
    spec = _said(specifier)
    said = VersionSpec(spec) if spec else None
    taken = {version for version in versions if said is None or said.matches(CondaVersion(version))}
    if taken == wanted:
        return spec
    # Versions that conda cannot distinguish from a wanted one stay.
    equal_to_wanted = {CondaVersion(version) for version in wanted}
    wrong = [version for version in taken - wanted if CondaVersion(version) not in equal_to_wanted]
    both = [*([spec] if spec else []), *(f"!={version}" for version in in_order(wrong))]
    either = [",".join(both)] if both and (wanted & taken or not wanted) else []
    either += [f"=={version}" for version in in_order(wanted - taken)]
    return "|".join(either) or None


def in_order(versions: Iterable[str]) -> tuple[str, ...]:
    """Return versions in conda's order, oldest first; PEP 440's where conda knows no difference."""
    return tuple(sorted(set(versions), key=lambda version: (CondaVersion(version), version)))


def _parted(versions: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the versions that PEP 440 allows, and the others."""
    known, foreign = [], []
    for version in versions:
        try:
            Version(version)
        except InvalidVersion:
            foreign.append(version)
        else:
            known.append(version)
    return known, foreign


def _said(specifier: SpecifierSet) -> str | None:
    """Return the part of a specifier that conda's operators can express; None for any version."""
    return ",".join(sorted(_clause(clause) for clause in specifier)) or None


def _clause(clause: Specifier) -> str:
    written = clause.version
    match clause.operator:
        case "===":
            return f"=={written.lower().removeprefix('v')}"
        case "==" if written.endswith(".*"):
            return f"{Version(written.removesuffix('.*'))}.*"
        case "!=" if written.endswith(".*"):
            return f"!={Version(written.removesuffix('.*'))}.*"
        case "~=":
            version = Version(written)
            epoch = f"{version.epoch}!" if version.epoch else ""
            series = ".".join(map(str, version.release[:-1]))
            return f">={version},{epoch}{series}.*"
        case operator:
            return f"{operator}{Version(written)}"
