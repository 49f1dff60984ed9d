from __future__ import annotations

from pathlib import Path

import pytest

from envpack.config.addresses import directory_at, named_directory
from envpack.config.config import load
from envpack.errors import BadConfiguration, UsageError


def write(directory: Path, text: str) -> None:
    (directory / "envpack.yaml").write_text(text, "utf-8")


def test_a_flag_beats_a_variable_beats_a_file_beats_the_default(tmp_path: Path) -> None:
    write(tmp_path, "store: s3://file/x\npython: 3.10\nglibc: 2.17\n")
    config = load(
        {"store": "s3://flag/x"}, {"ENVPACK_STORE": "s3://variable/x", "ENVPACK_PYTHON": "3.11"}, tmp_path
    )
    assert (config.store, config.python, config.glibc, config.format) == ("s3://flag/x", "3.11", "2.17", "tar.gz")
    origins = [config.origins[name] for name in ("store", "python", "glibc", "format")]
    assert origins == ["--store", "ENVPACK_PYTHON", f"{tmp_path / 'envpack.yaml'}:3", "default"]


def test_the_file_is_found_upward(tmp_path: Path) -> None:
    write(tmp_path, "spark: 3.5\n")
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert load({}, {}, below).spark == "3.5"


def test_a_version_keeps_its_last_zero(tmp_path: Path) -> None:
    write(tmp_path, "python: 3.10\n")
    assert load({}, {}, tmp_path).python == "3.10"


def test_directories_in_the_file_are_relative_to_the_file(tmp_path: Path) -> None:
    write(tmp_path, "store: envs\nchannels: [./channel, conda-forge, 'https://example.com/c']\ncache-dir: cache\n")
    below = tmp_path / "below"
    below.mkdir()
    config = load({}, {}, below)
    assert config.store == str(tmp_path / "envs")
    assert config.channels == (str(tmp_path / "channel"), "conda-forge", "https://example.com/c")
    assert config.cache_dir == str(tmp_path / "cache")


@pytest.mark.parametrize("name", ["store", "cache-dir", "project", "advisories"])
def test_no_directory_keeps_a_way_through_another(tmp_path: Path, name: str) -> None:
    """A cage has only the directories that it was given."""
    (tmp_path / "below").mkdir()
    write(tmp_path, f"{name}: below/../there\n")
    assert getattr(load({}, {}, tmp_path), name.replace("-", "_")) == str(tmp_path / "there")


def test_a_tilde_is_a_home_in_a_setting_and_a_name_in_a_path_that_the_shell_has_seen(tmp_path: Path) -> None:
    assert directory_at("~nosuch/x", tmp_path) == str(tmp_path / "~nosuch/x")
    with pytest.raises(ValueError, match="this user does not exist"):
        named_directory("~nosuch/x", tmp_path)


def test_directories_in_flags_and_variables_are_relative_to_the_working_directory(tmp_path: Path) -> None:
    config = load({"channels": ("./c", "conda-forge")}, {"ENVPACK_STORE": "envs"}, tmp_path)
    assert (config.channels, config.store) == ((str(tmp_path / "c"), "conda-forge"), str(tmp_path / "envs"))


def test_lists_and_pairs_can_be_given_as_variables(tmp_path: Path) -> None:
    config = load({}, {"ENVPACK_CHANNELS": "a, b", "ENVPACK_NAMES": "torch=pytorch"}, tmp_path)
    assert (config.channels, config.names) == (("a", "b"), {"torch": "pytorch"})
    with pytest.raises(UsageError, match="NAME=VALUE"):
        load({}, {"ENVPACK_NAMES": "torch"}, tmp_path)


@pytest.mark.parametrize(("text", "value"), [("true", True), ("Yes", True), ("1", True), ("off", False)])
def test_a_boolean_is_given_by_a_flag_a_variable_or_the_file(tmp_path: Path, text: str, value: bool) -> None:
    write(tmp_path, f"with-pyspark: {text}\n")
    assert load({}, {}, tmp_path).with_pyspark is value
    assert load({"with_pyspark": None}, {}, tmp_path).with_pyspark is value
    assert load({"with_pyspark": not value}, {"ENVPACK_WITH_PYSPARK": text}, tmp_path).with_pyspark is not value
    write(tmp_path, f"with-pyspark: {not value}\n")
    assert load({}, {"ENVPACK_WITH_PYSPARK": text}, tmp_path).with_pyspark is value


def test_what_is_no_boolean_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="ENVPACK_WITH_PYSPARK: must be true or false, not 'maybe'"):
        load({}, {"ENVPACK_WITH_PYSPARK": "maybe"}, tmp_path)
    write(tmp_path, "with-pyspark: maybe\n")
    with pytest.raises(BadConfiguration, match=r"envpack\.yaml:1: with-pyspark must be true or false"):
        load({}, {}, tmp_path)


def test_every_mistake_in_the_file_is_told_with_its_line(tmp_path: Path) -> None:
    write(tmp_path, "stor: x\npython: [3]\n\nnames: torch\n")
    with pytest.raises(BadConfiguration) as caught:
        load({}, {}, tmp_path)
    lines = [problem.removeprefix(str(tmp_path)) for problem in caught.value.problems]
    assert lines == [
        "/envpack.yaml:1: unknown setting stor; did you mean store?",
        "/envpack.yaml:2: python must be a string",
        "/envpack.yaml:4: names must be a mapping",
    ]


@pytest.mark.parametrize(("text", "line"), [("a: [\n", 2), ("- 1\n", 1), ("a: b: c\n", 1)])
def test_what_is_no_mapping_is_refused_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    write(tmp_path, text)
    with pytest.raises(BadConfiguration, match=f"envpack.yaml:{line}: "):
        load({}, {}, tmp_path)


def test_an_empty_file_sets_nothing(tmp_path: Path) -> None:
    write(tmp_path, "# nothing\n")
    assert load({}, {}, tmp_path).store is None


def test_who_has_no_home_is_told_to_name_a_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def none(*_: object, **__: object) -> str:
        raise RuntimeError("no home")

    monkeypatch.setattr("platformdirs.user_cache_dir", none)
    with pytest.raises(UsageError, match="no home directory") as refused:
        load({}, {}, tmp_path)
    assert "--cache-dir" in (refused.value.hint or "")
    assert load({}, {"ENVPACK_CACHE_DIR": str(tmp_path)}, tmp_path).cache_dir == str(tmp_path)
