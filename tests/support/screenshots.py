"""Take the screenshots of docs/catalog.md anew, for somebody to look at.

python -m tests.support.screenshots && pngquant --force --ext .png docs/catalog/*.png
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import boto3
from moto.server import ThreadedMotoServer
from playwright.sync_api import sync_playwright

from envpack.catalog import places
from envpack.stores import open_store
from tests.support.browser import CHROMIUM, FLAGS, Scheme, Visit, visit
from tests.support.many_releases import fill
from tests.support.s3 import ACCESS_KEY, REGION, SECRET_KEY

FOLDER = Path(__file__).parents[2] / "docs" / "catalog"
BUCKET = "company-spark"
RELEASES = 240


def make(site: Path, copies: Path) -> places.PublishedSite:
    """Write the catalog of a bucket with many releases into a folder."""
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    os.environ |= {
        "AWS_ENDPOINT_URL_S3": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": REGION,
    }
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    store = open_store(f"s3://{BUCKET}/envs")
    fill(store, RELEASES)
    made = places.write_folder(store, copies, site)
    server.stop()
    return made


def main() -> None:
    """Write every screenshot."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as work, sync_playwright() as playwright:
        made = make(Path(work, "site"), Path(work, "copies"))
        name, newest, older = _example(made)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)

        def shoot(file: str, path: str, scheme: Scheme = "light", width: int = 1200, height: int = 800) -> None:
            base = f"{Path(work, 'site').as_uri()}/"
            with visit(browser, base, width=width, height=height, color_scheme=scheme) as there:
                _shoot(there, path, FOLDER / f"{file}.png")

        shoot("list", "index.html")
        shoot("search", "index.html#q=openssl%3E%3D3.2")
        shoot("environment", f"{name}/index.html")
        shoot("release", f"{name}/{newest}.html")
        shoot("comparison", f"{name}/compare.html?a={older}&b={newest}")
        shoot("dark", f"{name}/index.html", "dark")
        shoot("phone", f"{name}/index.html", width=390)
        browser.close()


def _example(made: places.PublishedSite) -> tuple[str, str, str]:
    """Return an environment that a current Spark can run, with its newest and an older release."""
    for environment in made.site.contents.environments:
        newest = environment.current.listed
        if newest.target.spark == "3.5" and newest.python.startswith("3.11"):
            return environment.name, environment.current.id, environment.versions[7].id
    raise LookupError("no environment is fit to be shown")


def _shoot(there: Visit, path: str, file: Path) -> None:
    there.open(path)
    there.page.wait_for_timeout(500)
    there.page.screenshot(path=file)


if __name__ == "__main__":
    main()
