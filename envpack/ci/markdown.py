"""Write the result of a run as Markdown, short enough for a comment on a pull request."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from envpack.inspect.markdown import code, package_table, prose, text
from envpack.packages.compare import download_size
from envpack.units import human_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpack.ci.outcome import Outcome, Report

LONGEST = 60_000
"""Characters; GitHub takes comments of 65,536, and others take more."""

_MOST_LINES = 40


def markdown(report: Report) -> str:
    """Return the summary: a table of environments, then what changes in each."""
    whole = "\n".join(_lines(report)) + "\n"
    if len(whole) <= LONGEST:
        return whole
    return whole[:LONGEST].rsplit("\n\n", 1)[0] + "\n\n... and more: see report.json\n"


def _lines(report: Report) -> Iterator[str]:
    counted = Counter(outcome.status for outcome in report.outcomes)
    states = ", ".join(f"{count} {status}" for status, count in sorted(counted.items())) or "no environments"
    yield f"## envpack: {states}"
    yield ""
    mode = " Nothing was published: this is a dry run." if report.dry_run else ""
    told = report.base.told
    yield f"{text(told[0].upper() + told[1:])}.{mode}"
    yield ""
    looked_at = [outcome for outcome in report.outcomes if outcome.status != "unaffected"]
    if looked_at:
        yield "| environment | result | packages | download | archive |"
        yield "|---|---|---|---|---|"
        yield from (_row(outcome) for outcome in looked_at)
        yield ""
    for name in report.deleted:
        yield f"- {code(name)} is gone; its releases stay in the store"
    for outcome in looked_at:
        yield from _section(outcome)


def _row(outcome: Outcome) -> str:
    release = outcome.built.release if outcome.built else None
    result = f"{outcome.status} {code(release.manifest.reference)}" if release else outcome.status
    cells = [f"{code(outcome.name)} ({code(outcome.file)})", f"**{result}**" if outcome.failure else result]
    return f"| {' | '.join([*cells, _counts(outcome), _download(outcome), _archive(outcome)])} |"


def _counts(outcome: Outcome) -> str:
    if outcome.built is None:
        return ""
    if outcome.before is None:
        return f"{len(outcome.built.packages)}, new"
    changes = outcome.changes
    counts = {"+": len(changes.added), "-": len(changes.removed), "~": len(changes.changed)}
    return " ".join(f"{sign}{count}" for sign, count in counts.items() if count) or "the same"


def _download(outcome: Outcome) -> str:
    if outcome.built is None:
        return ""
    before = download_size(outcome.before.packages) if outcome.before else None
    return _from_to(before, download_size(outcome.built.packages))


def _archive(outcome: Outcome) -> str:
    release = outcome.built.release if outcome.built else None
    before = outcome.before.archive_size if outcome.before else None
    return _from_to(before, release.manifest.archive.size if release else None)


def _from_to(before: int | None, after: int | None) -> str:
    old, new = (human_size(size) if size is not None else "" for size in (before, after))
    return f"{old} → {new or '?'}" if old and old != new else new


def _section(outcome: Outcome) -> Iterator[str]:
    yield f"### {code(outcome.name)}"
    yield ""
    yield f"Looked at because: {prose(outcome.reason)}."
    yield ""
    if outcome.failure:
        yield from _fenced(outcome.failure.message)
        if outcome.failure.hint:
            yield f"Hint: {prose(outcome.failure.hint)}"
            yield ""
    for warning in outcome.warnings:
        yield f"- warning: {prose(warning)}"
    if outcome.warnings:
        yield ""
    if outcome.before and outcome.built:
        yield from package_table(outcome.changes, outcome.before.label)


def _fenced(message: str) -> Iterator[str]:
    lines = message.splitlines()
    shown = lines[-_MOST_LINES:] if message.startswith("Traceback") else lines[:_MOST_LINES]
    fence = "`" * max(3, 1 + max((len(run) for line in shown for run in _runs_of_ticks(line)), default=0))
    yield fence
    yield from shown
    if len(lines) > len(shown):
        yield f"... {len(lines) - len(shown)} more lines: see junit.xml"
    yield fence
    yield ""


def _runs_of_ticks(line: str) -> list[str]:
    return ["`" * len(part) for part in "".join(c if c == "`" else " " for c in line).split()]
