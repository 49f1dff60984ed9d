"""The version of a project whose build takes it from git's tags: found outside the cage, and passed in.

A build sees no `.git`. Its version is what setuptools-scm's default scheme makes of `git describe`: `1.2` at the
tag `v1.2`, `1.3.dev4+g0123456` four commits later. Files that differ from their commit add `.dirty`, and no date,
so that the same files have the same version tomorrow.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from envpack import digest
from envpack.requirements import sources
from envpack.requirements.text import Refused
from envpack.tools.git import Repository

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_SETUPTOOLS_SCM = "SETUPTOOLS_SCM_PRETEND_VERSION"
_VARIABLES = {
    "setuptools-scm": _SETUPTOOLS_SCM,
    "vcs-versioning": _SETUPTOOLS_SCM,
    "hatch-vcs": _SETUPTOOLS_SCM,
    "flit-scm": _SETUPTOOLS_SCM,
    "pbr": "PBR_VERSION",
    "poetry-dynamic-versioning": "POETRY_DYNAMIC_VERSIONING_BYPASS",
}
"""Tools that ask git for the version, and the variable that overrides it; from each one's documentation."""

_TAG = re.compile(r"(?:[\w-]+-)?(?P<version>[vV]?\d+(?:\.\d+){0,2}[^+]*)(?:\+.*)?")
"""Source: setuptools-scm's `tag_regex`."""

_DESCRIBED = re.compile(r"(?P<tag>.+)-(?P<distance>\d+)-(?P<commit>g[0-9a-f]+)(?P<dirty>-dirty)?")


def variable_of(tree: Path) -> str | None:
    """Return the variable that gives a project's build its version; None for one that does not ask git."""
    with suppress(Refused):
        declared = sources.pyproject(tree)
        tool = declared.get("tool", {})
        if isinstance(tool, dict) and _nested(tool, "pdm", "version", "source") == "scm":
            return "PDM_BUILD_SCM_VERSION"
        requires = _nested(declared, "build-system", "requires")
        told = [str(text) for text in requires] if isinstance(requires, list) else []
        for text in (*told, *sources.setup_requires(tree)):
            with suppress(InvalidRequirement, RecursionError):
                name = canonicalize_name(Requirement(text).name)
                if name in _VARIABLES:
                    return _VARIABLES[name]
    return None


def version_at(directory: Path) -> str:
    """Return a directory's version by git's tags; empty where no tag leads to it, or git is missing."""
    described = Repository(directory).line("describe", "--dirty", "--tags", "--long", "--match", "*[0-9]*")
    found = _DESCRIBED.fullmatch(described or "")
    tag = _TAG.fullmatch(found["tag"]) if found else None
    if found is None or tag is None:
        return ""
    try:
        version = Version(tag["version"])
    except ValueError:  # of a number with thousands of digits, too
        return ""
    if found["distance"] == "0" and not found["dirty"]:
        return str(version)
    dirty = ".dirty" if found["dirty"] else ""
    return str(Version(f"{_next(version)}.dev{found['distance']}+{found['commit']}{dirty}"))


def of_project(directory: Path, version: str | None = None) -> dict[str, str]:
    """Return the variable that gives a project's build its version; nothing for one that does not ask git.

    `version` is the required one; otherwise git's tags give it.
    """
    variable = variable_of(directory)
    found = (version or version_at(directory)) if variable else ""
    return {variable: found} if variable and found else {}


def with_version(content: str, told: Mapping[str, str]) -> str:
    """Return the digest of a source, its version included where that is no part of its files."""
    return digest.of_json([content, dict(told)]) if told else content


def _next(version: Version) -> str:
    """Return the next version: `1.3` after `1.2`, `1.2rc2` after `1.2rc1`, and `1.3` after `1.3.dev0`."""
    public, dev, _ = version.public.partition(".dev")
    if dev:
        return public
    head, dot, last = public.rpartition(".")
    kind = last.rstrip("0123456789")
    return f"{head}{dot}{kind}{int(last[len(kind) :]) + 1}"


def _nested(table: object, *keys: str) -> object:
    for key in keys:
        table = table.get(key) if isinstance(table, dict) else None
    return table
