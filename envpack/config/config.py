"""The user's choices, and their origins: flags, `ENVPACK_*` variables, `envpack.yaml`, defaults."""

from __future__ import annotations

import difflib
import shlex
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import platformdirs

from envpack.channel_names import is_directory
from envpack.config.addresses import channel_place, named_directory, server_address, store_place
from envpack.config.target import DEFAULT_GLIBC, Target
from envpack.errors import BadConfiguration, UsageError
from envpack.redact import meet

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from envpack.config.file import Setting

BOOLEANS = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}
"""The words for true and false."""

SECTIONS = ("ci", "gc", "policy")
"""Keys of the file that hold others: `requirements:` under `ci:` is the field `ci_requirements`."""

FILE = "envpack.yaml"
"""Searched in the working directory and upward."""

_PREFIX = "ENVPACK_"
_OTHER_VARIABLES = frozenset({"ENVPACK_COMPLETE", "ENVPACK_KEEP"})
"""Read elsewhere: by the completion of shells, and by the Python of an archive."""


def _cache_directory() -> str:
    """Return the platform's directory for caches. Raises UsageError for a user without a home."""
    try:
        return platformdirs.user_cache_dir("envpack", appauthor=False)
    except RuntimeError as error:
        raise UsageError(
            "no cache directory can be chosen: this user has no home directory",
            hint="give --cache-dir, or set ENVPACK_CACHE_DIR or HOME",
        ) from error


