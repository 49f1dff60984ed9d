"""One requirement line: PEP 508 text, or the URL or path of a wheel."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urldefrag, urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import Version

from envpack import digest
from envpack.requirements import sources
from envpack.requirements.addresses import checked_login
from envpack.requirements.names import ProjectName
from envpack.requirements.text import Refused, check_path, first_line, quoted
from envpack.requirements.values import PyRequirement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envpack.requirements.sources import SourceRef
    from envpack.requirements.values import Origin

LONGEST_REQUIREMENT = 4000
"""Characters, hashes not counted; a URL with a signature fits."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}://|file:")
_DIRECT = re.compile(r"[A-Za-z0-9][\w.-]*\s*(?:\[[^\]]*\])?\s*@\s*\S")
_CONDA_STYLE = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*)\s*=\s*(?P<version>[\w.*+!-]+)")
_BARE_VERSION = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*)\s+(?P<version>\d[\w.*+!-]*)")
_NUMBER = re.compile(r"\d+(\.\d+)?")
_HEX = re.compile(r"[0-9A-Fa-f]+")
_DIGEST_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}


def read(text: str, *, hashes: Sequence[str], origin: Origin, folder: Path) -> PyRequirement:
    """Return the requirement that a line without its options represents.

    `hashes` are the values of its `--hash` options; relative paths start at `folder`.
    Source: pip's requirements file format and PEP 508. Raises Refused with what to write instead.
    """
    if len(text) > LONGEST_REQUIREMENT:
        raise Refused(f"the requirement has {len(text)} characters; the limit is {LONGEST_REQUIREMENT}")
    requirement = _from_location(text, folder) or _from_pep508(text)
    given = {_checked_hash(value) for value in hashes}
    source = None
    if requirement.url:
        source = sources.read(requirement.url, folder) if sources.is_source(requirement.url, folder) else None
        requirement.url, own = _located(requirement, folder) if source is None else _of_source(requirement, source)
        given = _agreeing(given, own)
    return PyRequirement(
        name=ProjectName(requirement.name),
        text=str(requirement),
        specifier=str(requirement.specifier),
        extras=tuple(sorted(requirement.extras)),
        marker=str(requirement.marker) if requirement.marker else None,
        url=requirement.url,
        hashes=tuple(sorted(given)),
        origin=origin,
        source=source,
    )


def pinned_version(requirement: PyRequirement) -> Version | None:
    """Return the one version that a requirement allows, or None when it leaves a choice."""
    if requirement.source:
        return _version_of(requirement.source)
    if requirement.url:
        return _wheel(requirement.url)[1]
    for specifier in SpecifierSet(requirement.specifier):
        if specifier.operator == "==" and not specifier.version.endswith(".*"):
            return Version(specifier.version)
    return None


def _from_pep508(text: str) -> Requirement:
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        raise Refused(f"{quoted(text)} is not a valid requirement: {_explained(text, error)}") from error
    except RecursionError as error:
        raise Refused(f"{quoted(text)} is not a valid requirement: its brackets are nested too deeply") from error
    requirement.name = canonicalize_name(requirement.name)
    requirement.extras = {canonicalize_name(extra) for extra in requirement.extras}
    if requirement.name == "python":
        wanted = _NUMBER.search(str(requirement.specifier))
        version = wanted[0] if wanted else "3.11"
        raise Refused(
            f"Python itself cannot be a PyPI requirement; set its version with `--python {version}`, or with "
            f"`python={version}` under `dependencies:` of an environment file"
        )
    return requirement


def _explained(text: str, error: InvalidRequirement) -> str:
    """Return what is wrong with a line: a common mistake with its fix, others as packaging reports them."""
    if text.endswith("\\"):
        return "a space follows the backslash: remove the space"
    if "::" in text:
        return "write a channel in an environment file (*.yml)"
    if "=>" in text or "=<" in text:
        return "write `>=` and `<=`"
    if conda := _CONDA_STYLE.match(text):
        return f"`=` is conda's operator; write `{conda['name']}=={conda['version']}`"
    if bare := _BARE_VERSION.fullmatch(text):
        return f"write `{bare['name']}=={bare['version']}`"
    return first_line(error)


def _from_location(text: str, folder: Path) -> Requirement | None:
    """Return the requirement that the bare URL or path of a wheel or a source represents; None for another text."""
    # A semicolon may be part of a URL (pip's rule).
    where, semicolon, marker = text.partition("; " if _SCHEME.match(text) else ";")
    where, extras = where.strip(), ""
    if where.endswith("]"):
        where, _, extras = where[:-1].rpartition("[")
    if not sources.named_for_ssh(where) and (_DIRECT.match(text) or not _is_location(where)):
        return None
    is_source = sources.is_source(where, folder)
    extras = extras or (sources.egg_extras(where) if is_source else "")
    name = sources.name_of(where, sources.read(where, folder)) if is_source else _wheel(where)[0]
    requirement = _from_pep508(f"{name}[{extras}]{semicolon}{marker}")
    requirement.url = where
    return requirement


