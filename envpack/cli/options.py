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
    click.option("--store", metavar="URL", help="Where releases are kept: s3://bucket/prefix or a directory."),
    click.option("--s3-endpoint-url", metavar="URL", help="Another S3 than Amazon's."),
    click.option("--s3-region", metavar="REGION", help="The bucket's region."),
    click.option("--s3-profile", metavar="NAME", help="A profile of the AWS configuration."),
    click.option("--s3-sse", metavar="KIND", help="Encryption on the server: AES256 or aws:kms."),
    click.option("--s3-kms-key", metavar="KEY", help="The key for aws:kms."),
    click.option("--s3-bucket-owner", metavar="ACCOUNT", help="The account that must own the bucket."),
    click.option("--s3-addressing", type=OneOf(["auto", "path", "virtual"]), help="How buckets are addressed."),
    click.option("--s3-patience", metavar="TIME", help="How long to go on when S3 asks to slow down, such as 60s."),
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
        help="A file of requirement lines; several make one environment, which --name names.",
    ),
)

SOLVE = _together(
    click.option(
        "-c", "--channel", "channels", multiple=True, metavar="C", help="A conda channel: name, URL or directory."
    ),
    click.option("--python", metavar="V", help="The Python to build with, such as 3.11."),
    click.option("--environment", metavar="NAME", help="Which environment of a pixi.lock to build."),
    click.option("--extra", multiple=True, metavar="NAME", help="Take this extra of a pyproject.toml as well."),
    click.option("--group", multiple=True, metavar="NAME", help="Take this dependency group of it as well."),
    click.option("--platform", type=OneOf(PLATFORMS), help="The cluster's platform."),
    click.option("--glibc", metavar="V", help="The oldest glibc among the cluster's nodes."),
    click.option("--cuda", metavar="V", help="The CUDA version of the nodes' driver."),
    click.option(
        "--index-strategy",
        type=OneOf(["first-index", "unsafe-best-match"]),
        help="Several package indexes: the first that has a project answers, or the best version of all.",
    ),
    click.option("--from-pypi", multiple=True, metavar="NAME", help="Take this project from PyPI."),
    click.option("--from-conda", multiple=True, metavar="NAME", help="Take this project from a conda channel."),
    click.option(
        "--allow-clobber",
        multiple=True,
        metavar="NAME",
        help="Let this package replace files of others, or be replaced, without a warning.",
    ),
    click.option(
        "--with-pyspark/--without-pyspark",
        default=None,
        help="Keep a pyspark of the requirements in the archive; by default the cluster's own is used.",
    ),
    click.option(
        "--project",
        type=click.Path(exists=True, file_okay=False),
        metavar="DIR",
        help="Build your own project in DIR into a wheel and pack it with the environment.",
    ),
    click.option(
        "--without-project/--with-project",
        default=None,
        help="Leave your own projects out and pack only what they need, for code that is shipped apart.",
    ),
    click.option(
        "--no-build",
        is_flag=True,
        callback=lambda _, __, given: (":all:",) if given else (),
        help="Fail where a wheel would be built from source. `no-build:` in envpack.yaml takes names.",
    ),
    click.option("--locked", is_flag=True, help="Fail when the lock is missing or stale."),
    click.option("--upgrade", is_flag=True, help="Solve again though the lock is good."),
)

SPARK = click.option("--spark", metavar="V", help="The cluster's Spark version, such as 3.5.")
LAUNCHER = click.option(
    "--launcher",
    type=OneOf([*LAUNCHERS, *ALIASES]),
    metavar="L",
    help=f"What starts the Spark application: {', '.join(list(LAUNCHERS)[:3])}, ...; see envpack settings --help.",
)
LAUNCHERS_EXPLAINED = "\b\nLaunchers:\n" + "\n".join(
    f"  {launcher.name:<{max(map(len, LAUNCHERS))}} {launcher.purpose.replace('`', '')}"
    for launcher in LAUNCHERS.values()
)
"""A paragraph of help."""
CACHE = _together(
    click.option("--cache-dir", metavar="DIR", help="Where packages, wheels and indexes are cached."),
    click.option("--cache-limit", metavar="SIZE", help="How much packed content the cache keeps, such as 20 GB."),
)
CONFINE = click.option(
    "--confine",
    type=OneOf(["require", "best", "off"]),
    help="Where packaged code cannot be wholly confined: refuse to run it, do what is possible, or do nothing.",
)
COMPRESSION = click.option(
    "--compression", type=OneOf(list(LEVELS)), help="How much is done to make the archive small."
)
SLIM = click.option(
    "--slim/--no-slim",
    default=None,
    help="Leave out what a node never needs: test suites, headers, static libraries, manuals, stubs.",
)
FORMAT = _together(
    click.option("--format", type=OneOf(list(FORMATS)), help="The archive's format."),
    COMPRESSION,
    SLIM,
)
OUTPUT = click.option("--output", type=OneOf(OUTPUTS), default="text", help="How to print the answer.")
OUTPUT_JSON = click.option("--output", type=OneOf(["text", "json"]), default="text", help="How to print it.")
DRIVER_PYTHON = click.option(
    "--driver-python",
    metavar="PATH|auto",
    help="The Python that runs the driver in client modes; auto finds one of the environment's version.",
)
TAG = _together(
    click.option(
        "-t", "--tag", metavar="T", shell_complete=complete.tag, help="A tag to move to the release, beside latest."
    ),
    click.option("--no-latest", is_flag=True, help="Leave latest where it is, as on a branch."),
)
ARCHIVES = _together(
    click.option(
        "--also-archives",
        multiple=True,
        metavar="ADDRESS#DIR",
        help="Another archive of the same jobs, unpacked as DIR beside the environment.",
    ),
    click.option(
        "--s3a-jars",
        metavar="PATH",
        help="Where every node has hadoop-aws, such as '/opt/s3a/*', for executors that fetch archives themselves.",
    ),
)
DIRECTORY = click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the archive is unpacked for --launcher local; by default NAME-DIGEST here.",
)
TALK = _together(
    click.option("-q", "--quiet", is_flag=True, help="Say nothing but errors and the answer."),
    click.option("-v", "--verbose", is_flag=True, help="Say what is done in detail."),
    click.option(
        "--progress",
        type=OneOf(["auto", "plain", "json"]),
        default="auto",
        expose_value=False,
        callback=lambda context, _parameter, kind: context.meta.__setitem__(PROGRESS, kind),
        help="How to show progress on stderr: bars on a terminal, a line for each step, or JSON lines.",
    ),
)


def asked_for(file: Path | None, given: dict[str, Any]) -> tuple[Path, str | None]:
    """Return the file of requirements, and the text in its place for `-` and for files named with -r.

    Raises UsageError for none of them, for several, and for a text without a name.
    """
    several: tuple[Path, ...] = given["requirement"]
    if (file is None) == (not several):
        raise UsageError(
            "name one FILE, `-` for standard input, or files with -r", hint="envpack build requirements.txt"
        )
    if file is not None and str(file) != "-":
        return file, None
    name = given["name"]
    if not name and len(several) != 1:
        raise UsageError(
            "requirements that are in no file of their own need a name", hint="name the release with --name"
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
