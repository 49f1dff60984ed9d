"""Read a job file: what runs, with what parameters, in which environment, started by what."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from envpack import variable_names
from envpack.config import file as config_file
from envpack.config.addresses import server_address
from envpack.config.config import BOOLEANS
from envpack.errors import BadConfiguration, UsageError
from envpack.releases import references
from envpack.spark.launchers import launcher_named
from envpack.spark.versions import check_known
from envpack.units import span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from envpack.config.file import Setting

FILE = "job.yaml"
"""The file that `envpack job new` writes by default."""

SECTIONS = ("kubernetes", "resources")
"""Keys that hold others: `namespace:` under `kubernetes:` is the field `kubernetes_namespace`."""

_EXAMPLE = "`entrypoint: main.py`"
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_PARAMETER = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_PROPERTY = re.compile(r"spark\.[A-Za-z0-9_.-]+")
_MEMORY = re.compile(r"[1-9][0-9]*[kmgtKMGT]")
_NUMBER = re.compile(r"[1-9][0-9]{0,5}")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]*")
_MASTER = re.compile(r"(?:yarn|local(?:-cluster)?(?:\[[0-9*,]+\])?|spark://\S+|k8s://\S+)")
_ENTRY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*")
_LONGEST = 365 * 86400
"""Seconds that a job may take."""

_PYTHONS = ("PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON")
"""Variables that choose a Python."""

_SUFFIXES = (".txt", ".yml", ".yaml", ".toml", ".lock")

OURS = ("spark.archives", "spark.yarn.dist.archives", "spark.pyspark.", "spark.submit.pyFiles", "spark.envpack.")
"""Prefixes of the properties that pass the environment and the code."""


@dataclass(frozen=True, kw_only=True)
class JobFile:
    """What a job file says. A field such as `resources_driver_memory` is `driver-memory:` under `resources:`."""

    name: str
    """The application's name: small letters, digits and `-`. By default the name of the file's directory."""
    code: str
    """The code base: a directory, a package or one Python file, beside the job file."""
    entrypoint: str = ""
    """What is run: a file of the code base such as `main.py`, or a module such as `churn.daily`. Needless where the
    code base is one file, or a package with a `__main__.py`."""
    parameters: Mapping[str, str | None] = field(default_factory=dict)
    """What may differ between runs: each becomes `--NAME VALUE`, and `--set NAME=VALUE` gives another value. One
    without a value must be set; `""` is a value."""
    arguments: tuple[str, ...] = ()
    """Further arguments of the program, each passed on as it is."""
    environment: str
    """Where it runs: NAME, NAME:TAG or NAME@DIGEST of a release, or a requirements file beside the job file."""
    launcher: str | None = None
    """What starts it; by default the configuration's."""
    spark: str | None = None
    """The cluster's Spark version; by default the environment's."""
    master: str | None = None
    """Spark's master, where the launcher does not say it: `spark://HOST:7077`, `k8s://https://HOST:PORT`."""
    server: str | None = None
    """The address of Livy or Kyuubi."""
    conf: Mapping[str, str] = field(default_factory=dict)
    """Spark properties of the job."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables of the driver and the executors. They are printed and recorded: no place for a secret."""
    timeout: str | None = None
    """How long it may take, such as `2h`; then it is killed."""
    resources_driver_memory: str | None = None
    """Memory of the driver, such as `2g`."""
    resources_driver_cores: str | None = None
    """Cores of the driver."""
    resources_executor_memory: str | None = None
    """Memory of each executor, such as `4g`."""
    resources_executor_cores: str | None = None
    """Cores of each executor."""
    resources_executors: str | None = None
    """How many executors."""
    resources_queue: str | None = None
    """YARN's queue."""
    kubernetes_namespace: str | None = None
    """Where the pods are."""
    kubernetes_image: str | None = None
    """The image of driver and executors: a Spark without Python packages will do."""
    kubernetes_service_account: str | None = None
    """The service account of Kubernetes that the driver runs as."""
    path: Path
    """The file itself; no key of it."""
    lines: Mapping[str, str] = field(default_factory=dict)
    """Field name to `FILE:LINE`, where the file sets it; no key of it."""

    @property
    def folder(self) -> Path:
        """Where its relative paths start."""
        return self.path.parent

    @property
    def requirements(self) -> Path | None:
        """The requirements file that the environment is built from, or None where a release is named."""
        return self.folder / self.environment if is_requirements(self.environment) else None

    def where(self, name: str) -> str:
        """Return where a field was set, for an error."""
        return self.lines.get(name, str(self.path))


def kinds() -> dict[str, str]:
    """Return the name of every key's field and its kind: `text`, `list`, `mapping` or `gaps`."""
    by_type = {"tuple[str, ...]": "list", "Mapping[str, str]": "mapping", "Mapping[str, str | None]": "gaps"}
    return {
        entry.name: by_type.get(str(entry.type), "text")
        for entry in fields(JobFile)
        if entry.name not in ("path", "lines")
    }


