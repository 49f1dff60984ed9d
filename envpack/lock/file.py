"""A lock as text.

The text is pixi's lock format, version 7 (https://pixi.sh, "The lock file"), so pixi and rattler read it. What
envpack needs in addition is under the key `envpack`, which they ignore. Locks of version 6, as older envpacks wrote
them, are read too.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, cast

import msgspec
import yaml

from envpack.codec import Count, FileName, Line, Word
from envpack.config.target import Target
from envpack.errors import BadRequirements, Problem, UsageError
from envpack.files.regular import read_regular
from envpack.lock.lock import BuildFacts, CondaPackage, Lock, Wheel
from envpack.redact import meet, take_apart
from envpack.requirements.names import CondaName, ProjectName

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

FORMAT = 7
"""pixi's version of the lock format: the newest that released pixi (0.68) and py-rattler (0.28) read."""

_READABLE = (6, FORMAT)


def dump(lock: Lock) -> str:
    """Return the lock as text; the same lock gives the same text."""
    environment: dict[str, Any] = {"channels": [{"url": url} for url in lock.channels]}
    if lock.indexes:
        environment["indexes"] = list(lock.indexes)
    environment["packages"] = {
        lock.target.platform: [{"conda": p.url} for p in lock.packages] + [{"pypi": w.url} for w in lock.wheels]
    }
    document: dict[str, Any] = {
        "version": FORMAT,
        "platforms": [_platform(lock.target)],
        "environments": {"default": environment},
        "packages": [_conda_to_yaml(p) for p in lock.packages] + [_wheel_to_yaml(w) for w in lock.wheels],
        "envpack": {
            "request": lock.request,
            "target": lock.target.to_json(),
            "requested": {
                "conda": [name for name in lock.requested if isinstance(name, CondaName)],
                "projects": [name for name in lock.requested if not isinstance(name, CondaName)],
            },
            "variables": dict(sorted(lock.variables.items())),
            "direct": [w.name for w in lock.wheels if w.direct],
            "asked": lock.asked,
        },
    }
    if asked := [w.name for w in lock.wheels if w.by_index]:
        document["envpack"]["by-index"] = asked
    if lock.frame:
        document["envpack"]["frame"] = lock.frame
    if made := {w.name: _made_to_yaml(w, w.made) for w in lock.wheels if w.made}:
        document["envpack"]["made"] = made
    head = "# Written by `envpack lock`. Do not edit: change the requirements and lock again.\n"
    return head + yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True)


_LONGEST = 16 << 20
"""Characters; a lock of a thousand packages has one million."""

_OWN = re.compile(r"^[\"']?envpack[\"']?:|^\{.*[\"']envpack[\"'] *:", re.MULTILINE)
"""Searched for before the rest is read; YAML can also be written as JSON."""

_ANEW = "delete it and run `envpack lock FILE`, or solve again with --upgrade"


class _Made(msgspec.Struct):
    """What a lock must contain for a wheel that is built from source."""

    kind: Literal["project", "archive", "git"]
    sha256: Word
    file: FileName
    commit: Line
    subdirectory: Line


class _Locked(msgspec.Struct):
    """What a package of a lock must have. It is always checked: others can write to a store."""

    name: Word
    version: Word
    url: Line
    sha256: Word
    size: Count | None


class _LockedWhole(msgspec.Struct):
    """What a lock says in addition to its packages."""

    channels: tuple[Line, ...]
    indexes: tuple[Line, ...]
    requested: tuple[Word, ...]
    variables: dict[str, str]
    request: Word


def read(path: Path) -> Lock:
    """Read a lock from its file. Raises BadRequirements when it is not a lock of envpack's."""
    try:
        text = read_regular(path, _LONGEST).decode("utf-8")
    except OSError as error:
        raise BadRequirements(
            [Problem(str(path), 0, f"this lock cannot be read: {error.strerror}")],
            hint="correct its permissions, or delete it: the next build solves again",
        ) from error
    except UnicodeDecodeError as error:
        raise BadRequirements(
            [Problem(str(path), 0, "envpack did not write this lock: it is not UTF-8")], hint=_ANEW
        ) from error
    return parse(text, str(path))


