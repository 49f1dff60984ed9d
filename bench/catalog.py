"""Make the catalog of stores of many releases, and use its pages in a browser.

Usage: python -m bench.catalog [100|1000|10000]... [--rounds N]

`all` starts with neither a catalog nor a copy of the index, `one` after a tag has moved, `none` where nothing has.
The pages are opened from the folder in Debian's Chromium: `ready_ms` is from the start of navigation until packages
can be searched, `found_ms` from a keystroke until the last row is in place.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
from functools import partial
from typing import TYPE_CHECKING

from playwright.sync_api import sync_playwright

from bench import places, results
from bench.environments import variables
from bench.measure import Rival, compare
from tests.support.browser import CHROMIUM, FLAGS
from tests.support.many_releases import fill_directory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from playwright.sync_api import Page

    from bench.results import Row

_SEARCH = """text => new Promise(resolve => {
    const input = document.querySelector("#q");
    const start = performance.now();
    input.value = text;
    input.dispatchEvent(new Event("input"));
    requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - start)));
})"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the numbers of releases that are named, or all three."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("counts", nargs="*", type=int, metavar="RELEASES", default=[100, 1000, 10000])
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args(arguments)
    rows: list[Row] = []
    for count in given.counts:
        rows += measure(count, given.rounds)
    results.save("catalog", rows)


def measure(count: int, rounds: int) -> list[Row]:
    """Return the rows of a store with that many releases."""
    work = places.emptied(places.home() / "catalog")
    store, site = work / "store", work / "site"
    fill_directory(store, count)
    taken = compare(list(rivals(store, site)), rounds=rounds)
    made = results.rows(f"{count} releases", taken, **weights(site))
    shown = {"case": f"{count} releases", "rival": "browser", **used(site, rounds)}
    shutil.rmtree(work)
    return [*made, shown]


def rivals(store: Path, site: Path) -> Iterator[Rival]:
    """Yield the three ways in which a catalog is made."""
    cache = site.with_name("cache")
    command: list[str | Path] = [places.ENVPACK, "catalog", site, "--quiet", "--store", store, "--cache-dir", cache]
    clear = [partial(shutil.rmtree, path, ignore_errors=True) for path in (site, cache)]
    for name, before in (
        ("all", lambda: [each() for each in clear]),
        ("one", partial(move_a_tag, store)),
        ("none", lambda: None),
    ):
        yield Rival(name=name, commands=[command], variables=variables(), before=before)


def move_a_tag(store: Path) -> None:
    """Point a tag of the first environment at another of its releases."""
    name = min(path for path in store.iterdir() if (path / "tags").is_dir())
    tag = name / "tags" / "moved.json"
    digests = sorted(json.loads(path.read_text())["archive"]["sha256"] for path in name.glob("*/manifest.json"))
    last = json.loads(tag.read_text())["digest"] if tag.exists() else digests[-1]
    following = digests[(digests.index(last) + 1) % len(digests)]
    tag.write_text(json.dumps({"schema": 1, "digest": following, "moved": "2026-01-01T00:00:00Z"}))


def weights(site: Path) -> dict[str, float]:
    """Return what the heaviest page of each kind weighs, in bytes, and how many files there are."""
    return {
        "index": (site / "index.html").stat().st_size,
        "packages": (site / "packages.js").stat().st_size,
        "page": max(path.stat().st_size for path in site.glob("*/*.html")),
        "files": sum(len(names) for _, _, names in os.walk(site)),
    }


def used(site: Path, rounds: int) -> dict[str, float]:
    """Return medians in milliseconds of a person's first steps, each in a browser that knows nothing."""
    ready, found = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for _ in range(rounds):
            context = browser.new_context()
            ready.append(_open(context.new_page(), site))
            found.append(context.pages[0].evaluate(_SEARCH, "openssl>=3.1"))
            context.close()
        browser.close()
    return {"ready_ms": round(statistics.median(ready)), "found_ms": round(statistics.median(found))}


def _open(page: Page, site: Path) -> float:
    page.goto((site / "index.html").as_uri())
    page.wait_for_selector("html[data-ready]")
    return float(page.evaluate("Number(document.documentElement.dataset.ready)"))


if __name__ == "__main__":
    main()
