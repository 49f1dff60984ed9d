"""Build several environments, one after another or in parallel, each with its own log."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from envpack.build import pipeline
from envpack.ci import changes
from envpack.ci.outcome import Before, Failure, Outcome, Vulnerabilities
from envpack.ci.processes import side_by_side
from envpack.errors import EnvpackError
from envpack.lock.file import parse
from envpack.packages.package import packages_of
from envpack.progress import Lines
from envpack.redact import redact
from envpack.releases import lookup, tags
from envpack.releases.last_use import note_use
from envpack.resolve.names import Names
from envpack.stores import store_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from envpack.build.pipeline import Options
    from envpack.build.results import Built
    from envpack.ci.outcome import Status
    from envpack.ci.plan import Item
    from envpack.config.config import Config


@dataclass(frozen=True, kw_only=True)
class _Task:
    """One environment with everything that a builder needs."""

    item: Item
    config: Config
    options: Options
    base: str | None


def build_all(
    items: Sequence[Item],
    config: Config,
    options: Options,
    *,
    base: str | None,
    jobs: int,
    say: Callable[[str], None],
) -> list[Outcome]:
    """Build environments, `jobs` at a time, and return the outcome of each, in no fixed order.

    `base` is the commit whose lock is the earlier state of an unpublished environment. Log lines of one environment
    stay together. Builders share the caches, whose locks ensure that nothing is fetched twice.
    """
    tasks = [_Task(item=item, config=config, options=replace(options, name=item.name), base=base) for item in items]
    outcomes = []
    for task, outcome in _by_builders(tasks, jobs) if jobs > 1 else _one_by_one(tasks, say):
        if jobs > 1:
            say(_heading(task))
            for line in outcome.log:
                say(line)
        say(_closing(outcome))
        outcomes.append(outcome)
    return outcomes


def _one_by_one(tasks: Sequence[_Task], say: Callable[[str], None]) -> Iterator[tuple[_Task, Outcome]]:
    for task in tasks:
        say(_heading(task))
        yield task, _build(task, say)


def _by_builders(tasks: Sequence[_Task], jobs: int) -> Iterator[tuple[_Task, Outcome]]:
    for task, outcome in side_by_side(_build, tasks, jobs):
        yield task, outcome or _killed(task)


def _build(task: _Task, say: Callable[[str], None] | None = None) -> Outcome:
    """Build one environment; errors are part of the outcome."""
    start = time.monotonic()
    log: list[str] = []
    task.config.meet_secrets()  # a builder of its own has not read it

    def write(line: str) -> None:
        line = redact(line)
        log.append(line)
        if say:
            say(line)

    item = task.item
    outcome = Outcome(file=item.shown, name=item.name, status="failed", reason=item.reason or "")
    try:
        try:
            before, config = _before(task), task.config
        except EnvpackError as error:
            if not task.options.dry_run:
                raise
            # A pull request's job often has no key, and its changes can be shown without the store.
            warning = f"the store is left aside, and its releases with it: {error.message}"
            write(f"warning: {warning}")
            outcome = replace(outcome, own_warnings=(warning,))
            before, config = _locked_before(task), replace(task.config, store=None)
        built = pipeline.build(item.file, config=config, options=task.options, progress=Lines(write))
        found = _vulnerabilities(built, before, config)
        for each in found.new if found else ():
            write(f"warning: new vulnerability: {each}")
        outcome = replace(outcome, before=before, built=built, status=_status(built), vulnerabilities=found)
        if task.config.record_use and built.release and not task.options.dry_run:
            note_use(store_of(task.config), built.release.manifest)
    except EnvpackError as error:
        outcome = replace(outcome, failure=Failure(message=error.message, hint=error.hint, code=error.exit_code))
    except Exception:  # noqa: BLE001 - the others are built all the same, and the report has the traceback
        outcome = replace(outcome, failure=Failure(message=redact(traceback.format_exc()), hint=None, code=1))
    return replace(outcome, log=tuple(log), seconds=time.monotonic() - start)


def _status(built: Built) -> Status:
    if built.release is None:
        return "would publish"
    return "unchanged" if built.reused else "published"


def _vulnerabilities(built: Built, before: Before | None, config: Config) -> Vulnerabilities | None:
    """Return the known vulnerabilities of what was built, as far as advisories are configured."""
    if config.advisories is None:
        return None
    from envpack.packages.advisories import read  # noqa: PLC0415 - most runs need no advisories

    known, project = read(Path(config.advisories)), Names(config.names).project
    now = known.of(built.packages, project)
    earlier = known.of(before.packages, project) if before else ()
    had, has = ({(each.package.name, each.ids) for each in found} for found in (earlier, now))
    return Vulnerabilities(
        new=tuple(each for each in now if (each.package.name, each.ids) not in had),
        gone=tuple(each for each in earlier if (each.package.name, each.ids) not in has),
        count=len(now),
    )


def _before(task: _Task) -> Before | None:
    """Return the previous state of the environment: the tag's release, else its lock at the base."""
    tag = task.options.tag or tags.LATEST
    if task.config.store and (release := lookup.tagged(store_of(task.config), task.item.name, tag)):
        manifest = release.manifest
        label = f"{task.item.name}:{tag}"
        return Before(label=label, packages=manifest.packages, archive_size=manifest.archive.size)
    return _locked_before(task)


def _locked_before(task: _Task) -> Before | None:
    file, commit = task.item.file, task.base
    lock = changes.file_at(commit, file.with_name(f"{file.name}.lock")) if commit else None
    if commit is None or lock is None:
        return None
    try:
        packages = packages_of(parse(lock.decode(), f"{file.name}.lock at {commit[:10]}"))
    except (EnvpackError, UnicodeDecodeError):
        return None
    return Before(label=f"the lock at {commit[:10]}", packages=packages)


def _killed(task: _Task) -> Outcome:
    message = "the process that built it was killed"
    return Outcome(
        file=task.item.shown,
        name=task.item.name,
        status="failed",
        reason=task.item.reason or "",
        failure=Failure(message=message, hint="was there memory enough? try --jobs 1", code=1),
    )


def _heading(task: _Task) -> str:
    return f"== {task.item.name} ({task.item.shown}): {task.item.reason}"


def _closing(outcome: Outcome) -> str:
    if outcome.failure:
        hint = f"\nhint: {outcome.failure.hint}" if outcome.failure.hint else ""
        return f"{outcome.name} failed: {outcome.failure.message}{hint}"
    release = outcome.built.release if outcome.built else None
    return f"{outcome.name} {outcome.status}: {release.manifest.reference if release else 'a new release'}"
