"""Options that several commands share."""

from __future__ import annotations

import functools
import logging
import os
import shlex
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from envpack.archive.formats import FORMATS, LEVELS
from envpack.cli import complete
from envpack.cli.answer import PROGRESS, warn
from envpack.cli.choice import OneOf
from envpack.config.config import Config, load, unknown_variables
from envpack.config.target import PLATFORMS
from envpack.errors import BadConfiguration, UsageError
from envpack.spark.launchers import ALIASES, LAUNCHERS
from envpack.spark.render import OUTPUTS

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")


def _together(*options: Callable[[Any], Any]) -> Callable[[F], F]:
    return lambda command: functools.reduce(lambda inner, option: option(inner), reversed(options), command)


REFERENCE = click.argument("reference", metavar="REF", shell_complete=complete.reference)

STORE = _together(
    click.option(
        "--store", metavar="URL", help="The store that holds the releases: s3://BUCKET/PREFIX or a directory."
    ),
    click.option(
        "--s3-endpoint-url",
        metavar="URL",
        help="The URL of an S3 server other than Amazon's, such as https://minio.example:9000.",
    ),
    click.option(
        "--s3-region", metavar="REGION", help="The region of the bucket; by default that of the AWS configuration."
    ),
    click.option(
        "--s3-profile", metavar="NAME", help="The profile of the AWS configuration to use; by default AWS_PROFILE."
    ),
    click.option(
        "--s3-sse", metavar="KIND", help="The server-side encryption of what is written: AES256 or aws:kms."
    ),
    click.option("--s3-kms-key", metavar="KEY", help="The KMS key for --s3-sse aws:kms."),
    click.option(
        "--s3-bucket-owner",
        metavar="ACCOUNT",
        help="The number of the AWS account that must own the bucket; other buckets are refused.",
    ),
    click.option(
        "--s3-addressing",
        type=OneOf(["auto", "path", "virtual"]),
        help="The form of the addresses: path (HOST/BUCKET), virtual (BUCKET.HOST), or auto (the default).",
    ),
    click.option(
        "--s3-patience",
        metavar="TIME",
        help="How long to retry while S3 answers SlowDown, such as 5m; by default 60s.",
    ),
)

FILES = _together(
    click.argument("file", type=click.Path(path_type=Path), required=False),
    click.option(
        "-r",
        "--requirement",
        "requirement",
        multiple=True,
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="A requirements file. Repeat it to build one environment from several files, with --name.",
    ),
)

SOLVE = _together(
    click.option(
        "-c",
        "--channel",
        "channels",
        multiple=True,
        metavar="CHANNEL",
        help="A conda channel: a name, a URL or a directory. Repeat it for several, the preferred one first.",
    ),
    click.option("--python", metavar="VERSION", help="The version of the environment's Python, such as 3.11."),
    click.option(
        "--environment", metavar="NAME", help="The environment of a pixi.lock; by default the one called default."
    ),
    click.option(
        "--extra", multiple=True, metavar="NAME", help="Also take this extra of a pyproject.toml. Repeatable."
    ),
    click.option(
        "--group",
        multiple=True,
        metavar="NAME",
        help="Also take this dependency group of a pyproject.toml. Repeatable.",
    ),
    click.option(
        "--platform", type=OneOf(PLATFORMS), help="The platform of the cluster's nodes; by default linux-64."
    ),
    click.option(
        "--glibc", metavar="VERSION", help="The oldest glibc of any node of the cluster; by default 2.28."
    ),
    click.option(
        "--cuda",
        metavar="VERSION",
        help="The CUDA version that the nodes' NVIDIA driver supports, such as 12.4; by default none.",
    ),
    click.option(
        "--index-strategy",
        type=OneOf(["first-index", "unsafe-best-match"]),
        help="With several package indexes: take a project from the first index that has it (the "
        "default), or compare the versions of all indexes as pip does.",
    ),
    click.option(
        "--from-pypi",
        multiple=True,
        metavar="NAME",
        help="Take this project from PyPI, even if a channel has it. Repeatable.",
    ),
    click.option(
        "--from-conda",
        multiple=True,
        metavar="NAME",
        help="Take this project from a conda channel, and fail if no channel has it. Repeatable.",
    ),
    click.option(
        "--allow-clobber",
        multiple=True,
        metavar="NAME",
        help="Let this package replace files of other packages, or be replaced, without a warning or "
        "an error. Repeatable.",
    ),
    click.option(
        "--with-pyspark/--without-pyspark",
        default=None,
        help="Pack the pyspark of the requirements; by default it is left out and the cluster's pyspark is used.",
    ),
    click.option(
        "--project",
        type=click.Path(exists=True, file_okay=False),
        metavar="DIR",
        help="Build a wheel of your own project in DIR and pack it with the environment.",
    ),
    click.option(
        "--without-project/--with-project",
        default=None,
        help="Pack what your own projects need, but not the projects, if you send their code separately.",
    ),
    click.option(
        "--no-build",
        is_flag=True,
        callback=lambda _, __, given: (":all:",) if given else (),
        help="Fail if a package would be built from source. `no-build:` in envpack.yaml forbids single packages.",
    ),
    click.option("--locked", is_flag=True, help="Fail if the lock is missing or out of date."),
    click.option(
        "--upgrade", is_flag=True, help="Solve again although the lock is up to date, for newer versions."
    ),
)

