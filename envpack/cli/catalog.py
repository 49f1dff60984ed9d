"""`envpack catalog`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from envpack.cli import options
from envpack.cli.answer import say, say_json
from envpack.cli.screen import screen

if TYPE_CHECKING:
    from envpack.catalog.places import PublishedSite

FOLDER = Path("envpack-catalog")

SCHEMA = 1
"""Version of the JSON that the command prints (docs/catalog.schema.json)."""


@click.command("catalog", epilog="Example: envpack catalog site --store s3://bucket/envs")
@click.argument("folder", required=False, metavar="[DIR]", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--publish",
    is_flag=True,
    help="Write the site into the store, next to the releases; also into DIR, if you give it.",
)
@click.option(
    "--advisories",
    metavar="PATH",
    help="Also show known vulnerabilities, from a directory of advisories in OSV's format, or OSV's zip for PyPI.",
)
@options.STORE
@options.CACHE
@options.OUTPUT_JSON
@options.TALK
def catalog_command(
    folder: Path | None, output: str, *, publish: bool, quiet: bool, verbose: bool, **given: Any
) -> None:
    """Write a static site that shows the releases of a store into DIR, by default envpack-catalog.

    It needs no server: open its index.html, or copy it to any web server. A site from an earlier run is brought up
    to date. The path of the first page is printed.
    """
    from envpack.catalog import places
    from envpack.catalog.vulnerable import from_config
    from envpack.files.cache import Cache
    from envpack.stores import store_of

    progress = screen(quiet=quiet, verbose=verbose)
    config = options.configuration(given)
    store, copies = store_of(config), Cache(Path(config.cache_dir)).indexes
    vulnerable = from_config(config)
    made: dict[str, PublishedSite] = {}
    if publish:
        made[store.uri(places.PREFIX + places.INDEX)] = places.publish_beside(
            store, copies, progress, vulnerable=vulnerable
        )
    if folder or not publish:
        place = folder or FOLDER
        made[str(place / places.INDEX)] = places.write_folder(store, copies, place, progress, vulnerable=vulnerable)
    for text in next(iter(made.values())).site.contents.passed_over:
        progress.warn(f"passed over {text}")
    if output == "json":
        rows = [{"index": index, **_facts(published)} for index, published in made.items()]
        say_json({"schema": SCHEMA, "catalogs": rows})
        return
    for index in made:
        say(index)


def _facts(published: PublishedSite) -> dict[str, Any]:
    contents = published.site.contents
    return {
        "environments": len(contents.environments),
        "releases": sum(1 for _ in contents.versions),
        "written": published.written,
        "passed_over": list(contents.passed_over),
    }
