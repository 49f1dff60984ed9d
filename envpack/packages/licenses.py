"""Licences as SPDX expressions, from the many forms that packages use."""

from __future__ import annotations

import re
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import cache
from typing import TYPE_CHECKING, Any

from envpack.files import installed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from importlib.metadata import PackageMetadata
    from pathlib import Path

    from envpack.packages.package import PackedPackage

UNKNOWN = "unknown"
"""The name for a licence that is not an SPDX expression."""

_LONGEST = 100
"""Characters of a licence's name; a longer one is its text."""

_NOISE = {"the", "license", "licence", "licensed", "under", "version", "software", "general", "public"}

# What trove classifiers and authors write, without the words of _NOISE: pypi.org/classifiers. Without a version, it
# is what the licence itself says of that case (GPL, section 14: any version); a name that several licences have is
# no SPDX licence, and is marked so.
_NAMES = {
    "0bsd": "0BSD",
    "afl 3 0": "AFL-3.0",
    "apache": "Apache-2.0",
    "apache 2": "Apache-2.0",
    "apache 2 0": "Apache-2.0",
    "apache2": "Apache-2.0",
    "asl 2 0": "Apache-2.0",
    "boost 1 0": "BSL-1.0",
    "bsd": "LicenseRef-BSD",
    "2 clause bsd": "BSD-2-Clause",
    "bsd 2 clause": "BSD-2-Clause",
    "simplified bsd": "BSD-2-Clause",
    "3 clause bsd": "BSD-3-Clause",
    "bsd 3": "BSD-3-Clause",
    "bsd 3 clause": "BSD-3-Clause",
    "modified bsd": "BSD-3-Clause",
    "new bsd": "BSD-3-Clause",
    "cc0": "CC0-1.0",
    "cc0 1 0 universal": "CC0-1.0",
    "eclipse 2 0": "EPL-2.0",
    "epl 2 0": "EPL-2.0",
    "european union 1 2": "EUPL-1.2",
    "expat": "MIT",
    "gnu affero": "AGPL-1.0-or-later",
    "gnu affero v3": "AGPL-3.0-only",
    "gnu affero v3 or later": "AGPL-3.0-or-later",
    "agpl": "AGPL-1.0-or-later",
    "agplv3": "AGPL-3.0-only",
    "agplv3+": "AGPL-3.0-or-later",
    "gnu": "GPL-1.0-or-later",
    "gnu gpl": "GPL-1.0-or-later",
    "gpl": "GPL-1.0-or-later",
    "gnu v2": "GPL-2.0-only",
    "gnu v2 or later": "GPL-2.0-or-later",
    "gnu v3": "GPL-3.0-only",
    "gnu v3 or later": "GPL-3.0-or-later",
    "gpl v2": "GPL-2.0-only",
    "gpl v3": "GPL-3.0-only",
    "gplv2": "GPL-2.0-only",
    "gplv2+": "GPL-2.0-or-later",
    "gplv3": "GPL-3.0-only",
    "gplv3+": "GPL-3.0-or-later",
    "gnu lesser v2": "LGPL-2.0-only",
    "gnu lesser v2 or later": "LGPL-2.0-or-later",
    "gnu lesser v3": "LGPL-3.0-only",
    "gnu lesser v3 or later": "LGPL-3.0-or-later",
    "gnu library or lesser": "LGPL-2.0-or-later",
    "gnu lgpl": "LGPL-2.0-or-later",
    "lgpl": "LGPL-2.0-or-later",
    "lgpl v3": "LGPL-3.0-only",
    "lgplv2": "LGPL-2.0-only",
    "lgplv2+": "LGPL-2.0-or-later",
    "lgplv3": "LGPL-3.0-only",
    "lgplv3+": "LGPL-3.0-or-later",
    "historical permission notice and disclaimer": "HPND",
    "hpnd": "HPND",
    "isc": "ISC",
    "iscl": "ISC",
    "mit": "MIT",
    "mit no attribution": "MIT-0",
    "mozilla 1 1": "MPL-1.1",
    "mozilla 2 0": "MPL-2.0",
    "mpl 2": "MPL-2.0",
    "mpl 2 0": "MPL-2.0",
    "mpl2": "MPL-2.0",
    "proprietary": "LicenseRef-Proprietary",
    "other proprietary": "LicenseRef-Proprietary",
    "psf": "PSF-2.0",
    "python foundation": "PSF-2.0",
    "domain": "LicenseRef-Public-Domain",
    "unlicense": "Unlicense",
    "zlib libpng": "Zlib",
    "zope": "ZPL-2.1",
}


