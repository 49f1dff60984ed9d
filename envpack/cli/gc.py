"""`envpack gc`."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import click

from envpack.cli import complete, options
from envpack.cli.answer import say, say_json
from envpack.cli.screen import screen
from envpack.units import count, human_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpack.gc.collect import Freed, Leftover, RemovalPlan, Verdict
    from envpack.stores.base import Store

SCHEMA = 1
"""Version of the JSON."""


@click.command(
    "gc",
    epilog="""\b
Examples:
  envpack gc --keep-last 5 --keep-newer 30d --store s3://bucket/envs
  envpack gc --keep-last 5 --keep-newer 30d --apply""",
)
@click.argument("name", required=False, shell_complete=complete.name)
@click.option("--apply", "applied", is_flag=True, help="Remove what is listed; without it nothing is removed.")
@click.option("--keep-last", "gc_keep_last", metavar="N", help="Keep the newest N releases of each name.")
@click.option(
    "--keep-newer", "gc_keep_newer", metavar="TIME", help="Keep releases that were published less than TIME ago."
)
@click.option(
    "--keep-used",
    "gc_keep_used",
    metavar="TIME",
    help="Keep releases that were used less than TIME ago; uses are recorded with `record-use: true`.",
)
@click.option(
    "--keep-jobs",
    "gc_keep_jobs",
    metavar="TIME",
    help="Keep what a submitted job used less than TIME ago; by default 30d.",
)
@click.option(
    "--keep-history",
    "gc_keep_history",
    metavar="N",
    help="Keep the last N releases that each tag pointed at before; by default 1.",
)
@click.option("--grace", "gc_grace", metavar="TIME", help="Do not remove what is newer than TIME; by default 1d.")
@options.STORE
@options.OUTPUT_JSON
@options.TALK
def gc_command(name: str | None, output: str, *, applied: bool, quiet: bool, verbose: bool, **given: Any) -> None:
    """Show which releases and leftovers can be removed from a store, or only of NAME; --apply removes them.

    A release is removed only if there is a rule (--keep-last, --keep-newer, --keep-used) and no rule keeps it. A
    release that a tag points at is never removed. TIME is like 12h, 30d or 8w. What killed builds left (objects,
    uploads, records) is removed without a rule.
    """
    from envpack.gc import collect
    from envpack.gc.rules import configured
    from envpack.releases import keys, references
    from envpack.stores import store_of

    progress = screen(quiet=quiet, verbose=verbose)
    config = options.configuration(given)
    rules = configured(config)
    store = store_of(config)
    planned = collect.plan(store, rules, keys.check_name(name) if name else None, progress)
    if name and not planned.verdicts and not planned.leftovers and next(iter(store.list(f"{name}/")), None) is None:
        raise references.no_such_name(store, name)
    for warning in planned.warnings:
        progress.warn(warning)
    freed = collect.apply(store, planned, progress) if applied else None
    if output == "json":
        say_json(_to_json(store, planned, freed))
        return
    for line in _rows(planned, everything=verbose):
        say(line)
    for line in _summary(planned, freed):
        progress.info(line)


def _rows(planned: RemovalPlan, *, everything: bool) -> Iterator[str]:
    for verdict in planned.verdicts:
        if everything or not verdict.kept_by:
            yield _row(
                "keep" if verdict.kept_by else "remove",
                f"{verdict.folder.name}@{verdict.folder.digest}",
                verdict.folder.published or 0,
                verdict.folder.size,
                ", ".join(verdict.kept_by),
            )
    for left in planned.leftovers:
        yield _row(left.kind, left.key, left.modified, left.size, "")


def _row(what: str, key: str, when: float, size: int, why: str) -> str:
    return f"{what:<7} {_time(when)} {human_size(size):>9}  {key:<40} {why}".rstrip()


def _summary(planned: RemovalPlan, freed: Freed | None) -> Iterator[str]:
    kept = len(planned.verdicts) - len(planned.going)
    reasons = Counter(reason for verdict in planned.verdicts for reason in verdict.kept_by[:1])
    told = ", ".join(f"{amount} {reason}" for reason, amount in reasons.most_common(4))
    yield f"{'keep':<10} {count(kept, 'release')}{f': {told}' if told else ''}"
    left = Counter(left.kind for left in planned.leftovers)
    leftovers = "".join(f", {count(amount, kind)}" for kind, amount in sorted(left.items()))
    yield f"{'remove':<10} {count(len(planned.going), 'release')}{leftovers}: {human_size(planned.size)}"
    if freed is None:
        if planned.size or planned.leftovers:
            yield "nothing was changed: do it with --apply"
        return
    yield f"{'freed':<10} {human_size(freed.size)} in {count(freed.objects, 'object')}"
    if freed.spared:
        yield f"{'spared':<10} {', '.join(freed.spared)}: kept by now"
    if freed.hidden:
        yield f"the bucket keeps {human_size(freed.hidden)} as older versions until a lifecycle rule ends them"


def _to_json(store: Store, planned: RemovalPlan, freed: Freed | None) -> dict[str, Any]:
    rules = planned.rules
    return {
        "schema": SCHEMA,
        "store": store.url,
        "name": planned.name,
        "applied": freed is not None,
        "rules": {
            "keep_last": rules.last,
            "keep_newer": rules.newer,
            "keep_used": rules.used,
            "keep_jobs": rules.jobs,
            "keep_history": rules.history,
            "grace": rules.grace,
        },
        "releases": [_release(verdict) for verdict in planned.verdicts],
        "leftovers": [_leftover(left) for left in planned.leftovers],
        "warnings": list(planned.warnings),
        "size": planned.size,
        "freed": None
        if freed is None
        else {
            "removed": freed.removed,
            "spared": freed.spared,
            "objects": freed.objects,
            "size": freed.size,
            "hidden": freed.hidden,
        },
    }


def _release(verdict: Verdict) -> dict[str, Any]:
    folder = verdict.folder
    return {
        "reference": f"{folder.name}@{folder.digest}",
        "action": "keep" if verdict.kept_by else "remove",
        "kept_by": list(verdict.kept_by),
        "published": _time(folder.published or 0),
        "size": folder.size,
        "objects": len(folder.objects),
    }


def _leftover(left: Leftover) -> dict[str, Any]:
    return {"kind": left.kind, "key": left.key, "size": left.size, "modified": _time(left.modified)}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
