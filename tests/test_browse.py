"""`list`, `search` and `show` on a store that a team has used for a year."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from envpack.errors import UsageError
from envpack.lock.source import Source
from envpack.packages.package import Contained
from envpack.releases.search import matcher
from envpack.resolve.names import Names
from envpack.units import age
from tests.support.command import Desk
from tests.support.many_releases import fill_directory, names
from tests.support.schemas import check

COUNT = 40


@pytest.fixture
def used(desk: Desk) -> Desk:
    fill_directory(desk.store, COUNT)
    return desk


def test_list_shows_every_release_newest_first_with_who_made_it_from_what(used: Desk) -> None:
    rows = used.run("list").out.splitlines()
    assert rows[0].split() == ["REFERENCE", "TAGS", "AGE", "SIZE", "PYTHON", "SPARK", "PLATFORM", "BY", "COMMIT"]
    assert len(rows) == 1 + COUNT
    value = check(used.run("list", "--output", "json").json(), "list")
    assert [each["name"] for each in value["releases"]] == [
        name for name in sorted(names(COUNT)) for _ in range(20)
    ]
    first = value["releases"][0]
    assert first["tags"] == ["latest"]
    assert re.fullmatch(r"Jenkins envs #\d+|[a-z]+", first["by"])
    for shown in (first["reference"], first["python"], first["target"]["spark"], first["by"], first["commit"][:10]):
        assert shown in rows[1]
    assert first["archive"]["uri"].endswith(f"{first['name']}-{first['digest'][:16]}.tar.gz")
    assert used.run("show", first["archive"]["uri"]).code == 0


def test_list_can_be_kept_to_a_name_and_to_what_is_tagged(used: Desk) -> None:
    name = names(COUNT)[0]
    assert len(used.run("list", name).out.splitlines()) == 21
    tagged = used.run("list", name, "--tagged", "--output", "json").json()["releases"]
    assert tagged
    assert all(each["tags"] for each in tagged)


def test_an_empty_store_and_a_name_without_releases_are_said(desk: Desk) -> None:
    ran = desk.run("list")
    assert (ran.code, ran.out) == (0, "")
    assert "holds no releases" in ran.err
    unknown = desk.run("list", "udf", "--output", "json")
    assert (unknown.code, unknown.out) == (2, "")
    assert "has no releases of udf" in unknown.err


def test_the_index_can_be_made_anew(used: Desk) -> None:
    name = names(COUNT)[0]
    path = used.store / name / "index.json.gz"
    assert not path.exists()
    assert used.run("list", "--rebuild-index").code == 0
    good = path.read_bytes()
    path.write_bytes(b"damaged")
    used.run("list", "--rebuild-index")
    assert path.read_bytes() == good


def version_of(package: str, manifest: Any) -> str:
    (version,) = [each["version"] for each in manifest["packages"] if each["name"] == package]
    return str(version)


def test_search_finds_the_releases_that_contain_a_package_in_some_versions(used: Desk) -> None:
    everything = used.run("list", "--output", "json").json()["releases"]
    hits = check(used.run("search", "openssl <3.3", "--output", "json").json(), "list")["releases"]
    manifests = [json.loads(path.read_text()) for path in used.releases()]
    inside = {(m["name"], m["archive"]["sha256"]) for m in manifests if version_of("openssl", m) != "3.3.1"}
    assert 0 < len(inside) < COUNT
    assert {(hit["name"], hit["digest"]) for hit in hits} == inside
    assert {found["version"] for hit in hits for found in hit["found"]} <= {"3.0.13", "3.1.5", "3.2.1"}
    text = used.run("search", "openssl <3.3")
    assert len(text.out.splitlines()) == 1 + len(hits)
    tagged = used.run("search", "openssl", "--tagged", "--output", "json").json()["releases"]
    assert {each["reference"] for each in tagged} == {each["reference"] for each in everything if each["tags"]}


def test_a_search_without_a_hit_says_so(used: Desk) -> None:
    ran = used.run("search", "numpy>99")
    assert (ran.code, ran.out) == (0, "")
    assert "contains numpy>99" in ran.err


def found(spec: str, name: str, version: str, source: Source = "pypi") -> bool:
    return matcher(spec, Names())(Contained(name, version, source, ""))


@pytest.mark.parametrize(
    ("spec", "name", "version", "source"),
    [
        ("numpy", "numpy", "1.26.4", "pypi"),
        ("NumPy<2", "numpy", "1.26.4", "pypi"),
        ("numpy<2", "numpy", "1.26.4", "conda"),
        ("numpy ==1.26.*", "numpy", "1.26.4", "conda"),
        ("numpy~=1.26", "numpy", "1.27", "conda"),
        ("numpy>=2.0rc1", "numpy", "2.0rc2", "pypi"),
        ("ruamel_yaml", "ruamel.yaml", "0.18", "conda"),
        ("torch<3", "pytorch", "2.1.0", "conda"),
        ("pytorch<3", "torch", "2.1.0+cu118", "pypi"),
        ("openssl<1.1.1t", "openssl", "1.1.1s", "conda"),
        ("openssl 1.1.1*", "openssl", "1.1.1w", "conda"),
        ("openssl =3.0", "openssl", "3.0.13", "conda"),
        ("xz >=5.6.0,<5.6.2", "xz", "5.6.1", "conda"),
    ],
)
def test_a_spec_finds(spec: str, name: str, version: str, source: Source) -> None:
    assert found(spec, name, version, source)


@pytest.mark.parametrize(
    ("spec", "name", "version", "source"),
    [
        ("numpy", "numpydoc", "1.0", "pypi"),
        ("numpy<2", "numpy", "2.0.0", "pypi"),
        ("numpy<2", "numpy", "2.0.0", "conda"),
        ("numpy<2", "numpy", "2.0rc1", "pypi"),
        ("numpy<2", "numpy", "2.0rc1", "conda"),
        ("openssl<1.1.1t", "openssl", "1.1.1u", "conda"),
        ("openssl 1.1.1*", "openssl", "1.1.0", "conda"),
        ("openssl =3.0", "openssl", "3.1", "conda"),
    ],
)
def test_a_spec_does_not_find(spec: str, name: str, version: str, source: Source) -> None:
    assert not found(spec, name, version, source)


@pytest.mark.parametrize("spec", ["", "<2", "numpy<>2", "numpy !!!", "-x", "a/b"])
def test_what_is_no_spec_is_refused_before_the_store_is_asked(spec: str) -> None:
    with pytest.raises(UsageError) as caught:
        matcher(spec, Names())
    assert "write NAME" in str(caught.value.hint)


def test_show_tells_everything_of_a_release(used: Desk) -> None:
    name = names(COUNT)[0]
    value = check(used.run("show", name, "--output", "json").json(), "show")
    assert "latest" in value["tags"]
    manifest = value["manifest"]
    text = used.run("show", name).out
    provenance = manifest["provenance"]
    for words in (value["archive_uri"], provenance["by"], provenance["commit"][:10], provenance["repository"]):
        assert words in text
    for package in manifest["packages"]:
        line = rf"^{package['name']} +{re.escape(package['version'])} +{package['source']} .*{package['license']}$"
        assert re.search(line, text, re.MULTILINE)


def test_show_why_gives_the_chain_that_brought_a_package_in(used: Desk) -> None:
    name = names(COUNT)[0]
    manifest = used.run("show", name, "--output", "json").json()["manifest"]
    needs = {package["name"]: package["requires"] for package in manifest["packages"]}
    root = next(name for name in manifest["requested"] if needs[name])
    leaf = needs[root][0]
    value = check(used.run("show", name, "--why", leaf.upper(), "--output", "json").json(), "show")
    assert [root, leaf] in value["why"]
    versions = {package["name"]: package["version"] for package in manifest["packages"]}
    assert f"{root} {versions[root]} > {leaf} {versions[leaf]}" in used.run("show", name, "--why", leaf).out
    assert f"{root} {versions[root]} was requested" in used.run("show", name, "--why", root).out


def test_why_of_what_is_not_inside_offers_the_nearest(used: Desk) -> None:
    ran = used.run("show", names(COUNT)[0], "--why", "opensll")
    assert ran.code == 2
    assert "did you mean openssl?" in ran.err


@pytest.mark.parametrize(
    ("created", "told"),
    [
        ("2026-01-10T12:00:00Z", "now"),
        ("2026-01-10T11:50:00Z", "10 min"),
        ("2026-01-10T02:00:00Z", "10 h"),
        ("2026-01-01T12:00:00Z", "9 d"),
        ("2025-10-01T12:00:00Z", "3 mo"),
        ("2020-01-10T12:00:00Z", "6 y"),
        ("whenever", "whenever"),
    ],
)
def test_ages_are_told_as_people_tell_them(created: str, told: str) -> None:
    assert age(created, datetime(2026, 1, 10, 12, tzinfo=timezone.utc)) == told


def test_listing_writes_nothing_into_a_store(used: Desk) -> None:
    def files() -> set[Path]:
        return {path for path in used.store.rglob("*") if path.is_file()}

    before = files()
    used.run("list")
    used.run("search", "numpy")
    assert files() == before


def completed(desk: Desk, *words: str) -> list[str]:
    """Return what zsh would offer for the last word."""
    line = " ".join(("envpack", *words))
    shell = {"_ENVPACK_COMPLETE": "zsh_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words))}
    return [word for word in desk.run(**shell).out.splitlines()[1::3] if word]


def test_a_shell_completes_names_tags_and_digests_that_were_seen_before(used: Desk) -> None:
    name = names(COUNT)[0]
    assert completed(used, "show", name[:4]) == []
    listed = used.run("list", name, "--output", "json").json()["releases"][0]
    assert completed(used, "show", name[:4]) == [name]
    assert f"{name}:latest" in completed(used, "tag", f"{name}:")
    assert completed(used, "pull", f"{name}@{listed['digest'][:8]}") == [listed["reference"]]
