"""`envpack tag`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from envpack import digest
from envpack.cli import complete, options
from envpack.cli.answer import say, say_json
from envpack.errors import UsageError
from envpack.visible import visible

if TYPE_CHECKING:
    from envpack.releases.tags import Tag


@click.command(
    "tag",
    epilog="""\b
Examples:
  envpack tag pandas-udf@3f2a9c1b prod --move    point prod at a release
  envpack tag --history pandas-udf:prod          what it pointed at, and who moved it
  envpack tag --rollback pandas-udf:prod         back to the release before""",
)
@options.REFERENCE
@click.argument("tag", required=False, shell_complete=complete.tag)
@click.option("--move", is_flag=True, help="Move the tag even if it points at another release.")
@click.option(
    "--from", "seen", metavar="DIGEST", help="With --move: move the tag only if it points at this release now."
)
@click.option("--history", is_flag=True, help="Show the history of the tag REF, which is NAME:TAG.")
@click.option("--rollback", is_flag=True, help="Move the tag REF, which is NAME:TAG, back to its previous release.")
@options.STORE
@options.OUTPUT_JSON
def tag_command(
    reference: str,
    tag: str | None,
    output: str,
    *,
    move: bool,
    seen: str | None,
    history: bool,
    rollback: bool,
    **given: Any,
) -> None:
    """Point the tag TAG at the release REF; the tag belongs to the release's name.

    If the tag points at another release, the command fails unless --move is given. The tag's history keeps the
    earlier release. If two people move a tag at the same time, one of them gets an error.
    """
    from envpack.releases import index, provenance, publish, references, tags
    from envpack.releases.lookup import check_there
    from envpack.stores import store_of

    if history and rollback:
        raise UsageError("--history and --rollback cannot be given together", hint="use one of them")
    if (tag is None) != (history or rollback):
        form = f"envpack tag --{'history' if history else 'rollback'} NAME:TAG"
        form = form if history or rollback else "envpack tag REF TAG"
        raise UsageError(
            "no tag was given" if tag is None else f"unexpected argument {tag!r}", hint=f"write {form}"
        )
    config = options.configuration(given)
    by, _ = provenance.who(os.environ)
    if tag is not None:
        found = references.find(reference, config)
        manifest, store = check_there(found.store, found.release).manifest, found.store
        name = manifest.name
        expected = seen.rpartition("@")[2].lower() if seen else None
        before = tags.move(store, name, tag, manifest.digest, by=by, again=move, seen=expected)
    else:
        asked = references.parse(reference)
        if asked.digest:
            raise UsageError(f"{reference} is not a tag", hint="write NAME:TAG")
        store, name, tag = store_of(config, asked.store), asked.name, asked.tag or tags.LATEST
        before = publish.roll_back(store, name, tag, by=by) if rollback else None
    now = tags.read(store, name, tag)
    if now is None:
        known = ", ".join(sorted(tags.of_name(store, name))) or "none"
        raise UsageError(f"{store.url} has no {name}:{tag}", hint=f"the tags of {name}: {known}")
    changed = not history and (before is None or before.digest != now.digest)
    if changed:
        index.refresh(store, name)
    if output == "json":
        say_json(_to_json(name, tag, now, changed=changed))
    elif history:
        for move_ in now.moves:
            say(f"{move_.moved}  {name}@{move_.digest[: digest.SHORT]}  {visible(move_.by)}".rstrip())
    else:
        say(_sentence(name, tag, before, now, changed=changed))


def _sentence(name: str, tag: str, before: Tag | None, now: Tag, *, changed: bool) -> str:
    reference = f"{name}@{now.digest[: digest.SHORT]}"
    if not changed:
        return f"{name}:{tag} points at {reference} already, since {now.moved}"
    if before is None:
        return f"{name}:{tag} points at {reference}; it is new"
    earlier = f"{name}@{before.digest[: digest.SHORT]}"
    return f"{name}:{tag} points at {reference}; before, since {before.moved}, at {earlier}"


def _to_json(name: str, tag: str, found: Tag, *, changed: bool) -> dict[str, Any]:
    """Return a tag as JSON values (schema: docs/tag.schema.json)."""
    return {
        "schema": 1,
        "name": name,
        "tag": tag,
        "reference": f"{name}@{found.digest[: digest.SHORT]}",
        "digest": found.digest,
        "changed": changed,
        "moves": [{"digest": move.digest, "moved": move.moved, "by": move.by} for move in found.moves],
    }
