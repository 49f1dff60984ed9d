"""The records of jobs that were submitted: what ran, in which release, who submitted it, how it ended."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from envpack.codec import LONGEST_LINE, Digest, Kind, Line, Moment, Name, Unreadable
from envpack.errors import EnvpackError, UsageError
from envpack.redact import redact, shown_value
from envpack.redact.logs import filtered_logger
from envpack.releases import keys
from envpack.units import now
from envpack.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from envpack.stores.base import Store

State = Literal["submitting", "submitted", "succeeded", "failed", "killed", "unknown"]
"""`submitting` remains if the submission was killed before the launcher answered; `submitted` is one that was not
followed further."""

_MOST_PARAMETERS = 1000
_ROOM = 80_000
"""Characters of all values of parameters together, so that a record with escapes stays below its limit."""

_logger = filtered_logger(__name__)


class Submission(Struct, frozen=True, kw_only=True):
    """One submission of a job."""

    id: Annotated[str, Meta(pattern=r"^[0-9a-f]{12}\Z")]
    """Its own name."""
    job: Line
    """The job's name."""
    release: Name
    """The name of its environment."""
    digest: Digest
    """The environment's archive."""
    code: Digest
    """The zip of its code."""
    entrypoint: Line
    """The module that was run."""
    parameters: Annotated[dict[str, Line], Meta(max_length=_MOST_PARAMETERS)]
    """The values of its parameters; secrets are masked, and long values are cut."""
    launcher: Line
    """What started it."""
    by: Line
    """Who submitted it, or which CI job."""
    submitted: Moment
    """When."""
    state: State
    """How far it is known to be."""
    application: Line = ""
    """What the launcher calls it, such as `application_1700000000000_0001`."""
    address: Line = ""
    """Where its user interface is."""
    exit_code: int | None = None
    """The job's exit code, where the launcher reports it."""
    ended: Moment | None = None
    """When it was seen to have ended."""
    said: Line = ""
    """Why it failed, in a line."""


STORED = Kind(
    what="a record of a job",
    type=Submission,
    limit=1 << 20,
    schema=1,
    hint="remove it: nothing but `envpack job history` reads it",
)


@dataclass(kw_only=True)
class Record:
    """A record in a store, written again as more is known."""

    store: Store
    key: str
    value: Submission
    _version: str | None = None

    def write(self) -> None:
        """Write it, unless it was written before. Raises StoreRefused and StoreUnreachable."""
        if self.store.create(self.key, _dumps(self.value)):
            found = self.store.read(self.key)
            self._version = found.version if found else None

    def update(self, **changes: object) -> None:
        """Write what has changed. A refusal of the store must not end the watch of a job, and is only logged."""
        before, value = self.value, msgspec.structs.replace(self.value, **_lines(changes))
        if value == before:
            return
        self.value = value
        try:
            if self._version and self._replaced(before):
                found = self.store.read(self.key)
                self._version = found.version if found else None
        except EnvpackError as error:
            _logger.info("the record %s was not brought up to date: %s", self.key, error.message)

    def _replaced(self, before: Submission) -> bool:
        """Write the value; say whether the store has it. Somebody else's change of the record is not replaced."""
        data = _dumps(self.value)
        if self._version and self.store.replace(self.key, data, self._version):
            return True
        # Ctrl-C can end the write of `before` between the store's and this record's note of it.
        found = self.store.read(self.key)
        return bool(found and found.data == _dumps(before) and self.store.replace(self.key, data, found.version))


def new(store: Store, **facts: Any) -> Record:  # noqa: ANN401 - the fields of a submission
    """Return the record of a submission that begins now; nothing is written yet. `facts` are its fields."""
    moment = now()
    value = Submission(id=secrets.token_hex(6), submitted=moment, state="submitting", **_lines(facts))
    time = moment.replace("-", "").replace(":", "")
    key = keys.job_record(value.release, time, value.id, value.digest, value.code)
    return Record(store=store, key=key, value=value)


def masked(values: Mapping[str, str]) -> dict[str, str]:
    """Return parameters as they may be stored."""
    longest = min(LONGEST_LINE, _ROOM // max(len(values), 1))
    return {
        name: _line(shown_value(name, value))[:longest] for name, value in islice(values.items(), _MOST_PARAMETERS)
    }


def _lines(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a record; each text, also of the launcher or of a CI system, as a record may hold it."""
    return {name: _line(redact(value)) if isinstance(value, str) else value for name, value in facts.items()}


def _line(text: str) -> str:
    return visible(" ".join(text.split()))[:LONGEST_LINE]


def of_store(store: Store, name: str | None = None) -> Iterator[Submission]:
    """Yield the submissions in releases of a name, or of all, the newest first of each name.

    Damaged records are skipped.
    """
    yield from (record.value for record in records(store, name))


def find(store: Store, called: str) -> Record:
    """Return the record of a job by its own id or its application's; raises UsageError when there is none."""
    found = next(
        (each for each in records(store) if called and called in (each.value.id, each.value.application)), None
    )
    if found is None:
        raise UsageError(
            f"{store.url} has no record of a job {called!r}", hint="`envpack job history` lists the jobs"
        )
    return found


def records(store: Store, name: str | None = None) -> Iterator[Record]:
    """Yield the records of submissions in releases of a name, or of all, the newest first of each name."""
    names = [name] if name else [each for each in store.folders() if keys.is_name(each)]
    for each in names:
        found = [entry.key for entry in store.list(keys.jobs_of(each)) if keys.used_by_job(entry.key)]
        for key in sorted(found, reverse=True):
            record = store.read(key)
            if record is None:
                continue
            try:
                value = STORED.loads(record.data, store.uri(key))
            except Unreadable as error:
                _logger.info("%s", error.message)
                continue
            yield Record(store=store, key=key, value=value, _version=record.version)


def _dumps(value: Submission) -> bytes:
    return json.dumps({"schema": 1, **msgspec.to_builtins(value)}, indent=1).encode()