@dataclass(frozen=True, kw_only=True)
class Config:
    """Every choice that outlives one command.

    A field such as `s3_region` is `--s3-region`, `ENVPACK_S3_REGION` and `s3-region:`.
    """

    store: str | None = None
    """Where releases are kept: `s3://bucket/prefix` or a directory."""
    channels: tuple[str, ...] = ("conda-forge",)
    """Conda channels, most wanted first: names, URLs or directories."""
    python: str | None = None
    """The Python to build with, such as `3.11`."""
    environment: str | None = None
    """Which environment of a pixi.lock is built; by default its `default`."""
    extra: tuple[str, ...] = ()
    """Which extras of a pyproject.toml, or of its lock, are built besides what it needs in any case."""
    group: tuple[str, ...] = ()
    """Which dependency groups of a pyproject.toml, or of its lock, are built besides."""
    platform: str = "linux-64"
    """The cluster's platform."""
    glibc: str = DEFAULT_GLIBC
    """The oldest glibc among the cluster's nodes."""
    cuda: str | None = None
    """The CUDA version that the nodes' driver supports."""
    spark: str | None = None
    """The cluster's Spark version."""
    with_pyspark: bool = False
    """Whether a pyspark in the requirements is kept; otherwise it is left to the cluster."""
    format: str = "tar.gz"
    """The archive's format: `tar.gz`, `tar` or `zip`."""
    compression: str = "default"
    """How much is done to make archives small: `fast`, `default` or `best`."""
    slim: bool = False
    """Whether archives leave out what a node never needs."""
    launcher: str = "yarn-cluster"
    """What starts the Spark application."""
    also_archives: tuple[str, ...] = ()
    """Other archives that the same jobs use, each `ADDRESS#DIRECTORY`; the settings name them too."""
    node_bandwidth: str = "10 Gbit/s"
    """The bandwidth between each node and the store; `show` and `doctor` calculate with it."""
    nodes: str = "100"
    """The number of nodes that fetch an archive; `show` and `doctor` calculate with it."""
    s3a_jars: str | None = None
    """The path of hadoop-aws and its AWS library on every node, for launchers whose executors fetch archives."""
    from_pypi: tuple[str, ...] = ()
    """Projects that must come from PyPI."""
    from_conda: tuple[str, ...] = ()
    """Projects that must come from a conda channel."""
    allow_clobber: tuple[str, ...] = ()
    """Packages whose files may replace files of others, or be replaced by them, without a warning."""
    index_strategy: str = "first-index"
    """What several package indexes mean: `first-index`, or `unsafe-best-match`, which compares all as pip does."""
    package_index: Mapping[str, str] = field(default_factory=dict)
    """Projects, by name or by pattern such as `acme-*`, to the one package index that they are taken from."""
    index_mirrors: Mapping[str, str] = field(default_factory=dict)
    """Package indexes to the mirrors that are asked in their place, whoever names the index."""
    names: Mapping[str, str] = field(default_factory=dict)
    """PyPI project name to conda package name, where they differ."""
    cache_dir: str = field(default_factory=_cache_directory)
    """Where packages, wheels and indexes are cached."""
    cache_limit: str = "20 GB"
    """How much packed content the cache keeps; the content that was not used for longest is removed first."""
    reuse: str = "store"
    """Releases from which packed packages are fetched: those of the same `name`, of the same `store`, or `off`."""
    project: str | None = None
    """The directory of the team's own project, which is built into a wheel and packed with every environment."""
    without_project: bool = False
    """Whether the team's own projects are left out of archives, and only what they need is packed."""
    no_build: tuple[str, ...] = ()
    """Projects whose wheels must not be built from a source; `:all:` means every project."""
    confine: str = "best"
    """What to do where packaged code cannot be confined as it should: `require`, `best` or `off`."""
    s3_endpoint_url: str | None = None
    """The URL of an S3 that is not Amazon's; `AWS_ENDPOINT_URL_S3` works too."""
    s3_region: str | None = None
    s3_profile: str | None = None
    """A profile of the AWS configuration."""
    s3_sse: str | None = None
    """Encryption on the server: `AES256` or `aws:kms`."""
    s3_kms_key: str | None = None
    """The key for `aws:kms`."""
    s3_bucket_owner: str | None = None
    """The account that must own the bucket."""
    s3_addressing: str = "auto"
    """`path` for servers that do not know buckets as host names."""
    s3_patience: str = "60s"
    """How long envpack repeats a request that S3 answers with SlowDown."""
    ci_requirements: tuple[str, ...] = ()
    """The files and patterns that `envpack ci` looks at; in the file `requirements:` under `ci:`."""
    ci_names: Mapping[str, str] = field(default_factory=dict)
    """The name of the releases of each requirements file, where it is not the file's stem; `names:` under `ci:`."""
    ci_catalog: bool = False
    """Whether `envpack ci` brings the catalog beside the releases up to date; `catalog:` under `ci:`."""
    record_use: bool = False
    """Whether `settings` and `ci` record in the store that they used a release; `gc_keep_used` needs it."""
    gc_keep_last: str | None = None
    """How many releases of each name `envpack gc` keeps; in the file `keep-last:` under `gc:`."""
    gc_keep_newer: str | None = None
    """Releases that are younger than this are kept, such as `30d`."""
    gc_keep_used: str | None = None
    """Releases that were used within this time are kept."""
    gc_keep_jobs: str = "30d"
    """How long the release and the code of a submitted job are kept."""
    gc_keep_history: str = "1"
    """How many of a tag's earlier releases are kept."""
    gc_grace: str = "1d"
    """Objects that are younger than this are never removed."""
    policy_deny_licenses: tuple[str, ...] = ()
    """Licences that no package may have: SPDX identifiers, patterns such as `GPL-*`, `unknown`; under `policy:`."""
    policy_deny_packages: tuple[str, ...] = ()
    """Packages that are denied: names with version specifiers, such as `pyyaml<5.4`."""
    policy_require_hashes: bool = False
    """Whether a wheel that the requirements name by URL needs its hash there."""
    policy_deny_vulnerabilities: str | None = None
    """The least severity of a known vulnerability that is denied: `low`, `moderate`, `high` or `critical`."""
    policy_ignore_vulnerabilities: tuple[str, ...] = ()
    """Vulnerabilities that are not denied, each by the name of an advisory, such as `CVE-2024-22195`."""
    advisories: str | None = None
    """Where the site mirrors advisories in OSV's format: a directory, or OSV's zip of PyPI."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """Field name to where its value came from: a flag, a variable, a file with its line, or `default`."""

    def meet_secrets(self) -> None:
        """Pass this configuration's secrets to the filter of secrets: of channels, of stores, of endpoints."""
        for entry in fields(self):
            value = getattr(self, entry.name)
            texts = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else (value,)
            for text in texts:
                if isinstance(text, str):
                    meet(text)

    def target(self) -> Target:
        """Return the target cluster."""
        return Target(platform=self.platform, glibc=self.glibc, cuda=self.cuda, spark=self.spark)