def parse(text: str, file: str) -> Lock:
    """Read a lock from its text; `file` is its name in errors.

    Raises BadRequirements when the text is not a lock that envpack wrote.
    """
    try:
        if len(text) > _LONGEST:
            raise ValueError(f"it is longer than {_LONGEST >> 20} MiB")
        if not _OWN.search(text):
            raise ValueError("it has no key `envpack`")
        document = yaml.load(text, Loader=_Loader)  # noqa: S506 - the C form of the safe loader
        if document["version"] not in _READABLE:
            readable = " and ".join(map(str, _READABLE))
            raise ValueError(f"its format is version {document['version']}, envpack reads {readable}")
        lock = _from_yaml(document)
        msgspec.convert(lock, _LockedWhole, from_attributes=True)
        for package in (*lock.packages, *_all_wheels(lock.wheels)):
            msgspec.convert(package, _Locked, from_attributes=True)
        for made in (wheel.made for wheel in _all_wheels(lock.wheels) if wheel.made):
            msgspec.convert(made, _Made, from_attributes=True)
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError, RecursionError, UsageError) as error:
        raise BadRequirements(
            [Problem(file, 0, f"envpack did not write this lock: {error}")],
            hint=_ANEW,
        ) from error
    if found := list(_with_secrets(lock)):
        raise BadRequirements(
            [Problem(file, 0, f"the URL {shown} may contain a secret, and locks are published") for shown in found],
            hint="put user and password into a netrc file or a variable, then solve again with --upgrade",
        )
    return lock


def _with_secrets(lock: Lock) -> Iterator[str]:
    """Yield the addresses that a lock of envpack's never holds, without their secrets."""
    wheels = _all_wheels(lock.wheels)
    addresses = (*lock.channels, *lock.indexes, *(p.url for p in lock.packages), *(w.url for w in wheels))
    for url in dict.fromkeys(addresses):
        parts = take_apart(url)
        if parts.public() != url:
            meet(url)
            yield parts.shown()


def _all_wheels(wheels: Iterable[Wheel]) -> Iterator[Wheel]:
    """Yield wheels, and the wheels that they are built with."""
    for wheel in wheels:
        yield wheel
        if wheel.made:
            yield from _all_wheels(wheel.made.requires)


def _from_yaml(document: dict[str, Any]) -> Lock:
    own = document["envpack"]
    environment = document["environments"]["default"]
    direct, asked, made = set(own.get("direct", ())), set(own.get("by-index", ())), own.get("made", {})
    entries = document["packages"]
    return Lock(
        target=Target.from_json(own["target"]),
        channels=tuple(channel["url"] for channel in environment["channels"]),
        indexes=tuple(environment.get("indexes", ())),
        packages=tuple(_conda_from_yaml(entry) for entry in entries if "conda" in entry),
        wheels=tuple(_wheel_from_yaml(entry, direct, asked, made) for entry in entries if "pypi" in entry),
        requested=_requested_from_yaml(own["requested"]),
        variables=dict(own.get("variables", {})),
        request=own["request"],
        asked={str(name): str(value) for name, value in dict(own.get("asked") or {}).items()},
        frame=own.get("frame", ""),
    )


def _platform(target: Target) -> dict[str, Any]:
    virtual = ["=".join(package) for package in target.virtual_packages()]
    return {"name": target.platform, "virtual-packages": virtual}


def _requested_from_yaml(value: dict[str, list[str]] | list[str]) -> tuple[CondaName | ProjectName, ...]:
    if isinstance(value, list):  # of version 6, in which all were projects
        return tuple(map(ProjectName, value))
    return tuple(sorted([*map(CondaName, value["conda"]), *map(ProjectName, value["projects"])]))


def _conda_to_yaml(package: CondaPackage) -> dict[str, Any]:
    entry = {
        "conda": package.url,
        "name": package.name,
        "version": package.version,
        "build": package.build,
        "build_number": package.build_number,
        "subdir": package.subdir,
        "noarch": package.noarch,
        "sha256": package.sha256,
        "md5": package.md5,
        "depends": list(package.depends) or None,
        "constrains": list(package.constrains) or None,
        "license": package.license,
        "size": package.size,
        "timestamp": package.timestamp,
        "python_site_packages_path": package.python_site_packages_path,
    }
    return {key: value for key, value in entry.items() if value is not None}