def is_requirements(environment: str) -> bool:
    """Return whether an environment is a file rather than a reference."""
    return environment.endswith(_SUFFIXES) and ":" not in environment and "@" not in environment


def read(path: Path) -> JobFile:
    """Read a job file. Raises BadConfiguration with every mistake at once, each with its line, and UsageError."""
    try:
        settings, problems = config_file.read(path, kinds(), SECTIONS, BOOLEANS, example=_EXAMPLE)
    except BadConfiguration as error:
        raise BadConfiguration(error.problems, hint=_NEW) from error
    except UsageError as error:
        raise UsageError(error.message, hint=_instead_of(path)) from error
    values: dict[str, Any] = {name: setting.value for name, setting in settings.items()}
    for name, setting in settings.items():
        problems += _problems(name, setting, path.parent)
    values.setdefault("name", default_name(path))
    problems += [f"{path}: `{name}` is missing: {remedy}" for name, remedy in _NEEDED.items() if name not in values]
    if "code" in values and not problems:
        problems += _about_entrypoint(values, path, settings)
    if problems:
        raise BadConfiguration(problems, hint=_NEW)
    lines = {name: setting.origin for name, setting in settings.items()}
    return JobFile(**values, path=path, lines=lines)


_NEW = "`envpack job new` writes one with every key explained"


def _instead_of(path: Path) -> str:
    """Return what to do about a job file that cannot be read: the file that was meant, else how to make one."""
    folder = path if path.is_dir() else path.parent
    try:
        there = [each.name for each in folder.iterdir() if each.suffix in (".yaml", ".yml") and each.is_file()]
    except OSError:
        return _NEW
    near = [FILE] if path.is_dir() and FILE in there else difflib.get_close_matches(path.name, there, n=1)
    return f"did you mean {folder / near[0]}?" if near else _NEW


_NEEDED = {
    "code": "give the directory or file of your code, such as `code: .`",
    "environment": "give a release or a requirements file, such as `environment: pandas-udf:prod`",
}


def default_name(path: Path) -> str:
    """Return the name of a job whose file does not have one: that of the file's directory."""
    return re.sub(r"[^a-z0-9]+", "-", path.absolute().parent.name.lower())[:63].strip("-") or "job"


def check(given: Mapping[str, str | None], folder: Path) -> None:
    """Raise BadConfiguration for options that cannot be the values of a job file's keys of these names."""
    settings = {
        name: config_file.Setting(key=name, value=value, origin=f"--{name}") for name, value in given.items()
    }
    problems = [line for name, each in settings.items() if each.value for line in _problems(name, each, folder)]
    if problems:
        raise BadConfiguration(problems)


def parameters(job: JobFile, given: Mapping[str, str]) -> dict[str, str]:
    """Return the values of a job's parameters; `given` ones replace the file's.

    Raises BadConfiguration with every name that the file does not have and every parameter without a value.
    """
    problems = []
    for name in given:
        if name not in job.parameters:
            near = difflib.get_close_matches(name, job.parameters, n=1)
            its = f"its parameters are {', '.join(job.parameters)}" if job.parameters else "it has none"
            question = f"; did you mean {near[0]}?" if near else f": {its}"
            problems.append(f"--set: {job.path} has no parameter {name}{question}")
    values = {**job.parameters, **{name: value for name, value in given.items() if name in job.parameters}}
    problems += [
        f"{job.where('parameters')}: the parameter {name} has no value: give it with --set {name}=VALUE"
        for name, value in values.items()
        if value is None
    ]
    if problems:
        raise BadConfiguration(problems)
    return {name: value or "" for name, value in values.items()}


def _problems(name: str, setting: Setting, folder: Path) -> Iterator[str]:
    rule = _RULES.get(name)
    try:
        _without_zeros(setting.value)
        if rule is not None:
            rule(setting.value, folder)
    except UsageError as error:
        hint = f"; {error.hint}" if error.hint else ""
        yield f"{setting.origin}: {error.message}{hint}"
    except ValueError as error:
        yield f"{setting.origin}: {error}"


def _about_entrypoint(values: Mapping[str, Any], path: Path, settings: Mapping[str, Setting]) -> Iterator[str]:
    """Yield why the code base cannot be run."""
    code, entry = path.parent / values["code"], values.get("entrypoint", "")
    if code.is_file():
        if entry and entry not in (code.name, code.stem):
            yield f"{settings['entrypoint'].origin}: leave it out: `code` is one file, and {code.name} is run"
        return
    if not entry and not (code / "__main__.py").is_file():
        yield f"{path}: `entrypoint` is missing: give the file of {values['code']} to run, such as {_EXAMPLE}"
    if entry and not any(place.is_file() for place in entry_files(code, entry)):
        there = [each.relative_to(code).as_posix() for each in sorted(code.glob("*.py"))]
        near = difflib.get_close_matches(entry, there, n=1)
        folder = code.joinpath(*entry.split("."))
        if folder.is_dir():
            yield f"{settings['entrypoint'].origin}: {entry} is a directory without __main__.py: name a file of it"
            return
        question = f"; did you mean {near[0]}?" if near else ""
        yield f"{settings['entrypoint'].origin}: {values['code']} has no {entry}{question}"


