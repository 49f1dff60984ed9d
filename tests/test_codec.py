from __future__ import annotations

import ast
import gzip
import importlib
import json
import re
import subprocess
import sys
import time
import typing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envpack import variable_names
from envpack.codec import Kind, Unreadable
from envpack.errors import UsageError
from envpack.files.inside import inside
from envpack.releases.manifest import Manifest
from envpack.visible import visible, visible_json
from tests.support.chosen import quickly
from tests.support.schemas import check
from tests.support.stored import GONE, HOSTILE, IN_A_STORE, SAMPLES, changed, damaged, places
from tests.support.write_schemas import path_of, schema_of

PACKAGE = Path(__file__).parent.parent / "envpack"


def test_every_kind_of_stored_object_is_tried_here() -> None:
    known = {id(sample.kind) for sample in SAMPLES.values()}
    for path in PACKAGE.rglob("*.py"):
        if re.search(r"^\w+(: .*)? = Kind\(", path.read_text("utf-8"), re.MULTILINE):
            module = importlib.import_module(".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts))
            assert {id(each) for each in vars(module).values() if isinstance(each, Kind)} <= known, path


@pytest.mark.parametrize("name", SAMPLES)
def test_what_envpack_writes_is_read(name: str) -> None:
    sample = SAMPLES[name]
    assert isinstance(sample.kind.loads(sample.data, "x"), typing.get_origin(sample.kind.type) or sample.kind.type)


@pytest.mark.parametrize("name", SAMPLES)
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_damage_is_read_or_refused_with_the_place_and_a_next_step_within_a_second(name: str, data: Any) -> None:
    assert_read_or_refused(name, data)


@pytest.mark.acceptance
@pytest.mark.parametrize("name", SAMPLES)
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_much_damage_is_read_or_refused_with_the_place_and_a_next_step(name: str, data: Any) -> None:
    assert_read_or_refused(name, data)


def assert_read_or_refused(name: str, data: Any) -> None:
    sample = SAMPLES[name]
    text = data.draw(damaged(sample))
    start = time.process_time()
    refused = refusal(sample.kind, text)
    assert time.process_time() - start < 1.0
    if refused:
        assert "s3://bucket/KEY" in refused.message
        assert refused.hint
        assert visible(refused.message) == refused.message
        assert len(refused.message) < 1000


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("long", ["x" * 5_000, "\x1b" * 5_000], ids=["letters", "escapes"])
def test_a_long_value_is_not_told_as_a_whole(name: str, long: str) -> None:
    sample = SAMPLES[name]
    for place in places(sample.value):
        refused = refusal(sample.kind, sample.dumped(changed(sample.value, place, long)))
        assert refused is None or len(refused.message) < 1000, place


def refusal(kind: Kind[Any], data: bytes) -> Unreadable | None:
    try:
        kind.loads(data, "s3://bucket/KEY")
    except Unreadable as error:
        return error
    return None


@pytest.mark.parametrize(
    "name", quickly([name for name, sample in SAMPLES.items() if sample.kind.packed], "verification")
)
def test_no_more_is_unpacked_than_may_be_there(name: str) -> None:
    bomb = gzip.compress(b" " * (SAMPLES[name].kind.limit + 2), 1)
    refused = refusal(SAMPLES[name].kind, bomb)
    assert refused
    assert "more than" in refused.message


IN_A_CACHE = [name for name in SAMPLES if name not in (*IN_A_STORE, "facts of pieces")]


@pytest.mark.parametrize("name", IN_A_CACHE)
def test_a_cache_that_cannot_be_read_is_forgotten(name: str, tmp_path: Path) -> None:
    assert_forgotten(name, tmp_path, step=11)


@pytest.mark.acceptance
@pytest.mark.parametrize("name", IN_A_CACHE)
def test_a_cache_with_any_byte_changed_is_forgotten(name: str, tmp_path: Path) -> None:
    assert_forgotten(name, tmp_path, step=1)


def assert_forgotten(name: str, tmp_path: Path, *, step: int) -> None:
    """What is kept must be forgotten when one byte of it is another; every `step`-th is tried."""
    sample = SAMPLES[name]
    path = tmp_path / "kept"
    assert sample.kind.recall(path) is None
    assert sample.kind.recall(tmp_path) is None
    sample.kind.keep(path, sample.value)
    assert sample.kind.recall(path) is not None
    kept = path.read_bytes()
    for at in range(0, len(kept), step):
        path.write_bytes(kept[:at] + bytes([kept[at] ^ 1]) + kept[at + 1 :])
        assert sample.kind.recall(path) is None
    for data in (b"", b"[]", b"null", b"[" * 100_000, sample.data, kept[:-1]):
        path.write_bytes(data)
        assert sample.kind.recall(path) is None


@pytest.mark.parametrize("name", [name for name, sample in SAMPLES.items() if sample.kind.schema is not None])
def test_a_newer_version_asks_for_a_newer_envpack_and_no_version_is_refused(name: str) -> None:
    sample = SAMPLES[name]
    with pytest.raises(Unreadable, match="newer envpack") as newer:
        sample.kind.loads(sample.dumped({"schema": 2, "of": "tomorrow"}), "x")
    assert newer.value.hint == "upgrade envpack"
    with pytest.raises(Unreadable):
        sample.kind.loads(sample.dumped(changed(sample.value, ("schema",), GONE)), "x")


@pytest.mark.parametrize("name", SAMPLES)
def test_keys_of_a_newer_minor_version_are_passed_over(name: str) -> None:
    sample = SAMPLES[name]
    if name not in ("published", "facts of pieces", "imports", "loaded files"):
        sample.kind.loads(sample.dumped({**sample.value, "new": {"deep": [1, None]}}), "x")


FREE = {
    "license",
    "by",
    "job",
    "repository",
    "file",
    "description",
    "owner",
    "warnings",
    "requested",
    "variables",
    "url",
    "rule",
    "of",
    "host",
}
"""Fields whose text is a person's or a package's; where they are shown they are made visible."""


@pytest.mark.parametrize("place", [place for place in places(SAMPLES["manifest"].value) if place], ids=str)
def test_a_manifest_holds_in_no_field_what_a_shell_or_a_path_would_take_apart(place: tuple[Any, ...]) -> None:
    for hostile in HOSTILE:
        value = changed(SAMPLES["manifest"].value, place, hostile)
        try:
            read = Manifest.loads(SAMPLES["manifest"].dumped(value), "x")
        except Unreadable:
            continue
        if FREE & set(place) and place[:2] != ("archive", "file"):
            assert all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) for name in read.variables)
        elif isinstance(hostile, str):
            assert re.fullmatch(r"[\w.:+/=-]*", hostile, re.ASCII), (place, hostile)
            assert ".." not in read.archive.file


