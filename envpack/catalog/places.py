"""Where the catalog of a store is written: beside its releases, or into a folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpack.catalog.contents import read
from envpack.catalog.pages import INDEX, site
from envpack.catalog.publishing import GUARD, PublishedSite, publish
from envpack.errors import UsageError
from envpack.progress import SILENT, Progress
from envpack.releases import keys
from envpack.stores import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from envpack.catalog.vulnerable import Vulnerable
    from envpack.stores.base import Store

__all__ = ["INDEX", "PREFIX", "PublishedSite", "publish_beside", "site", "write_folder"]

PREFIX = keys.CATALOG
"""The place of a store's own catalog."""


def publish_beside(
    store: Store, copies: Path, progress: Progress = SILENT, *, vulnerable: Vulnerable | None = None
) -> PublishedSite:
    """Update the catalog in the store itself; `copies` is where this machine keeps indexes.

    With `vulnerable` the pages show known vulnerabilities.

    Raises Conflict when others keep writing to it.
    """
    return publish(
        store, PREFIX, lambda: site(store, read(store, copies), beside=True, vulnerable=vulnerable), progress
    )


def write_folder(
    store: Store, copies: Path, folder: Path, progress: Progress = SILENT, *, vulnerable: Vulnerable | None = None
) -> PublishedSite:
    """Write the catalog of a store into a folder, or update the one there.

    With `vulnerable` the pages show known vulnerabilities.

    Raises UsageError when the folder holds something else.
    """
    if folder.exists() and not (folder / GUARD).exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists, but is not a catalog", hint="give a new directory or an empty one")
    place = open_store(str(folder.absolute()))
    return publish(
        place, "", lambda: site(store, read(store, copies), beside=False, vulnerable=vulnerable), progress
    )