def _conda_from_yaml(entry: dict[str, Any]) -> CondaPackage:
    return CondaPackage(
        name=CondaName(entry["name"]),
        version=str(entry["version"]),
        build=str(entry["build"]),
        build_number=entry["build_number"],
        subdir=entry["subdir"],
        url=entry["conda"],
        sha256=entry["sha256"],
        size=entry.get("size"),
        md5=entry.get("md5"),
        noarch=cast("Literal['python', 'generic'] | None", entry.get("noarch")),
        depends=tuple(entry.get("depends", ())),
        constrains=tuple(entry.get("constrains", ())),
        license=entry.get("license"),
        timestamp=entry.get("timestamp"),
        python_site_packages_path=entry.get("python_site_packages_path"),
    )


def _wheel_to_yaml(wheel: Wheel) -> dict[str, Any]:
    entry: dict[str, Any] = {"pypi": wheel.url, "name": wheel.name, "version": wheel.version}
    if wheel.made is None:
        entry |= {"sha256": wheel.sha256, "size": wheel.size}
    elif wheel.made.kind == "archive":
        entry["sha256"] = wheel.made.sha256
    return {key: value for key, value in entry.items() if value is not None}


def _made_to_yaml(wheel: Wheel, made: BuildFacts) -> dict[str, Any]:
    """Return what pixi's format has no place for: the wheel itself, and how it is made."""
    requires = [
        {
            **_wheel_to_yaml(each),
            "by-index": each.by_index,
            "made": _made_to_yaml(each, each.made) if each.made else None,
        }
        for each in made.requires
    ]
    entry: dict[str, Any] = {
        "kind": made.kind,
        "source": made.sha256,
        "commit": made.commit,
        "subdirectory": made.subdirectory,
        "wheel": made.file,
        "sha256": wheel.sha256,
        "size": wheel.size,
        "requires": [{key: value for key, value in each.items() if value} for each in requires],
        "files": dict(sorted(made.files.items())),
        "needs": made.needs,
    }
    return {key: value for key, value in entry.items() if value}


def _made_from_yaml(entry: dict[str, Any]) -> BuildFacts:
    return BuildFacts(
        kind=entry["kind"],
        sha256=entry["source"],
        file=entry["wheel"],
        commit=entry.get("commit", ""),
        subdirectory=entry.get("subdirectory", ""),
        requires=tuple(
            replace(
                _wheel_from_yaml(each, set(), set(), {each["name"]: each["made"]} if "made" in each else {}),
                by_index=bool(each.get("by-index")),
            )
            for each in entry.get("requires", ())
        ),
        files={str(path): str(sha256) for path, sha256 in entry["files"].items()},
        needs=entry.get("needs", ""),
    )


def _wheel_from_yaml(entry: dict[str, Any], direct: set[str], asked: set[str], made: dict[str, Any]) -> Wheel:
    own = made.get(entry["name"])
    return Wheel(
        name=ProjectName(entry["name"]),
        version=str(entry["version"]),
        url=entry["pypi"],
        sha256=(own or entry)["sha256"],
        size=(own or entry).get("size"),
        direct=entry["name"] in direct,
        by_index=entry["name"] in asked,
        made=_made_from_yaml(own) if own else None,
    )


_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BaseDumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Dumper(_BaseDumper):  # type: ignore[misc] # chosen at run time
    """Writes equal lists in full instead of using anchors and aliases."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        return True


def _quoted_if_number_like(dumper: Any, text: str) -> Any:  # noqa: ANN401 - PyYAML has no types
    # `12e3` is text to PyYAML (YAML 1.1) and a number to rattler (YAML 1.2).
    style = "'" if text[:1] in "0123456789+-." else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style=style)  # a name is not a plain str


for _text in (str, CondaName, ProjectName):
    _Dumper.add_representer(_text, _quoted_if_number_like)
