"""Build a wheel from a source tree: its build requirements are fetched outside, its code runs only in the cage."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from envpack.errors import PackingFailed, Unsatisfiable
from envpack.requirements import sources
from envpack.requirements.text import Refused
from envpack.tools import cage
from envpack.tools.cage import Cage, Confine, Limits
from envpack.tools.process import lines_of
from envpack.tools.report import BrokenReport, ReportPipe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from envpack.lock.lock import Wheel
    from envpack.progress import Progress

VERSION = 4
"""Part of the name under which built wheels are kept; to be changed when the build environment changes."""

EPOCH = 1577836800
"""The time of everything that is built, 2020-01-01: some tools fail before 1980, which zip cannot express."""

SHOWN_AT = Path("/build")
"""The path of every build, where there are namespaces: compilers write paths into their output."""

_SCRIPT = Path(__file__).with_name("hook.py")
_LEGACY = ("setuptools>=40.8.0",)
_LEGACY_BACKEND = "setuptools.build_meta:__legacy__"
_ROUNDS = 3
_MOST_NEEDS = 50
_LIMITS = Limits(seconds=3600)


@dataclass(frozen=True, kw_only=True)
class BuildSystem:
    """The `[build-system]` of a project."""

    requires: tuple[str, ...]
    backend: str
    path: tuple[str, ...] = ()
    """The path of the backend in the project, if it is there."""


@dataclass(frozen=True, kw_only=True)
class BuildEnvironment:
    """The environment of a build."""

    python: Path
    """The environment's interpreter, with the build requirements."""
    readable: tuple[Path, ...]
    """All its directories."""
    headers: Path | None = None
    """The directory of the interpreter's headers, if it has none itself."""


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """How a build gets its requirements."""

    lock: Callable[[Sequence[str]], tuple[Wheel, ...]]
    """Requirements to the wheels that fulfil them."""
    install: Callable[[Sequence[Wheel]], BuildEnvironment]
    """Wheels to an environment that has them."""
    confine: Confine
    progress: Progress
    variables: Mapping[str, str]
    """Further variables of the build."""
    listed: bool = False
    """Whether git lists the files of the source: then they are told to backends that would ask git."""


@dataclass(frozen=True, kw_only=True)
class BackendWheel:
    """The result of a build."""

    wheel: Path
    requires: tuple[Wheel, ...]
    """Its build requirements."""


def build_system(tree: Path, shown: str) -> BuildSystem:
    """Return how a project is built; `shown` is its name in messages.

    Without `[build-system]` the backend is setuptools (PEP 517 and PEP 518). Raises PackingFailed for an invalid
    table.
    """
    try:
        table = sources.pyproject(tree).get("build-system")
        if table is None:
            return BuildSystem(requires=_LEGACY, backend=_LEGACY_BACKEND)
        requires = tuple(_named(text) for text in _strings(table, "requires"))
        backend = table.get("build-backend", _LEGACY_BACKEND)
        path = tuple(_strings(table, "backend-path"))
        if not isinstance(backend, str) or any(
            Path(part).is_absolute() or ".." in Path(part).parts for part in path
        ):
            raise Refused("a path of `backend-path` is outside the project")
    except Refused as refused:
        raise PackingFailed(
            f"{shown} cannot be built: [build-system] of pyproject.toml: {refused.reason}",
            hint="correct its pyproject.toml, or give a wheel of it with --find-links",
        ) from None
    return BuildSystem(requires=requires, backend=backend, path=path)


def will_do(wheels: Sequence[Wheel], tree: Path, shown: str) -> bool:
    """Return whether wheels fulfil a project's build requirements, so that nothing has to be solved."""
    versions = {canonicalize_name(wheel.name): wheel.version for wheel in wheels}
    for text in build_system(tree, shown).requires:
        asked = Requirement(text)
        version = versions.get(canonicalize_name(asked.name))
        if asked.marker or asked.extras or version is None:
            return False
        if not asked.specifier.contains(version, prereleases=True):
            return False
    return True


def build(
    tree: Path, room: Path, hooks: Hooks, *, shown: str, known: Sequence[Wheel] | None = None
) -> BackendWheel:
    """Return the wheel of a source tree, which the build may change.

    `room` is an empty directory, `known` the requirements of an earlier build: then nothing else is resolved.
    Raises PackingFailed when the build fails, Unsatisfiable when its requirements cannot be fulfilled.
    """
    system = build_system(tree, shown)
    needs: list[str] = []
    for number in range(_ROUNDS):
        try:
            wheels = tuple(known) if known is not None else hooks.lock([*system.requires, *needs])
        except Unsatisfiable as error:
            told = ", ".join([*system.requires, *needs])
            raise Unsatisfiable(
                f"{shown} cannot be built, because its build requirements ({told}) cannot be resolved: "
                f"{error.message}",
                hint=error.hint,
            ) from error
        work = room / f"round-{number}"
        work.mkdir()
        environment = hooks.install(wheels)
        met = None if known is not None else needs
        order = {"backend": system.backend, "path": system.path, "met": met, "listed": hooks.listed}
        answer = _ask(tree, work, environment, order, hooks=hooks, shown=shown)
        if "wheel" in answer:
            return BackendWheel(wheel=_wheel(work / "out", answer["wheel"], shown), requires=wheels)
        needs = [_checked_need(need, shown) for need in list(answer.get("needs", ()))[:_MOST_NEEDS]]
    raise PackingFailed(
        f"{shown} cannot be built: its build backend requests more build requirements each time",
        hint="use another version of it, or give a wheel of it with --find-links",
    )


