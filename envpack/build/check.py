"""Check every value from the user before any work begins.

One rule for each field of the configuration and each option of a build. A rule raises ValueError or UsageError with
what is wrong and what to write; the caller adds where the value came from.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envpack.archive.formats import FORMATS, LEVELS
from envpack.config.config import Config, flag_of
from envpack.config.nearest import nearest
from envpack.config.target import PLATFORMS
from envpack.errors import BadConfiguration, UsageError
from envpack.releases import keys
from envpack.spark.driver import AUTO
from envpack.spark.launchers import ALIASES, LAUNCHERS
from envpack.spark.versions import check_known
from envpack.units import size_of, span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

_GLIBC = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}")
_PROJECT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_ACCOUNT = re.compile(r"[0-9]{12}")
_OLDEST_GLIBC = (2, 17)
_MOST_SHOWN = 8
_MOST_NODES = 1_000_000


def value(name: str, given: Any) -> None:  # noqa: ANN401 - the field's type
    """Raise ValueError or UsageError when a field of the configuration cannot have this value."""
    if given is not None and name in _RULES:
        _RULES[name](given)


def option(name: str, given: Any) -> None:  # noqa: ANN401 - the option's type
    """Raise ValueError or UsageError when an option of a build cannot have this value."""
    if given is not None and name in _OPTIONS:
        _OPTIONS[name](given)


def configuration(config: Config) -> None:
    """Check a configuration that was made without the command line. Raises BadConfiguration with every problem."""
    if problems := problems_of(config):
        raise BadConfiguration(problems)


def problems_of(config: Config) -> list[str]:
    """Return the problems of a configuration, each with where the value came from."""
    return [
        line
        for name in _RULES
        for line in _problems(
            config.origins.get(name) or name.replace("_", "-"), name, getattr(config, name), value
        )
    ]


def options(given: Mapping[str, Any]) -> list[str]:
    """Return the problems of a build's options, each with its option."""
    return [line for name in _OPTIONS for line in _problems(flag_of(name), name, given.get(name), option)]


def _problems(origin: str, name: str, given: Any, rule: Callable[[str, Any], None]) -> Iterator[str]:  # noqa: ANN401
    try:
        rule(name, given)
    except UsageError as error:
        hint = f"; {error.hint}" if error.hint else ""
        yield from (f"{origin}: {line.removeprefix(f'{origin}: ')}{hint}" for line in error.message.splitlines())
    except ValueError as error:
        yield f"{origin}: {error}"


def _one_of(words: Iterable[str], what: str) -> Callable[[str], None]:
    known = tuple(words)
    return lambda given: _check_word(given, known, what)


def _check_word(given: str, known: Sequence[str], what: str) -> None:
    if given in known:
        return
    near = nearest(given, known)
    several = ", ".join(known) if len(known) <= _MOST_SHOWN else f"{', '.join(known[:_MOST_SHOWN])}, ..."
    remedy = f"; did you mean {' or '.join(near)}?" if near else f": choose one of {several}"
    raise ValueError(f"unknown {what} {given!r}{remedy}")


def _glibc(given: str) -> None:
    if not _GLIBC.fullmatch(given):
        raise ValueError(f"{given!r} is not a version of glibc: write it as 2.28, which `ldd --version` prints")
    if tuple(map(int, given.split("."))) < _OLDEST_GLIBC:
        raise ValueError(
            f"no wheels exist for glibc {given}: give 2.17, the oldest glibc of manylinux wheels, or newer"
        )


def _cuda(given: str) -> None:
    if not _GLIBC.fullmatch(given):
        raise ValueError(f"{given!r} is not a version of CUDA: write it as 12.4, which `nvidia-smi` prints")


def _python(given: str) -> None:
    from envpack.resolve import match_spec

    try:
        match_spec.of_python(given, "")
    except UsageError as error:
        raise UsageError(error.message.removeprefix(": "), hint=error.hint) from error


def _names(given: Mapping[str, str]) -> None:
    from envpack.resolve.names import checked_names

    checked_names(given, "")


def _projects(given: Iterable[str]) -> None:
    for name in given:
        if not _PROJECT.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a PyPI project: give one name, without a version")


def _packages(given: Iterable[str]) -> None:
    from envpack.requirements.names import CondaName, problem_of

    for name in given:
        if not _PROJECT.fullmatch(name) and problem_of(CondaName(name)):
            raise ValueError(f"{name!r} is not the name of a package: give one name, without a version")


