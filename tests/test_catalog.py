"""`envpack catalog`: what the site holds, and that it can be written by several and read at any time."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import threading
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from markupsafe import escape

from envpack.catalog import places
from envpack.catalog.contents import Environment, Version, load, read
from envpack.catalog.offers import offers
from envpack.catalog.plot import plot
from envpack.cli import run
from envpack.errors import Conflict, UsageError
from envpack.releases import index, inventory
from envpack.releases.publish import publish as publish_archive
from envpack.spark.launchers import LAUNCHERS
from envpack.stores import open_store
from envpack.stores.base import Store
from envpack.stores.local import LocalStore
from envpack.units import human_size
from tests.support.chosen import quickly
from tests.support.command import ENVPACK, Ran, environment
from tests.support.many_releases import fill, fill_directory, objects
from tests.support.releases import manifest_of
from tests.support.s3 import S3Server
from tests.support.schemas import check
from tests.support.site import HOSTILE, data, hostile_store, manifests, pages

ROOT = Path(__file__).parent.parent


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A directory store with 24 releases of two environments."""
    fill_directory(tmp_path / "store", 24)
    return tmp_path / "store"


def copies(store: Path) -> Path:
    """Return where this machine keeps what it knows of a store."""
    return store.with_name(f"{store.name} indexes")


def write_folder(store: Path, site: Path) -> places.PublishedSite:
    return places.write_folder(open_store(str(store)), copies(store), site)


def publish(store: Path) -> places.PublishedSite:
    return places.publish_beside(open_store(str(store)), copies(store))


def write(store: Path, site: Path) -> Path:
    write_folder(store, site)
    return site


def files(folder: Path) -> dict[str, bytes]:
    """Return all that a reader may be given."""
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name[0] != "."
    }


def command(*arguments: str, cwd: Path) -> Ran:
    done = subprocess.run(
        [ENVPACK, "catalog", *arguments], cwd=cwd, env=environment(cwd / "cache"), capture_output=True, text=True
    )
    return Ran(code=done.returncode, out=done.stdout, err=done.stderr)


def test_the_site_shows_every_environment_release_and_tag(store: Path, tmp_path: Path) -> None:
    site = pages(write(store, tmp_path / "site"))
    names = {manifest["name"] for manifest in manifests(store)}
    assert {link.split("/")[0] for link in site["index.html"].links if link.endswith("/index.html")} == names
    for name in names:
        own = site[f"{name}/index.html"]
        ids = {manifest["archive"]["sha256"][:16] for manifest in manifests(store, name)}
        assert {link.removesuffix(".html") for link in own.links} >= ids
        for tag in (store / name / "tags").iterdir():
            digest = json.loads(tag.read_text())["digest"]
            assert tag.stem in own.text
            assert tag.stem in site[f"{name}/{digest[:16]}.html"].text


def test_every_link_leads_somewhere(store: Path, tmp_path: Path) -> None:
    site = write(store, tmp_path / "site")
    found = pages(site)
    followed = 0
    for path, page in found.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme == "data":
                continue
            assert not parts.scheme, link
            target = (site / path).parent / unquote(parts.path) if parts.path else site / path
            assert target.is_file(), f"{path}: {link}"
            followed += 1
            if parts.fragment:
                assert parts.fragment in found[str(target.resolve().relative_to(site.resolve()))].ids, (
                    f"{path}: {link}"
                )
    assert followed > 500
    for page in found.values():
        assert len(page.ids) == len(set(page.ids))


def test_a_page_loads_nothing_from_elsewhere_and_holds_no_script(store: Path, tmp_path: Path) -> None:
    for path, page in pages(write(store, tmp_path / "site")).items():
        assert all(
            link.startswith(("data:image/svg+xml", "assets/", "../assets/", "packages.js")) for link in page.loaded
        )
        assert not page.inline, path
        assert not {name for name in page.attributes if name.startswith("on")} | ({"style"} & page.attributes), path
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in page.html