def load(
    flags: Mapping[str, Any],
    environ: Mapping[str, str],
    directory: Path,
    check: Callable[[str, Any], None] | None = None,
) -> Config:
    """Return the configuration: flag, else `ENVPACK_*`, else `envpack.yaml` at or above `directory`, else default.

    `flags` holds field names with values; None and empty tuples mean that the flag was not given. A directory in
    the file is relative to the file, others to `directory`. `check` is called with the name and the value of every
    field that is not the default, and raises ValueError or UsageError for a value that cannot be used. Raises
    BadConfiguration with every mistake at once, each with its origin.
    """
    path = find(directory)
    written, problems = _written(path) if path else ({}, [])
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for name, kind in kinds().items():
        variable = f"ENVPACK_{name.upper()}"
        base = directory
        if flags.get(name) not in (None, ()):
            given, origins[name] = flags[name], flag_of(name)
        elif environ.get(variable):
            given, origins[name] = environ[variable], variable
        elif name in written:
            given, origins[name], base = written[name].value, written[name].origin, path.parent if path else base
        else:
            origins[name] = "default"
            continue
        try:
            if origins[name] == variable:
                given = _from_variable(given, kind)
            values[name] = _placed(name, given, base)
            if check:
                check(name, values[name])
        except UsageError as error:
            hint = f"; {error.hint}" if error.hint else ""
            lines = [line.removeprefix(f"{origins[name]}: ") for line in error.message.splitlines()]
            problems += [f"{origins[name]}: {line}{hint}" for line in lines]
        except (ValueError, RuntimeError) as error:  # RuntimeError: `~` where there is no such home directory
            subject = (
                f"{written[name].key} "
                if origins[name] not in (variable, flag_of(name)) and str(error).startswith("must be")
                else ""
            )
            problems.append(f"{origins[name]}: {subject}{error}")
    if problems:
        raise BadConfiguration(problems)
    config = Config(**values, origins=origins)
    config.meet_secrets()
    return config


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Return a sentence for each unknown variable with envpack's prefix, with the most similar name."""
    known = [name.upper() for name in kinds()]
    good = {f"{_PREFIX}{name}" for name in known} | _OTHER_VARIABLES
    found = sorted(name for name in environ if name.startswith(_PREFIX) and name not in good)
    sentences = []
    for name in found:
        # The prefix is left out: with it, all names are alike.
        near = difflib.get_close_matches(name.removeprefix(_PREFIX), known, n=1, cutoff=0.75)
        question = f": did you mean {_PREFIX}{near[0]}?" if near else "; `envpack doctor` lists what can be set"
        sentences.append(f"envpack has no variable {name}{question}")
    return sentences


def find(directory: Path) -> Path | None:
    """Return the nearest `envpack.yaml` at or above a directory."""
    here = directory.absolute()
    return next((path for place in (here, *here.parents) if (path := place / FILE).is_file()), None)


def flag_of(name: str) -> str:
    """Return a field's option; it does not include the file's section."""
    return "--channel" if name == "channels" else f"--{name.removeprefix('gc_').replace('_', '-')}"


def options_given(config: Config, names: Sequence[str]) -> list[str]:
    """Return the options among these fields that the user gave, as words of a command."""
    words: list[str] = []
    for name in names:
        value, flag = getattr(config, name), flag_of(name)
        if config.origins.get(name) != flag:
            continue
        if isinstance(value, bool):
            words.append(flag if value else f"--without-{flag.removeprefix('--with-')}")
            continue
        for each in value if isinstance(value, tuple) else (value,):
            words += [flag, shlex.quote(str(each))]
    return words


def kinds() -> dict[str, str]:
    """Return the name of every field and its kind: `text`, `boolean`, `list` or `mapping`."""
    by_type = {"tuple[str, ...]": "list", "Mapping[str, str]": "mapping", "bool": "boolean"}
    return {entry.name: by_type.get(str(entry.type), "text") for entry in fields(Config) if entry.name != "origins"}


def _from_variable(text: str, kind: str) -> Any:  # noqa: ANN401 - the field's type
    if kind == "text":
        return text
    if kind == "boolean":
        if text.lower() not in BOOLEANS:
            raise ValueError(f"must be true or false, not {text!r}")
        return BOOLEANS[text.lower()]
    items = tuple(item for item in text.replace(",", " ").split() if item)
    if kind == "list":
        return items
    pairs = [item.partition("=") for item in items]
    if not all(sign and value for _, sign, value in pairs):
        raise ValueError("must be NAME=VALUE pairs, such as 'torch=pytorch tables=pytables'")
    return {name: value for name, _, value in pairs}


def _written(path: Path) -> tuple[dict[str, Setting], list[str]]:
    # Importing PyYAML takes longer than many commands, and often there is no file.
    from envpack.config.file import read

    return read(path, kinds(), SECTIONS, BOOLEANS)


def _placed(name: str, value: Any, base: Path) -> Any:  # noqa: ANN401 - the field's type
    """Return a value with its directories absolute; raises ValueError for an invalid place."""
    if name == "store":
        return store_place(value, base)
    if name in ("cache_dir", "project", "advisories"):
        return named_directory(value, base)
    if name == "channels":
        return tuple(channel_place(each, base, directory=is_directory(each, base)) for each in value)
    if name == "s3_endpoint_url":
        return server_address(value)
    return value
