"""This machine's copies of each store's indexes, so that a store is asked only for new entries."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpack import digest
from envpack.files import atomic
from envpack.files.inside import inside
from envpack.files.regular import read_regular
from envpack.redact.logs import filtered_logger
from envpack.releases import keys
from envpack.releases.listed import STORED, NameIndex

if TYPE_CHECKING:
    from pathlib import Path

logger = filtered_logger(__name__)

_COPY = ".json.gz"


class Copies:
    """This machine's copies of one store's indexes; those that cannot be written are read again each time."""

    def __init__(self, root: Path, url: str) -> None:
        """Take the directory of all stores' copies and the store's URL, in any spelling."""
        plain = re.sub(r"^s3a://", "s3://", url, flags=re.IGNORECASE).rstrip("/")
        self._folder = inside(root, digest.of_bytes(plain.encode())[: digest.SHORT])

    def names(self) -> tuple[str, ...]:
        """Return the names that there are copies of, sorted."""
        found = (path.name.removesuffix(_COPY) for path in self._folder.glob(f"[!.]*{_COPY}"))
        return tuple(sorted(name for name in found if keys.is_name(name)))

    def read(self, name: str) -> NameIndex:
        """Return the copy of a name's index; an empty one if there is none."""
        try:
            return NameIndex.loads(read_regular(self._path(name), STORED.limit), name)
        except OSError:
            return NameIndex(name=name)

    def keep(self, index: NameIndex) -> None:
        """Keep a copy for the next time, if possible; another process may do the same."""
        atomic.keep(self._path(index.name), index.dumps())

    def _path(self, name: str) -> Path:
        return inside(self._folder, f"{name}{_COPY}")
