"""Source distributions: fetched once, kept under their digest, unpacked."""

from __future__ import annotations

import errno
import hashlib
import os
from http.client import HTTPException
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit

from envpack import digest
from envpack.errors import BrokenPackage, Unreachable
from envpack.files import atomic
from envpack.files.inside import inside
from envpack.redact import VARIABLE, know, public
from envpack.sources.unpack import unpack
from envpack.tools.download import opened
from envpack.units import agreeing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from envpack.files.cache import Cache
    from envpack.requirements.values import Indexes

__all__ = ["fetched", "unpack"]

MOST_BYTES = 1 << 30


def fetched(location: str, sha256: str | None, hashes: Sequence[str], cache: Cache, indexes: Indexes) -> Path:
    """Return a source distribution in the cache, in a directory named for its SHA-256.

    `sha256` is the lock's, `hashes` are those that the requirements allow. Raises Unreachable when it cannot be
    fetched, BrokenPackage when it is another file.
    """
    name = unquote(urlsplit(location).path).rpartition("/")[2]
    if sha256 and (kept := inside(cache.sources, sha256) / name).is_file() and digest.of_file(kept) == sha256:
        return kept
    cache.sources.mkdir(parents=True, exist_ok=True)
    allowed = {f"sha256:{sha256}"} if sha256 else {*hashes}
    with atomic.draft(cache.sources / name) as draft:
        found = _copy(location, draft.file, indexes)
        if allowed and allowed.isdisjoint(found):
            raise BrokenPackage(
                f"the hash of the source {name} is not the expected one: it is {found[0]}",
                hint="solve again with --upgrade; if you trust the new file, correct the hash in the requirements",
            )
        place = inside(cache.sources, found[0].removeprefix("sha256:")) / name
        place.parent.mkdir(parents=True, exist_ok=True)
        draft.take_the_place_of(place)
    return place


def _copy(location: str, into: IO[bytes], indexes: Indexes) -> list[str]:
    """Write the content of a location into a file, and return its hashes as in requirements, SHA-256 first."""
    url = _filled(location)
    logins = tuple(filter(None, (indexes.index_url, *indexes.extra_index_urls)))
    size, hashed = 0, {kind: hashlib.new(kind) for kind in ("sha256", "sha384", "sha512")}
    try:
        with _opened(url, logins) as source:
            while chunk := source.read(digest.CHUNK):
                size += len(chunk)
                if size > MOST_BYTES:
                    raise BrokenPackage(
                        f"the source at {public(url)} is larger than {MOST_BYTES >> 30} GB",
                        hint="use a wheel, or a smaller source archive",
                    )
                for each in hashed.values():
                    each.update(chunk)
                into.write(chunk)
    except HTTPError as error:
        hint = "put user and password into a netrc file" if error.code in (401, 403) else "correct the URL"
        raise Unreachable(f"the source at {public(url)} cannot be fetched: HTTP {error.code}", hint=hint) from error
    except (OSError, HTTPException) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise Unreachable(
            f"the source at {public(url)} cannot be fetched: {error}", hint="check the network and the URL"
        ) from error
    return [f"{kind}:{each.hexdigest()}" for kind, each in hashed.items()]


def _opened(url: str, logins: tuple[str, ...]) -> IO[bytes]:
    return Path(unquote(urlsplit(url).path)).open("rb") if url.startswith("file:") else opened(url, logins)


def _filled(location: str) -> str:
    names = [name[2:-1] for name in VARIABLE.findall(location)]
    if missing := [name for name in names if not os.environ.get(name)]:
        unset = agreeing(
            missing, "the environment variable {} is not set", "the environment variables {} are not set"
        )
        raise Unreachable(f"the URL {location} cannot be fetched: {unset}", hint="set it, or give another URL")
    know(*(os.environ[name] for name in names))
    return VARIABLE.sub(lambda found: os.environ[found[0][2:-1]], location)
