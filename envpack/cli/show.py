"""`envpack show`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from envpack.cli import complete, options
from envpack.cli.answer import say, say_json
from envpack.cli.choice import OneOf
from envpack.cli.table import table
from envpack.errors import UsageError
from envpack.units import age, count, human_size
from envpack.visible import visible, visible_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from envpack.releases.lookup import Release
    from envpack.releases.manifest import Manifest, Provenance
    from envpack.spark.node_cost import NodeCost

SCHEMA = 1
"""Version of the JSON that `show` prints."""


@click.command(
    "show",
    epilog="""\b
Examples:
  envpack show pandas-udf:prod --store s3://bucket/envs
  envpack show pandas-udf --why six
  envpack show pandas-udf --output sbom > sbom.cdx.json""",
)
@options.REFERENCE
@click.option(
    "--why",
    metavar="PACKAGE",
    shell_complete=complete.package,
    help="Only why PACKAGE is in the release: the chains of dependencies that lead to it.",
)
@options.STORE
@click.option(
    "--output",
    type=OneOf(["text", "json", "sbom"]),
    default="text",
    help="The form of the result on stdout; sbom is a bill of materials as CycloneDX.",
)
def show_command(reference: str, output: str, why: str | None, **given: Any) -> None:
    """Show everything that is known of the release REF, each package with source, sizes and licence."""
    from envpack.releases import references, sbom, tags
    from envpack.spark.node_cost import node_cost

    config = options.configuration(given)
    found = references.find(reference, config)
    if output == "sbom":
        click.echo(visible_json(sbom.of(found.release.manifest).decode()), nl=False)
        return
    release, manifest = found.release, found.release.manifest
    chains = _chains(manifest, why) if why else None
    pointing = sorted(
        tag for tag, each in tags.of_name(found.store, manifest.name).items() if each.digest == manifest.digest
    )
    cost = node_cost(manifest.archive, config)
    if output == "json":
        say_json(_to_json(release, pointing, cost, chains))
    elif chains is not None:
        for line in _chain_lines(manifest, chains):
            say(line)
    else:
        for line in _facts(release, pointing, cost):
            say(line)
        say(table(("PACKAGE", "VERSION", "SOURCE", "DOWNLOAD", "UNPACKED", "LICENSE"), _rows(manifest)))


def _to_json(
    release: Release, tags: Sequence[str], cost: NodeCost, chains: Sequence[Sequence[str]] | None
) -> dict[str, Any]:
    """Return a release as JSON values (schema: docs/show.schema.json)."""
    value = {
        "schema": SCHEMA,
        "reference": release.manifest.reference,
        "tags": list(tags),
        "archive_uri": release.archive_uri,
        "manifest_uri": release.manifest_uri,
        "node_cost": cost.to_json(),
        "manifest": release.manifest.to_json(),
    }
    return value if chains is None else {**value, "why": [list(chain) for chain in chains]}


def _chains(manifest: Manifest, package: str) -> list[tuple[str, ...]]:
    """Return the chains that lead to a package; raises UsageError when there is no such package."""
    import difflib

    from envpack.packages.dependencies import chains, named
    from envpack.resolve.names import Names

    project = Names().project
    if named(manifest.packages, package, project) is None:
        near = difflib.get_close_matches(package.lower(), [each.name for each in manifest.packages], cutoff=0.75)
        hint = f"did you mean {' or '.join(near)}?" if near else f"`envpack show {manifest.reference}` lists them"
        raise UsageError(f"{manifest.reference} does not contain {package}", hint=hint)
    if any(each.requires is None for each in manifest.packages):
        raise UsageError(
            f"{manifest.reference} does not record which package needs which: an older envpack built it",
            hint="use a newer release, or build one with `envpack build FILE --upgrade`",
        )
    return chains(manifest.packages, (*manifest.requested, "python"), package, project)


def _chain_lines(manifest: Manifest, chains: Sequence[Sequence[str]]) -> Iterator[str]:
    versions = {package.name: package.version for package in manifest.packages}
    for chain in chains:
        first, *others = chain
        text = " > ".join([f"{first} {versions[first]}", *(f"{name} {versions[name]}" for name in others)])
        yield text if others else f"{text} was requested"
    if not chains:
        yield "nothing that was requested needs it: envpack or an activation brought it in"


def _facts(release: Release, tags: Sequence[str], cost: NodeCost) -> Iterator[str]:
    from envpack.spark import node

    manifest = release.manifest
    archive = manifest.archive
    target = ", ".join(f"{name} {value}" for name, value in manifest.target.to_json().items())
    members = count(archive.members, "member")
    sizes = f"{human_size(archive.size)}, unpacked {human_size(archive.unpacked_size)} in {members}"
    facts = {
        "reference": manifest.reference,
        "about": manifest.description or "",
        "owner": manifest.owner or "",
        "tags": ", ".join(tags),
        "archive": release.archive_uri,
        "digest": manifest.digest,
        "size": sizes,
        "nodes": cost.text,
        "python": manifest.python,
        "target": target,
        "created": f"{manifest.created} ({age(manifest.created)}) by envpack {manifest.envpack}",
        "built by": _built_by(manifest.provenance) if manifest.provenance else "",
        "verified": manifest.verified,
        "requested": ", ".join(manifest.requested),
        "variables": ", ".join(f"{name}={value}" for name, value in manifest.variables.items()),
        "warnings": "; ".join((*manifest.warnings, *node.unguarded(manifest))),
    }
    yield from (f"{name:<10} {visible(value)}" for name, value in facts.items() if value)
    yield ""


def _built_by(provenance: Provenance) -> str:
    job = f" ({provenance.job})" if provenance.job else ""
    if not provenance.commit:
        return f"{provenance.by}{job}"
    changed = ", modified" if provenance.modified else ""
    where = f" of {provenance.repository}" if provenance.repository else ""
    return f"{provenance.by}{job} from {provenance.file} at {provenance.commit[:10]}{changed}{where}"


def _rows(manifest: Manifest) -> Iterator[tuple[str, ...]]:
    for package in manifest.packages:
        yield (
            package.name,
            package.version,
            package.kind,
            human_size(package.size) if package.size is not None else "",
            human_size(package.unpacked_size) if package.unpacked_size is not None else "",
            package.license or "",
        )
