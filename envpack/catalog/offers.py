"""What each launcher needs to run in a release, or why it cannot."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from envpack.errors import UsageError
from envpack.spark.launchers import LAUNCHERS
from envpack.spark.render import Output, render
from envpack.spark.settings import settings_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpack.releases.lookup import Release
    from envpack.spark.launcher import Launcher
    from envpack.spark.settings import Settings

UNPACKED = Path("/opt/envpack")
"""Where the settings assume that the user unpacks an archive; no path of the machine that makes the catalog."""


@dataclass(frozen=True, kw_only=True)
class Text:
    """One way to give the settings."""

    title: str
    """Its name, such as `spark-defaults.conf`; empty for the text to paste for this launcher."""
    body: str


@dataclass(frozen=True, kw_only=True)
class LauncherOffer:
    """The settings of one launcher for one release."""

    launcher: str
    purpose: str
    refusal: str | None = None
    """Why the two cannot work together; then there is nothing else."""
    prepare: tuple[str, ...] = ()
    """Shell commands to run first."""
    texts: tuple[Text, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ShellLine:
    """A line for a shell of any machine that reads the store."""

    purpose: str
    line: str


def commands(reference: str, store: str) -> tuple[ShellLine, ...]:
    """Return how a release is used outside of Spark; `store` is its URL."""
    where = f"--store {shlex.quote(store)}"
    directory = reference.partition(":")[0].partition("@")[0]
    return (
        ShellLine(purpose="Run a command in it", line=f"envpack run {reference} {where} -- python app.py"),
        ShellLine(purpose="Unpack it", line=f"envpack pull {reference} ./{directory} {where}"),
        ShellLine(purpose="For another Spark", line=f"envpack settings {reference} {where} --spark VERSION"),
    )


def offers(release: Release) -> tuple[LauncherOffer, ...]:
    """Return an offer of every launcher, the default one first and refusing ones last."""
    made = [_offer(launcher, release) for launcher in LAUNCHERS.values()]
    return tuple(sorted(made, key=lambda offer: offer.refusal is not None))


def _offer(launcher: Launcher, release: Release) -> LauncherOffer:
    manifest = release.manifest
    purpose = launcher.purpose.replace("`", "")
    try:
        settings = settings_for(
            manifest,
            release.archive_uri,
            launcher=launcher.name,
            directory=UNPACKED / f"{manifest.name}-{manifest.short_digest}",
        )
    except UsageError as error:
        hint = f"; {error.hint}" if error.hint else ""
        return LauncherOffer(launcher=launcher.name, purpose=purpose, refusal=f"{error.message}{hint}")
    return LauncherOffer(
        launcher=launcher.name,
        purpose=purpose,
        prepare=settings.prepare,
        texts=tuple(_texts(launcher, settings)),
        notes=settings.notes,
        warnings=settings.warnings,
    )


def _texts(launcher: Launcher, settings: Settings) -> Iterator[Text]:
    yield Text(title="", body=render(settings, "text"))
    others: dict[str, Output] = {}
    if launcher.text == "submit":
        others["spark-defaults.conf"] = "conf"
    if settings.alternatives:
        others["environment variables"] = "env"
    for title, output in others.items():
        try:
            yield Text(title=title, body=render(settings, output))
        except UsageError:
            # These variables' values cannot be written in such a file; they are in the first text.
            continue
