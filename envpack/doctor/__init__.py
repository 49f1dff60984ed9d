"""Find out whether a build would work on this machine, and what to do if not."""

from __future__ import annotations

import queue
import threading
import time
import traceback
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any

from envpack.config.config import Config
from envpack.doctor import cage, cluster, driver, machine, sources, target
from envpack.doctor.finding import LEVELS, Finding, Level, Look
from envpack.errors import EnvpackError
from envpack.redact import redact
from envpack.stores import store_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Report", "diagnose"]

SCHEMA = 1
"""Version of the JSON."""


@dataclass(frozen=True, kw_only=True)
class Value:
    """One configured value."""

    name: str
    """As in `envpack.yaml`, a section's key after a dot."""
    value: str
    """Without credentials."""
    origin: str
    """A flag, a variable, a file, or `default`."""


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What was found."""

    configuration: tuple[Value, ...]
    findings: tuple[Finding, ...]
    seconds: float

    @property
    def problems(self) -> tuple[Finding, ...]:
        """Findings with which a build would not work."""
        return tuple(finding for finding in self.findings if finding.level == "problem")

    def count(self, level: Level) -> int:
        """Return the number of findings of a level."""
        return sum(finding.level == level for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values (schema: docs/doctor.schema.json)."""
        return {
            "schema": SCHEMA,
            "works": not self.problems,
            "configuration": [vars(value) for value in self.configuration],
            "findings": [finding.to_json() for finding in self.findings],
            "counts": {level: self.count(level) for level in LEVELS},
            "seconds": round(self.seconds, 3),
        }


def diagnose(config: Config, reference: str | None = None, *, limit: float = 20.0) -> Diagnosis:
    """Check everything that a build needs, and a release if one is named; no check takes longer than `limit`.

    The checks run in parallel; one that has not ended after `limit` seconds is abandoned with a finding.
    """
    start = time.monotonic()
    findings = _run(_checks(config, reference), limit)
    return Diagnosis(
        configuration=tuple(_values(config)), findings=tuple(findings), seconds=time.monotonic() - start
    )


def _checks(config: Config, reference: str | None) -> list[Look]:
    checks = [
        Look(name="python", look=machine.python),
        Look(name="configuration", look=partial(target.configured, config)),
        Look(name="cluster", look=partial(cluster.look, config)),
        Look(name="cache", look=partial(machine.cache, config)),
        Look(name="cage", look=partial(cage.look, config)),
        Look(name="store", look=partial(_store, config)),
        *(Look(name="channel", look=partial(sources.channel, channel)) for channel in config.channels),
        Look(name="index", look=partial(sources.index, config)),
    ]
    if reference:
        checks.append(Look(name="release", look=partial(target.release, reference, config)))
        checks.append(Look(name="driver", look=partial(driver.look, reference, config)))
    return checks


def _store(config: Config) -> Iterator[Finding]:
    try:
        store = store_of(config)
    except EnvpackError as error:
        yield Finding(check="store", level="problem", text=error.message, hint=error.hint)
        return
    for seen in store.examine():
        yield Finding(check="store", level=seen.level, text=seen.text, hint=seen.hint)


def _run(checks: Sequence[Look], limit: float) -> Iterator[Finding]:
    """Yield what the checks find, in their order."""
    told: queue.Queue[tuple[int, Finding | None]] = queue.Queue()
    for number, check in enumerate(checks):
        threading.Thread(target=_look, args=[number, check, told], daemon=True).start()
    found: list[list[Finding]] = [[] for _ in checks]
    running = set(range(len(checks)))
    end = time.monotonic() + limit
    while running and (left := end - time.monotonic()) > 0:
        try:
            number, finding = told.get(timeout=left)
        except queue.Empty:
            break
        if finding:
            found[number].append(finding)
        else:
            running.discard(number)
    for number in running:
        text = f"it had not ended after {limit:.0f} s"
        hint = "something there does not answer: see the network, proxies, mounts; --timeout waits longer"
        found[number].append(Finding(check=checks[number].name, level="problem", text=text, hint=hint))
    for each in found:
        yield from each


def _look(number: int, check: Look, told: queue.Queue[tuple[int, Finding | None]]) -> None:
    try:
        for finding in check.look():
            told.put((number, finding))
    except Exception:  # noqa: BLE001 - the others are looked at all the same, and the finding has the traceback
        text = f"the check itself failed:\n{traceback.format_exc()}"
        told.put((number, Finding(check=check.name, level="problem", text=redact(text), hint="report this bug")))
    told.put((number, None))


def _values(config: Config) -> Iterator[Value]:
    for entry in fields(Config):
        if entry.name != "origins":
            origin = config.origins.get(entry.name, "default")
            yield Value(name=_written(entry.name), value=_shown(getattr(config, entry.name)), origin=origin)


def _written(name: str) -> str:
    return name.replace("_", "-")


def _shown(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case tuple():
            return redact(", ".join(map(str, value)))
        case dict():
            return redact(", ".join(f"{key}: {each}" for key, each in value.items()))
    return redact(str(value))
