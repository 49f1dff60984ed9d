"""Plan what may be removed from a store, and remove it while builds may publish there.

The plan is checked again once the notice is written (releases/removal_notice.py), so nothing is removed that a tag
or a rule keeps by then. For each release, references to it are removed first, then its manifest, and its archive
last: readers never see a release without its archive, and the next run finds the rest of an interrupted removal as
an orphan.
"""

from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeVar

from envpack.digest import SHORT
from envpack.errors import EnvpackError, StoreRefused, UsageError
from envpack.progress import SILENT, Progress, Step
from envpack.releases import inventory, keys, removal_notice
from envpack.units import count, human_size

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from envpack.gc.rules import RetentionRules
    from envpack.releases.inventory import Folder, Shelf
    from envpack.releases.removal_notice import Collector
    from envpack.stores.base import ListedObject, Store, Unfinished

T = TypeVar("T")

BATCH = 100
"""How many releases one notice names."""

SKEW = 300.0
"""Seconds by which this machine's clock may differ from the store's."""

SLOWEST_UPLOAD = 3600.0
"""Seconds for which an upload counts as in progress, even with a shorter grace period."""

_REMOVERS = 8
"""Releases that are removed in parallel; there are as many S3 connections."""

Kind = Literal["orphan", "record", "upload", "code"]
"""Leftovers of killed builds and removals: objects without a manifest, a record that points at nothing, an
unfinished upload. Also the code of jobs that no job used recently."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The decision on one release."""

    folder: Folder
    kept_by: tuple[str, ...]
    """Why it stays; empty when it is removed."""


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """An object that no reader sees; it is removed."""

    kind: Kind
    key: str
    size: int
    modified: float
    """When it was last written, in seconds since 1970."""
    folder: Folder | None = None
    """An orphan's objects."""
    points_at: str = ""
    """The folder that a record names."""
    upload: Unfinished | None = None


@dataclass(frozen=True, kw_only=True)
class RemovalPlan:
    """What exists, and what is removed."""

    name: str | None
    """The only name in the plan."""
    rules: RetentionRules
    verdicts: tuple[Verdict, ...]
    """Sorted by name, the newest release first."""
    leftovers: tuple[Leftover, ...]
    """Leftovers that are older than the grace period."""
    warnings: tuple[str, ...] = ()
    pointers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The build records that were read, each with the digest's first digits that it points at."""

    @property
    def going(self) -> tuple[Verdict, ...]:
        """The releases to remove."""
        return tuple(verdict for verdict in self.verdicts if not verdict.kept_by)

    @property
    def size(self) -> int:
        """Bytes to remove."""
        return sum(verdict.folder.size for verdict in self.going) + sum(left.size for left in self.leftovers)


@dataclass(kw_only=True)
class Freed:
    """What has been removed."""

    removed: list[str] = field(default_factory=list)
    """The folders of releases and orphans, and the keys of other leftovers."""
    spared: list[str] = field(default_factory=list)
    """The folders that were kept after the second check."""
    objects: int = 0
    size: int = 0
    """Bytes."""
    hidden: int = 0
    """Bytes of these that a versioned bucket still holds."""


def plan(store: Store, rules: RetentionRules, name: str | None = None, progress: Progress = SILENT) -> RemovalPlan:
    """Return what may be removed from a store, or of one name only. Nothing is changed."""
    now = time.time()
    with progress.step("look") as step:
        shelves = inventory.take(store, name, step=step)
        step.note(count(sum(len(shelf.folders) for shelf in shelves.values()), "release"))
    uploads, refusals = _unfinished(store, name)
    ordered = [shelf for _, shelf in sorted(shelves.items())]
    leftovers = [left for shelf in ordered for left in _leftovers(shelf) if left.modified < now - rules.grace]
    leftovers += [
        Leftover(kind="upload", key=upload.key, size=upload.size, modified=upload.begun, upload=upload)
        for upload in uploads
        if upload.begun < now - max(rules.grace, SLOWEST_UPLOAD)
    ]
    if name is None:
        leftovers += _idle_code(store, ordered, rules, now)
    return RemovalPlan(
        name=name,
        rules=rules,
        verdicts=tuple(verdict for shelf in ordered for verdict in _verdicts(shelf, rules, now)),
        leftovers=tuple(leftovers),
        warnings=(*_warnings(ordered, rules), *refusals),
        pointers={key: pointer for shelf in ordered for key, pointer in shelf.pointers.items()},
    )


