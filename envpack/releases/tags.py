"""Tags: movable names for releases, with all that they pointed at before."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta, Struct

from envpack import digest
from envpack.codec import Digest, Kind, Moment, Text
from envpack.errors import Conflict, Gone, StoreRefused, UsageError
from envpack.releases import keys, removal_notice
from envpack.units import now

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from envpack.stores.base import Store

LATEST = "latest"
"""The tag of the newest published build."""

REMEMBERED = 1000
"""How many moves a tag remembers."""

_TRIES = 20


@dataclass(frozen=True, kw_only=True)
class Move:
    """One move of a tag."""

    digest: Digest
    """The full digest of the release that it was pointed at."""
    moved: Moment
    """When, UTC, ISO 8601."""
    by: Text = ""
    """Who: a user or a CI job; empty for older moves."""


@dataclass(frozen=True, kw_only=True)
class Tag:
    """A tag's current and earlier targets."""

    moves: tuple[Move, ...]
    """Newest first; never empty."""

    @property
    def digest(self) -> str:
        """The full digest of the release that it points at."""
        return self.moves[0].digest

    @property
    def moved(self) -> str:
        """When it was moved there, UTC, ISO 8601."""
        return self.moves[0].moved

    def to_json(self) -> dict[str, Any]:
        """Return the tag as JSON values."""
        newest, *history = (asdict(move) for move in self.moves)
        return {"schema": 1, **newest, "history": history}

    def dumps(self) -> bytes:
        """Return the tag as the bytes that are stored."""
        return json.dumps(self.to_json(), indent=1).encode()

    @classmethod
    def loads(cls, data: bytes, where: str) -> Tag:
        """Read a tag; `where` names it in errors."""
        stored = STORED.loads(data, where)
        newest = Move(digest=stored.digest, moved=stored.moved, by=stored.by)
        return cls(moves=(newest, *stored.history))


class StoredTag(Struct, frozen=True, kw_only=True):
    """A tag's JSON: its newest move, and the others."""

    digest: Digest
    """The full digest of the release that it points at."""
    moved: Moment
    """When it was moved there, UTC, ISO 8601."""
    by: Text = ""
    """Who moved it there; empty for older moves."""
    history: Annotated[tuple[Move, ...], Meta(max_length=10 * REMEMBERED)] = ()
    """What it pointed at before, newest first."""


STORED = Kind(
    what="a tag",
    type=StoredTag,
    limit=8 << 20,
    schema=1,
    hint="look at what it was; to have it again, remove that object and run `envpack tag REF TAG`",
)


def read(store: Store, name: str, tag: str) -> Tag | None:
    """Return a tag, or None when there is none of that name."""
    key = keys.tag(name, tag)
    found = store.read(key)
    return Tag.loads(found.data, store.uri(key)) if found else None


def of_name(store: Store, name: str) -> dict[str, Tag]:
    """Return the tags of a release name."""
    names = (parts[1] for entry in store.list(keys.tags_of(name)) if (parts := keys.tag_of_key(entry.key)))
    return {tag: found for tag in names if (found := read(store, name, tag))}


def advance(store: Store, name: str, tag: str, sha256: str, *, by: str) -> Tag | None:
    """Point a tag at a new build's release and return its earlier state, or None if it is new.

    If another build moves the tag at the same time, the move is repeated: the last one is valid, and the history
    has both. Raises Gone when the release was removed.
    """
    # Also where the tag already points there: another builder may be about to find that the release is gone.
    return _beside_removals(store, name, tag, sha256, lambda: _advance(store, name, tag, sha256, by))


def _advance(store: Store, name: str, tag: str, sha256: str, by: str) -> Tag | None:
    key = keys.tag(name, tag)
    for _ in range(_TRIES):
        found = store.read(key)
        before = Tag.loads(found.data, store.uri(key)) if found else None
        if before and before.digest == sha256:
            return before
        if store.replace(key, _moved(before, sha256, by).dumps(), found.version if found else None):
            return before
    raise Conflict(f"other processes keep moving the tag {name}:{tag}", hint="try again in a minute")


def move(
    store: Store, name: str, tag: str, sha256: str, *, by: str, again: bool, seen: str | None = None
) -> Tag | None:
    """Point a tag at a release for a user, and return its earlier state, or None if it is new.

    A tag that points elsewhere is moved only with `again`; with `seen`, a digest or the beginning of one, only if
    it points there. Raises Conflict, with the tag's target, when it must not be moved or when someone else moves it
    at the same time, and Gone when the release was removed.
    """
    return _beside_removals(
        store, name, tag, sha256, lambda: _move_for_person(store, name, tag, sha256, by=by, again=again, seen=seen)
    )


