"""The catalog in a real browser: from a folder, from a web server, from a bucket."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from playwright.sync_api import Browser

from envpack.catalog import places
from envpack.catalog.contents import read
from envpack.catalog.offers import offers
from envpack.packages.compare import compare
from envpack.spark.launchers import LAUNCHERS
from envpack.stores import open_store
from envpack.units import human_size
from tests.support.browser import PLAIN, Scheme, Visit, served, visit
from tests.support.many_releases import fill, fill_directory
from tests.support.releases import all_releases
from tests.support.s3 import S3Server
from tests.support.site import HOSTILE, hostile_store, manifests

pytestmark = pytest.mark.acceptance

RELEASES = 60
PLACES = ("folder", "server", "bucket")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("a store") / "envs"
    fill_directory(store, RELEASES)
    return store


@pytest.fixture(scope="module")
def folder(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("a site") / "site"
    write_folder(store, folder)
    return folder


@pytest.fixture(scope="module")
def bucket(moto_s3: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        moto_s3.prepare(monkeypatch)
        name = moto_s3.new_bucket()
        store = open_store(f"s3://{name}/envs")
        fill(store, RELEASES)
        places.publish_beside(store, tmp_path_factory.mktemp("indexes"))
        # As a bucket behind a company's network allows it: everybody there reads.
        allow = {
            "Effect": "Allow",
            "Principal": "*",
            "Action": "s3:GetObject",
            "Resource": f"arn:aws:s3:::{name}/*",
        }
        policy = {"Version": "2012-10-17", "Statement": [allow]}
        moto_s3.client().put_bucket_policy(Bucket=name, Policy=json.dumps(policy))
        yield f"{moto_s3.endpoint}/{name}/envs/{places.PREFIX}"


@contextmanager
def at(
    place: str, browser: Browser, folder: Path, request: pytest.FixtureRequest, **options: Any
) -> Iterator[Visit]:
    """Open the site where it lies."""
    if place == "folder":
        with visit(browser, f"{folder.as_uri()}/") as there:
            yield there
    elif place == "bucket":
        with visit(browser, request.getfixturevalue("bucket")) as there:
            yield there
    else:
        with served(folder) as port, visit(browser, f"http://127.0.0.1:{port}/") as there:
            yield there


def assert_quiet(there: Visit) -> None:
    """Nothing may have left the site, and nothing have gone wrong in it."""
    assert there.foreign() == []
    assert there.complaints == []


@pytest.fixture(params=PLACES)
def there(request: pytest.FixtureRequest, chromium: Browser, folder: Path) -> Iterator[Visit]:
    with at(request.param, chromium, folder, request) as made:
        yield made
        assert_quiet(made)


@pytest.fixture
def here(chromium: Browser, folder: Path) -> Iterator[Visit]:
    with visit(chromium, f"{folder.as_uri()}/") as made:
        yield made
        assert_quiet(made)


def write_folder(store: Path, site: Path) -> None:
    places.write_folder(open_store(str(store)), store.with_name("indexes"), site)


def address(manifest: Any) -> str:
    return f"{manifest['name']}/{manifest['archive']['sha256'][:16]}"


def runnable(store: Path) -> Any:
    """Return the manifest of a release that its Spark can load."""
    for release in all_releases(open_store(str(store))):
        refused = {offer.launcher for offer in offers(release) if offer.refusal}
        if "yarn-cluster" not in refused:
            return release.manifest.to_json()
    raise AssertionError("no release can run on YARN")


def test_an_environment_is_found_its_release_opened_and_its_settings_copied(there: Visit, store: Path) -> None:
    wanted = runnable(store)
    page = there.page
    there.open("index.html")
    page.get_by_role("searchbox").fill(wanted["name"][:5])
    names = {manifest["name"] for manifest in manifests(store) if wanted["name"][:5] in manifest["name"]}
    assert set(there.shown("#environments tbody td.first")) == names
    page.get_by_role("link", name=wanted["name"], exact=True).click()
    page.get_by_role("link", name=address(wanted).split("/")[1]).first.click()
    assert page.title() == address(wanted).replace("/", "@")
    page.get_by_role("tab", name="livy-batch").click()
    assert there.shown(".panel h3") == ["livy-batch Livy, a batch: the body of POST /batches, without file"]
    page.get_by_role("button", name="Copy the settings for livy-batch").click()
    page.get_by_text("Copied", exact=True).first.wait_for()
    body = json.loads(there.copied())
    assert body["archives"][0].endswith(f"/{wanted['archive']['file']}#environment")
    assert body["conf"]["spark.pyspark.python"] == "./environment/bin/python"


def test_an_environments_settings_are_copied_from_its_own_page(here: Visit, store: Path) -> None:
    wanted = runnable(store)
    found = read(open_store(str(store)), store.with_name("indexes")).environments
    environment = next(each for each in found if each.name == wanted["name"])
    reference, lead = environment.lead
    here.open(f"{environment.name}/index.html")
    here.page.get_by_role("tab", name="standalone").click()
    here.page.get_by_role("button", name="Copy the settings for standalone", exact=True).click()
    here.page.get_by_text("Copied", exact=True).first.wait_for()
    assert f"/{environment.name}-{lead.id}.tar.gz#environment" in here.copied()
    here.page.get_by_role("button", name=f"Copy envpack run {reference}").click()
    here.page.get_by_text("Copied", exact=True).first.wait_for()
    assert here.copied().startswith(f"envpack run {reference} --store ")


REASON = "getComputedStyle(document.querySelector('.rail a.refused'), '::after').content"


def test_a_launcher_that_cannot_run_it_says_why_to_the_pointer_and_to_the_keyboard(
    here: Visit, store: Path
) -> None:
    here.open(f"{address(runnable(store))}.html")
    refused = here.page.locator(".rail a.refused").first
    assert here.page.evaluate(REASON) == "none"
    refused.hover()
    assert refused.get_attribute("data-why") in here.page.evaluate(REASON)
    here.page.locator(".rail a").first.focus()
    here.page.keyboard.press("End")
    shown = here.page.locator(".refusal:visible")
    assert shown.count() == 1
    assert here.page.evaluate("document.activeElement.getAttribute('aria-describedby')") == shown.get_attribute(
        "id"
    )


@pytest.mark.parametrize("width", [320, 390, 1200])
def test_what_an_empty_search_field_says_is_seen_whole(width: int, chromium: Browser, folder: Path) -> None:
    with visit(chromium, f"{folder.as_uri()}/", width=width) as there:
        there.open("index.html")
        assert there.page.evaluate(
            """() => {
              const field = document.querySelector("#q"), style = getComputedStyle(field);
              const pen = document.createElement("canvas").getContext("2d");
              pen.font = style.font;
              const padding = parseFloat(style.paddingLeft) + parseFloat(style.paddingRight);
              return pen.measureText(field.placeholder).width <= field.clientWidth - padding;
            }"""
        )


def test_the_clipboard_interface_is_used_where_there_is_one(chromium: Browser, folder: Path, store: Path) -> None:
    with served(folder) as port:
        origin = f"http://127.0.0.1:{port}"
        with visit(chromium, f"{origin}/") as there:
            there.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=origin)
            there.open(f"{address(runnable(store))}.html")
            text = there.page.locator("#yarn-cluster-1").inner_text()
            there.page.get_by_role("button", name="Copy the settings for yarn-cluster", exact=True).click()
            there.page.get_by_text("Copied", exact=True).first.wait_for()
            assert there.page.evaluate("navigator.clipboard.readText()") == text
            assert text.startswith("--archives file:///")
            assert_quiet(there)


def test_copying_works_on_a_host_that_the_browser_does_not_trust(
    chromium: Browser, folder: Path, store: Path
) -> None:
    with served(folder) as port, visit(chromium, f"http://{PLAIN}:{port}/") as there:
        there.open(f"{address(runnable(store))}.html")
        assert there.page.evaluate("[isSecureContext, typeof navigator.clipboard]") == [False, "undefined"]
        there.page.get_by_role("button", name="Copy the reference").click()
        there.page.get_by_text("Copied", exact=True).first.wait_for()
        assert there.copied() == address(runnable(store)).replace("/", "@")
        assert_quiet(there)


SEARCHES = {
    "openssl": ("openssl", ""),
    "openssl>=3.2": ("openssl", ">=3.2"),
    "OpenSSL >= 3.0.13, < 3.2": ("openssl", ">=3.0.13,<3.2"),
    "sqlite==3.45.*": ("sqlite", "==3.45.*"),
    "libgcc_ng != 13.2.0": ("libgcc-ng", "!=13.2.0"),
    "xz~=5.4": ("xz", "~=5.4"),
    "python>3.9.19": ("python", ">3.9.19"),
    "zlib===99": ("zlib", "==99"),
}


@pytest.mark.parametrize("text", SEARCHES)
def test_a_package_is_found_in_exactly_the_releases_that_hold_it(text: str, here: Visit, store: Path) -> None:
    name, specifier = SEARCHES[text]
    expected = {
        (address(manifest), package["version"])
        for manifest in manifests(store)
        for package in manifest["packages"]
        if package["name"] == name and SpecifierSet(specifier).contains(package["version"])
    }
    here.open("index.html")
    here.wait_for_search()
    here.page.get_by_role("searchbox").fill(text)
    assert rows_found(here) == expected
    here.page.get_by_label("only tagged releases").check()
    assert rows_found(here) == {row for row in expected if row[0] in tagged(store)}


def rows_found(there: Visit) -> set[tuple[str, str]]:
    rows = there.page.locator("#found-table tbody tr").evaluate_all(
        "rows => rows.map(row => [row.querySelector('a').getAttribute('href'), row.cells[2].textContent])"
    )
    return {(link.removesuffix(".html"), version) for link, version in rows}


def tagged(store: Path) -> set[str]:
    tags = list(store.glob("*/tags/*.json"))
    return {f"{tag.parent.parent.name}/{json.loads(tag.read_text())['digest'][:16]}" for tag in tags}


def test_many_results_are_shown_in_part_until_all_are_wanted(chromium: Browser, tmp_path: Path) -> None:
    fill_directory(tmp_path / "store", 120)
    write_folder(tmp_path / "store", tmp_path / "site")
    with visit(chromium, f"{(tmp_path / 'site').as_uri()}/") as there:
        there.open("index.html#q=openssl")
        there.wait_for_search()
        assert there.shown("#found-title") == ["120 releases in 6 environments"]
        assert len(rows_found(there)) == 100
        there.page.get_by_role("button", name="Show all 120").click()
        assert len(rows_found(there)) == 120


def test_a_piece_of_a_version_finds_it_and_a_link_leads_to_the_search(here: Visit, store: Path) -> None:
    here.open("index.html#q=openssl%203.2")
    here.wait_for_search()
    versions = {row.split("\t")[2] for row in here.shown("#found-table tbody tr")}
    assert versions == {"3.2.1"}
    assert here.page.get_by_role("searchbox").input_value() == "openssl 3.2"
    here.page.get_by_role("searchbox").fill("no-such-thing")
    assert here.shown("#none") == ["No environment has that in its name."]


def test_versions_are_ordered_as_python_orders_them(here: Visit) -> None:
    versions = (
        *("1.0.dev1", "1.0a1", "1.0a2", "1.0b1", "1.0rc1", "1.0", "1.0.0", "1.0.post1", "1.0.1", "1.1", "1.2"),
        *("2.0.0b2", "2.0.0rc1", "2.0", "2024.1", "1!0.5", "3.9.19", "3.11.7", "0.1", "2.9.0", "2.9.0.post0"),
        *("1.10", "1.26.4"),
    )
    pairs = [(left, right) for left in versions for right in versions]
    here.open("index.html")
    signs = here.page.evaluate("pairs => pairs.map(([a, b]) => Math.sign(catalog.versions.compare(a, b)))", pairs)
    wanted = [(Version(a) > Version(b)) - (Version(a) < Version(b)) for a, b in pairs]
    assert signs == wanted


def test_two_releases_are_compared(there: Visit, store: Path) -> None:
    name = manifests(store)[0]["name"]
    found = [release.manifest for release in all_releases(open_store(str(store)), name)]
    before, after = sorted(found, key=lambda manifest: manifest.created)[::10]
    there.open(f"{name}/index.html")
    there.page.get_by_role("radio", name=f"A: {before.short_digest}").check()
    there.page.get_by_role("radio", name=f"B: {after.short_digest}").check()
    there.page.get_by_role("button", name="Compare A with B").click()
    there.page.get_by_role("heading", name="Packages:").wait_for()
    expected = compare(before.packages, after.packages)
    heading = (
        f"Packages: {len(expected.changed)} changed, {len(expected.added)} added, {len(expected.removed)} removed"
    )
    assert heading in there.shown("h2")
    rows = there.page.locator("#differences table").nth(1).locator("tbody tr").all_inner_texts()
    cells = {row.split("\t")[0]: row.split("\t")[1:3] for row in rows}
    assert cells == {old.name: [old.version, new.version] for old, new in expected.changed}
    facts = there.page.locator("#differences table").first.inner_text()
    assert human_size(after.archive.size) in facts
    there.page.get_by_role("button", name="Swap").click()
    there.page.get_by_role("link", name=before.short_digest[:8]).nth(1).wait_for()
    rows = there.page.locator("#differences table").nth(1).locator("tbody tr").all_inner_texts()
    assert {row.split("\t")[0]: row.split("\t")[1:3] for row in rows} == {n: v[::-1] for n, v in cells.items()}


def test_the_comparison_loads_only_what_it_offers(here: Visit, store: Path) -> None:
    name = manifests(store)[0]["name"]
    here.open(f"{name}/compare.html?a=..%2F..%2Fevil&b=https%3A%2F%2Fevil.example%2Fx")
    here.page.get_by_role("heading", name="Packages:").wait_for()
    newest, older = (manifest["archive"]["sha256"][:16] for manifest in manifests(store, name)[:2])
    assert here.page.locator("#a").input_value() == older
    assert here.page.locator("#b").input_value() == newest


def test_everything_can_be_done_from_the_keyboard(here: Visit, store: Path) -> None:
    wanted = runnable(store)
    keys = here.page.keyboard
    here.open("index.html")
    keys.press("/")
    keys.type(wanted["name"])
    keys.press("Enter")
    here.page.wait_for_url(f"**/{wanted['name']}/index.html")
    tab_to(here, f"a[href='{address(wanted).split('/')[1]}.html']")
    keys.press("Enter")
    here.page.wait_for_url(f"**/{address(wanted)}.html")
    tab_to(here, "[role=tab]")
    keys.press("ArrowDown")
    keys.press("End")
    keys.press("ArrowDown")
    keys.press("ArrowDown")
    assert here.page.evaluate("document.activeElement.textContent") == list(LAUNCHERS)[1]
    tab_to(here, "#yarn-client button.copy")
    keys.press("Enter")
    here.page.get_by_text("Copied", exact=True).first.wait_for()
    assert here.copied().startswith("--archives ")
    keys.press("/")
    keys.type("openssl")
    assert [row.split("\t")[0] for row in here.shown("#packages tbody tr")] == ["openssl"]


def tab_to(there: Visit, selector: str) -> None:
    """Press Tab until an element has the focus, which must be seen."""
    for _ in range(60):
        there.page.keyboard.press("Tab")
        if there.page.evaluate("selector => document.activeElement.matches(selector)", selector):
            outline = there.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none"
            return
    raise AssertionError(f"Tab does not lead to {selector}")


def views(store: Path) -> dict[str, str]:
    wanted = runnable(store)
    older, newer = (m["archive"]["sha256"][:16] for m in (manifests(store, wanted["name"])[i] for i in (-1, 0)))
    return {
        "list": "index.html",
        "search": "index.html#q=openssl",
        "environment": f"{wanted['name']}/index.html",
        "release": f"{address(wanted)}.html",
        "refused": f"{address(wanted)}.html#dataproc",
        "comparison": f"{wanted['name']}/compare.html?a={older}&b={newer}",
    }


@pytest.mark.parametrize("view", ["list", "search", "environment", "release", "refused", "comparison"])
@pytest.mark.parametrize("width", [320, 390])
def test_a_narrow_screen_never_scrolls_sideways(
    view: str, width: int, chromium: Browser, folder: Path, store: Path
) -> None:
    with visit(chromium, f"{folder.as_uri()}/", width=width, has_touch=True, is_mobile=True) as there:
        there.open(views(store)[view])
        there.page.wait_for_timeout(300)
        assert there.page.evaluate("document.documentElement.scrollWidth") == width
        assert_quiet(there)


@pytest.mark.parametrize("view", ["list", "search", "environment", "release", "refused", "comparison"])
@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (1200, "dark"), (390, "light"), (390, "dark")])
def test_everybody_can_read_and_use_it(
    view: str, width: int, scheme: Scheme, chromium: Browser, request: pytest.FixtureRequest
) -> None:
    """axe-core checks contrast, names, roles, headings and landmarks."""
    folder, store = request.getfixturevalue("folder"), request.getfixturevalue("store")
    with visit(chromium, f"{folder.as_uri()}/", width=width, color_scheme=scheme) as there:
        there.open(views(store)[view])
        there.page.wait_for_timeout(300)
        background = there.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(255, 255, 255)") == (scheme == "light")
        found = Axe().run(there.page)
        assert found.violations_count == 0, found.generate_report()


def test_lists_and_contents_can_be_read_without_javascript(chromium: Browser, folder: Path, store: Path) -> None:
    wanted = runnable(store)
    with visit(chromium, f"{folder.as_uri()}/", java_script_enabled=False) as there:
        there.open("index.html")
        assert set(there.shown("#environments td.first")) == {manifest["name"] for manifest in manifests(store)}
        assert not there.page.get_by_role("searchbox").is_visible()
        there.page.get_by_role("link", name=wanted["name"], exact=True).click()
        there.page.get_by_role("link", name=address(wanted).split("/")[1]).first.click()
        assert there.shown("#packages td.first") == [package["name"] for package in wanted["packages"]]
        assert len(there.shown(".panel h3")) == len(LAUNCHERS)
        assert "--archives" in there.shown("#yarn-cluster pre")[0]
        there.open(f"{wanted['name']}/compare.html")
        assert "needs JavaScript" in there.page.locator("noscript").inner_text()
        assert_quiet(there)


def test_the_columns_of_packages_can_be_sorted(here: Visit, store: Path) -> None:
    wanted = runnable(store)
    here.open(f"{address(wanted)}.html")
    here.page.get_by_role("button", name="Download").click()
    largest = max(wanted["packages"], key=lambda package: int(package["size"]))
    assert here.shown("#packages tbody tr")[0].startswith(largest["name"])
    assert here.page.get_by_role("columnheader", name="Download").get_attribute("aria-sort") == "descending"
    here.page.get_by_role("button", name="Package", exact=True).click()
    names = here.shown("#packages td.first")
    assert names == sorted(names)


@pytest.mark.parametrize("place", ["folder", "server"])
def test_harm_in_manifests_is_shown_and_does_nothing(
    place: str, chromium: Browser, tmp_path: Path, request: Any
) -> None:
    newest = hostile_store(tmp_path / "store")
    write_folder(tmp_path / "store", tmp_path / "site")
    with at(place, chromium, tmp_path / "site", request) as there:
        there.open(f"{address(newest)}.html")
        assert "__proto__" in there.shown("#packages td.first")
        assert HOSTILE in there.page.locator("body").inner_text()
        there.open(f"{newest['name']}/index.html")
        there.open(f"{newest['name']}/compare.html")
        there.page.get_by_role("heading", name="Packages:").wait_for()
        cells = there.page.locator("#differences td").all_inner_texts()
        assert "__proto__" in cells
        there.open("index.html")
        there.wait_for_search()
        for text in ("__proto__", "script", HOSTILE):
            there.page.get_by_role("searchbox").fill(text)
            assert there.page.evaluate("window.harmed") is None
        there.page.get_by_role("searchbox").fill("__proto__")
        assert there.shown("#found-title") == ["1 release in 1 environment"]
        assert there.page.evaluate("({}).length") is None
        assert_quiet(there)
