"""Announce in the store which releases are being removed, so that no one publishes into them or tags them.

S3 has no transactions, so both sides write first and check afterwards. The remover writes the releases to remove
into the object `.gc.json`, then reads the tags again, and only then deletes. A process that publishes or moves a
tag reads that object before and after; if it has changed, everything is done again, which is fast and finds what
was removed. So the writer sees a removal that begins before the second check, and a later removal sees what was
written. It needs a store with read-after-write consistency, as S3 and a local disk have.

Each process measures times only with its own clock. No deletion begins later than WINDOW after the notice was
written. A notice that has not changed for PATIENCE, which is longer than WINDOW and the longest request, is a dead
process's.
"""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

from msgspec import Meta

from envpack.codec import Count, Folder, Kind, Line, Word
from envpack.errors import Conflict
from envpack.progress import SILENT
from envpack.releases import keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from envpack.progress import Progress
    from envpack.stores.base import Object, Store

T = TypeVar("T")

KEY = keys.REMOVAL_NOTICE
"""The notice's object."""

WINDOW = 30.0
"""Seconds after a notice was written in which a deletion may begin."""

PATIENCE = 120.0
"""Seconds without a change after which a notice counts as a dead process's. A deletion takes no longer than
three attempts of 25 s (envpack/stores/s3/store.py)."""

PAUSE = 0.5
"""Seconds between two checks of a notice."""


@dataclass(frozen=True, kw_only=True)
class Notice:
    """Who removes releases, and which."""

    collector: Word = ""
    """A name of the process's own; empty when nobody is at it."""
    host: Line = ""
    """Its machine, for people."""
    process: Line = ""
    """What shows on the same machine whether it is alive; empty where the system does not say."""
    beat: Count = 0
    """Counts its notices: two of one process differ, so that others see that it gets on."""
    folders: Annotated[tuple[Folder, ...], Meta(max_length=10_000)] = ()
    """The releases' folders: `NAME/DIGEST`."""
    ended: Word = ""
    """When nobody is at it, what distinguishes this notice from earlier ones."""

    def dumps(self) -> bytes:
        """Return the notice as it is stored."""
        return json.dumps({"schema": 1, **asdict(self)}, indent=1).encode()

    @property
    def is_dead(self) -> bool:
        """Whether its process is known to have ended; only known for processes of this machine."""
        system, _, number = self.process.rpartition(" ")
        own_system, _, _ = _this_process().rpartition(" ")
        if not system or system != own_system:
            return False
        pid, _, started = number.partition("/")
        return _started(pid) != started


STORED = Kind(
    what="a removal notice",
    type=Notice,
    limit=4 << 20,
    schema=1,
    hint="no gc of envpack wrote that: remove the object when no gc is running",
)


def _notice(store: Store, found: Object | None) -> Notice:
    """Read a notice; a missing one means that no removal is running."""
    return STORED.loads(found.data, store.uri(KEY)) if found else Notice()


def beside_removals(store: Store, folder: str, write: Callable[[bool], T]) -> T:
    """Write to a release's folder, or a tag that points at it, so that every removal sees it; return the result.

    `write` can be called several times and then does what is missing. Its argument says whether anything was ever
    removed from this store: if so, the release may be gone.
    """
    while True:
        before = _when_free(store, folder)
        result = write(before is not None)
        after = store.read(KEY)
        if (after.version if after else None) == before:
            return result


def was_posted(store: Store) -> bool:
    """Return whether anything was ever removed from this store."""
    return store.size(KEY) is not None


def _when_free(store: Store, folder: str) -> str | None:
    """Wait until no process is removing a folder; return the notice's version, None when there never was one."""
    sight = _Sight()
    while (found := store.read(KEY)) is not None:
        notice = _notice(store, found)
        if folder not in notice.folders:
            return found.version
        if notice.is_dead or sight.unchanged(found.version) > PATIENCE:
            store.replace(KEY, _nobody().dumps(), found.version)
        else:
            time.sleep(PAUSE)
    return None


