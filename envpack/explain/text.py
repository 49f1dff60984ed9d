"""An explanation as text for a terminal and as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpack.explain.limits import SEVERITIES
from envpack.explain.secrets import shown
from envpack.inspect.markdown import code, prose
from envpack.inspect.markdown import text as plain
from envpack.units import count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpack.explain.explanation import Explanation
    from envpack.explain.findings import RunFinding


def summary(explanation: Explanation) -> str:
    """Return in a line how many findings there are of each severity."""
    counted = [f"{number} {each}" for each in SEVERITIES if (number := explanation.count(each))]
    if not counted:
        return "no findings"
    return f"{count(len(explanation.findings), 'finding')}: {', '.join(counted)}"


def heading(explanation: Explanation) -> str:
    """Return in a line which application it is and how long it took."""
    run = explanation.run
    name = shown(run.name) or explanation.log.path.name
    facts = [run.id, f"Spark {run.spark}" if run.spark else "", duration(run.end - run.begin)]
    facts += [count(len(run.executors), "executor"), explanation.reference or ""]
    ended = "" if run.ended else "; its log has no end: it was killed, crashed, or runs"
    return f"{name}: {', '.join(filter(None, facts))}{ended}"


def lines_of(finding: RunFinding) -> Iterator[str]:
    """Yield the details of a finding, except its severity and its first sentence."""
    yield finding.measured
    if finding.where:
        yield f"at {finding.where}"
    if finding.quote:
        yield f"log: {finding.quote}"
    if finding.advice:
        yield f"-> {finding.advice}"
    yield from (f"   {line}" for line in finding.settings)


def markdown(explanation: Explanation) -> Iterator[str]:
    """Yield the lines of the explanation as Markdown."""
    yield f"# {plain(heading(explanation))}"
    yield ""
    yield f"{summary(explanation)}."
    yield ""
    for finding in explanation.findings:
        yield f"## {finding.severity}: {plain(finding.text)}"
        yield ""
        yield f"{plain(finding.measured)}" + (f" · {plain(finding.where)}" if finding.where else "")
        yield ""
        if finding.quote:
            yield f"> {code(finding.quote)}"
            yield ""
        if finding.advice:
            yield f"{prose(finding.advice[:1].upper() + finding.advice[1:])}."
            yield ""
        if finding.settings:
            yield from ("```", *finding.settings, "```", "")
    if explanation.unevaluated:
        yield "Not evaluated:"
        yield ""
        yield from (f"- {code(each.name)}: {prose(each.reason)}" for each in explanation.unevaluated)


def duration(milliseconds: int) -> str:
    """Return a span for people: `12.3 s`, `4 min 5 s`, `2 h 3 min`."""
    seconds = milliseconds / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    return f"{seconds // 3600:,.0f} h {seconds % 3600 // 60:.0f} min"
