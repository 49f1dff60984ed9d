"""`envpack verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from envpack.cli import complete, options
from envpack.cli.answer import say, say_json
from envpack.cli.screen import screen
from envpack.errors import UsageError, VerificationFailed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpack.inspect.audit import Audit

SCHEMA = 1
"""Version of the JSON that `verify` prints."""


@click.command(
    "verify",
    epilog="""\b
Examples:
  envpack verify pandas-udf:prod
  envpack verify --all --quick""",
)
@click.argument("reference", metavar="[REF]", required=False, shell_complete=complete.reference)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Check every release and tag; only those of one name if REF is a NAME.",
)
@click.option("--quick", is_flag=True, help="Do not run the release's Python.")
@options.STORE
@options.CONFINE
@options.CACHE
@options.OUTPUT_JSON
@options.TALK
def verify_command(
    reference: str | None,
    output: str,
    *,
    everything: bool,
    quick: bool,
    quiet: bool,
    verbose: bool,
    **given: Any,
) -> int:
    """Check the release REF, as it is in the store.

    The archive is compared with its digest, the manifest with the lock and with the archive, and the release's
    Python imports the requested packages. With --all a failure does not end the command. The exit code is 7 if
    anything is wrong.
    """
    from envpack.files.cache import Cache
    from envpack.inspect import audit
    from envpack.releases import references
    from envpack.stores import store_of

    if reference is None and not everything:
        raise UsageError("no release was given", hint="run `envpack verify REF` or `envpack verify --all`")
    from envpack.tools.cage import Confine

    progress = screen(quiet=quiet, verbose=verbose)
    config = options.configuration(given)
    confine = Confine.named(config.confine)
    cache = Cache(Path(config.cache_dir))
    audits: Iterator[Audit]
    if everything:
        audits = audit.audit_all(
            store_of(config), reference, cache=cache, run=not quick, confine=confine, progress=progress
        )
    else:
        found = references.find(str(reference), config)
        audits = iter(
            [
                audit.audit(
                    found.store, found.release, cache=cache, run=not quick, confine=confine, progress=progress
                )
            ]
        )
    done = []
    for each in audits:
        done.append(each)
        if output == "text":
            for line in _row(each) if everything else _lines(each):
                say(line)
    if output == "json":
        value = {"schema": SCHEMA, "releases": [each.to_json() for each in done]}
        say_json(value)
    bad = sum(bool(each.problems) for each in done)
    if everything and output == "text":
        progress.info(f"{len(done)} checked, {bad} of them bad")
    return VerificationFailed.exit_code if bad else 0


def _row(audit: Audit) -> Iterator[str]:
    detail = "; ".join(audit.problems).replace("\n", " ") or audit.checks[-1].fact
    yield f"{'bad' if audit.problems else 'sound':<6} {audit.reference:<40} {detail}"


def _lines(audit: Audit) -> Iterator[str]:
    for check in audit.checks:
        yield f"{check.name:<9} {'bad:  ' if check.problem else 'sound:'} {check.problem or check.fact}"
    yield f"{audit.reference} is {'bad' if audit.problems else 'sound'}"
