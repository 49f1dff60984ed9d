"""`envpack.build` called with what it cannot take: an EnvpackError that names the keyword, before any work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import envpack
from envpack.config import keywords
from envpack.config.config import kinds
from envpack.errors import EnvpackError

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a keyword in the singular": ({"channel": "x"}, "there is no keyword channel: did you mean channels?"),
    "a keyword that is misspelt": ({"plattform": "linux-64"}, "did you mean platform?"),
    "an option that is misspelt": ({"dryrun": True}, "did you mean dry_run?"),
    "a keyword like no other": ({"zzz": 1}, "there is no keyword zzz, and none is like it"),
    "where values came from": ({"origins": {}}, "there is no keyword origins"),
    "a version as a number": ({"python": 3.1}, 'python: must be a text, such as "3.1"'),
    "a Spark as a number": ({"spark": 3.5}, "spark: must be a text"),
    "a truth as a text": ({"slim": "yes"}, "slim: must be True or False"),
    "a truth as a version": ({"python": True}, "python: must be a text, not True"),
    "bytes": ({"store": b"x"}, "store: must be a text, not a value of type bytes"),
    "a number among texts": ({"channels": ["conda-forge", 1.5]}, "channels: must be a text"),
    "a list for a mapping": ({"names": ["torch"]}, "names: must be a dictionary"),
    "a NUL": ({"name": "a\0b"}, "name: has a NUL"),
    "an object for a name": ({"tag": object()}, "tag: must be a text"),
    "a number for a switch": ({"locked": 1}, "locked: must be True or False, not 1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_taken_is_refused_by_name(case: str, tmp_path: Path) -> None:
    given, words = WRONG[case]
    with pytest.raises(EnvpackError) as refused:
        envpack.build(tmp_path / "r.txt", **given)
    assert words in refused.value.message
    assert refused.value.exit_code == 2


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(EnvpackError) as refused:
        envpack.build(tmp_path / "r.txt", channel="x", python=3.11, slim=1, name=2.5)  # type: ignore[arg-type]
    assert len(refused.value.message.splitlines()) == 4


def test_a_progress_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EnvpackError, match="progress: "):
        envpack.build(tmp_path / "r.txt", progress="loud")  # type: ignore[arg-type]


@pytest.mark.parametrize("file", [None, 1, b"r.txt", "a\0b", object()])
def test_a_file_that_is_no_path_is_refused(file: Any) -> None:
    with pytest.raises(EnvpackError, match="file: "):
        envpack.build(file)


SENT: list[Callable[[], Any]] = [lambda: 0, lambda: -1.5, lambda: b"", list, dict, set, object, lambda: (None,)]


@pytest.mark.parametrize("name", kinds())
def test_a_value_of_any_type_is_taken_as_its_field_has_it_or_refused(name: str) -> None:
    kind = {"text": str, "boolean": bool, "list": tuple, "mapping": dict}[kinds()[name]]
    for make in SENT:
        refusal = ""
        try:
            values, _ = keywords.checked({name: make()}, texts={}, switches={})
        except EnvpackError as error:
            refusal = error.message
        assert refusal.startswith(f"{name}: ") or isinstance(values[name], kind)


def test_what_can_only_mean_one_thing_is_taken() -> None:
    given = {"python": 3, "channels": "conda-forge", "store": Path("/x"), "gc_keep_last": 5, "from_pypi": ["a"]}
    values, texts = keywords.checked(given, texts={"tag": 7, "name": None}, switches={"latest": False})
    assert values == {
        "python": "3",
        "channels": ("conda-forge",),
        "store": "/x",
        "gc_keep_last": "5",
        "from_pypi": ("a",),
    }
    assert texts == {"tag": "7", "name": None}