SPARK = click.option("--spark", metavar="VERSION", help="The Spark version of the cluster, such as 3.5.")
LAUNCHER = click.option(
    "--launcher",
    type=OneOf([*LAUNCHERS, *ALIASES]),
    metavar="LAUNCHER",
    help=f"What starts the Spark application: {', '.join(list(LAUNCHERS)[:3])}, ... "
    "(envpack settings --help lists all).",
)
LAUNCHERS_EXPLAINED = "\b\nLaunchers:\n" + "\n".join(
    f"  {launcher.name:<{max(map(len, LAUNCHERS))}} {launcher.purpose.replace('`', '')}"
    for launcher in LAUNCHERS.values()
)
"""A paragraph of help."""
CACHE = _together(
    click.option("--cache-dir", metavar="DIR", help="The cache directory, for packages, wheels and indexes."),
    click.option(
        "--cache-limit",
        metavar="SIZE",
        help="How much packed content the cache keeps; by default 20 GB. The least recently used is deleted first.",
    ),
)
CONFINE = click.option(
    "--confine",
    type=OneOf(["require", "best", "off"]),
    help="The sandbox for packaged code. require: fail if this machine has no full sandbox; best "
    "(the default): confine as far as this machine can; off: no sandbox.",
)
COMPRESSION = click.option(
    "--compression",
    type=OneOf(list(LEVELS)),
    help="The compression: fast, default, or best (the smallest archive and the slowest build).",
)
SLIM = click.option(
    "--slim/--no-slim",
    default=None,
    help="Leave out what nodes do not need: test suites, headers, static libraries, manuals and type stubs.",
)
FORMAT = _together(
    click.option(
        "--format",
        type=OneOf(list(FORMATS)),
        help="The format of the archive: tar.gz (the default); tar, for YARN only, unpacks faster; "
        "zip, for tools that read nothing else.",
    ),
    COMPRESSION,
    SLIM,
)
OUTPUT = click.option("--output", type=OneOf(OUTPUTS), default="text", help="The form of the result on stdout.")
OUTPUT_JSON = click.option(
    "--output", type=OneOf(["text", "json"]), default="text", help="The form of the result on stdout."
)
DRIVER_PYTHON = click.option(
    "--driver-python",
    metavar="PATH|auto",
    help="The Python that runs the driver in client modes; auto looks on this machine for one of "
    "the environment's version.",
)
TAG = _together(
    click.option(
        "-t",
        "--tag",
        metavar="TAG",
        shell_complete=complete.tag,
        help="Also move this tag to the release, as well as latest.",
    ),
    click.option("--no-latest", is_flag=True, help="Do not move the tag latest, for example on a branch."),
)
ARCHIVES = _together(
    click.option(
        "--also-archives",
        multiple=True,
        metavar="ADDRESS#DIR",
        help="Another archive for the same jobs, unpacked as DIR next to the environment. Repeatable.",
    ),
    click.option(
        "--s3a-jars",
        metavar="PATH",
        help="Where each node has the jars of hadoop-aws, such as '/opt/s3a/*', if executors download "
        "archives themselves.",
    ),
)
DIRECTORY = click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="The directory of the unpacked archive for --launcher local; by default NAME-DIGEST in this directory.",
)
TALK = _together(
    click.option("-q", "--quiet", is_flag=True, help="Print only errors and the result."),
    click.option("-v", "--verbose", is_flag=True, help="Print what is done, in detail."),
    click.option(
        "--progress",
        type=OneOf(["auto", "plain", "json"]),
        default="auto",
        expose_value=False,
        callback=lambda context, _parameter, kind: context.meta.__setitem__(PROGRESS, kind),
        help="Progress on stderr. auto: bars on a terminal; plain: one line for each step; json: one "
        "JSON object for each event.",
    ),
)


def asked_for(file: Path | None, given: dict[str, Any]) -> tuple[Path, str | None]:
    """Return the file of requirements, and the text in its place for `-` and for files named with -r.

    Raises UsageError for none of them, for several, and for a text without a name.
    """
    several: tuple[Path, ...] = given["requirement"]
    if (file is None) == (not several):
        raise UsageError(
            "give one FILE, `-` for standard input, or -r FILE", hint="for example: envpack build requirements.txt"
        )
    if file is not None and str(file) != "-":
        return file, None
    name = given["name"]
    if not name and len(several) != 1:
        raise UsageError(
            "requirements from standard input or from several files need a name", hint="give it with --name NAME"
        )
    if file is not None:
        return Path(f"{name}.txt"), sys.stdin.read()
    if not name:
        return several[0], None
    return Path(f"{name}.txt"), "".join(f"-r {shlex.quote(str(path))}\n" for path in several)


def configuration(given: dict[str, Any], *, checked: bool = True) -> Config:
    """Return the configuration that flags, variables and files give together.

    Raises BadConfiguration with every value that cannot be used and where it came from, before any work begins;
    without `checked` only for what is no configuration at all.
    """
    from envpack.build import check

    context = click.get_current_context(silent=True)
    if context and not context.params.get("quiet") and not context.resilient_parsing:
        for sentence in unknown_variables(os.environ):
            warn(sentence)
    known = {entry.name for entry in fields(Config)}
    problems = check.options(given) if checked else []
    if given.get("locked") and given.get("upgrade"):
        problems.append("--locked: it uses the lock as it is, and --upgrade solves again: give one of them")
    try:
        config = load(
            {k: v for k, v in given.items() if k in known},
            os.environ,
            Path.cwd(),
            check.value if checked else None,
        )
    except BadConfiguration as error:
        problems = [*error.problems, *problems]
    if problems:
        raise BadConfiguration(problems)
    return config


def log_to_stderr() -> None:
    """Show what envpack itself logs; other libraries keep quiet."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(name)s: %(message)s"))
    logger = logging.getLogger("envpack")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