def apply(store: Store, planned: RemovalPlan, progress: Progress = SILENT) -> Freed:
    """Remove what a plan says, except for what is kept by now, and return what was freed.

    It can be interrupted at any time; planning and applying again does the rest. Raises Conflict when another gc is
    running, UsageError when this machine's clock is wrong, and StoreRefused when the store refuses.
    """
    freed = Freed()
    folders = [
        *(verdict.folder for verdict in planned.going),
        *(left.folder for left in planned.leftovers if left.folder),
    ]
    if not planned.going and not planned.leftovers:
        return freed
    with removal_notice.collecting(store, progress) as collector:
        _check_clock(store)
        try:
            with progress.step("remove", total=planned.size, unit="bytes") as step:
                removal = _Removal(store=store, collector=collector, freed=freed, step=step)
                for batch in _batches(folders):
                    collector.post(folder.key for folder in batch)
                    removal.of_folders(_still_going(store, batch, planned, freed))
                for left in planned.leftovers:
                    if left.kind != "code":
                        removal.of_leftover(left)
                for codes in _batches([left for left in planned.leftovers if left.kind == "code"]):
                    collector.post(keys.code_folder(str(keys.digest_of_code(left.key))) for left in codes)
                    removal.of_code(_still_idle(store, codes, planned.rules))
                step.note(count(freed.objects, "object"))
        except EnvpackError:
            if freed.objects:
                progress.warn(
                    f"{count(freed.objects, 'object')}, {human_size(freed.size)}, were removed before it failed"
                )
            raise
    return freed


def remove_orphan(store: Store, key: str, grace: float, progress: Progress = SILENT) -> bool:
    """Remove the folder of an unfinished release, unless it is a release by now or younger than `grace` seconds.

    `key` is its key: `NAME/DIGEST`. Return whether it was removed. Builders are notified as by `apply`. Raises
    Conflict when a gc is running, and StoreRefused when the store does not allow deletion.
    """

    def there() -> list[ListedObject]:
        return list(store.list(f"{key}/"))

    def is_old(entries: Collection[ListedObject]) -> bool:
        is_release = any(entry.key == f"{key}/{keys.MANIFEST}" for entry in entries)
        return not is_release and all(entry.modified < time.time() - grace for entry in entries)

    if not is_old(there()):
        return False
    with removal_notice.collecting(store, progress) as collector:
        _check_clock(store)
        collector.post([key])
        entries = there()
        if not is_old(entries):
            return False
        for entry in entries:
            collector.may_delete()
            store.delete(entry.key)
    progress.warn(f"{store.uri(key)} held other bytes than it should and no manifest: it was removed")
    return True


def _verdicts(shelf: Shelf, rules: RetentionRules, now: float) -> list[Verdict]:
    kept = [Verdict(folder=shelf.folders[key], kept_by=why) for key, why in rules.reasons(shelf, now).items()]
    return sorted(kept, key=lambda verdict: -(verdict.folder.published or 0))


def _leftovers(shelf: Shelf) -> Iterator[Leftover]:
    for folder in shelf.folders.values():
        if folder.published is None:
            yield Leftover(kind="orphan", key=folder.key, size=folder.size, modified=folder.modified, folder=folder)
    for entry, points_at in shelf.dangling:
        yield Leftover(kind="record", key=entry.key, size=entry.size, modified=entry.modified, points_at=points_at)


def _idle_code(store: Store, shelves: Iterable[Shelf], rules: RetentionRules, now: float) -> Iterator[Leftover]:
    """Yield the code of jobs that was sent some time ago, and that no job used recently."""
    kept = max(rules.jobs, rules.grace)
    jobs = [job for shelf in shelves for job in shelf.jobs]
    used = {job.code for job in jobs if now - job.entry.modified < kept}
    for entry in store.list(keys.CODE):
        sha256 = keys.digest_of_code(entry.key)
        if sha256 and sha256[:SHORT] not in used and entry.modified < now - kept:
            yield Leftover(kind="code", key=entry.key, size=entry.size, modified=entry.modified)


def _unfinished(store: Store, name: str | None) -> tuple[list[Unfinished], list[str]]:
    """Return the unfinished uploads; if listing them is not allowed, warn and plan the rest."""
    try:
        return [upload for upload in store.unfinished() if upload.key.startswith(f"{name}/" if name else "")], []
    except StoreRefused as error:
        return [], [f"unfinished uploads were not looked for: {error.message}"]


