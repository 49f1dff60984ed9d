"""Fifty builders at once: of one lock, and of many names beside a gc that never stops."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from envpack.errors import Conflict
from envpack.releases import references, tags
from envpack.stores import open_store
from tests.support.command import Desk, Ran, desk_at
from tests.support.releases import faults, names_of
from tests.test_gc import NOW_OR_NEVER, collect

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.channel import Channel
    from tests.support.s3 import S3Server

BUILDERS = 50

AT_ONCE = 12
"""How many of them run at a time; each takes 100 MB."""


class AnyStore:
    """What must be true in every kind of store."""

    @pytest.fixture
    def url(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def variables(self) -> dict[str, str]:
        """What a builder needs to reach the store."""
        return {}

    @pytest.fixture
    def builders(self, tmp_path: Path, channel: Channel, url: str, variables: dict[str, str]) -> list[Desk]:
        """Desks with one lock and one cache that has the pieces, each as on another machine."""
        first = desk_at(tmp_path / "first", channel, tmp_path / "cache")
        first.write("r.txt", "greeter")
        first.build("r.txt", "--store", str(tmp_path / "another store"))
        found = []
        for number in range(BUILDERS):
            desk = desk_at(tmp_path / f"desk {number}", channel, tmp_path / "cache")
            for name in ("r.txt", "r.txt.lock"):
                (desk.home / name).write_bytes((first.home / name).read_bytes())
            found.append(replace(desk, environment={**desk.environment, **variables, "ENVPACK_STORE": url}))
        return found

    def test_of_one_lock_all_succeed_with_one_release(self, url: str, builders: list[Desk]) -> None:
        ran = at_once(builders, lambda _: ("build", "r.txt", "--locked"))
        assert [each.code for each in ran] == [0] * BUILDERS, [each.err for each in ran if each.code]
        store = open_store(url)
        assert len(names_of(store)) == 1
        assert faults(store) == []

    def test_of_many_names_beside_a_gc_each_that_succeeds_has_its_release(
        self, url: str, builders: list[Desk]
    ) -> None:
        store, done, removed = open_store(url), threading.Event(), list[str]()

        def sweep() -> None:
            while not done.is_set():
                try:
                    removed.extend(collect(store, NOW_OR_NEVER).removed)
                except Conflict as conflict:  # a builder that removes an orphan
                    assert "another gc" in str(conflict)  # noqa: PT017 - of a thread

        with ThreadPoolExecutor(1) as thread:
            sweeper = thread.submit(sweep)
            try:
                ran = at_once(builders, lambda number: ("build", "r.txt", "--locked", "--name", f"env-{number}"))
            finally:
                done.set()
            sweeper.result()
        assert {each.code for each in ran} <= {0, 10}, [each.err for each in ran if each.code not in (0, 10)]
        assert all("gc" in each.err for each in ran if each.code == 10)
        assert sum(each.code == 0 for each in ran) > BUILDERS // 2
        for number, each in enumerate(ran):
            if each.code == 0:
                assert references.resolve(store, f"env-{number}").manifest.name == f"env-{number}"
            else:
                assert tags.read(store, f"env-{number}", "latest") is None
        assert faults(store) == []


def at_once(builders: list[Desk], command: Callable[[int], tuple[str, ...]]) -> list[Ran]:
    """Run a command at every desk; `command` gives it for a desk's number."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(lambda both: both[1].run(*command(both[0])), enumerate(builders)))


@pytest.mark.acceptance
class TestInADirectory(AnyStore):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return str(tmp_path / "store")


@pytest.mark.acceptance
class TestOnS3(AnyStore):
    @pytest.fixture
    def url(self, s3_store_url: str) -> str:
        return s3_store_url

    @pytest.fixture
    def variables(self, moto_s3: S3Server) -> dict[str, str]:
        return moto_s3.variables()