def _ask(
    tree: Path, work: Path, environment: BuildEnvironment, order: dict[str, Any], *, hooks: Hooks, shown: str
) -> dict[str, Any]:
    """Run the hooks in the cage; return their report, which is untrusted."""
    for name in ("out", "home", "tmp"):
        (work / name).mkdir()
    tree.rename(work / "source")
    room = Cage(
        directory=work,
        environ={**_environ(environment), **hooks.variables},
        readable=[_SCRIPT, *environment.readable, *((environment.headers,) if environment.headers else ())],
        writable=[work],
        shown_at=SHOWN_AT,
        changes_modes=True,
        limits=_LIMITS,
        confine=hooks.confine,
        progress=hooks.progress,
    )
    order = {**order, "source": "source", "out": "out", "report": cage.REPORT}
    try:
        with cage.start([environment.python, "-s", _SCRIPT, json.dumps(order)], room) as caged:
            pipe = ReportPipe(caged.report)
            report = pipe.line(_LIMITS.seconds)
            ended = caged.wait(_LIMITS.seconds)
    except (TimeoutError, BrokenReport, OSError) as error:
        raise PackingFailed(
            f"{shown} could not be built: {str(error) or 'its build did not end in time'}"
        ) from error
    try:
        (work / "source").rename(tree)
    except OSError as error:
        raise PackingFailed(
            f"{shown} could not be built: its build moved or deleted its own source",
            hint="correct its build script, or give a wheel of it with --find-links",
        ) from error
    if report is None or ended.code != 0:
        said = lines_of(ended.output)
        raise _failure(shown, said, ended.problem)
    try:
        answer = json.loads(report)
    except ValueError:
        answer = None
    return answer if isinstance(answer, dict) else {}


def _environ(environment: BuildEnvironment) -> dict[str, str]:
    headers = {"CPATH": str(environment.headers)} if environment.headers else {}
    return {
        **headers,
        "PATH": f"{environment.python.parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": "home",
        "TMPDIR": "tmp",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "SOURCE_DATE_EPOCH": str(EPOCH),
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
        "CFLAGS": "-O2 -g0",
        "CXXFLAGS": "-O2 -g0",
        # Python's own value contains the prefix's path on this machine, for the linker and as the library's run
        # path.
        "LDSHARED": "gcc -shared",
        "CARGO_NET_OFFLINE": "true",
        "PIP_NO_INDEX": "1",
    }


_NO_TAG = "its version comes from git, and no tag leads to its commit: run `git fetch --tags`, or create a tag"
_REMEDIES = {
    "setuptools_scm": _NO_TAG,
    "vcs": _NO_TAG,
    "Operation not permitted": "builds have no network: add what the build downloads to its build requirements",
    "puccinialin": "compiled code in Rust needs cargo and rustc on this machine",
    "name resolution": "builds have no network: add what the build downloads to its build requirements",
    "resolve host": "builds have no network: add what the build downloads to its build requirements",
    "gcc": "compiled code needs a compiler on this machine, such as gcc",
    "Python.h": "the environment's Python has no headers; compiled code needs a Python package that has them",
}


def _failure(shown: str, said: Sequence[str], problem: str | None) -> PackingFailed:
    text = "\n".join(said)
    hint = next((remedy for word, remedy in _REMEDIES.items() if word in text), None)
    last = said[-1] if said else f"its build {problem or 'printed nothing'}"
    return PackingFailed(
        f"{shown} could not be built: {last}",
        hint=hint or "run again with --verbose, which shows the whole output of the build",
    )


def _wheel(out: Path, name: object, shown: str) -> Path:
    path = out / str(name)
    if "/" in str(name) or out.is_symlink() or path.is_symlink() or not path.is_file():
        raise PackingFailed(
            f"{shown} could not be built: its build backend made no wheel",
            hint="run `pip wheel` on the project, which shows the same failure",
        )
    return path


def _strings(table: object, key: str) -> list[str]:
    value = table.get(key, []) if isinstance(table, dict) else None
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise Refused(f"{key} is not a list of strings")
    return value


def _named(text: str) -> str:
    """Return a build requirement that names a project. Raises Refused for a URL: no index answers for it."""
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        raise Refused(f"{text[:200]!r} is not a valid requirement") from None
    if requirement.url:
        raise Refused(
            f"{requirement.name} has a URL; build requirements must come from a package index: write a version"
        )
    return text


def _checked_need(need: object, shown: str) -> str:
    try:
        return _named(str(need))
    except Refused as refused:
        raise PackingFailed(
            f"{shown} cannot be built: its build backend requests an invalid requirement: {refused.reason}",
            hint="use another version of it, or give a wheel of it with --find-links",
        ) from None
