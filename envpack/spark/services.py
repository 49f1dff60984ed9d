"""The C libraries of hosted Sparks, release by release, as data with a source for every row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from envpack.spark.versions import dotted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from envpack.spark.versions import Minor


@dataclass(frozen=True, kw_only=True)
class ServiceRelease:
    """Some releases of a service, whose nodes have the same C library."""

    name: str
    """The service's names for them."""
    first: Minor
    """The oldest Spark among them."""
    last: Minor | None
    """The newest Spark among them; None when no newer release is known to differ."""
    system: str
    """The nodes' operating system; the oldest where a cluster may choose."""
    glibc: tuple[int, int]
    """Its C library."""
    source: str
    """The source of the row."""

    def has(self, spark: Minor) -> bool:
        """Return whether a release of the row has that Spark."""
        return self.first <= spark and (self.last is None or spark <= self.last)


_AMI = "Amazon EMR Management Guide, 'Using the default Amazon Linux AMI for Amazon EMR'"
_SPARKS = "Amazon EMR Release Guide: Spark 3.4.1 in 6.15.0, 3.5.0 in 7.0.0"
_AL2 = "Amazon Linux 2 has glibc 2.26"
_AL2023 = "Amazon Linux 2023 User Guide, 'Core toolchain packages glibc, gcc, binutils'"
_IMAGES = "Dataproc's documentation, 'Dataproc versioning', and the image version lists"

_EMR = (
    ServiceRelease(
        name="EMR 5 and 6",
        first=(2, 4),
        last=(3, 4),
        system="Amazon Linux 2",
        glibc=(2, 26),
        source=f"{_AMI}; {_SPARKS}; {_AL2}",
    ),
    ServiceRelease(
        name="EMR 7",
        first=(3, 5),
        last=None,
        system="Amazon Linux 2023",
        glibc=(2, 34),
        source=f"{_AMI}; {_SPARKS}; {_AL2023}",
    ),
)

_DATAPROC = (
    ServiceRelease(
        name="Dataproc 2.0", first=(3, 1), last=(3, 1), system="Ubuntu 18.04", glibc=(2, 27), source=_IMAGES
    ),
    ServiceRelease(
        name="Dataproc 2.1", first=(3, 3), last=(3, 3), system="Rocky Linux 8", glibc=(2, 28), source=_IMAGES
    ),
    ServiceRelease(
        name="Dataproc 2.2 and later",
        first=(3, 5),
        last=None,
        system="Rocky Linux 9",
        glibc=(2, 34),
        source=_IMAGES,
    ),
)

RELEASES: Mapping[str, tuple[ServiceRelease, ...]] = {
    "emr": _EMR,
    "emr-serverless": _EMR,
    "emr-eks": _EMR,
    "dataproc": _DATAPROC,
}
"""By launcher, the oldest first."""


def glibc_warnings(launcher: str, spark: Minor | None, glibc: str) -> Iterator[str]:
    """Yield which releases of a launcher's service have an older C library than an archive was built for.

    `spark` is the cluster's version, if it is known: then only releases with it are checked.
    """
    major, _, minor = glibc.partition(".")
    wanted = int(major), int(minor)
    too_old = [
        release
        for release in RELEASES.get(launcher, ())
        if release.glibc < wanted and (spark is None or release.has(spark))
    ]
    for release in too_old:
        until = "and later" if release.last is None else f"to {dotted(release.last)}"
        sparks = dotted(release.first) if release.last == release.first else f"{dotted(release.first)} {until}"
        have = dotted(release.glibc)
        yield (
            f"the archive is built for glibc {glibc}, and nodes of {release.name} (Spark {sparks}) have {have} "
            f"({release.system}): its libraries may not load there. Build with --glibc {have}"
            + ("" if spark else ", or say with --spark which Spark the cluster has")
        )
