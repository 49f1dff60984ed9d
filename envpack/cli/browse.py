"""`envpack list` and `envpack search`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from envpack.cli import complete, options
from envpack.cli.answer import say, say_json
from envpack.cli.screen import plain, screen
from envpack.cli.table import table
from envpack.units import age, count, human_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from envpack.config.config import Config
    from envpack.progress import Progress
    from envpack.releases.listed import Listed, NameIndex
    from envpack.releases.search import Hit
    from envpack.stores.base import Store

SCHEMA = 1
"""Version of the JSON that these commands print."""

_TAGGED = click.option("--tagged", is_flag=True, help="Only releases that a tag points at.")


@click.command(
    "list",
    epilog="""\b
Examples:
  envpack list --store s3://bucket/envs
  envpack list pandas-udf --tagged""",
)
@click.argument("name", required=False, shell_complete=complete.name)
@_TAGGED
@click.option("--rebuild-index", is_flag=True, help="First make the store's index again from all manifests.")
@options.STORE
@options.CACHE
@options.OUTPUT_JSON
@options.TALK
def list_command(
    name: str | None,
    output: str,
    *,
    tagged: bool,
    rebuild_index: bool,
    quiet: bool,
    verbose: bool,
    **given: Any,
) -> None:
    """List the releases of a store, or only those of NAME, the newest of each name first."""
    from envpack.releases import index, references
    from envpack.stores import store_of

    progress = screen(quiet=quiet, verbose=verbose)
    config = options.configuration(given)
    store = store_of(config)
    if rebuild_index:
        for left in index.rebuild(store, progress=progress):
            progress.warn(f"the index of {left} could not be written")
    indexes = _indexes(store, config, name, progress)
    if name and not indexes:
        raise references.no_such_name(store, name)
    found = list(_listed(indexes, tagged=tagged))
    if output == "json":
        rows = [_to_json(store, listed, tags) for listed, tags in found]
        say_json({"schema": SCHEMA, "releases": rows})
    elif found:
        say(table(_HEAD, (_row(listed, tags) for listed, tags in found)))
    else:
        plain(quiet=False)(f"{store.url} holds no releases{' that a tag points at' if tagged else ''}")


@click.command(
    "search",
    epilog="""\b
Examples:
  envpack search 'numpy<2' --tagged              which tagged releases have it
  envpack search 'openssl >=3.0,<3.0.14'
  envpack search torch --output json""",
)
@click.argument("spec", metavar="PACKAGE[SPEC]", shell_complete=complete.package)
@_TAGGED
@options.STORE
@options.CACHE
@options.OUTPUT_JSON
@options.TALK
def search_command(spec: str, output: str, *, tagged: bool, quiet: bool, verbose: bool, **given: Any) -> None:
    """Find the releases that contain PACKAGE; with SPEC, only in matching versions.

    SPEC is a version specifier of pip (<2, ==1.26.*) or of conda (1.1.1*). Wheels are compared by PyPI's rules of
    versions, conda packages by conda's. PACKAGE is the name of a project: torch also finds conda's pytorch.
    """
    from envpack.releases.search import matcher, search
    from envpack.resolve.names import Names
    from envpack.stores import store_of

    progress = screen(quiet=quiet, verbose=verbose)
    config = options.configuration(given)
    store = store_of(config)
    matches = matcher(spec, Names(config.names))
    found = search(_indexes(store, config, None, progress), matches)
    hits = [hit for hit in found if hit.tags or not tagged]
    if output == "json":
        rows = [{**_to_json(store, hit.release, hit.tags), "found": _found(hit)} for hit in hits]
        say_json({"schema": SCHEMA, "spec": spec, "releases": rows})
    elif hits:
        say(table(("REFERENCE", "TAGS", "PACKAGE", "VERSION", "SOURCE", "AGE", "BY"), _hit_rows(hits)))
        names = {hit.release.name for hit in hits}
        verb = "contains" if len(hits) == 1 else "contain"
        progress.info(f"{count(len(hits), 'release')} of {count(len(names), 'name')} {verb} {spec}")
    else:
        plain(quiet=False)(f"no release in {store.url} contains {spec}")


_HEAD = ("REFERENCE", "TAGS", "AGE", "SIZE", "PYTHON", "SPARK", "PLATFORM", "BY", "COMMIT")


def _indexes(store: Store, config: Config, name: str | None, progress: Progress) -> Sequence[NameIndex]:
    from envpack.files.cache import Cache
    from envpack.releases import index

    return index.read(store, Cache(Path(config.cache_dir)).indexes, name, progress=progress)


def _listed(indexes: Sequence[NameIndex], *, tagged: bool) -> Iterator[tuple[Listed, Sequence[str]]]:
    for index in indexes:
        for listed in index.newest_first():
            tags = index.tags_of(listed.digest)
            if tags or not tagged:
                yield listed, tags


def _row(listed: Listed, tags: Sequence[str]) -> tuple[str, ...]:
    return (
        listed.reference,
        ",".join(tags),
        age(listed.created),
        human_size(listed.size),
        listed.python,
        listed.target.spark or "",
        listed.target.platform,
        listed.by or "",
        (listed.commit or "")[:10],
    )


def _hit_rows(hits: Sequence[Hit]) -> Iterator[tuple[str, ...]]:
    for hit in hits:
        listed = hit.release
        for package in hit.packages:
            facts = (listed.reference, ",".join(hit.tags), package.name, package.version, package.source)
            yield (*facts, age(listed.created), listed.by or "")


def _found(hit: Hit) -> list[dict[str, str]]:
    return [{"name": p.name, "version": p.version, "source": p.source} for p in hit.packages]


def _to_json(store: Store, listed: Listed, tags: Sequence[str]) -> dict[str, Any]:
    """Return a release as JSON values (schema: docs/list.schema.json)."""
    from envpack.releases import keys

    return {
        "reference": listed.reference,
        "name": listed.name,
        "digest": listed.digest,
        "tags": list(tags),
        "created": listed.created,
        "archive": {
            "uri": keys.archive_uri(store, listed.name, listed.digest, listed.format),
            "size": listed.size,
            "sha256": listed.digest,
            "unpacked_size": listed.unpacked_size,
        },
        "manifest_uri": keys.manifest_uri(store, listed.name, listed.digest),
        "python": listed.python,
        "target": listed.target.to_json(),
        "verified": listed.verified,
        "by": listed.by,
        "commit": listed.commit,
    }
