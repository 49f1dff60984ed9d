"""Manifests of releases that were never built, and the settings that are made from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from envpack.archive.formats import FormatName
from envpack.archive.packer import PACKER
from envpack.config.target import Target
from envpack.packages.package import PackedPackage
from envpack.releases.manifest import ArchiveFacts, Manifest
from envpack.spark.settings import Settings, settings_for

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

S3 = "s3://bucket/envs/pandas-udf/3f2a9c1b4d5e6f70/pandas-udf-3f2a9c1b4d5e6f70.tar.gz"


def manifest(
    *,
    python: str = "3.11.7",
    archive_format: FormatName = "tar.gz",
    spark: str | None = None,
    variables: dict[str, str] | None = None,
    packages: Sequence[str] = (),
    unpacked_size: int = 400_000_000,
    members: int = 9_000,
    packer: str | None = PACKER,
) -> Manifest:
    return Manifest(
        name="pandas-udf",
        archive=ArchiveFacts(
            file="pandas-udf-3f2a9c1b4d5e6f70." + archive_format,
            format=archive_format,
            size=123_400_000,
            sha256="3f2a9c1b4d5e6f70" * 4,
            unpacked_size=unpacked_size,
            members=members,
        ),
        python=python,
        target=Target(spark=spark),
        packages=tuple(
            PackedPackage(name=name, version="1", source="pypi", sha256="0" * 64, url="") for name in packages
        ),
        variables=variables or {},
        packer=packer,
    )


def made(
    launcher: str, uri: str = S3, driver_python: str | None = None, directory: Path | None = None, **changes: Any
) -> Settings:
    """Return the settings for a release; `changes` are the manifest's."""
    return settings_for(
        manifest(**changes), uri, launcher=launcher, driver_python=driver_python, directory=directory
    )
