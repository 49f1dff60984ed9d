"""Write a catalog into a store or a folder, safely beside readers and other writers.

Every file is replaced whole, and only if it is unchanged since this writer read it. The list of files, with the
inputs of each, is in one guard, which is replaced in the same way: before the files are written those about to
change are removed from it, afterwards they are added. A writer whose condition fails reads the store again and
starts again; one that dies leaves files that are not in the guard, and the next writer writes those again.
"""

from __future__ import annotations

import json
import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from msgspec import Struct

from envpack.catalog.pages import gone
from envpack.codec import FilePath, Kind, Line
from envpack.errors import Conflict
from envpack.progress import SILENT, Progress
from envpack.releases import keys
from envpack.units import count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from envpack.catalog.pages import Page, Site
    from envpack.progress import Step
    from envpack.stores.base import Object, Store

GUARD = keys.CATALOG_NOTE
"""What files there are: path to the key of the content, or null where it may be anything."""

SCHEMA = 1

_TRIES = 12

PAUSE = 0.2
"""Seconds, times the number of earlier tries: how long a writer may wait after a conflict."""

_WRITERS = 8
"""How many files are transferred in parallel; a store may be far away."""


class CatalogNote(Struct, frozen=True, kw_only=True):
    """The guard's JSON."""

    pages: dict[FilePath, Line | None]
    """Each file's path with the key of its content, or null where it may be anything."""


STORED = Kind(
    what="a catalog's note",
    type=CatalogNote,
    limit=64 << 20,
    schema=SCHEMA,
    hint="remove it: `envpack catalog --publish` writes all pages again",
)


@dataclass(frozen=True, kw_only=True)
class PublishedSite:
    """The content of a catalog, and the work for it."""

    site: Site
    written: int
    """How many files were written; the others were up to date."""


def publish(store: Store, prefix: str, make: Callable[[], Site], progress: Progress = SILENT) -> PublishedSite:
    """Update the catalog below `prefix` to the content that `make` sees, and return that content.

    Two writers at once end with one catalog that shows what both have seen. Raises Conflict when others keep
    writing.
    """
    shelf = _Shelf(store, prefix)
    with progress.step("catalog") as step:
        for attempt in range(_TRIES):
            time.sleep(random.uniform(0, PAUSE) * attempt)  # noqa: S311 - two that met should not meet again
            published = shelf.update(make, step)
            if published:
                shown = published.site.contents
                step.note(
                    f"{count(len(shown.environments), 'environment')}, "
                    f"{count(sum(1 for _ in shown.versions), 'release')}, "
                    f"{count(published.written, 'file')} written"
                )
                return published
    raise Conflict(f"{store.uri(prefix + GUARD)} is being changed by another process", hint="try again in a minute")


class _Shelf:
    """The files below a prefix, as one writer sees them."""

    def __init__(self, store: Store, prefix: str) -> None:
        self._store = store
        self._prefix = prefix
        self._doubtful: set[str] = set()

    def update(self, make: Callable[[], Site], step: Step) -> PublishedSite | None:
        """Write the changed files; return None when another writer has changed something meanwhile."""
        guard = self._read(GUARD)
        known = _parse(guard, self._store.uri(self._prefix + GUARD))
        site = make()
        pages = _with_gone(site.pages, known)
        changed = [page for page in pages if known.get(page.path) != page.key]
        if not changed:
            return PublishedSite(site=site, written=0)
        step.total(len(changed))
        with ThreadPoolExecutor(_WRITERS) as pool:
            old = [page.path for page in changed if page.path in known or page.path in self._doubtful]
            versions = dict(zip(old, pool.map(self._version, old), strict=True))
            mark = self._note(known, guard, {page.path: None for page in changed})
            if mark is None:
                return None
            if not self._write_all(pool, changed, versions, step):
                return None
        noted = self._note(_parse(mark), mark, {page.path: page.key for page in changed})
        return PublishedSite(site=site, written=len(changed)) if noted else None

    def _write_all(
        self, pool: ThreadPoolExecutor, pages: Sequence[Page], versions: Mapping[str, str | None], step: Step
    ) -> bool:
        """Write pages wave by wave; say whether each was still unchanged."""

        def write(page: Page) -> bool:
            written = self._store.replace(self._prefix + page.path, page.render(), versions.get(page.path))
            step.advance(1)
            return written

        self._doubtful |= {page.path for page in pages}
        waves = (list(wave) for _, wave in groupby(sorted(pages, key=_wave), key=_wave))
        return all(all(list(pool.map(write, wave))) for wave in waves)

    def _note(
        self, known: Mapping[str, str | None], guard: Object | None, keys: Mapping[str, str | None]
    ) -> Object | None:
        """Replace the guard and return its new state, or None when another writer has changed it."""
        value = {"schema": SCHEMA, "pages": dict(sorted({**known, **keys}.items()))}
        text = (json.dumps(value, indent=0) + "\n").encode()
        if not self._store.replace(self._prefix + GUARD, text, guard.version if guard else None):
            return None
        there = self._read(GUARD)
        return there if there and there.data == text else None

    def _version(self, path: str) -> str | None:
        found = self._read(path)
        return found.version if found else None

    def _read(self, path: str) -> Object | None:
        return self._store.read(self._prefix + path)


def _wave(page: Page) -> int:
    return page.wave


def _with_gone(pages: Iterable[Page], known: Mapping[str, str | None]) -> list[Page]:
    """Return the pages, and for those of releases that the store no longer has pages that say so."""
    wanted = {page.path: page for page in pages}
    lost = [path for path in known if path not in wanted and path.endswith(".html")]
    return [*wanted.values(), *map(gone, lost)]


def _parse(guard: Object | None, where: str = "") -> dict[str, str | None]:
    return dict(STORED.loads(guard.data, where).pages) if guard else {}