def _nobody() -> Notice:
    return Notice(ended=os.urandom(16).hex())


@contextmanager
def collecting(store: Store, progress: Progress = SILENT) -> Iterator[Collector]:
    """Be the only process that removes releases from a store.

    Another one's notice that does not change for PATIENCE is taken over. Raises Conflict when another one is
    running.
    """
    collector = Collector(store)
    collector.begin(progress)
    try:
        yield collector
    finally:
        collector.end()


class Collector:
    """The removing process. `may_delete` may be called from any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._own = Notice(collector=os.urandom(16).hex(), host=os.uname().nodename, process=_this_process())
        self._version: str | None = None
        self._posted = _now()
        self._holds = False
        self._lock = threading.Lock()

    def begin(self, progress: Progress) -> None:
        """Take the notice when no other process has it. Raises Conflict."""
        sight = _Sight()
        while not self._holds:
            found = self._store.read(KEY)
            other = _notice(self._store, found)
            stands = sight.unchanged(found.version) if found else 0.0
            if not other.collector or other.is_dead or stands > PATIENCE:
                self._version = found.version if found else None
                self._holds = self._write(())
            elif sight.changes:
                raise Conflict(
                    f"another `envpack gc` is removing releases from {self._store.url}, on {other.host}",
                    hint="run this one again when it has ended",
                )
            else:
                if not sight.told:
                    progress.info(f"a gc on {other.host} runs, or was killed: {PATIENCE:.0f} s will show which")
                    sight.told = True
                time.sleep(PAUSE)

    def post(self, folders: Iterable[str]) -> None:
        """Announce the next removals. Raises Conflict when another process has taken over."""
        if not self._write(tuple(sorted(folders))):
            self._holds = False
            raise Conflict(
                f"another `envpack gc` took over {self._store.url}: this one made no progress for {PATIENCE:.0f} s",
                hint="nothing is lost: run `envpack gc` again",
            )

    def may_delete(self) -> None:
        """Return while the notice is valid; renew it in time. Raises Conflict when another one has taken over."""
        with self._lock:
            if _since(self._posted) > WINDOW:
                self.post(self._own.folders)

    def end(self) -> None:
        """Withdraw the notice, if it is still this process's."""
        if self._holds:
            self._store.replace(KEY, _nobody().dumps(), self._version)

    def _write(self, folders: tuple[str, ...]) -> bool:
        posted = _now()
        notice = replace(self._own, beat=self._own.beat + 1, folders=folders)
        if not self._store.replace(KEY, notice.dumps(), self._version):
            return False
        found = self._store.read(KEY)
        if found is None or _notice(self._store, found) != notice:
            return False
        self._own, self._version, self._posted = notice, found.version, posted
        return True


class _Sight:
    """Watches an object that changes as long as its writer lives."""

    def __init__(self) -> None:
        self.changes = 0
        self.told = False
        self._seen: str | None = None
        self._since = time.monotonic()

    def unchanged(self, version: str) -> float:
        """Return the seconds since this version was first seen."""
        if version != self._seen:
            self.changes += self._seen is not None
            self._seen, self._since = version, time.monotonic()
        return time.monotonic() - self._since


def _now() -> tuple[float, float]:
    return time.monotonic(), time.time()


def _since(then: tuple[float, float]) -> float:
    """Return the elapsed seconds, including those of a sleeping machine, in which one of the clocks stops."""
    now = _now()
    return max(now[0] - then[0], now[1] - then[1])


def _this_process() -> str:
    """Return `SYSTEM PID/START`; empty where there is no /proc. The system is a boot and a namespace of numbers."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        namespace = Path("/proc/self/ns/pid").readlink()
        return f"{boot}/{namespace} {os.getpid()}/{_started(str(os.getpid()))}"
    return ""


def _started(pid: str) -> str:
    """Return when a process was started, in ticks since boot; empty when it has ended. Source: proc(5), `stat`."""
    try:
        fields = Path("/proc", pid, "stat").read_text("ascii", "replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
