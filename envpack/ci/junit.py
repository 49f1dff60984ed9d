"""Write the result of a run as JUnit XML, which CI systems show."""

from __future__ import annotations

from typing import TYPE_CHECKING

import junitparser

if TYPE_CHECKING:
    from envpack.ci.outcome import Outcome, Report


def junit(report: Report) -> bytes:
    """Return one test suite with a case for each environment: failed ones carry the explanation."""
    suite = junitparser.TestSuite("envpack")
    suite.add_testcases([_case(outcome) for outcome in report.outcomes])
    document = junitparser.JUnitXml("envpack")
    document.add_testsuite(suite)
    document.update_statistics()  # type: ignore[no-untyped-call] # the library has no types here
    return bytes(document.tostring())  # type: ignore[no-untyped-call] # nor here


def _case(outcome: Outcome) -> junitparser.TestCase:
    case = junitparser.TestCase(_printable(outcome.file), classname=f"envpack.{outcome.name}", time=outcome.seconds)
    if outcome.failure:
        head, *_ = outcome.failure.message.splitlines() or [""]
        kind = junitparser.Error if outcome.failure.code == 1 else junitparser.Failure
        found = kind(_printable(head), f"exit code {outcome.failure.code}")
        hint = f"\nhint: {outcome.failure.hint}" if outcome.failure.hint else ""
        found.text = _printable(f"{outcome.failure.message}{hint}")
        case.result = [found]
    elif outcome.status == "unaffected":
        case.result = [junitparser.Skipped(outcome.reason)]
    if outcome.log:
        case.system_out = _printable("\n".join(outcome.log))
    return case


def _printable(text: str) -> str:
    """Return text without the characters that XML 1.0 cannot hold."""
    return "".join(
        c if c in "\t\n\r" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff" else "?"
        for c in text
    )
