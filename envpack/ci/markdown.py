"""Say how a run went as Markdown, short enough for a comment on a pull request."""

from __future__ import annotations

import html
from collections import Counter
from typing import TYPE_CHECKING

from envpack.comparison import download_size
from envpack.progress import human_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpack.ci.outcome import Outcome, Report
    from envpack.comparison import Comparison
    from envpack.manifest import PackedPackage

LONGEST = 60_000
"""Characters; GitHub takes comments of 65,536, and others take more."""

_MOST_ROWS = 100
_MOST_LINES = 40


def markdown(report: Report) -> str:
    """Return the summary: a table of environments, then what changes in each."""
    text = "\n".join(_lines(report)) + "\n"
    if len(text) <= LONGEST:
        return text
    return text[:LONGEST].rsplit("\n\n", 1)[0] + "\n\n... and more: see report.json\n"


def _lines(report: Report) -> Iterator[str]:
    counted = Counter(outcome.status for outcome in report.outcomes)
    states = ", ".join(f"{count} {status}" for status, count in sorted(counted.items())) or "no environments"
    yield f"## envpack: {states}"
    yield ""
    mode = " Nothing was published: this is a dry run." if report.dry_run else ""
    yield f"Compared with {_text(report.base.why)}.{mode}"
    yield ""
    looked_at = [outcome for outcome in report.outcomes if outcome.status != "unaffected"]
    if looked_at:
        yield "| environment | result | packages | download | archive |"
        yield "|---|---|---|---|---|"
        yield from (_row(outcome) for outcome in looked_at)
        yield ""
    for name in report.deleted:
        yield f"- {_code(name)} is gone; its releases stay in the store"
    for outcome in looked_at:
        yield from _section(outcome)


def _row(outcome: Outcome) -> str:
    release = outcome.built.release if outcome.built else None
    result = f"{outcome.status} {_code(release.manifest.reference)}" if release else outcome.status
    cells = [f"{_code(outcome.name)} ({_code(outcome.file)})", f"**{result}**" if outcome.failure else result]
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
    yield f"### {_code(outcome.name)}"
    yield ""
    yield f"Looked at because: {_text(outcome.reason)}."
    yield ""
    if outcome.failure:
        yield from _fenced(outcome.failure.message)
        if outcome.failure.hint:
            yield f"Hint: {_text(outcome.failure.hint)}"
            yield ""
    for warning in outcome.warnings:
        yield f"- warning: {_text(warning)}"
    if outcome.warnings:
        yield ""
    if outcome.before and outcome.built:
        yield from _table(outcome.changes, outcome.before.label)


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


def _table(changes: Comparison, label: str) -> Iterator[str]:
    if not changes:
        yield f"The same packages as {_code(label)}."
        yield ""
        return
    rows = [f"| {_code(package.name)} | | {_version(package)} |" for package in changes.added]
    rows += [f"| {_code(package.name)} | {_version(package)} | |" for package in changes.removed]
    rows += [f"| {_code(old.name)} | {_version(old)} | {_version(new)} |" for old, new in changes.changed]
    yield f"| package | {_code(label)} | now |"
    yield "|---|---|---|"
    yield from sorted(rows)[:_MOST_ROWS]
    if len(rows) > _MOST_ROWS:
        yield f"| ... {len(rows) - _MOST_ROWS} more | | |"
    yield ""


def _version(package: PackedPackage) -> str:
    build = f" {package.build}" if package.build else ""
    return _text(f"{package.version}{build} ({package.source})")


def _code(text: str) -> str:
    return f"`{text.replace('`', chr(39)).replace('|', chr(92) + '|')}`"


def _text(text: str) -> str:
    escaped = html.escape(text.replace("\n", " "), quote=False).replace("|", "\\|")
    return "".join(f"\\{c}" if c in "*_`[]" else c for c in escaped)
