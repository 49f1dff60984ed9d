"""An explanation as one self-contained HTML file in the catalog's style."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from envpack.catalog.templates import asset, templates
from envpack.explain.explanation import moment
from envpack.explain.secrets import shown
from envpack.explain.text import duration, summary
from envpack.explain.timeline import timeline
from envpack.units import count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpack.explain.explanation import Explanation

_MOST_STAGES = 200

_OWN_STYLE = Path(__file__).parent / "assets" / "explain.css"


def page(explanation: Explanation) -> str:
    """Return the page. It runs no script and asks for no other file."""
    run = explanation.run
    style = asset("catalog.css").decode() + _OWN_STYLE.read_text("utf-8")
    stages = sorted(run.stages.values(), key=lambda stage: (stage.submitted or 0, stage.id))
    return (
        templates("envpack.explain")
        .get_template("explain.html")
        .render(
            root="",
            name=shown(run.name) or run.id or explanation.log.path.name,
            run=run,
            summary=summary(explanation),
            facts=list(_facts(explanation)),
            duration=duration(run.end - run.begin),
            drawn=timeline(run),
            findings=explanation.findings,
            unevaluated=explanation.unevaluated,
            stages=stages[:_MOST_STAGES],
            more_stages=max(len(stages) - _MOST_STAGES, 0),
            style=style,
            style_digest=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        )
    )


def _facts(explanation: Explanation) -> Iterator[tuple[str, str]]:
    run = explanation.run
    yield "Application", run.id or "not said"
    yield "Spark", run.spark or "not said"
    yield "Started", (moment(run.started) or "not said")[:19].replace("T", " ")
    yield "Took", duration(run.end - run.begin) + ("" if run.ended else ", and has no end in the log")
    cores = count(sum(each.cores for each in run.executors.values()), "core")
    yield "Executors", f"{len(run.executors)} with {cores}"
    ended = sum(stage.ended for stage in run.stages.values())
    yield "Tasks", f"{ended:,} in {count(len(run.stages), 'stage')}"
    if explanation.reference:
        yield "Release", explanation.reference
