"""A conda match spec as a value: what it asks for, parsed once.

    channel/subdir:namespace:name version build[key=value,...]

Only the name is required. Sources: CEP 29, conda's "Package match specifications". Where these, conda and rattler
differ, conda's reading is used: `n=V=B` and `n =V B` ask for exactly that version.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from envpack.channel_names import without_subdir
from envpack.requirements import version_spec
from envpack.requirements.brackets import KEYS, LEGACY, NotASpec, keys_of, split
from envpack.requirements.names import CondaName, problem_of
from envpack.requirements.text import Refused, first_line, quoted
from envpack.requirements.version_spec import Clause, Either, NotAVersionSpec, VersionSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LONGEST = 1000
"""Characters of a spec; no package needs more."""

SUFFIXES = (".conda", ".tar.bz2")
"""The suffixes of package files."""

_DIGITS = {"md5": 32, "sha256": 64}
_OF_RECORDS = ("subdir", "fn", "license", "license_family", "track_features", "features")
"""Keys that no solver compares: the matching records have to be looked up."""
_PASSED_ON = ("build_number", "url", "md5", "sha256", "extras", "flags", "when")
_NAME = re.compile(r"[^\s=<>!~,|\[\]()]+")
_BUILD = re.compile(r"[A-Za-z0-9_.+*-]+|\^[^\s\"]*\$")
_BUILD_NUMBER = re.compile(r"\s*(?P<operator>==|!=|<=|>=|<|>|=)?\s*(?P<number>\d+)\s*")
_URL_OF_PACKAGE = re.compile(r"(?P<url>\S+(?:\.conda|\.tar\.bz2))(?:#(?P<digest>[\w:]*))?")


@dataclass(frozen=True, kw_only=True)
class MatchSpec:
    """What is asked of one package."""

    name: CondaName
    version: VersionSpec | None = None
    """None for any."""
    build: str | None = None
    """A build string, a pattern with `*`, or a regular expression from `^` to `$`."""
    channel: str | None = None
    """A channel as it was written, without a subdir."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """The other keys in the brackets: `subdir`, `build_number`, `md5`, ... as written."""

    def __hash__(self) -> int:
        return hash(str(self))

    def __str__(self) -> str:
        """Return one text for all specs that ask for the same: the name, and the rest in brackets."""
        parts = [f'{key}="{value}"' for key, value in self._parts()]
        return f"{self.name}[{', '.join(parts)}]" if parts else self.name

    @property
    def needs_records(self) -> bool:
        """Whether a solver cannot apply the spec: it needs one that `narrowed` makes of the channels' records."""
        textual = self.version and any(clause.is_textual for clause in version_spec.clauses(self.version))
        return bool(textual) or any(key in self.keys for key in _OF_RECORDS)

    def _parts(self) -> Iterator[tuple[str, str]]:
        if self.version:
            yield "version", str(self.version)
        if self.build:
            yield "build", self.build
        if self.channel:
            yield "channel", self.channel
        yield from ((key, self.keys[key]) for key in KEYS if key in self.keys)

    def for_solver(self, channel: str | None = None) -> str:
        """Return the text that py-rattler parses to the same meaning; `channel` is the URL of the spec's channel.

        Keys that py-rattler would not compare are left out (see `needs_records`).
        """
        parts = [f'version="{self.version}"'] if self.version else []
        parts += [f'build="{self.build}"'] if self.build else []
        parts += [f'channel="{channel}"'] if channel else []
        for key in _PASSED_ON:
            if key in self.keys:
                bare = key in ("extras", "flags")
                value = self.keys[key].replace('"', '\\"')
                parts.append(f"{key}=[{value}]" if bare else f'{key}="{value}"')
        return f"{self.name}[{', '.join(parts)}]" if parts else self.name


def parse(text: str) -> MatchSpec:
    """Return what a match spec asks for. Raises Refused with what is wrong and what to write instead."""
    if len(text) > LONGEST:
        raise Refused(f"the match spec has {len(text)} characters; the limit is {LONGEST}")
    try:
        if package := _URL_OF_PACKAGE.fullmatch(text.strip()):
            return of_package(package["url"], package["digest"] or "")
        return _tried(_parsed(text))
    except NotAVersionSpec as error:
        raise Refused(f"{quoted(text)} is not a conda match spec: {error.reason}") from error
    except NotASpec as error:
        raise Refused(f"{quoted(text)} is not a conda match spec: {error}") from error


def file_parts(file: str) -> tuple[CondaName, str, str] | None:
    """Return name, version and build from a package file's name, or None for another name (CEP 26)."""
    stem = next((file.removesuffix(suffix) for suffix in SUFFIXES if file.endswith(suffix)), "")
    parts = stem.rsplit("-", 2)
    if len(parts) != 3 or not all(parts):
        return None
    return CondaName(parts[0]), parts[1], parts[2]


def of_package(url: str, digest: str = "") -> MatchSpec:
    """Return the spec of one package file; `digest` is the text after `#`: an MD5 or a SHA-256 (CEP 23)."""
    if url.startswith("/"):
        url = f"file://{url}"
    if "://" not in url:
        raise NotASpec("give the URL or the absolute path of a package file")
    parts = file_parts(unquote(urlsplit(url).path.rpartition("/")[2]))
    if parts is None:
        raise NotASpec("the name of a package file is NAME-VERSION-BUILD.conda")
    name, version, build = parts
    keys = {"url": url, **digest_key(digest)}
    return MatchSpec(name=_name(name), version=Clause("==", version), build=build, keys=keys)