def _move_for_person(
    store: Store, name: str, tag: str, sha256: str, *, by: str, again: bool, seen: str | None
) -> Tag | None:
    key = keys.tag(name, tag)
    found = store.read(key)
    before = Tag.loads(found.data, store.uri(key)) if found else None
    if seen is not None and not (before and before.digest.startswith(seen)):
        there = _whereabouts(name, tag, before) if before else f"there is no {name}:{tag}"
        raise Conflict(
            f"{there}, not {name}@{seen[: digest.SHORT]}",
            hint=f"check `envpack tag --history {name}:{tag}`, then give --from with the release that it points "
            "at now",
        )
    if before and before.digest == sha256:
        return before
    if before and not again:
        raise Conflict(
            _whereabouts(name, tag, before),
            hint="to move it, add --move; its history keeps the release that it points at now",
        )
    if not store.replace(key, _moved(before, sha256, by).dumps(), found.version if found else None):
        now = read(store, name, tag)
        there = _whereabouts(name, tag, now) if now else f"{name}:{tag} was removed"
        raise Conflict(
            f"someone else moved the tag at the same time: {there}",
            hint=f"nothing was changed; check `envpack tag --history {name}:{tag}`, then run the command again",
        )
    return before


def _beside_removals(store: Store, name: str, tag: str, sha256: str, move: Callable[[], Tag | None]) -> Tag | None:
    """Move a tag so that every removal sees it; when its release is gone, restore it and raise Gone."""
    folder = keys.folder(name, sha256)
    before: list[Tag | None] = []

    def write(removals: bool) -> None:
        if not before:
            before.append(move())
        if removals and store.read(keys.manifest(name, sha256)) is None:
            _put_back(store, name, tag, before[0], sha256)
            raise Gone(
                f"{name}@{sha256[: digest.SHORT]} was removed by `envpack gc`",
                hint="run `envpack build FILE` again",
            )

    removal_notice.beside_removals(store, folder, write)
    return before[0]


def _put_back(store: Store, name: str, tag: str, before: Tag | None, sha256: str) -> None:
    """Restore a tag's earlier value, if it still points at the missing release.

    Nothing kept that value's release in the meantime. If it was removed as well, the next older one is taken.
    """
    written, moves = sha256, before.moves if before else ()
    digests = dict.fromkeys(move.digest for move in moves)
    for earlier in list(digests)[:_TRIES]:
        if earlier == sha256 or store.read(keys.manifest(name, earlier)) is None:
            continue
        since = next(number for number, move in enumerate(moves) if move.digest == earlier)
        restore = partial(_restore, store, name, tag, Tag(moves=moves[since:]), written)
        if removal_notice.beside_removals(store, keys.folder(name, earlier), restore):
            return
        written = earlier
    key = keys.tag(name, tag)
    found = store.read(key)
    if found and Tag.loads(found.data, store.uri(key)).digest == written:
        with suppress(StoreRefused):  # a builder may lack the right to delete, and publishes it again
            store.delete(key)


def _restore(store: Store, name: str, tag: str, value: Tag, written: str, _removals: bool) -> bool:
    """Restore a value of a tag that points at the digest `written`.

    Return whether that is settled: the value's release exists, or another process has moved the tag.
    """
    key = keys.tag(name, tag)
    found = store.read(key)
    there = Tag.loads(found.data, store.uri(key)).digest if found else None
    if found is None or there not in (written, value.digest):
        return True
    if there == written and not store.replace(key, value.dumps(), found.version):
        return True
    return store.read(keys.manifest(name, value.digest)) is not None


def before_last(name: str, tag: str, found: Tag) -> Move:
    """Return a tag's earlier target; raises UsageError when it has pointed only at one release."""
    earlier = next((move for move in found.moves if move.digest != found.digest), None)
    if earlier is None:
        raise UsageError(
            f"{name}:{tag} has no earlier release: it has always pointed at {name}@{found.digest[: digest.SHORT]}",
            hint=f"`envpack list {name}` shows its releases; move the tag with `envpack tag REF {tag} --move`",
        )
    return earlier


def _moved(before: Tag | None, sha256: str, by: str) -> Tag:
    moves: Sequence[Move] = before.moves if before else ()
    return Tag(moves=(Move(digest=sha256, moved=now(), by=by), *moves)[:REMEMBERED])


def _whereabouts(name: str, tag: str, found: Tag) -> str:
    newest = found.moves[0]
    by = f" by {newest.by}" if newest.by else ""
    return f"{name}:{tag} points at {name}@{newest.digest[: digest.SHORT]}, moved there at {newest.moved}{by}"