@pytest.mark.acceptance
def test_known_vulnerabilities_are_shown_where_advisories_are_configured(store: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    assert "Known vulnerabilities" not in "".join(page.text for page in pages(write(store, site)).values())
    name = sorted({manifest["name"] for manifest in manifests(store)})[0]
    latest = json.loads((store / name / "tags" / "latest.json").read_text())["digest"]
    (lead,) = [each for each in manifests(store, name) if each["archive"]["sha256"] == latest]
    package = next(each for each in lead["packages"] if each["source"] == "pypi")
    advisory = {
        "id": "GHSA-1",
        "aliases": ["CVE-2026-1"],
        "summary": "<b>bold</b> & dangerous",
        "affected": [
            {"package": {"ecosystem": "PyPI", "name": package["name"]}, "versions": [package["version"]]},
            {"package": {"ecosystem": "npm", "name": "another"}},
        ],
        "database_specific": {"severity": "CRITICAL"},
    }
    (tmp_path / "osv").mkdir()
    (tmp_path / "osv" / "GHSA-1.json").write_text(json.dumps(advisory))
    ran = command("site", "--store", str(store), "--advisories", "osv", cwd=tmp_path)
    assert ran.code == 0, ran.err
    shown = pages(site)
    assert f"{name}/index.html#vulnerabilities-title" in shown["index.html"].links
    assert "1, critical" in shown["index.html"].text
    for path in (f"{name}/index.html", f"{name}/{latest[:16]}.html"):
        assert "CVE-2026-1" in shown[path].text
        assert "<b>bold</b> & dangerous" in shown[path].text
        assert "no fix is known" in shown[path].text
    others = [each for each in manifests(store) if not _has(each, package)]
    assert others
    for manifest in others:
        page = shown[f"{manifest['name']}/{manifest['archive']['sha256'][:16]}.html"]
        assert "CVE-2026-1" not in page.text
        assert "none of its packages" in page.text
    before = files(site)
    (tmp_path / "osv" / "GHSA-2.json").write_text(json.dumps({**advisory, "id": "GHSA-2", "affected": []}))
    assert command("site", "--store", str(store), "--advisories", "osv", cwd=tmp_path).code == 0
    assert files(site) == before
    assert command("site", "--store", str(store), cwd=tmp_path).code == 0
    assert "Known vulnerabilities" not in "".join(page.text for page in pages(site).values())


def _has(manifest: Any, package: Any) -> bool:
    return any(
        (each["name"], each["version"]) == (package["name"], package["version"]) for each in manifest["packages"]
    )


def test_hostile_texts_stay_texts(tmp_path: Path) -> None:
    newest = hostile_store(tmp_path / "store")
    written = write_folder(tmp_path / "store", tmp_path / "site")
    site = pages(tmp_path / "site")
    ours = {name for page in pages(write_harmless(tmp_path)).values() for name in page.attributes}
    for path, page in site.items():
        assert not page.inline, path
        assert page.attributes <= ours, path
    page = site[f"{newest['name']}/{newest['archive']['sha256'][:16]}.html"]
    # Licence, request, the values of two variables, warning, provenance.
    assert page.text.count(HOSTILE) >= 7
    assert not written.site.contents.passed_over


def write_harmless(tmp_path: Path) -> Path:
    fill_directory(tmp_path / "harmless", 3)
    return write(tmp_path / "harmless", tmp_path / "harmless site")


def spoil(change: Callable[[Any], None]) -> Callable[[Path], None]:
    def apply(store: Path) -> None:
        manifest = manifests(store)[0]
        file = store / manifest["name"] / manifest["archive"]["sha256"][:16] / "manifest.json"
        change(manifest)
        file.write_text(json.dumps(manifest), "utf-8")

    return apply


SPOILT = {
    "another name": spoil(lambda manifest: manifest.update(name="another")),
    "no name": spoil(lambda manifest: manifest.update(name="../../etc")),
    "no digest": spoil(lambda manifest: manifest["archive"].update(sha256="../x")),
    "no time": spoil(lambda manifest: manifest.update(created="yesterday")),
    "no size": spoil(lambda manifest: manifest["archive"].update(size="large")),
    "an origin that is a number": spoil(lambda manifest: manifest["provenance"].update(by=7)),
    "a package without a size": spoil(lambda manifest: manifest["packages"][0].update(size="small")),
    "a licence that is a list": spoil(lambda manifest: manifest["packages"][0].update(license=["MIT"])),
    "a variable that is a number": spoil(lambda manifest: manifest.update(variables={"A": 1})),
}


@pytest.mark.parametrize("how", quickly(SPOILT, "another name", "no digest", "an origin that is a number"))
def test_what_is_no_manifest_of_its_place_is_passed_over_and_told(how: str, store: Path, tmp_path: Path) -> None:
    SPOILT[how](store)
    shown = write_folder(store, tmp_path / "site").site.contents
    assert sum(1 for _ in shown.versions) == 23
    (text,) = shown.passed_over
    page = (tmp_path / "site" / "index.html").read_text()
    assert "1 passed over" in page
    assert str(escape(text)) in page


def test_each_launchers_settings_are_those_that_envpack_settings_prints(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = write(store, tmp_path / "site")
    kinds = set()
    for manifest in manifests(store)[::3]:
        reference = f"{manifest['name']}@{manifest['archive']['sha256'][:16]}"
        page = pages(site)[reference.replace("@", "/") + ".html"]
        refused = []
        for launcher in LAUNCHERS:
            where = f"/opt/envpack/{reference.replace('@', '-')}"
            code = run(["settings", reference, "--store", str(store), "--launcher", launcher, "--directory", where])
            told = capsys.readouterr()
            if code:
                refused.append(launcher)
                assert told.err.splitlines()[0].removeprefix("error: ") in page.text
            else:
                assert told.out.rstrip("\n") in page.text
        kinds.add(tuple(refused))
    # Without S3 those that read buckets alone are refused; and all where this Spark cannot load this Python.
    buckets_only = tuple(name for name, launcher in LAUNCHERS.items() if launcher.local_refused)
    of_spark = tuple(name for name, launcher in LAUNCHERS.items() if not launcher.flink)
    assert {buckets_only, of_spark} <= kinds


def test_an_environments_page_leads_with_what_people_come_for(store: Path, tmp_path: Path) -> None:
    site = pages(write(store, tmp_path / "site"))
    found = read(open_store(str(store)), copies(store))
    for one in found.environments:
        reference, lead = one.lead
        manifest = next(each for each in manifests(store) if each["archive"]["sha256"] == lead.listed.digest)
        page = site[f"{one.name}/index.html"]
        for text in (
            manifest["description"],
            f"Owner: {manifest['owner']}",
            f"envpack pull {reference} ./{one.name} --store {found.store}",
            f"envpack run {reference} --store {found.store} -- ",
            human_size(manifest["archive"]["unpacked_size"]),
            manifest["created"][:16].replace("T", " "),
        ):
            assert text in page.text
        release = load(open_store(str(store)), lead.listed)
        assert release is not None
        for offer in offers(release):
            assert (offer.refusal or offer.texts[0].body) in page.text
            assert ("data-why" in page.html.split(f'href="#{offer.launcher}"')[1].split(">")[0]) == bool(
                offer.refusal
            )
        assert page.html.index('class="launchers"') < page.html.index('id="versions"')


def some_version(created: str, *tags: str, size: int = 10, sha256: str = "a" * 64) -> Version:
    listed = replace(index.summary(manifest_of("")), created=created, digest=sha256, size=size)
    return Version(listed=listed, stamp="", tags=tags, before=None, after=None)


@pytest.mark.parametrize(
    ("tags", "reference"),
    [
        ([("latest",), ("prod", "staging")], "udf:prod"),
        ([(), ("latest", "staging")], "udf:latest"),
        ([("staging",), ()], f"udf@{'a' * 16}"),
    ],
)
def test_the_release_that_leads_is_prod_then_latest_then_the_newest(
    tags: list[tuple[str, ...]], reference: str
) -> None:
    versions = tuple(some_version(f"2026-11-{26 - day}T06:00:00Z", *each) for day, each in enumerate(tags))
    found = Environment(name="udf", versions=versions).lead
    assert found[0] == reference
    assert found[1].tags == next((each for each in tags if reference.removeprefix("udf:") in each), tags[0])


def test_releases_of_one_day_have_their_time_and_those_of_one_second_an_order(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    for number in range(4):
        archive = tmp_path / "archive"
        archive.write_text(str(number))
        created = f"2026-11-26T0{max(number, 1)}:00:00Z"
        publish_archive(store, replace(manifest_of(str(number)), created=created), archive, {})
    found = read(store, tmp_path / "copies").environments[0].versions
    moments = [(version.listed.created, version.listed.digest) for version in found]
    assert moments == sorted(moments, reverse=True)
    drawn = plot(found)
    assert drawn is not None
    assert [label for _, label, _ in drawn.days] == ["2026-11-26 01:00", "2026-11-26 03:00"]
    page = pages(write(tmp_path / "store", tmp_path / "site"))["udf/index.html"]
    assert "2026-11-26 02:00" in page.text


def test_a_plot_that_does_not_start_at_zero_says_so(store: Path, tmp_path: Path) -> None:
    far, near = (
        [some_version("2026-11-26T06:00:00Z", size=size), some_version("2026-11-25T06:00:00Z", size=1_000_000)]
        for size in (1_100_000, 100_000_000)
    )
    drawn = [plot(versions) for versions in (far, near)]
    assert [bool(each and each.floor) for each in drawn] == [True, False]
    name = read(open_store(str(store)), copies(store)).environments[0].name
    page = pages(write(store, tmp_path / "site"))[f"{name}/index.html"]
    assert "not at zero" in page.text


def test_a_release_says_what_has_changed_since_the_one_before(store: Path, tmp_path: Path) -> None:
    site = write(store, tmp_path / "site")
    newer, older = manifests(store)[:2]
    page = pages(site)[f"{newer['name']}/{newer['archive']['sha256'][:16]}.html"]
    table = page.html.split('id="changes"')[1].split("</table>")[0]
    versions = {package["name"]: package["version"] for package in older["packages"]}
    for package in newer["packages"]:
        changed = versions[package["name"]] != package["version"]
        assert (f"<td>{package['name']}</td><td>{versions[package['name']]}" in table) == changed


def test_the_search_finds_exactly_the_releases_that_hold_a_version(store: Path, tmp_path: Path) -> None:
    value = data(write(store, tmp_path / "site") / "packages.js")
    found = {
        (value["releases"][number][1], name, version)
        for name, versions in value["packages"]
        for version, runs in versions
        for start, length in zip(runs[::2], runs[1::2], strict=True)
        for number in range(start, start + length)
    }
    assert found == {
        (manifest["archive"]["sha256"][:16], package["name"], package["version"])
        for manifest in manifests(store)
        for package in manifest["packages"]
    }


def test_a_site_is_the_same_wherever_and_whenever_it_is_made(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = files(write(store, tmp_path / "one"))
    monkeypatch.chdir("/")
    assert files(write(store, tmp_path / "two")) == first
    assert not [path for path, content in first.items() if str(tmp_path / "one").encode() in content]


def test_what_has_not_changed_is_not_written_again(store: Path, tmp_path: Path) -> None:
    site = write(store, tmp_path / "site")
    assert write_folder(store, site).written == 0
    written = {path: path.stat().st_mtime_ns for path in site.rglob("*.*") if path.is_file()}
    name = manifests(store)[0]["name"]
    with_tag(store, name, "blessed")
    again = write_folder(store, site)
    changed = {
        str(p.relative_to(site))
        for p in site.rglob("*.*")
        if p.is_file() and written.get(p) != p.stat().st_mtime_ns
    }
    id_ = manifests(store, name)[0]["archive"]["sha256"][:16]
    pages_ = {"index.html", "packages.js", f"{name}/index.html", f"{name}/compare.html", f"{name}/{id_}.html"}
    assert {path for path in changed if "/." not in f"/{path}"} == {*pages_, "catalog.json"}
    assert again.written == len(pages_)
    assert "blessed" in (site / "index.html").read_text()


def with_tag(store: Path, name: str, tag: str) -> None:
    tags = store / name / "tags"
    (tags / f"{tag}.json").write_bytes((tags / "latest.json").read_bytes())


def test_a_release_that_is_gone_leaves_a_page_that_says_so(store: Path, tmp_path: Path) -> None:
    site = write(store, tmp_path / "site")
    gone = manifests(store)[1]
    place = f"{gone['name']}/{gone['archive']['sha256'][:16]}"
    shutil.rmtree(store / place)
    write(store, site)
    assert "Not in the store" in (site / f"{place}.html").read_text()
    assert place.split("/")[1] not in (site / gone["name"] / "index.html").read_text()
    assert write_folder(store, site).written == 0


def test_a_store_without_releases_has_a_page_too(tmp_path: Path) -> None:
    page = pages(write(tmp_path / "nothing", tmp_path / "site"))["index.html"]
    assert "The store holds no releases" in page.text


def test_a_single_release_has_no_plot_and_nothing_to_compare(tmp_path: Path) -> None:
    fill_directory(tmp_path / "store", 1)
    name = manifests(tmp_path / "store")[0]["name"]
    page = pages(write(tmp_path / "store", tmp_path / "site"))[f"{name}/index.html"]
    assert "<svg viewBox" not in page.html
    assert "Compare" not in page.text


def test_one_thing_is_counted_in_the_singular(tmp_path: Path) -> None:
    fill_directory(tmp_path / "store", 1)
    name = manifests(tmp_path / "store")[0]["name"]
    site = pages(write(tmp_path / "store", tmp_path / "site"))
    for path in ("index.html", f"{name}/index.html"):
        assert re.search(r"\b1 (?:environment|release)\b", site[path].text)
        assert not re.search(r"\b1 (?:environments|releases|packages|files)\b", site[path].text)
    assert 'data-unit="release"' in site["index.html"].html


def test_a_folder_with_something_else_is_left_alone(store: Path, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("mine")
    with pytest.raises(UsageError, match="is not a catalog"):
        write(store, tmp_path / "site")
    assert files(tmp_path / "site") == {"index.html": b"mine"}


def test_a_guard_that_is_none_is_told(store: Path, tmp_path: Path) -> None:
    site = write(store, tmp_path / "site")
    for text in ("{", '{"schema": 2, "pages": {}}'):
        (site / "catalog.json").write_text(text)
        with pytest.raises(UsageError, match=r"catalog\.json (is not a catalog's|was written by a newer envpack)"):
            write(store, site)


def some_environment(tmp_path: Path, count: int) -> Environment:
    fill_directory(tmp_path / "plotted", count)
    return read(open_store(str(tmp_path / "plotted")), tmp_path).environments[0]


def test_the_plot_puts_every_release_at_its_time_and_size(tmp_path: Path) -> None:
    versions = some_environment(tmp_path, 20).versions
    drawn = plot(versions)
    assert drawn is not None
    assert [dot.version for dot in drawn.dots] == list(reversed(versions))
    by_time = sorted(drawn.dots, key=lambda dot: dot.version.created)
    assert [dot.x for dot in by_time] == sorted(dot.x for dot in drawn.dots)
    by_size = sorted(drawn.dots, key=lambda dot: dot.version.listed.size)
    assert [dot.y for dot in by_size] == sorted((dot.y for dot in drawn.dots), reverse=True)
    assert all(drawn.left <= dot.x <= drawn.right and 0 < dot.y <= drawn.foot for dot in drawn.dots)
    assert 3 <= len(drawn.levels) <= 6


def test_the_catalog_lies_in_the_store_and_is_no_release(store: Path, tmp_path: Path) -> None:
    ran = command("--publish", "--store", str(store), "--output", "json", cwd=tmp_path)
    assert ran.code == 0, ran.err
    (row,) = check(ran.json(), "catalog")["catalogs"]
    assert row["index"] == (store / "_catalog/index.html").as_uri()
    assert (row["environments"], row["releases"]) == (2, 24)
    assert not (tmp_path / "envpack-catalog").exists()
    found = read(open_store(str(store)), copies(store))
    assert sum(1 for _ in found.versions) == 24
    assert not found.passed_over
    page = pages(store / "_catalog")[
        f"{manifests(store)[0]['name']}/{manifests(store)[0]['archive']['sha256'][:16]}.html"
    ]
    assert any(link.endswith("/manifest.json") and link.startswith("../../") for link in page.links)
    for path, page in pages(store / "_catalog").items():
        for link in (urlsplit(link).path for link in page.links if not link.startswith("data:")):
            assert not link or (store / "_catalog" / path).parent.joinpath(link).is_file(), f"{path}: {link}"


def test_the_command_warns_of_what_it_passes_over(store: Path, tmp_path: Path) -> None:
    SPOILT["no time"](store)
    ran = command("--store", str(store), cwd=tmp_path)
    assert ran.code == 0
    assert "warning: passed over " in ran.err
    assert "23 releases" in ran.err


@pytest.mark.acceptance
def test_the_command_names_the_index_and_needs_no_folder_to_be_named(store: Path, tmp_path: Path) -> None:
    ran = command("--store", str(store), cwd=tmp_path)
    assert ran.out == "envpack-catalog/index.html\n"
    assert (tmp_path / "envpack-catalog" / "index.html").is_file()
    both = command("site", "--publish", "--store", str(store), cwd=tmp_path)
    assert both.out.splitlines() == [(store / "_catalog/index.html").as_uri(), "site/index.html"], both.err


def test_pages_on_s3_are_what_browsers_take_them_for(
    moto_s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moto_s3.prepare(monkeypatch)
    bucket = moto_s3.new_bucket()
    store = open_store(f"s3://{bucket}/envs")
    fill(store, 5)
    moto_s3.requests.clear()
    places.publish_beside(store, tmp_path)
    assert not [request for request in moto_s3.requests if request.startswith(("DELETE", "POST"))]
    client = moto_s3.client()
    kinds = {}
    for entry in client.list_objects_v2(Bucket=bucket, Prefix="envs/_catalog/")["Contents"]:
        head = client.head_object(Bucket=bucket, Key=entry["Key"])
        kinds[entry["Key"].rpartition(".")[2]] = head["ContentType"]
        assert head["CacheControl"] == "no-cache"
    assert kinds == {
        "html": "text/html; charset=utf-8",
        "css": "text/css; charset=utf-8",
        "js": "text/javascript; charset=utf-8",
        "json": "application/json",
    }
    moto_s3.requests.clear()
    assert places.publish_beside(store, tmp_path).written == 0
    assert not [request for request in moto_s3.requests if request.startswith("PUT")]


def pieces(count: int) -> list[list[tuple[str, bytes]]]:
    """Return the objects of a store, release by release; tags with the last."""
    parts: list[list[tuple[str, bytes]]] = [[]]
    for key, content in objects(count):
        parts[-1].append((key, content))
        if "/builds/" in key:
            parts.append([])
    return parts


@pytest.mark.acceptance
@pytest.mark.parametrize("kind", quickly(["directory", "s3"], "directory"))
def test_writers_at_once_end_with_one_catalog_that_shows_all(
    kind: str, tmp_path: Path, moto_s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    moto_s3.prepare(monkeypatch)
    url = str(tmp_path / "store") if kind == "directory" else f"s3://{moto_s3.new_bucket()}/envs"
    parts = pieces(8)
    barrier = threading.Barrier(4)

    def work(mine: list[list[tuple[str, bytes]]]) -> None:
        store = open_store(url)
        barrier.wait()
        for part in mine:
            for key, content in part:
                store.create(key, content)
            places.publish_beside(store, tmp_path / "copies")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, [parts[place::4] for place in range(4)]))
    assert_whole(open_store(url), tmp_path / "copies")


def assert_whole(store: Store, copies: Path) -> None:
    """The catalog in a store must be what a single writer would have made of it, file by file."""
    site = places.site(store, read(store, copies), beside=True)
    for page in site.pages:
        found = store.read(places.PREFIX + page.path)
        assert found is not None, page.path
        assert found.data == page.render(), page.path


class Failing(LocalStore):
    """A store whose disk fails after some writes, as for a writer that is killed."""

    def __init__(self, url: Path, writes: int) -> None:
        super().__init__(url)
        self._left = writes
        self._counting = threading.Lock()

    def replace(self, key: str, data: bytes, version: str | None) -> bool:
        with self._counting:
            self._left -= 1
            if self._left < 0:
                raise OSError("killed")
        return super().replace(key, data, version)


@pytest.mark.parametrize("writes", quickly([0, 1, 2, 5, 8], 0, 5))
def test_what_a_killed_writer_has_left_is_put_right_by_the_next(writes: int, store: Path) -> None:
    publish(store)
    for name in {manifest["name"] for manifest in manifests(store)}:
        with_tag(store, name, "one")
    with pytest.raises(OSError, match="killed"):
        places.publish_beside(Failing(store, writes), copies(store))
    publish(store)
    assert_whole(open_store(str(store)), copies(store))


class Slow(LocalStore):
    """A store in which another writer publishes while this one is at work: before its n-th write."""

    def __init__(self, url: Path, number: int, meanwhile: Callable[[], object]) -> None:
        super().__init__(url)
        self._left = number
        self._meanwhile = meanwhile
        self._counting = threading.Lock()

    def replace(self, key: str, data: bytes, version: str | None) -> bool:
        with self._counting:
            self._left -= 1
            if self._left == 0:
                self._meanwhile()
        return super().replace(key, data, version)


@pytest.mark.parametrize("number", quickly([1, 2, 3, 5, 8, 9, 10], 1, 9))
def test_a_slow_writer_never_undoes_what_a_quick_one_has_shown(number: int, store: Path) -> None:
    publish(store)
    names = sorted({manifest["name"] for manifest in manifests(store)})
    met = []

    def meanwhile() -> None:
        with_tag(store, names[0], "quick")
        publish(store)
        met.append("quick")

    for name in names:
        with_tag(store, name, "slow")
    places.publish_beside(Slow(store, number, meanwhile), copies(store))
    assert met
    assert_whole(open_store(str(store)), copies(store))


class Contested(LocalStore):
    """A store in which somebody else is always quicker."""

    def replace(self, key: str, data: bytes, version: str | None) -> bool:
        if key.endswith("catalog.json"):
            found = super().read(key)
            super().replace(
                key,
                json.dumps({"schema": 1, "pages": {"x": str(random.random())}}).encode(),
                found.version if found else None,
            )
            return False
        return super().replace(key, data, version)


def test_a_writer_that_always_loses_says_so(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envpack.catalog.publishing.PAUSE", 0.0)
    with pytest.raises(Conflict, match="is being changed by another process"):
        places.publish_beside(Contested(store), copies(store))


def test_a_reader_never_sees_a_half_page(store: Path) -> None:
    here = open_store(str(store))
    publish(store)
    stop = threading.Event()
    seen: list[bytes] = []

    def look() -> None:
        while not stop.is_set():
            found = here.read("_catalog/index.html")
            assert found is not None
            seen.append(found.data)

    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(look)
        for number in range(10):
            with_tag(store, manifests(store)[0]["name"], f"t{number}")
            publish(store)
        stop.set()
        looking.result()
    assert len(set(seen)) > 1
    assert all(text.startswith(b"<!doctype html>") and text.endswith(b"</html>\n") for text in set(seen))


def test_templates_and_assets_are_in_the_wheel(tmp_path: Path) -> None:
    uv = ENVPACK.with_name("uv")
    subprocess.run([uv, "build", "--quiet", "--wheel", "--out-dir", tmp_path, ROOT], check=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("templates", "assets"):
        for file in (ROOT / "envpack/catalog" / folder).iterdir():
            assert f"envpack/catalog/{folder}/{file.name}" in packed


def test_nothing_of_the_catalog_is_taken_for_a_release_whatever_environments_are_called(tmp_path: Path) -> None:
    fill_directory(tmp_path / "store", 20)
    (only,) = (tmp_path / "store").iterdir()
    for name in ("builds", "tags", "0123456789abcdef"):
        shutil.copytree(only, tmp_path / "store" / name, ignore=shutil.ignore_patterns("*.tar.gz"))
        for manifest in (tmp_path / "store" / name).glob("*/manifest.json"):
            value = json.loads(manifest.read_text())
            value["archive"]["file"] = f"{name}-{value['archive']['sha256'][:16]}.tar.gz"
            manifest.write_text(json.dumps({**value, "name": name}))
    publish(tmp_path / "store")
    assert (tmp_path / "store" / "_catalog" / "builds" / "index.html").exists()
    store = open_store(str(tmp_path / "store"))
    assert set(inventory.take(store)) == {only.name, "builds", "tags", "0123456789abcdef"}
    assert {found.name for found in index.read(store, tmp_path / "copies")} == set(inventory.take(store))