def _warnings(shelves: Sequence[Shelf], rules: RetentionRules) -> Iterator[str]:
    for shelf in shelves:
        for name, tag in sorted(shelf.tags.items()):
            if tag.digest[:SHORT] not in shelf.folders:
                yield f"{shelf.name}:{name} points at {tag.digest[:SHORT]}, which does not exist: move it"
    if rules.used is not None and not any(shelf.used for shelf in shelves):
        yield "no use of a release was ever noted here, so keep-used keeps nothing: set `record-use: true` first"


def _check_clock(store: Store) -> None:
    """Refuse to work with a wrong clock: ages would be wrong. The notice was written just now."""
    written = next(
        (entry.modified for entry in store.list(removal_notice.KEY) if entry.key == removal_notice.KEY), None
    )
    skew = time.time() - written if written else 0.0
    if abs(skew) > SKEW:
        raise UsageError(
            f"this machine's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the store's",
            hint="correct the clock: envpack computes the ages of releases with it",
        )


def _still_idle(store: Store, codes: Collection[Leftover], rules: RetentionRules) -> list[Leftover]:
    """Return the code that no job uses, now that submitters are notified."""
    shelves = inventory.take(store).values()
    idle = {left.key for left in _idle_code(store, shelves, rules, time.time())}
    return [left for left in codes if left.key in idle]


def _batches(things: Sequence[T]) -> Iterator[list[T]]:
    waiting = iter(things)
    while batch := list(itertools.islice(waiting, BATCH)):
        yield batch


def _still_going(store: Store, batch: Collection[Folder], planned: RemovalPlan, freed: Freed) -> list[Folder]:
    """Return the folders of a batch as they are now, without those that are kept by now."""
    now = time.time()
    wanted = {folder.key for folder in batch}
    going: list[Folder] = []
    for name in sorted({folder.name for folder in batch}):
        shelf = inventory.take(store, name, known=planned.pointers).get(name)
        if shelf:
            going += [folder for folder in _doomed(shelf, planned.rules, now) if folder.key in wanted]
            freed.spared += sorted(wanted & {f.key for f in shelf.folders.values()} - {f.key for f in going})
    return going


def _doomed(shelf: Shelf, rules: RetentionRules, now: float) -> Iterator[Folder]:
    yield from (verdict.folder for verdict in _verdicts(shelf, rules, now) if not verdict.kept_by)
    for left in _leftovers(shelf):
        if left.folder and left.modified < now - rules.grace:
            yield left.folder


@dataclass(frozen=True, kw_only=True)
class _Removal:
    """Removes, as long as the notice is valid, and counts."""

    store: Store
    collector: Collector
    freed: Freed
    step: Step

    def of_folders(self, folders: Iterable[Folder]) -> None:
        """Remove all objects of folders, several in parallel."""
        removers = ThreadPoolExecutor(_REMOVERS)
        try:
            for folder, gone in removers.map(self._of_folder, folders):
                self.freed.removed.append(folder.key)
                for entry, freed in gone:
                    self._count(entry.size, freed=freed)
        finally:
            removers.shutdown(cancel_futures=True)

    def of_leftover(self, left: Leftover) -> None:
        """Remove a record that still points at nothing, or an upload."""
        self.collector.may_delete()
        if left.upload:
            self.store.abort(left.upload)
            freed = True
        elif left.kind == "record" and self.store.read(f"{left.points_at}/{keys.MANIFEST}") is None:
            freed = self.store.delete(left.key)
        else:
            return
        self.freed.removed.append(left.key)
        self._count(left.size, freed=freed)

    def of_code(self, codes: Iterable[Leftover]) -> None:
        """Remove the code of jobs."""
        for left in codes:
            self.collector.may_delete()
            freed = self.store.delete(left.key)
            self.freed.removed.append(left.key)
            self._count(left.size, freed=freed)

    def _of_folder(self, folder: Folder) -> tuple[Folder, list[tuple[ListedObject, bool]]]:
        gone = []
        for entry in folder.in_order():
            self.collector.may_delete()
            gone.append((entry, self.store.delete(entry.key)))
        return folder, gone

    def _count(self, size: int, *, freed: bool) -> None:
        self.freed.objects += 1
        self.freed.size += size
        self.freed.hidden += 0 if freed else size
        self.step.advance(size)