@pytest.mark.parametrize(
    "spoil",
    [
        {"file": f"other-{'0' * 16}.tar.gz"},
        {"file": f"udf-{'1' * 16}.tar.gz"},
        {"file": f"udf-{'0' * 16}.zip"},
        {"format": "zip"},
    ],
    ids=str,
)
def test_an_archives_file_is_called_as_name_digest_and_format_say(spoil: dict[str, str]) -> None:
    sample = SAMPLES["manifest"]
    facts = {**sample.value["archive"], "sha256": "0" * 64, "file": f"udf-{'0' * 16}.tar.gz"}
    Manifest.loads(sample.dumped({**sample.value, "archive": facts}), "x")
    with pytest.raises(Unreadable, match="its archive is called"):
        Manifest.loads(sample.dumped({**sample.value, "archive": {**facts, **spoil}}), "x")


@pytest.mark.parametrize("name", [*variable_names.RULED_BY, *variable_names.READ_ONLY])
def test_variables_that_command_a_shell_are_refused(name: str) -> None:
    sample = SAMPLES["manifest"]
    Manifest.loads(sample.dumped({**sample.value, "variables": {f"{name}_": "x"}}), "x")
    with pytest.raises(Unreadable, match="variables: "):
        Manifest.loads(sample.dumped({**sample.value, "variables": {name: "x"}}), "x")


