"""What nodes pay for an archive, as `show` and `doctor` reckon it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from envpack.config.config import Config
from envpack.doctor import target
from envpack.spark.node_cost import bits_of, node_cost
from tests.support.releases import manifest_of

if TYPE_CHECKING:
    from envpack.archive.formats import FormatName
    from envpack.releases.manifest import ArchiveFacts


def archive(format: FormatName, size: int, unpacked: int) -> ArchiveFacts:
    return replace(manifest_of("0" * 64).archive, format=format, size=size, unpacked_size=unpacked)


@pytest.mark.parametrize(("text", "bits"), [("10 Gbit/s", 1e10), ("500Mbit/s", 5e8), (" 2.5 Gbit/s ", 2.5e9)])
def test_a_bandwidth_is_bits_in_a_second(text: str, bits: float) -> None:
    assert bits_of(text) == bits


@pytest.mark.parametrize("text", ["", "10", "10 GB/s", "0 Gbit/s", "-1 Gbit/s", "much"])
def test_what_is_no_bandwidth_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a bandwidth"):
        bits_of(text)


def test_all_nodes_fetch_what_one_fetches() -> None:
    cost = node_cost(archive("tar.gz", 250_000_000, 800_000_000), Config(node_bandwidth="1 Gbit/s", nodes="40"))
    assert (cost.fetch_seconds, cost.nodes, cost.fetched_bytes) == (2.0, 40, 10_000_000_000)
    assert "2.0 s at 1 Gbit/s" in cost.text


def test_a_tar_is_larger_to_fetch_and_sooner_unpacked() -> None:
    config = Config()
    gz, tar = (node_cost(archive(name, size, 800_000_000), config) for name, size in SIZES)
    assert tar.fetch_seconds > gz.fetch_seconds
    assert tar.unpack_seconds < gz.unpack_seconds / 3


SIZES: tuple[tuple[FormatName, int], ...] = (("tar.gz", 250_000_000), ("tar", 800_000_000))


@pytest.mark.parametrize(("bandwidth", "told"), [("10 Gbit/s", True), ("100 Mbit/s", False)])
def test_doctor_recommends_what_costs_a_node_less(bandwidth: str, *, told: bool) -> None:
    config = Config(node_bandwidth=bandwidth, launcher="yarn-cluster")
    found = list(target.of_nodes(archive("tar.gz", 250_000_000, 800_000_000), config))
    assert [each.hint for each in found if each.hint] == (["build it with --format tar"] if told else [])
