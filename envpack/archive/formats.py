"""The formats of archives, and the words that options and manifests use for them. It imports nothing heavy.

How nodes unpack each suffix: Spark's `Utils.unpack`, Hadoop's `FileUtil.unTar` and `FileUtil.unZip`, and YARN's
`FSDownload.unpack`; see docs/spark.md.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

FormatName = Literal["tar.gz", "tar", "zip"]
"""What `--format` takes and a manifest holds."""

Unpacker = Literal["yarn", "spark", "shell"]
"""What unpacks an archive on a node: YARN's localizer, Spark's own Java code, or the user's shell."""

Since = tuple[int, int]
"""The first Spark version for which something is true."""


@dataclass(frozen=True, kw_only=True)
class Format:
    """One format of archives. Another one is a module beside this one that writes it, and an entry in `FORMATS`."""

    name: FormatName
    suffixes: tuple[str, ...]
    """The suffixes by which Spark and YARN recognise it; envpack writes the first."""
    media_type: str
    writer: str
    """The module of this package that writes it; see `envpack.archive.composing.Writer`."""
    links: bool
    """Whether it keeps symbolic links when a node unpacks it; otherwise copies take their place."""
    compressed: bool = True
    unpack: str
    """The shell command that unpacks `{file}` into the directory `{directory}`."""
    stream: str | None = None
    """The same for standard input; None where it needs a file."""
    since: Mapping[Unpacker, Since | None] = field(default_factory=dict)
    """The first Spark with which this unpacker gives a Python that runs, None for no Spark; a missing unpacker
    always does."""
    loss: str = ""
    """What is lost otherwise."""

    def works(self, unpacker: Unpacker, spark: Since | None) -> bool:
        """Return whether a Python unpacked from this format runs with that Spark; None: with the newest."""
        since = self.since.get(unpacker, (0, 0))
        return since is not None and (spark is None or spark >= since)


_ALL = (
    Format(
        name="tar.gz",
        suffixes=(".tar.gz", ".tgz"),
        media_type="application/gzip",
        writer="targz",
        links=True,
        unpack="tar -xzf {file} -C {directory}",
        stream="tar -xzf - -C {directory}",
    ),
    # Off YARN, Spark unpacks it with Hadoop's Java code since 3.2 (SPARK-38631), which knows neither permissions
    # nor, since Hadoop 3.3.4, links.
    Format(
        name="tar",
        suffixes=(".tar",),
        media_type="application/x-tar",
        writer="tar",
        links=True,
        compressed=False,
        unpack="tar -xf {file} -C {directory}",
        stream="tar -xf - -C {directory}",
        since={"spark": None},
        loss="a tar's permissions and links",
    ),
    # Off YARN, Spark unpacks it with its Hadoop, which knows permissions since 3.3.6 (HADOOP-18145).
    Format(
        name="zip",
        suffixes=(".zip",),
        media_type="application/zip",
        writer="zip",
        links=False,
        unpack="unzip -q -o {file} -d {directory}",
        since={"spark": (4, 0)},
        loss="a zip's permissions",
    ),
)

FORMATS: Mapping[FormatName, Format] = MappingProxyType({format.name: format for format in _ALL})

DEFAULT: FormatName = "tar.gz"

SUFFIXES = tuple(suffix for format in _ALL for suffix in format.suffixes)
"""The suffixes by which Spark and YARN recognise the formats that envpack writes."""


def format_of(file_name: str) -> Format | None:
    """Return the format of a file for Spark and YARN, by its suffix in any case; None if there is none."""
    name = file_name.lower()
    return next((format for format in _ALL if name.endswith(format.suffixes)), None)


ALIAS = "environment"
"""The directory, below a Spark process' working directory, that an archive is unpacked to."""

LEVEL = 4
"""The fastest level of libdeflate whose archives are always smaller than those of conda-pack, zlib's level 4."""

LEVELS = {"fast": 1, "default": LEVEL, "best": 9}
"""Words for levels."""