def _package_index(given: Mapping[str, str]) -> None:
    from envpack.requirements.addresses import checked_index
    from envpack.requirements.text import Refused

    for name, url in given.items():
        if not _PROJECT.fullmatch(name.replace("*", "x")):
            raise ValueError(f"{name!r} is neither the name of a PyPI project nor a pattern such as acme-*")
        try:
            checked_index(url)
        except Refused as refused:
            raise ValueError(refused.reason) from refused


def _index_mirrors(given: Mapping[str, str]) -> None:
    from envpack.requirements.addresses import checked_index
    from envpack.requirements.text import Refused

    for url in (*given, *given.values()):
        try:
            checked_index(url)
        except Refused as refused:
            raise ValueError(refused.reason) from refused


def _index_strategy(given: str) -> None:
    from envpack.requirements.values import STRATEGIES

    _check_word(given, STRATEGIES, "index strategy")


def _confine(given: str) -> None:
    from envpack.tools.cage import Confine

    _check_word(given, [each.value for each in Confine], "value of confine")


def _severity(given: str) -> None:
    from envpack.packages.advisories import LEVELS

    _check_word(given, LEVELS, "severity")


def _reuse(given: str) -> None:
    from envpack.build.store_reuse import Reuse

    _check_word(given, [each.value for each in Reuse], "value of reuse")


def _size(given: str) -> None:
    try:
        size_of(given, "")
    except UsageError:
        raise ValueError(f"must be a size such as 20 GB or 500 MB, not {given!r}") from None


def _time(given: str) -> None:
    try:
        span(given)
    except ValueError:
        raise ValueError(f"must be a time such as 60s, 12h, 30d or 8w, not {given!r}") from None


def _number(given: str) -> None:
    if not (given.isascii() and given.isdigit()):
        raise ValueError(f"must be a whole number such as 5, not {given!r}")


def _nodes(given: str) -> None:
    if not (given.isascii() and given.isdigit() and 0 < int(given) <= _MOST_NODES):
        raise ValueError(f"must be a number of nodes such as 100, not {given!r}")


def _bandwidth(given: str) -> None:
    from envpack.spark.node_cost import bits_of

    bits_of(given)


def _account(given: str) -> None:
    if not _ACCOUNT.fullmatch(given):
        raise ValueError(f"{given!r} is not an AWS account: give its 12 digits")


def _cache(given: str) -> None:
    nearest = next(
        path for path in (Path(given), *Path(given).parents) if os.path.lexists(path) or path == path.parent
    )
    if not os.path.isdir(nearest):  # noqa: PTH112 - Path's raises where the user may not look
        raise ValueError(f"{given} cannot be a directory, because {nearest} is a file")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise ValueError(f"{given} cannot be created: you have no permission to write in {nearest}")


def _release_names(given: Mapping[str, str]) -> None:
    for name in given.values():
        keys.check_name(name)


def _driver_python(given: str) -> None:
    if given == AUTO or shutil.which(given):
        return
    if "/" in given and Path(given).exists():
        raise ValueError(f"{given} is not an executable file: give the Python itself, such as .venv/bin/python")
    where = "does not exist" if "/" in given else "is not on PATH"
    raise ValueError(f"{given} {where}: give a Python on this machine, or auto to find one")


_RULES: dict[str, Callable[[Any], object]] = {
    "python": _python,
    "platform": _one_of(PLATFORMS, "platform"),
    "glibc": _glibc,
    "cuda": _cuda,
    "spark": check_known,
    "format": _one_of(FORMATS, "format"),
    "compression": _one_of(LEVELS, "compression"),
    "launcher": _one_of([*LAUNCHERS, *ALIASES], "launcher"),
    "from_pypi": _projects,
    "from_conda": _packages,
    "allow_clobber": _packages,
    "index_strategy": _index_strategy,
    "package_index": _package_index,
    "index_mirrors": _index_mirrors,
    "names": _names,
    "cache_dir": _cache,
    "cache_limit": _size,
    "reuse": _reuse,
    "node_bandwidth": _bandwidth,
    "nodes": _nodes,
    "confine": _confine,
    "s3_sse": _one_of(("AES256", "aws:kms"), "encryption"),
    "s3_bucket_owner": _account,
    "s3_addressing": _one_of(("auto", "path", "virtual"), "addressing"),
    "s3_patience": _time,
    "ci_names": _release_names,
    "policy_deny_vulnerabilities": _severity,
    "gc_keep_last": _number,
    "gc_keep_newer": _time,
    "gc_keep_used": _time,
    "gc_keep_jobs": _time,
    "gc_keep_history": _number,
    "gc_grace": _time,
}

_OPTIONS: dict[str, Callable[[Any], object]] = {
    "name": keys.check_name,
    "tag": keys.check_tag,
    "driver_python": _driver_python,
}
