"""`envpack audit`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from envpack.cli import complete, options
from envpack.cli.answer import say, say_json
from envpack.cli.choice import OneOf
from envpack.cli.screen import screen
from envpack.errors import PolicyViolated, UsageError
from envpack.units import count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpack.config.config import Config
    from envpack.packages.advisories import Vulnerability
    from envpack.progress import Progress
    from envpack.releases.lookup import Release

SCHEMA = 1
"""Version of the JSON that the command prints (docs/audit.schema.json)."""

_SARIF = {"low": "note", "moderate": "warning", "high": "error", "critical": "error"}


@click.command(
    "audit",
    epilog="""\b
Examples:
  envpack audit pandas-udf:prod --advisories osv/all.zip
  envpack audit --tagged --advisories osv --severity high --output sarif > audit.sarif""",
)
@click.argument("reference", metavar="[REF]", required=False, shell_complete=complete.reference)
@click.option("--tagged", is_flag=True, help="Audit every release that a tag points at.")
@click.option(
    "--advisories",
    metavar="PATH",
    help="The advisories in OSV's format: a directory of JSON files, or OSV's zip for PyPI.",
)
@click.option(
    "--severity",
    type=OneOf(["low", "moderate", "high", "critical"]),
    default="low",
    help="The lowest severity that counts; an advisory without a severity counts as high.",
)
@click.option(
    "--ignore", multiple=True, metavar="ID", help="Ignore this advisory; ID is any of its names. Repeatable."
)
@options.STORE
@options.CACHE
@click.option("--output", type=OneOf(["text", "json", "sarif"]), default="text", help="How to print it.")
@options.TALK
def audit_command(
    reference: str | None,
    output: str,
    *,
    tagged: bool,
    severity: str,
    ignore: tuple[str, ...],
    quiet: bool,
    verbose: bool,
    **given: Any,
) -> int:
    """Look for known vulnerabilities in the packages of the release REF, or of all tagged releases.

    Nothing is downloaded: the advisories are those in PATH. A conda package is looked up under the name of its
    project; your own projects are not looked up. The exit code is 11 if something is found.
    """
    from envpack.packages.advisories import read
    from envpack.resolve.names import Names

    if (reference is None) != tagged:
        raise UsageError("no release was given", hint="run `envpack audit REF` or `envpack audit --tagged`")
    progress = screen(quiet=quiet, verbose=verbose)
    config = options.configuration(given)
    names = Names(config.names)
    if config.advisories is None:
        raise UsageError(
            "no advisories are configured", hint="give --advisories PATH, or set `advisories: PATH` in envpack.yaml"
        )
    with progress.step("advisories") as step:
        known = read(Path(config.advisories))
        step.note(count(known.count, "advisory", "advisories"))
    found: dict[str, list[Vulnerability]] = {}
    for release in _releases(reference, config, progress):
        vulnerable = known.of(release.manifest.packages, names.project)
        counted = [each for each in vulnerable if each.reaches(severity) and not each.known_as(ignore)]
        found[release.manifest.reference] = counted
    if output == "json":
        rows = [{"reference": name, "vulnerabilities": [v.to_json() for v in each]} for name, each in found.items()]
        say_json({"schema": SCHEMA, "releases": rows})
    elif output == "sarif":
        say_json(_sarif(found))
    else:
        for line in _lines(found):
            say(line)
    total = sum(map(len, found.values()))
    progress.info(f"{count(len(found), 'release')}: {count(total, 'vulnerability', 'vulnerabilities')}")
    return PolicyViolated.exit_code if total else 0


def _releases(reference: str | None, config: Config, progress: Progress) -> Iterator[Release]:
    from envpack.files.cache import Cache
    from envpack.releases import index, lookup, references
    from envpack.stores import store_of

    if reference is not None:
        yield references.find(reference, config).release
        return
    store = store_of(config)
    for each in index.read(store, Cache(Path(config.cache_dir)).indexes, progress=progress):
        for sha256 in sorted({pointed_at for _, pointed_at in each.tags.values()}):
            if release := lookup.at(store, each.name, sha256):
                yield release


def _lines(found: dict[str, list[Vulnerability]]) -> Iterator[str]:
    for reference, vulnerabilities in found.items():
        yield f"{reference}: {count(len(vulnerabilities), 'vulnerability', 'vulnerabilities')}"
        for each in vulnerabilities:
            others = f" [{', '.join(each.ids[1:])}]" if each.ids[1:] else ""
            yield f"  {each}{others}"


def _sarif(found: dict[str, list[Vulnerability]]) -> dict[str, Any]:
    """Return the findings as SARIF 2.1.0 (OASIS), which code hosts show beside the code."""
    from envpack.version import VERSION

    first = {v.ids[0]: v for each in found.values() for v in each}
    rules = [{"id": name, "shortDescription": {"text": v.summary or name}} for name, v in first.items()]
    return {
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "envpack audit",
                        "version": VERSION,
                        "rules": rules,
                    }
                },
                "results": [_result(reference, v) for reference, each in found.items() for v in each],
            }
        ],
    }


def _result(reference: str, found: Vulnerability) -> dict[str, Any]:
    name = found.package.name
    return {
        "ruleId": found.ids[0],
        "level": _SARIF[found.severity],
        "message": {"text": f"{reference}: {found}"},
        "locations": [{"logicalLocations": [{"fullyQualifiedName": f"{reference}/{name}", "kind": "module"}]}],
        "partialFingerprints": {"package/v1": f"{name}@{found.package.version}/{found.ids[0]}"},
    }
