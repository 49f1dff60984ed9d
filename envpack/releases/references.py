"""How users name a release: NAME, NAME:TAG, NAME@DIGEST, or the archive's own address."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envpack import digest
from envpack.errors import UsageError
from envpack.releases import keys, lookup, tags
from envpack.stores import store_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from envpack.config.config import Config
    from envpack.releases.lookup import Release
    from envpack.stores.base import Store

_NAMED = re.compile(r"(?P<name>[^:@/]+)(?::(?P<tag>[^:@/]+)|@(?:sha256:)?(?P<digest>[0-9A-Fa-f]+))?")
_ADDRESS = re.compile(
    r"(?P<store>.*?)/?(?P<name>[a-z0-9][a-z0-9._-]*)/(?P<digest>[0-9a-f]{16})/(?P<file>[^/#]+)(?:#[\w.-]*)?"
)
_FEWEST_DIGITS = 4
_NEAR = 3
_CLOSE = 0.75
_FORMS = "write NAME, NAME:TAG, NAME@DIGEST (its first 4 digits or more) or the archive's URL"


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A parsed reference."""

    name: str
    tag: str | None = None
    digest: str | None = None
    """Its first digits."""
    store: str | None = None
    """The store of an archive's address."""

    def __str__(self) -> str:
        return f"{self.name}@{self.digest}" if self.digest else f"{self.name}:{self.tag or tags.LATEST}"


@dataclass(frozen=True, kw_only=True)
class FoundRelease:
    """A release and the store that holds it."""

    store: Store
    release: Release


def parse(text: str) -> Reference:
    """Parse a reference; raises UsageError when it is invalid.

    An address is that of the archive or of the manifest, such as `s3a://bucket/envs/NAME/DIGEST/FILE#environment`.
    """
    if "/" in text:
        address = _ADDRESS.fullmatch(text)
        if address is None:
            raise UsageError(f"{text!r} is not the URL of an archive in a store", hint=_FORMS)
        store = address["store"] or ("/" if text.startswith("/") else ".")
        return Reference(name=address["name"], digest=address["digest"], store=store)
    named = _NAMED.fullmatch(text)
    if named is None:
        raise UsageError(f"{text!r} is not a release reference", hint=_FORMS)
    name = keys.check_name(named["name"])
    if named["digest"] is None:
        return Reference(name=name, tag=keys.check_tag(named["tag"]) if named["tag"] else None)
    if not _FEWEST_DIGITS <= len(named["digest"]) <= 64:
        raise UsageError(
            f"{text!r} is not a release reference: a digest has {_FEWEST_DIGITS} to 64 digits",
            hint=_FORMS,
        )
    return Reference(name=name, digest=named["digest"].lower())


def find(text: str, config: Config) -> FoundRelease:
    """Return the release that a reference names, in the store of its address or else in the configured one.

    Raises UsageError when it names no release or more than one, with the most similar ones.
    """
    reference = parse(text)
    store = store_of(config, reference.store)
    return FoundRelease(store=store, release=_resolve(store, reference))


def resolve(store: Store, text: str) -> Release:
    """Return the release of a store that a reference names; raises UsageError as `find` does."""
    return _resolve(store, parse(text))


def _resolve(store: Store, reference: Reference) -> Release:
    release = _by_digest(store, reference) if reference.digest else _by_tag(store, reference)
    if release is None:
        raise UsageError(f"{store.url} has no {reference}", hint=_nearest(store, reference))
    return release


def no_such_name(store: Store, name: str) -> UsageError:
    """Return the error for a name without releases, with the most similar names that have some."""
    return UsageError(f"{store.url} has no releases of {name}", hint=_nearest(store, Reference(name=name)))


def _by_tag(store: Store, reference: Reference) -> Release | None:
    found = tags.read(store, reference.name, reference.tag or tags.LATEST)
    release = lookup.at(store, reference.name, found.digest) if found else None
    if found and release is None:
        raise UsageError(
            f"{reference} points at {reference.name}@{found.digest[: digest.SHORT]}, which is not in {store.url}",
            hint="run `envpack build FILE` with its lock, which restores the same archive, or move the tag: "
            "`envpack tag REF TAG --move`",
        )
    return release


def _by_digest(store: Store, reference: Reference) -> Release | None:
    wanted = str(reference.digest)
    found = [
        release
        for sha256 in lookup.digests(store, reference.name, wanted[: digest.SHORT])
        if (release := lookup.at(store, reference.name, sha256)) and release.manifest.digest.startswith(wanted)
    ]
    if len(found) > 1:
        several = ", ".join(release.manifest.reference for release in found)
        raise UsageError(
            f"{reference} matches {len(found)} releases", hint=f"write more digits of one of {several}"
        )
    return found[0] if found else None


def _nearest(store: Store, reference: Reference) -> str:
    """Return a question with what the user may have meant, or what exists."""
    name = reference.name
    names = [each for each in store.folders() if keys.is_name(each)]
    if name not in names:
        near = difflib.get_close_matches(name, names, n=_NEAR, cutoff=_CLOSE)
        nothing = (
            "`envpack list` shows what the store holds"
            if names
            else "the store is empty: publish a release with `envpack build FILE`"
        )
        return _did_you_mean(near) or nothing
    known = tags.of_name(store, name)
    held = lookup.digests(store, name)
    if reference.digest:
        candidates = {short[: len(reference.digest)]: short for short in held}
        near = difflib.get_close_matches(reference.digest, candidates, n=_NEAR)
        question = _did_you_mean(f"{name}@{candidates[one]}" for one in near)
    else:
        tag = reference.tag or tags.LATEST
        near = [f"{name}:{one}" for one in difflib.get_close_matches(tag, known, n=_NEAR)]
        near += [
            f"{name}@{short}" for short in held if len(tag) >= _FEWEST_DIGITS and short.startswith(tag.lower())
        ]
        question = _did_you_mean(near)
    tagged = f"the tag{'s' * (len(known) != 1)} {', '.join(sorted(known))}" if known else "no tags"
    there = f"{name} has {len(held)} release{'s' * (len(held) != 1)} and {tagged}; `envpack list {name}` shows them"
    return f"{question} {there}" if question else there


def _did_you_mean(near: Iterable[str]) -> str:
    text = " or ".join(near)
    return f"did you mean {text}?" if text else ""
