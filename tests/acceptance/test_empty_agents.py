"""Agents with nothing in their caches, beside a second S3 server: alone, two at once, hindered and refused."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from tests.support.command import Desk, desk_at
from tests.support.s3 import Answer, Gate
from tests.support.wheels import write_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.channel import Channel
    from tests.support.command import Ran
    from tests.support.s3 import Asked, S3Server

pytestmark = pytest.mark.acceptance

STORE_REFUSED = 8


@dataclass(frozen=True, kw_only=True)
class Site:
    """A store with one release, and agents that know nothing."""

    folder: Path
    channel: Channel
    gate: Gate
    server: S3Server
    bucket: str

    def agent(self, name: str) -> Desk:
        """Return a new agent, with the requirements checked out."""
        desk = desk_at(self.folder / name, self.channel, self.folder / f"{name} cache")
        shelf = desk.home / "shelf"
        shelf.mkdir()
        for wheel in ("alpha", "beta", "gamma"):
            write_wheel(shelf, wheel, "1.0")
        variables = {
            **self.server.variables(),
            "HOME": str(desk.home),
            "ENVPACK_STORE": f"s3://{self.bucket}/envs",
            "ENVPACK_S3_ENDPOINT_URL": self.gate.endpoint,
            "ENVPACK_S3_ADDRESSING": "path",
        }
        return replace(desk, environment={**desk.environment, **variables})

    def build(self, desk: Desk, *wheels: str, **variables: str) -> Ran:
        desk.write("r.txt", "--no-index", "--find-links shelf", *wheels)
        return desk.run("build", "r.txt", "--output", "json", **variables)


@pytest.fixture
def site(tmp_path: Path, channel: Channel, real_s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    real_s3.prepare(monkeypatch)
    gate = Gate(real_s3)
    site = Site(folder=tmp_path, channel=channel, gate=gate, server=real_s3, bucket=real_s3.new_bucket())
    first = site.build(site.agent("first"), "alpha", "beta")
    assert first.code == 0, first.err
    gate.asked.clear()
    yield site
    gate.close()


def digest_of(ran: Ran) -> str:
    assert ran.code == 0, ran.err
    return str(ran.json()["digest"])


def made_alone(site: Site) -> str:
    """Return the digest of what the changed environment comes to where nothing is fetched."""
    return digest_of(site.build(site.agent("alone"), "alpha", "beta", "gamma", ENVPACK_REUSE="off"))


def test_an_empty_agent_fetches_what_is_unchanged_and_verifies_what_is_new(site: Site) -> None:
    ran = site.build(site.agent("second"), "alpha", "beta", "gamma")
    assert ran.code == 0, ran.err
    assert "3 packages packed for r@" in ran.err
    assert "1 module imported, 2 as before in r@" in ran.err
    ranges = [
        asked.headers["range"]
        for asked in site.gate.asked
        if ".tar.gz" in asked.target and "range" in asked.headers
    ]
    assert len(ranges) == 1
    assert made_alone(site) == digest_of(ran)


def test_two_empty_agents_at_once_come_to_one_release(site: Site) -> None:
    agents = [site.agent("one"), site.agent("two")]
    with ThreadPoolExecutor(2) as pool:
        direct = {"ENVPACK_S3_ENDPOINT_URL": site.server.endpoint}
        ran = list(pool.map(lambda agent: site.build(agent, "alpha", "beta", "gamma", **direct), agents))
    assert len({digest_of(each) for each in ran}) == 1


def test_a_release_that_gc_removes_while_it_is_fetched_is_no_reason_to_fail(site: Site) -> None:
    client = site.server.client()

    def remove_first(asked: Asked) -> Answer:
        if "range" in asked.headers and ".tar.gz" in asked.target:
            for entry in client.list_objects_v2(Bucket=site.bucket).get("Contents", ()):
                if entry["Key"].endswith((".tar.gz", "manifest.json")):
                    client.delete_object(Bucket=site.bucket, Key=entry["Key"])
        return site.gate.forward(asked)

    site.gate.serve = remove_first
    ran = site.build(site.agent("second"), "alpha", "beta", "gamma")
    site.gate.serve = site.gate.forward
    assert digest_of(ran) == made_alone(site)


def test_wrong_pieces_of_another_writer_are_not_shipped(site: Site) -> None:
    client = site.server.client()
    (archive,) = (
        entry["Key"]
        for entry in client.list_objects_v2(Bucket=site.bucket)["Contents"]
        if entry["Key"].endswith(".tar.gz")
    )
    data = bytearray(client.get_object(Bucket=site.bucket, Key=archive)["Body"].read())
    for place in range(0, len(data), 1000):
        data[place] ^= 1
    client.put_object(Bucket=site.bucket, Key=archive, Body=bytes(data))
    ran = site.build(site.agent("second"), "alpha", "beta", "gamma")
    assert digest_of(ran) == made_alone(site)


def test_a_key_that_may_only_read_is_enough_to_fetch_and_not_to_publish(site: Site) -> None:
    def only_reading(asked: Asked) -> Answer:
        return site.gate.forward(asked) if asked.method in ("GET", "HEAD") else Answer.error(403, "AccessDenied")

    site.gate.serve = only_reading
    agent = site.agent("of a pull request")
    ran = site.build(agent, "alpha", "beta", "gamma")
    assert ran.code == STORE_REFUSED, ran.err
    assert "packages packed for r@" in ran.err
    listed = site.server.client().list_objects_v2(Bucket=site.bucket)["Contents"]
    assert len([entry for entry in listed if entry["Key"].endswith("manifest.json")]) == 1


def test_an_unchanged_environment_takes_nothing_but_a_look(site: Site) -> None:
    ran = site.build(site.agent("second"), "alpha", "beta")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["reused"]
    assert site.gate.received() < 10_000