def digest_key(digest: str) -> dict[str, str]:
    """Return the text after `#` in a package's URL as a key with its value. Raises Refused if it is no digest."""
    if not digest:
        return {}
    digits = digest.removeprefix("sha256:").removeprefix("md5:").lower()
    key = next((key for key, length in _DIGITS.items() if len(digits) == length), None)
    if key is None or not re.fullmatch("[0-9a-f]+", digits) or (digest[:4] == "sha2" and key != "sha256"):
        raise Refused(f"{quoted(digest)} is not an MD5 or a SHA-256 hash")
    return {key: digits}


def _parsed(text: str) -> MatchSpec:
    rest, bracketed = split(_without_comment(text))
    keys = dict(keys_of(bracketed)) if bracketed is not None else {}
    channel, rest = _channel(LEGACY.sub("", rest).strip())
    found = _NAME.match(rest)
    if found is None:
        raise NotASpec("the name of the package is missing")
    name = _name(found[0])
    version, build = _version_and_build(rest[found.end() :])
    keys.pop("name", None)  # conda: the name outside wins
    if "build_string" in keys:
        keys["build"] = keys.pop("build_string")
    build = keys.pop("build", build)
    if "version" in keys:
        version = _version(keys.pop("version"), exact=build is not None)
    if within := keys.pop("channel", None):
        channel = within
    channel, subdir = without_subdir(channel)
    if subdir:
        keys.setdefault("subdir", subdir)
    _check(build, keys)
    return MatchSpec(
        name=name,
        version=None if version and version_spec.is_any(version) else version,
        build=None if build in (None, "*") else build,
        channel=None if channel in ("", "*") else channel,
        keys={key: value for key, value in sorted(keys.items()) if value != "*"},
    )


def _tried(spec: MatchSpec) -> MatchSpec:
    """Return a spec that py-rattler accepts; only py-rattler knows the grammar of conditions and flags."""
    if any(key in spec.keys for key in ("when", "flags", "extras", "url")):
        from rattler import MatchSpec as Tried  # noqa: PLC0415 - takes 0.2 s, which few files need
        from rattler.exceptions import InvalidMatchSpecError  # noqa: PLC0415 - as above

        try:
            Tried(spec.for_solver())
        except InvalidMatchSpecError as error:
            raise NotASpec(first_line(error)) from error
    return spec


def _without_comment(text: str) -> str:
    """Return a spec without its comment; a `#` inside brackets is no comment."""
    depth = 0
    for position, character in enumerate(text):
        depth += (character == "[") - (character == "]")
        if character == "#" and depth <= 0:
            return text[:position].strip()
    return text.strip()


def _channel(text: str) -> tuple[str, str]:
    """Return the channel before `::`, or before a namespace, and the rest."""
    if "::" in text:
        channel, _, rest = text.rpartition("::")
    elif text.count(":") >= 2 and "://" not in text.rpartition(":")[2]:
        channel, _, rest = text.rsplit(":", 2)
    else:
        return "", text.rpartition(":")[2]
    if not channel:
        raise NotASpec("the channel before '::' is missing")
    return channel.strip(), rest.strip()


def _name(text: str) -> CondaName:
    if "*" in text or text.startswith("^"):
        raise NotASpec(f"{text!r} is a pattern; write the name of one package")
    name = CondaName(text)
    if problem := problem_of(name):
        raise NotASpec(problem)
    return name


def _version_and_build(text: str) -> tuple[VersionSpec | None, str | None]:
    """Return what follows the name: a version spec, and a build behind a blank or `=`."""
    text = text.strip()
    if not text:
        return None, None
    version, rest = version_spec.split(text)
    build = rest.strip().removeprefix("=").strip() if rest.strip() else None
    if build == "":
        raise NotASpec("no build follows the last '='")
    if build is not None and (unfit := re.search(r"[<>=!~,|\s]", build)) and not build.startswith("^"):
        reason = (
            "it has more than a name, a version and a build" if unfit[0] == " " else f"{build!r} is not a build"
        )
        hint = "; join versions by `,`" if re.match(r"[<>=!~]", build) else ""
        raise NotASpec(reason + hint)
    return _version(version, exact=build is not None), build


def _version(text: str, *, exact: bool) -> VersionSpec:
    """Return a version spec; `=1.5` means exactly 1.5 where a build is named too, as in conda."""
    spec = version_spec.parse(text)
    if exact and isinstance(spec, Clause) and spec.operator == "=" and "*" not in text:
        return Clause("==", spec.value)
    return spec


def _check(build: str | None, keys: Mapping[str, str]) -> None:
    if build is not None:
        if not _BUILD.fullmatch(build):
            raise NotASpec(f"{build!r} is not a build string")
        if build.startswith("^"):
            _check_regex(build)
    number = keys.get("build_number", "*")
    if number != "*" and not _BUILD_NUMBER.fullmatch(number):
        raise NotASpec(f"the build number {number!r} is not a number")
    for key, length in _DIGITS.items():
        if key in keys and not re.fullmatch(rf"[0-9A-Fa-f]{{{length}}}", keys[key]):
            raise NotASpec(f"the {key} {keys[key]!r} does not have {length} hexadecimal digits")


def _check_regex(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise NotASpec(f"{pattern!r} is not a regular expression: {error}") from error


def any_of(versions: Iterator[str] | list[str]) -> VersionSpec:
    """Return the spec that admits only these versions; there must be at least one."""
    exact = tuple(Clause("==", version) for version in versions)
    return exact[0] if len(exact) == 1 else Either(exact)
