"""Commands that change a store or a disk, killed at random moments: the store is whole, the next one right."""

from __future__ import annotations

import os
import random
import secrets
import shutil
import subprocess
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from envpack.releases import references, tags
from envpack.stores import open_store
from tests.support.command import Desk, desk_at
from tests.support.processes import running
from tests.support.releases import faults, names_of, publish

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from envpack.stores.base import Store
    from tests.support.channel import Channel
    from tests.support.s3 import S3Server

KILLS = {"a directory": 140, "S3": 60}
"""Beside S3 each command takes twice as long."""

GC = ("gc", "--grace", "0m", "--keep-last", "0", "--keep-history", "0", "--apply")


@dataclass(kw_only=True)
class Scene:
    """A desk with a store that has a release which must stay as it is."""

    desk: Desk
    store: Store
    chance: random.Random
    published: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Every object of a release that must stay: its size and its stamp."""
    seconds: dict[str, float] = field(default_factory=dict)
    """How long a command took that was not killed, by its name."""
    number: int = 0
    """Of the kill."""

    def finish(self, *arguments: str) -> None:
        """Run a command to its end, which must be a good one."""
        began = time.monotonic()
        ran = self.desk.run(*arguments)
        assert ran.code == 0, (arguments, ran.err)
        self.seconds[arguments[0]] = time.monotonic() - began

    def kill(self, *arguments: str) -> None:
        """Start a command and kill it at a random moment of the time that it takes."""
        process = subprocess.Popen(
            self.desk.command(*arguments),
            cwd=self.desk.home,
            env=self.desk.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(self.chance.uniform(0.1, 1.2) * self.seconds.get(arguments[0], 1.0))
        process.kill()
        process.wait()
        self.check()

    def check(self) -> None:
        """No reader stumbles over anything, and nothing of what was published has changed."""
        assert faults(self.store) == []
        there = {entry.key: (entry.size, entry.stamp) for entry in self.store.list()}
        assert {key: there.get(key) for key in self.published} == self.published

    def keep(self, name: str) -> None:
        """Let what is published under a name stay as it is from here on."""
        found = [entry for entry in self.store.list(f"{name}/") if entry.key.split("/")[1] not in ("tags", "used")]
        self.published |= {
            entry.key: (entry.size, entry.stamp) for entry in found if not entry.key.endswith("index.json.gz")
        }


def build(scene: Scene) -> None:
    if scene.number % 10 == 0:
        scene.desk.forget_pieces()
    name = f"env-{scene.number}"
    command = ("build", "r.txt", "--name", name, *(["--no-verify"] if scene.number % 20 else []))
    scene.kill(*command)
    scene.finish(*command)
    assert (
        references.resolve(scene.store, name).manifest.digest
        == references.resolve(scene.store, "kept").manifest.digest
    )
    scene.finish("show", name)


def gc(scene: Scene) -> None:
    going = [publish(scene.store, f"{scene.number}-{each}", "junk") for each in range(3)]
    scene.kill(*GC)
    scene.finish(*GC)
    left = {entry.key for entry in scene.store.list("junk/")}
    assert not [key for key in left for manifest in going if manifest.short_digest in key]


def tag(scene: Scene) -> None:
    one = publish(scene.store, f"tagged {scene.number}", "moved", tag="prod")
    two = publish(scene.store, f"tagged again {scene.number}", "moved")
    command = ("tag", two.reference, "prod", "--move")
    scene.kill(*command)
    found = tags.read(scene.store, "moved", "prod")
    assert found is not None
    assert found.digest in (one.digest, two.digest)
    scene.finish(*command)
    assert references.resolve(scene.store, "moved:prod").manifest.digest == two.digest


def pull(scene: Scene) -> None:
    place = scene.desk.home / "pulled"
    shutil.rmtree(place, ignore_errors=True)
    scene.kill("pull", "kept", str(place))
    if place.exists():
        assert runs(place)
        shutil.rmtree(place)
    scene.finish("pull", "kept", str(place))
    assert runs(place)


def runs(place: Path) -> bool:
    return subprocess.run([place / "bin/python", "-c", "import greeter"], check=False).returncode == 0


def catalog(scene: Scene) -> None:
    publish(scene.store, f"shown {scene.number}", "shown", tag="latest")
    scene.kill("catalog", "--publish")
    scene.finish("catalog", "--publish")
    page = scene.store.read("_catalog/shown/index.html")
    assert page is not None
    assert references.resolve(scene.store, "shown").manifest.short_digest.encode() in page.data


ACTS: tuple[Callable[[Scene], None], ...] = (build, gc, tag, pull, catalog)


def shake(scene: Scene, kills: int, seed: int) -> None:
    print(f"seed {seed}")  # noqa: T201 - to try the same moments again; pytest shows it when the test fails
    scene.desk.write("r.txt", "greeter")
    scene.finish("build", "r.txt", "--name", "kept", "--tag", "prod")
    scene.keep("kept")
    for act in ACTS:
        act(scene)  # the first time tells how long it takes
    for scene.number in range(1, kills + 1):
        ACTS[scene.number % len(ACTS)](scene)
    scene.finish("verify", "kept")
    scene.finish(*GC)
    assert faults(scene.store) == []
    assert any(name.startswith("kept@") for name in names_of(scene.store))
    assert list((scene.desk.cache / "scratch").iterdir()) == []
    scene.finish("build", "r.txt", "--name", "kept", "--upgrade")
    deadline = time.monotonic() + 10
    while (left := running(str(scene.desk.cache))) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []


@pytest.fixture
def seed() -> int:
    """The seed of the moments; ENVPACK_TEST_SEED takes one that was printed before."""
    return int(os.environ.get("ENVPACK_TEST_SEED") or secrets.randbits(32))


@pytest.mark.acceptance
def test_a_directory_is_whole_after_every_kill(tmp_path: Path, channel: Channel, seed: int) -> None:
    desk = desk_at(tmp_path / "a desk", channel, tmp_path / "cache")
    scene = Scene(desk=desk, store=open_store(str(desk.store)), chance=random.Random(seed))
    shake(scene, KILLS["a directory"], seed)


@pytest.mark.acceptance
def test_s3_is_whole_after_every_kill(
    tmp_path: Path, channel: Channel, moto_s3: S3Server, s3_store_url: str, seed: int
) -> None:
    desk = desk_at(tmp_path / "a desk", channel, tmp_path / "cache")
    variables = {**desk.environment, **moto_s3.variables(), "ENVPACK_STORE": s3_store_url}
    scene = Scene(
        desk=replace(desk, environment=variables), store=open_store(s3_store_url), chance=random.Random(seed)
    )
    shake(scene, KILLS["S3"], seed)