def with_licenses(packages: Iterable[PackedPackage], prefix: Path) -> tuple[PackedPackage, ...]:
    """Return packages with their licences as SPDX expressions, wheels' from their metadata in `prefix`.

    A licence that is no expression stays as in the package.
    """
    wheels = {each.project: of_metadata(each.metadata.metadata) for each in installed.read(prefix).distributions}
    return tuple(
        replace(package, license=wheels.get(package.name) or package.license)
        if package.source == "pypi"
        else replace(package, license=expression(package.license) or package.license)
        for package in packages
    )


def of_metadata(metadata: PackageMetadata) -> str | None:
    """Return the licence from a distribution's core metadata: an SPDX expression, else the author's words.

    `License-Expression` wins (PEP 639), then a `License` that names one, then the classifiers. Several classifiers
    are taken to hold together, since they do not say which of them may be chosen.
    """
    fields = (metadata.get_all(field) or [""] for field in ("License-Expression", "License"))
    said = [text for values in fields if (text := _short(values[0]))]
    for text in said:
        if found := expression(text):
            return found
    classifiers = [
        text.rpartition("::")[2].strip()
        for text in metadata.get_all("Classifier") or ()
        if text.startswith("License ::") and not text.endswith("OSI Approved")
    ]
    known = sorted({found for text in classifiers if (found := expression(text))})
    if known:
        return " AND ".join(known)
    return next(iter([*said, *classifiers]), None)


def expression(text: str | None) -> str | None:
    """Return an SPDX expression for a licence as people write it, or None when it is too vague."""
    if not text:
        return None
    parsed = _parse(_NAMES.get(_plain(text), text))
    if parsed is None:
        without_abbreviation = _NAMES.get(_plain(re.sub(r"\(.*?\)", "", text)))
        parsed = _parse(without_abbreviation) if without_abbreviation else None
    return parsed.render("{symbol.key}") if parsed is not None else None


def denied(text: str | None, patterns: Sequence[str]) -> tuple[str, ...]:
    """Return the licences of an expression that patterns deny and that no choice avoids.

    `GPL-*` matches that prefix. A licence with an exception is another licence: only a pattern with ` WITH `
    matches it. `unknown` means anything that is not an SPDX expression.
    """
    parsed = _parse(text) if text else None
    if parsed is None:
        return (UNKNOWN,) if UNKNOWN in patterns else ()
    return tuple(sorted(set(_denied(parsed, [pattern for pattern in patterns if pattern != UNKNOWN]))))


def _denied(part: Any, patterns: Sequence[str]) -> Iterator[str]:  # noqa: ANN401 - the library has no types
    kind = type(part).__name__
    if kind == "AND":
        for each in part.args:
            yield from _denied(each, patterns)
    elif kind == "OR":
        each_denied = [list(_denied(each, patterns)) for each in part.args]
        if all(each_denied):
            yield from (name for names in each_denied for name in names)
    else:
        name = part.render("{symbol.key}")
        with_exception = " WITH " in name
        if any(
            fnmatchcase(name.lower(), pattern.lower())
            for pattern in patterns
            if (" with " in pattern.lower()) == with_exception
        ):
            yield name


def _parse(text: str) -> Any:  # noqa: ANN401 - the library has no types
    from license_expression import ExpressionError

    licensing = _licensing()
    try:
        parsed = licensing.parse(text)
    except ExpressionError:
        return None
    unknown = licensing.unknown_license_keys(parsed) if parsed is not None else []
    return None if any(not key.startswith(("LicenseRef-", "DocumentRef-")) for key in unknown) else parsed


@cache
def _licensing() -> Any:  # noqa: ANN401 - the library has no types
    from license_expression import get_spdx_licensing

    return get_spdx_licensing()


def _plain(text: str) -> str:
    return " ".join(word for word in re.sub(r"[^a-z0-9+]+", " ", text.lower()).split() if word not in _NOISE)


def _short(text: str) -> str | None:
    """Return a licence's name; None without one, and for a whole text."""
    line = text.strip().partition("\n")[0].strip()
    return line if line not in ("", "UNKNOWN") and len(line) <= _LONGEST else None