@given(st.text(max_size=20))
def test_a_path_stays_inside_or_is_refused(path: str) -> None:
    home = Path("/home/of/envpack")
    try:
        found = inside(home, path)
    except UsageError:
        return
    assert home in found.parents
    assert ".." not in found.parts


@pytest.mark.parametrize("path", ["", "/", "/etc", "..", "a/..", "../a", "a/../b", "a//b", "a/", "./a", "a\0b"])
def test_a_path_that_leads_out_or_names_nothing_is_refused(path: str) -> None:
    with pytest.raises(UsageError):
        inside(Path("/home"), path)


@given(st.text())
def test_visible_text_has_no_control_characters_and_json_keeps_its_value(text: str) -> None:
    shown = visible(text)
    assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e]", shown)
    dumped = visible_json(json.dumps({"a": text}, indent=2, ensure_ascii=False))
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", dumped)
    assert json.loads(dumped) == {"a": text}


@pytest.mark.parametrize("name", IN_A_STORE)
def test_the_schemas_in_the_documentation_are_those_of_the_types(name: str) -> None:
    assert path_of(name).read_text("utf-8") == schema_of(name), "run `make schemas`"
    check(json.loads(json.dumps(SAMPLES[name].value)), path_of(name).name.removesuffix(".schema.json"))


OUR_OWN = {
    ("build/make.py", "self.scratch / name"),  # the names of a build's own rooms
    ("build/make.py", "site.room('assembled') / f'{job.name}.{job.format}'"),  # checked when the build began
    ("build/make.py", "site.room('archive') / f'{job.name}.{job.format}'"),
    ("stores/local.py", "path.parent / f'{DRAFT}{uuid.uuid4().hex}'"),
    ("doctor/sources.py", "path / place"),  # a table of its own
    ("cli/catalog.py", "place / places.INDEX"),
    ("catalog/places.py", "folder / GUARD"),
    ("catalog/templates.py", "_HERE / 'assets' / name"),  # the package's own files
    ("catalog/offers.py", "UNPACKED / f'{manifest.name}-{manifest.short_digest}'"),  # shown, not opened
}
"""Joins whose right side no store, archive or cache has a say in."""


def test_paths_from_elsewhere_are_joined_by_one_function() -> None:
    folders = ("releases", "pull", "inspect", "gc", "catalog", "stores", "build", "doctor", "cli")
    files = [path for folder in folders for path in (PACKAGE / folder).rglob("*.py")]
    joins = set()
    for path in [*files, PACKAGE / "archive" / "unpack.py", PACKAGE / "archive" / "pieces.py"]:
        if path.name == "plot.py":  # it divides numbers
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.BinOp)
                and isinstance(node.op, ast.Div)
                and not isinstance(node.right, ast.Constant)
            ):
                joins.add((path.relative_to(PACKAGE).as_posix(), ast.unparse(node)))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                assert node.func.attr != "joinpath", path
    assert joins <= OUR_OWN


MANY_THREADS = """
import sys
import threading
from dataclasses import make_dataclass
from concurrent.futures import ThreadPoolExecutor
from envpack.codec import Kind

sys.setswitchinterval(1e-6)
THREADS = 8
with ThreadPoolExecutor(THREADS) as pool:
    for number in range(60):
        inner = make_dataclass(f"Inner{number}", [(f"field_{at}", int, 0) for at in range(20)])
        outer = make_dataclass(f"Outer{number}", [(f"inner_{at}", inner) for at in range(5)])
        kinds = [Kind(what="a thing", type=outer, limit=1000, hint="make it again") for _ in range(2)]
        text = ("{" + ", ".join(f'"inner_{at}": {{}}' for at in range(5)) + "}").encode()
        all_there = threading.Barrier(THREADS)

        def read(at):
            all_there.wait()
            return kinds[at % 2].loads(text, "here")

        assert len(set(map(str, pool.map(read, range(THREADS))))) == 1
"""


def test_many_threads_may_read_the_first_of_a_kind_at_once() -> None:
    ended = subprocess.run([sys.executable, "-c", MANY_THREADS], check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
