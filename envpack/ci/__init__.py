"""Build the environments that a change affects, continue after a failure, and report."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envpack import units
from envpack.build.pipeline import DEFAULTS
from envpack.catalog import places
from envpack.catalog.vulnerable import from_config
from envpack.ci import changes
from envpack.ci.builders import build_all
from envpack.ci.changes import Base
from envpack.ci.outcome import Report, unaffected
from envpack.ci.plan import EVERYTHING, Share, make_plan
from envpack.errors import EnvpackError
from envpack.files.cache import Cache
from envpack.progress import Lines
from envpack.stores import store_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from envpack.build.pipeline import Options
    from envpack.ci.outcome import Outcome
    from envpack.ci.plan import BuildPlan, Item
    from envpack.config.config import Config

__all__ = ["Looked", "Report", "Share", "WantedRun", "look", "run"]


@dataclass(frozen=True, kw_only=True)
class WantedRun:
    """The task of one run."""

    patterns: tuple[str, ...]
    """Requirements files and patterns of them; relative ones start at the working directory."""
    since: str | None = None
    """The commit to compare with; by default what the CI system's variables name."""
    everything: bool = False
    """Check every environment, independent of changes."""
    refresh: bool = False
    """Solve every environment again."""
    jobs: int = 1
    """How many environments to build at a time."""
    share: Share = EVERYTHING
    """Which of the affected environments this agent builds."""


@dataclass(frozen=True, kw_only=True)
class Looked:
    """The work to do, found without building anything."""

    base: Base
    """The base of the comparison."""
    before: str | None
    """The commit before the change, also where everything is checked."""
    plan: BuildPlan
    chosen: tuple[Item, ...]
    """What this agent builds, in its order."""

    def to_json(self) -> dict[str, Any]:
        """Return a matrix for CI systems: under `include` one entry for each environment to build."""
        return {
            "include": [{"name": item.name, "file": item.shown, "reason": item.reason} for item in self.chosen],
            "environments": len(self.plan.items),
            "deleted": list(self.plan.deleted),
        }


def look(wanted: WantedRun, *, config: Config, environ: Mapping[str, str]) -> Looked:
    """Return the environments to build and why.

    Raises UsageError when the files cannot be found, two of them would publish under one name, or a requested name
    does not exist.
    """
    here = Path.cwd()
    found = changes.since(wanted.since, environ, here)
    before = found.base.commit
    if wanted.everything or wanted.refresh:
        why = "--refresh solves everything again" if wanted.refresh else "--all"
        found = replace(found, base=Base(commit=None, why=why), paths=None)
    plan = make_plan(wanted.patterns, found, config, here)
    return Looked(base=found.base, before=before, plan=plan, chosen=wanted.share.of_plan(plan))


def run(
    wanted: WantedRun,
    *,
    config: Config,
    environ: Mapping[str, str],
    options: Options = DEFAULTS,
    say: Callable[[str], None] = lambda _: None,
) -> Report:
    """Build the affected environments and return the result; a failure of one does not stop the others.

    `options` hold for every environment, `dry_run` included: then nothing is published and no lock is written.
    `environ` has the CI system's variables. `say` gets the log, a line at a time. Raises UsageError when the files
    cannot be found, two of them would publish under one name, or the advisories cannot be read.
    """
    start, started = time.monotonic(), units.now()
    if config.advisories:
        from envpack.packages.advisories import read  # noqa: PLC0415 - most runs need no advisories

        read(Path(config.advisories))  # fails before the work, not after it
    looked = look(wanted, config=config, environ=environ)
    plan = looked.plan
    say(looked.base.told)
    say(
        f"{len(plan.affected)} of {units.count(len(plan.items), 'environment')} affected"
        + (f", {units.count(len(plan.deleted), 'requirements file')} deleted" if plan.deleted else "")
        + ("" if wanted.share.whole else f"; this agent builds {len(looked.chosen)}")
    )
    each = replace(options, upgrade=options.upgrade or wanted.refresh)
    outcomes = build_all(looked.chosen, config, each, base=looked.before, jobs=wanted.jobs, say=say)
    if config.ci_catalog and not options.dry_run:
        _update_catalog(outcomes, config, options, say)
    built = {outcome.file: outcome for outcome in outcomes}
    return Report(
        base=looked.base,
        commit=changes.head(Path.cwd()),
        tree=changes.tree(Path.cwd()),
        affected=tuple(
            item.shown for item in plan.affected if not wanted.share.only or item.name in wanted.share.only
        ),
        dry_run=options.dry_run,
        started=started,
        seconds=time.monotonic() - start,
        outcomes=tuple(
            built.get(item.shown) or unaffected(item)
            for item in plan.items
            if item.shown in built or item.reason is None
        ),
        deleted=plan.deleted,
    )


def _update_catalog(
    outcomes: Iterable[Outcome], config: Config, options: Options, say: Callable[[str], None]
) -> None:
    """Add published and tagged releases to the store's catalog. If that fails, they stay published."""
    built = [outcome for outcome in outcomes if outcome.built]
    if not any(outcome.status == "published" or options.tag for outcome in built):
        return
    try:
        places.publish_beside(
            store_of(config), Cache(Path(config.cache_dir)).indexes, Lines(say), vulnerable=from_config(config)
        )
    except EnvpackError as error:
        say(f"warning: the catalog does not show it yet: {error.message}")
        say("hint: run `envpack catalog --publish`; the next build that publishes does the same")