def entry_files(code: Path, entry: str) -> tuple[Path, ...]:
    """Return the files that an entry point of a directory may be: its file, its module, its package."""
    if entry.endswith(".py"):
        return (code / entry,)
    base = code.parent if (code / "__init__.py").is_file() else code
    module = base.joinpath(*entry.split("."))
    return module.with_name(f"{module.name}.py"), module / "__main__.py"


def _matching(pattern: re.Pattern[str], what: str, example: str) -> Callable[[str, Path], None]:
    def check(given: str, _folder: Path) -> None:
        if not pattern.fullmatch(given):
            raise ValueError(f"{given!r} is not {what}: write it as {example}")

    return check


def _without_zeros(given: str | tuple[str, ...] | Mapping[str, str | None]) -> None:
    texts = (given,) if isinstance(given, str) else given.values() if isinstance(given, Mapping) else given
    if any("\0" in text for text in texts if text):
        raise ValueError("a value with the character U+0000 cannot be passed to a program")


def _code(given: str, folder: Path) -> None:
    place = folder / given
    if not place.exists():
        raise ValueError(f"{given} does not exist")
    if place.is_file() and place.suffix != ".py":
        raise ValueError(f"{given} is not a Python file: give a directory, or a file that ends with .py")


def _entrypoint(given: str, _folder: Path) -> None:
    if not _ENTRY.fullmatch(given) or ".." in given or ("/" in given and not given.endswith(".py")):
        raise ValueError(f"{given!r} is neither a file such as main.py nor a module such as churn.daily")
    if given.endswith(".py") and "." in given[:-3]:
        raise ValueError(f"{given!r} cannot be imported: remove the dots from its name")


def _named(pattern: re.Pattern[str], what: str) -> Callable[[Mapping[str, str], Path], None]:
    def check(given: Mapping[str, str], _folder: Path) -> None:
        wrong = [name for name in given if not pattern.fullmatch(name)]
        if wrong:
            raise ValueError("; ".join(f"{name!r} is not {what}" for name in wrong))

    return check


def _conf(given: Mapping[str, str], folder: Path) -> None:
    _named(_PROPERTY, "a Spark property: each begins with `spark.`")(given, folder)
    for name in given:
        if name.startswith(OURS):
            raise ValueError(f"{name} is set by envpack, for the environment and the code: leave it out")


def _env(given: Mapping[str, str], _folder: Path) -> None:
    for name in given:
        if problem := variable_names.problem(name):
            raise ValueError(f"{name!r} {problem}")
        if name in _PYTHONS:
            raise ValueError(f"{name} is set by envpack, for the environment: leave it out")


def _environment(given: str, folder: Path) -> None:
    if not is_requirements(given):
        references.parse(given)
    elif not (folder / given).is_file():
        raise ValueError(f"the requirements file {given} does not exist")


def _timeout(given: str, _folder: Path) -> None:
    try:
        seconds = span(given)
    except ValueError:
        raise ValueError(f"must be a time such as 90s, 30m or 2h, not {given!r}") from None
    if not 0 < seconds <= _LONGEST:
        raise ValueError(f"must be at least 1s and at most {_LONGEST // 86400}d, not {given!r}")


_MEMORY_RULE = _matching(_MEMORY, "an amount of memory", "2g or 512m")
_NUMBER_RULE = _matching(_NUMBER, "a number", "2")
_WORD_RULE = _matching(_WORD, "one word", "spark-jobs")

_RULES: dict[str, Callable[[Any, Path], object]] = {
    "name": _matching(_NAME, "a job's name", "daily-churn: lowercase letters, digits and `-`, 63 at most"),
    "code": _code,
    "entrypoint": _entrypoint,
    "parameters": _named(_PARAMETER, "a parameter: use letters, digits, `_` and `-`"),
    "environment": _environment,
    "launcher": lambda given, _folder: launcher_named(given),
    "spark": lambda given, _folder: check_known(given),
    "master": _matching(_MASTER, "a master of Spark", "spark://HOST:7077, k8s://https://HOST:PORT or local[4]"),
    "server": lambda given, _folder: server_address(given),
    "conf": _conf,
    "env": _env,
    "timeout": _timeout,
    "resources_driver_memory": _MEMORY_RULE,
    "resources_driver_cores": _NUMBER_RULE,
    "resources_executor_memory": _MEMORY_RULE,
    "resources_executor_cores": _NUMBER_RULE,
    "resources_executors": _NUMBER_RULE,
    "resources_queue": _WORD_RULE,
    "kubernetes_namespace": _WORD_RULE,
    "kubernetes_image": _WORD_RULE,
    "kubernetes_service_account": _WORD_RULE,
}
