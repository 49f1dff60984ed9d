"""The cluster: whether this Spark, this launcher, this archive and this Python work together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from envpack.build import check, policy
from envpack.doctor.finding import Finding
from envpack.errors import EnvpackError
from envpack.releases import references
from envpack.releases.lookup import check_there
from envpack.spark import services, versions
from envpack.spark.launcher import refuse_archive
from envpack.spark.launchers import launcher_named
from envpack.spark.node_cost import node_cost
from envpack.spark.settings import settings_for
from envpack.tools import emulator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpack.archive.formats import FormatName
    from envpack.config.config import Config
    from envpack.releases.manifest import ArchiveFacts

_WORTH = 0.5
"""Seconds of each node from which on there is a finding."""


def configured(config: Config) -> Iterator[Finding]:
    """Check the configuration of the cluster, of clean-up and policy."""
    for problem in check.problems_of(config):
        hint = "correct the option, the variable or envpack.yaml"
        yield Finding(check="configuration", level="problem", text=problem, hint=hint)
    try:
        policy.configured(config)
    except EnvpackError as error:
        yield Finding(check="configuration", level="problem", text=error.message, hint=error.hint)
    yield from _together(config)


def _together(config: Config) -> Iterator[Finding]:
    try:
        launcher = launcher_named(config.launcher)
        target = config.target()
        if config.spark is None:
            text = "no Spark version is configured: packages are not kept to what it works with"
            yield Finding(check="target", level="note", text=text, hint="set `spark:` to the cluster's version")
            return
        spark = versions.minor(config.spark)
        versions.line_of(spark)
        refuse_archive(launcher, spark, cast("FormatName", config.format))
        if config.python:
            python = versions.minor(config.python)
            versions.refuse_python(spark, python)
            for warning in versions.python_warnings(spark, python, ()):
                yield Finding(check="target", level="warning", text=warning, hint="choose another `python:`")
    except EnvpackError as error:
        yield Finding(check="target", level="problem", text=error.message, hint=error.hint)
        return
    for warning in services.glibc_warnings(launcher.name, spark, target.glibc):
        yield Finding(check="target", level="warning", text=warning, hint="set `glibc:` to what the nodes have")
    text = f"Spark {config.spark}, {config.launcher}, {config.format} and {target.platform} work together"
    yield Finding(check="target", level="ok", text=text)
    if not target.is_this_machine:
        try:
            text = f"archives for {target.platform} are tried under {emulator.find(target.machine)}"
            yield Finding(check="target", level="ok", text=text)
        except emulator.NoEmulator as error:
            text = f"archives for {target.platform} can only be read here, not tried: {error}"
            yield Finding(check="target", level="note", text=text, hint="build on such a machine, or install qemu")


def of_nodes(archive: ArchiveFacts, config: Config) -> Iterator[Finding]:
    """Report the cost of an archive for nodes, and whether an uncompressed tar would cost less."""
    try:
        cost = node_cost(archive, config)
    except ValueError:  # reported for the configuration
        return
    yield Finding(check="release", level="ok", text=f"its nodes: {cost.text}")
    if archive.format != "tar.gz" or launcher_named(config.launcher).unpacker != "yarn":
        return
    plain = node_cost(replace(archive, format="tar", size=archive.unpacked_size), config)
    if cost.seconds - plain.seconds > _WORTH:
        text = f"as tar a node would have it in {plain.seconds:.1f} s, not in {cost.seconds:.1f} s"
        yield Finding(check="release", level="note", text=text, hint="build it with --format tar")


def release(reference: str, config: Config) -> Iterator[Finding]:
    """Check whether the configured launcher and Spark can run a release."""
    try:
        there = references.find(reference, config)
        found = check_there(there.store, there.release)
        manifest = found.manifest
        settings = settings_for(
            manifest,
            found.archive_uri,
            launcher=config.launcher,
            spark=config.spark,
            also_archives=config.also_archives,
            s3a_jars=config.s3a_jars,
        )
    except EnvpackError as error:
        yield Finding(check="release", level="problem", text=error.message, hint=error.hint)
        return
    spark = config.spark or manifest.target.spark
    text = f"{manifest.reference} (Python {manifest.python}) runs under {config.launcher}"
    yield Finding(check="release", level="ok", text=f"{text} of Spark {spark}" if spark else text)
    yield from of_nodes(manifest.archive, config)
    for warning in settings.warnings:
        yield Finding(check="release", level="warning", text=warning, hint="docs/spark.md says why")
