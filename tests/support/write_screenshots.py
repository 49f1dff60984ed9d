"""The pictures of docs/catalog.md, of a store on S3: `python -m tests.support.write_screenshots`."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Literal, NamedTuple

import boto3
from moto import mock_aws
from playwright.sync_api import Browser, sync_playwright

from envpack.catalog import places
from envpack.catalog.contents import Environment, read
from envpack.stores import open_store
from tests.support.browser import CHROMIUM, FLAGS
from tests.support.many_releases import fill_bucket

DOCS = Path(__file__).parent.parent.parent / "docs/catalog"


class View(NamedTuple):
    """One picture, from the top of a page."""

    name: str
    path: str
    width: int = 1200
    height: int = 900
    scheme: Literal["light", "dark"] = "light"


def views(environment: Environment) -> list[View]:
    """Return all pictures; those of one environment are of this one."""
    name, newest, oldest = environment.name, environment.versions[0].id, environment.versions[-1].id
    return [
        View("list", "index.html"),
        View("search", "index.html#q=openssl>=3.2"),
        View("environment", f"{name}/index.html", height=1300),
        View("release", f"{name}/{newest}.html", height=1300),
        View("comparison", f"{name}/compare.html?a={oldest}&b={newest}"),
        View("dark", f"{name}/index.html", height=1300, scheme="dark"),
        View("phone", f"{name}/index.html", width=390, height=1300),
    ]


def shoot(browser: Browser, site: Path, view: View) -> Path:
    """Take one picture of a site."""
    page = browser.new_page(viewport={"width": view.width, "height": view.height}, color_scheme=view.scheme)
    page.goto(f"{site.as_uri()}/{view.path}")
    page.wait_for_timeout(500)  # scripts bring what is searched and compared
    path = DOCS / f"{view.name}.png"
    page.screenshot(path=path)
    return path


if __name__ == "__main__":
    os.environ |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
    with mock_aws(), tempfile.TemporaryDirectory() as directory, sync_playwright() as playwright:
        client = boto3.client("s3")
        client.create_bucket(Bucket="team-envs")
        fill_bucket(client, "team-envs", "envs", 200)
        store, indexes, site = (
            open_store("s3://team-envs/envs"),
            Path(directory, "indexes"),
            Path(directory, "site"),
        )
        places.write_folder(store, indexes, site)
        shown = next(each for each in read(store, indexes).environments if each.name == "fraud-features")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for view in views(shown):
            sys.stdout.write(f"{shoot(browser, site, view)}\n")
