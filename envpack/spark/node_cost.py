"""The time that nodes need before a job's first line runs: fetching the archive and unpacking it."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from envpack.spark.advice import unpacking_seconds
from envpack.units import human_size

if TYPE_CHECKING:
    from envpack.config.config import Config
    from envpack.releases.manifest import ArchiveFacts

_BANDWIDTH = re.compile(r"(?P<number>\d{1,6}(?:\.\d{1,6})?)\s*(?P<unit>[MG])bit/s")
_BITS = {"M": 1e6, "G": 1e9}


@dataclass(frozen=True, kw_only=True)
class NodeCost:
    """The cost of an archive where it is used."""

    bandwidth: str
    """Bandwidth of each node, as configured."""
    fetch_seconds: float
    """Of each node."""
    unpack_seconds: float
    """Of each node, if its disk is not the limit."""
    nodes: int
    """The assumed number of nodes."""
    fetched_bytes: int
    """By all of them."""

    @property
    def seconds(self) -> float:
        """The time of a node for both."""
        return self.fetch_seconds + self.unpack_seconds

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)

    @property
    def text(self) -> str:
        """Return it in a line."""
        return (
            f"each fetches it in {self.fetch_seconds:.1f} s at {self.bandwidth} and unpacks it in about "
            f"{self.unpack_seconds:.1f} s; {self.nodes:,} of them fetch {human_size(self.fetched_bytes)}"
        )


def node_cost(archive: ArchiveFacts, config: Config) -> NodeCost:
    """Return the cost of an archive for the configured number and bandwidth of nodes.

    Raises ValueError for an invalid bandwidth.
    """
    nodes = int(config.nodes)
    return NodeCost(
        bandwidth=config.node_bandwidth,
        fetch_seconds=round(8 * archive.size / bits_of(config.node_bandwidth), 2),
        unpack_seconds=round(unpacking_seconds(archive), 2),
        nodes=nodes,
        fetched_bytes=nodes * archive.size,
    )


def bits_of(bandwidth: str) -> float:
    """Return the bits in a second of a text such as `10 Gbit/s`; raises ValueError."""
    match = _BANDWIDTH.fullmatch(bandwidth.strip())
    if match is None or not float(match["number"]):
        raise ValueError(f"must be a bandwidth such as 10 Gbit/s or 500 Mbit/s, not {bandwidth!r}")
    return float(match["number"]) * _BITS[match["unit"]]
