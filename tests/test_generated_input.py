"""Whatever a person gives is read, or refused with an `EnvpackError`, within a second of this processor's time."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

import envpack
from envpack.errors import EnvpackError, UsageError
from envpack.visible import visible
from tests.support.generated import INPUTS, SEEDS, Input

SECONDS = 1.0
"""Of the processor's time that one input may take."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and a cache beside it."""
    monkeypatch.setenv("ENVPACK_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def read_or_refused(given: Input, value: object, folder: Path) -> None:
    """Read a value; what is refused says so in words that a terminal can show."""
    began = time.process_time()
    refused: EnvpackError | None = None
    try:
        given.read(value, folder)
    except EnvpackError as error:
        refused = error
    assert time.process_time() - began < SECONDS
    if refused:
        assert refused.message.strip()
        visible(f"{refused.message} {refused.hint}", lines=True).encode()


def try_many(name: str, count: int, folder: Path) -> None:
    @settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)
    @given(value=INPUTS[name].values)
    def one(value: object) -> None:
        read_or_refused(INPUTS[name], value, folder)

    one()


@pytest.mark.parametrize("name", INPUTS)
def test_some_two_hundred_inputs_are_read_or_refused(name: str, folder: Path) -> None:
    try_many(name, 20, folder)


@pytest.mark.acceptance
@pytest.mark.parametrize("name", INPUTS)
def test_ten_thousand_inputs_are_read_or_refused(name: str, folder: Path) -> None:
    try_many(name, 10_000 // len(INPUTS) + 1, folder)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", ["requirement lines", "environment file", "configuration", "lock"])
def test_what_other_readers_stumble_over_is_read_or_refused(name: str, seed: str, folder: Path) -> None:
    read_or_refused(INPUTS[name], SEEDS[seed], folder)


def test_the_api_names_every_keyword_that_is_none_and_every_value_of_another_type(folder: Path) -> None:
    with pytest.raises(UsageError) as refused:
        envpack.build(folder / "r.txt", channel="c", python=3.10, spark=3, slim="yes", names=["a"], verify=1)  # type: ignore[arg-type]
    lines = refused.value.message.splitlines()
    assert [line.split()[0] for line in lines] == ["verify", "unknown", "python", "spark", "slim", "names"]
    assert "channels" in lines[1]
    assert "3.1" in lines[2]
