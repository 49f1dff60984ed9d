"""`envpack list` and `envpack show`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from envpack.cli import options
from envpack.progress import human_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from envpack.releases import Release
    from envpack.tags import Tag


@click.command("list", epilog="Example: envpack list --store s3://bucket/envs")
@click.argument("name", required=False)
@options.STORE
@options.OUTPUT_JSON
def list_command(name: str | None, output: str, **given: Any) -> None:
    """List the releases of a store, or those of one NAME, newest first within each name."""
    from envpack import releases, tags
    from envpack.results import SCHEMA, describe
    from envpack.stores import store_of

    store = store_of(options.configuration(given))
    found = sorted(releases.releases(store, name), key=_newest_first)
    tagged = {each: tags.of_name(store, each) for each in {release.manifest.name for release in found}}
    if output == "json":
        rows = [
            {
                **describe(release),
                "name": release.manifest.name,
                "created": release.manifest.created,
                "python": release.manifest.python,
                "target": release.manifest.target.to_json(),
                "tags": _tags_of(release, tagged),
            }
            for release in found
        ]
        click.echo(json.dumps({"schema": SCHEMA, "releases": rows}, indent=2))
        return
    if not found:
        click.echo(f"{store.url} holds no releases{f' of {name}' if name else ''}", err=True)
        return
    click.echo(
        _table(("REFERENCE", "TAGS", "PYTHON", "SPARK", "PLATFORM", "SIZE", "CREATED"), _rows(found, tagged))
    )


@click.command("show", epilog="Example: envpack show pandas-udf:latest --store s3://bucket/envs")
@click.argument("reference", metavar="REF")
@options.STORE
@options.OUTPUT_JSON
def show_command(reference: str, output: str, **given: Any) -> None:
    """Show everything that is known of the release that REF names, each package with its source."""
    from envpack import references

    release = references.find(reference, options.configuration(given)).release
    if output == "json":
        uris = {"archive_uri": release.archive_uri, "manifest_uri": release.manifest_uri}
        click.echo(json.dumps({**release.manifest.to_json(), **uris}, indent=2, ensure_ascii=False))
        return
    for line in _facts(release):
        click.echo(line)
    packages = release.manifest.packages
    rows = ((p.name, p.version, p.source, human_size(p.size) if p.size else "", p.license or "") for p in packages)
    click.echo(_table(("PACKAGE", "VERSION", "SOURCE", "DOWNLOAD", "LICENSE"), rows))


def _facts(release: Release) -> Iterator[str]:
    manifest = release.manifest
    archive = manifest.archive
    target = ", ".join(f"{name} {value}" for name, value in manifest.target.to_json().items())
    sizes = f"{human_size(archive.size)}, unpacked {human_size(archive.unpacked_size)} in {archive.members} members"
    facts = {
        "reference": manifest.reference,
        "archive": release.archive_uri,
        "digest": manifest.digest,
        "size": sizes,
        "python": manifest.python,
        "target": target,
        "created": f"{manifest.created} by envpack {manifest.envpack}",
        "verified": manifest.verified,
        "requested": ", ".join(manifest.requested),
        "variables": ", ".join(f"{name}={value}" for name, value in manifest.variables.items()),
        "warnings": "; ".join(manifest.warnings),
    }
    yield from (f"{name:<10} {value}" for name, value in facts.items() if value)
    yield ""


def _newest_first(release: Release) -> tuple[str, float]:
    from datetime import datetime

    created = datetime.fromisoformat(release.manifest.created.replace("Z", "+00:00"))
    return release.manifest.name, -created.timestamp()


def _tags_of(release: Release, tags: dict[str, dict[str, Tag]]) -> list[str]:
    own = tags.get(release.manifest.name, {})
    return sorted(name for name, tag in own.items() if tag.digest == release.manifest.digest)


def _rows(found: Sequence[Release], tags: dict[str, dict[str, Tag]]) -> Iterator[tuple[str, ...]]:
    for release in found:
        manifest = release.manifest
        yield (
            manifest.reference,
            ",".join(_tags_of(release, tags)),
            manifest.python,
            manifest.target.spark or "",
            manifest.target.platform,
            human_size(manifest.archive.size),
            manifest.created,
        )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines
    )