def _is_location(where: str) -> bool:
    if where.lower().endswith(".txt"):
        raise Refused(f"{quoted(where)} is a file, not a requirement; write `-r {where}`")
    archive = where.lower().endswith((".whl", *sources.ARCHIVES))
    return archive or where.startswith((".", "~")) or "/" in where or bool(_SCHEME.match(where))


def _wheel(where: str) -> tuple[str, Version]:
    """Return the project and the version of the wheel that a URL or a path leads to, from its file name."""
    try:
        if _SCHEME.match(where):
            checked_login(where)
        file_name = unquote(urlsplit(where).path if _SCHEME.match(where) else where).rstrip("/").rpartition("/")[2]
    except ValueError as error:
        raise Refused(f"{quoted(where)} is not a valid URL") from error
    if not file_name.endswith(".whl"):
        raise Refused(
            f"{quoted(where)} is neither a wheel (*.whl), nor a source distribution (*.tar.gz, *.zip), nor the "
            "directory of a project"
        )
    try:
        name, version, _, _ = parse_wheel_filename(file_name)
    except InvalidWheelFilename as error:
        raise Refused(
            f"{quoted(file_name)} is not the file name of a wheel (NAME-VERSION-PYTHON-ABI-PLATFORM.whl)"
        ) from error
    return name, version


def _located(requirement: Requirement, folder: Path) -> tuple[str, set[str]]:
    """Return the URL of a requirement's wheel without a fragment, and the hashes from the URL or the file."""
    where = requirement.url or ""
    name, _ = _wheel(where)
    if name != requirement.name:
        raise Refused(
            f"{quoted(where)} is a wheel of {name}, not of {requirement.name}; correct the URL or the name"
        )
    if not _SCHEME.match(where):
        return _local(folder / where)
    url, fragment = urldefrag(where)
    parts = urlsplit(url)
    if parts.scheme in ("http", "https"):
        told = parse_qs(fragment)
        return url, {_checked_hash(f"{kind}:{told[kind][0]}") for kind in _DIGEST_LENGTHS if kind in told}
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return _local(folder / unquote(parts.path))
    raise Refused(f"{quoted(where)} cannot be fetched; use https://, or download the wheel and write its path")


def _of_source(requirement: Requirement, source: SourceRef) -> tuple[str, set[str]]:
    """Return the URL of a requirement's source, and the hashes from the URL or the file."""
    if source.kind == "project":
        declared = sources.declared_name(Path(source.location))
        if declared and canonicalize_name(declared) != requirement.name:
            raise Refused(
                f"{quoted(requirement.url or '')} contains the project {declared}, not {requirement.name}; "
                "correct the name"
            )
        return Path(source.location).as_uri(), set()
    where = requirement.url or ""
    checked_login(where.removeprefix("git+"))
    if source.kind == "git":
        return where, set()
    if source.location.startswith("file:"):
        return _local(Path(unquote(urlsplit(source.location).path)))
    told = parse_qs(urldefrag(where)[1])
    kept = f"#subdirectory={source.subdirectory}" if source.subdirectory else ""
    hashes = {_checked_hash(f"{kind}:{told[kind][0]}") for kind in _DIGEST_LENGTHS if kind in told}
    return f"{source.location}{kept}", hashes


def _version_of(source: SourceRef) -> Version | None:
    if source.kind != "archive":
        return None
    try:
        return parse_sdist_filename(unquote(urlsplit(source.location).path).rpartition("/")[2])[1]
    except (InvalidSdistFilename, ValueError):
        return None


def _local(path: Path) -> tuple[str, set[str]]:
    try:
        check_path(path)
        path = path.parent.resolve() / path.name
        return path.as_uri(), {f"sha256:{digest.of_file(path)}"}
    except Refused as refused:
        raise Refused(f"{quoted(str(path))}: {refused.reason}") from refused
    except OSError as error:
        raise Refused(f"{quoted(str(path))} cannot be read: {error.strerror}") from error


def _checked_hash(value: str) -> str:
    kind, _, digits = value.partition(":")
    if kind not in _DIGEST_LENGTHS:
        raise Refused(
            f"the algorithm of the hash {quoted(value)} is not {' or '.join(_DIGEST_LENGTHS)}; write sha256:DIGITS"
        )
    if len(digits) != _DIGEST_LENGTHS[kind] or not _HEX.fullmatch(digits):
        raise Refused(f"the hash {quoted(value)} does not have {_DIGEST_LENGTHS[kind]} hexadecimal digits")
    return f"{kind}:{digits.lower()}"


def _agreeing(given: set[str], own: set[str]) -> set[str]:
    kinds = {value.partition(":")[0] for value in own}
    rivals = {value for value in given if value.partition(":")[0] in kinds}
    if rivals and not rivals & own:
        raise Refused(
            f"the hash of the file is {', '.join(sorted(own))}, not the one given; if you trust the file, "
            "correct --hash"
        )
    return given | own
