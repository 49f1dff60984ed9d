"""Compute the environment variables that a packed environment needs; nothing activates it on a node."""

from __future__ import annotations

import os
import re
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from envpack.files.remove import remove
from envpack.prefix.activation import certificates, reading, shell, state
from envpack.prefix.activation.relocation import ROOT, Found, Prefix, relocate
from envpack.prefix.activation.script import Place, ScriptOutcome
from envpack.progress import SILENT, Progress
from envpack.tools.cage import Confine
from envpack.units import count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from envpack.config.target import Target

SCRIPTS = "etc/conda/activate.d"
"""The directory of activation scripts, below the prefix."""

TIMEOUT = 20.0
"""Seconds that one script may take."""

_PLAIN = re.compile(r"[\w./@+-]+")


@dataclass(frozen=True, kw_only=True)
class Activation:
    """What activating an environment would set."""

    variables: Mapping[str, str]
    """Sorted by name; values apply where the archive is unpacked as `./environment`."""
    warnings: tuple[str, ...]
    """The variables that were left out, and why."""


def keep(prefix: Path, own: Mapping[str, str]) -> None:
    """Write an environment file's `variables:` into the prefix to pack, as conda does."""
    state.write(prefix, own)


def activate(
    prefix: Path,
    own: Mapping[str, str],
    *,
    target: Target,
    workdir: Path,
    timeout: float = TIMEOUT,
    confine: Confine = Confine.BEST,
    progress: Progress = SILENT,
) -> Activation:
    """Return the variables that apply on a node, from all that activating the prefix would set.

    As with conda the files of `etc/conda/env_vars.d` come first, then `conda-meta/state`, then the scripts of
    `etc/conda/activate.d` by name, each overriding those before it. `own` are an environment file's `variables:`;
    they override all and stay unchanged. If nothing sets SSL_CERT_FILE, it is set to the environment's
    certificates.

    The scripts of a prefix for this machine are run, each in its own shell and cage for at most `timeout` seconds,
    in `workdir`, which is empty. Where they cannot be run safely, they are read. Source of order and precedence:
    conda's activate.py.
    """
    work = _Work(prefix=prefix.absolute(), own=own)
    run = _Run(target=target, timeout=timeout, confine=confine, progress=progress)
    work.take_in_files()
    scripts = _scripts(prefix)
    paths = [work.prefix]
    if scripts:
        with _place(work.prefix, workdir) as place, progress.step("activate", total=len(scripts)) as step:
            paths.append(place.prefix)
            for script in scripts:
                work.take_in(script, _try(script, work, place, run))
                step.advance(1)
            step.note(count(len(scripts), "script"))
    kept, warnings = relocate(work.found, Prefix.of(*paths))
    variables = {**_certificates(prefix), **kept, **own}
    return Activation(
        variables=dict(sorted(variables.items())),
        warnings=(*work.warnings, *warnings, *_of_a_home(own), *_uncertified(prefix, variables)),
    )


@dataclass(kw_only=True)
class _Work:
    """What is known so far."""

    prefix: Path
    own: Mapping[str, str]
    found: dict[str, Found] = field(default_factory=dict)
    environ: dict[str, str | None] = field(default_factory=dict)
    """What the next script sees, in addition to every shell's variables; None for an unknown value."""
    warnings: list[str] = field(default_factory=list)

    def take_in_files(self) -> None:
        for path in state.files(self.prefix):
            origin = path.relative_to(self.prefix).as_posix()
            try:
                declared = state.read(path)
            except ValueError as error:
                self.warnings.append(f"{origin} cannot be read: {error}")
                continue
            text = path.read_text("utf-8", "replace")
            owned = {name.upper() for name in self.own}
            for name, value in declared.items():
                self.found.pop(name, None)
                if value is not None and name not in owned:
                    self.found[name] = Found(value=value, origin=origin, text=text)
        self.environ = {name: item.value for name, item in self.found.items()} | dict(self.own)

    def take_in(self, script: Path, outcome: ScriptOutcome) -> None:
        text = script.read_text("utf-8", "replace")
        for name in outcome.removed:
            self.environ.pop(name, None)
            self.found.pop(name, None)
        for name, value in outcome.changed.items():
            self.environ[name] = value
            self.found.pop(name, None)
            # An empty exported value tells the deactivation script that there was no value before.
            if value != "" and name not in self.own:
                self.found[name] = Found(value=value, origin=script.name, text=text)
        if outcome.problem:
            self.warnings.append(f"{script.name} {outcome.problem}")


@dataclass(frozen=True, kw_only=True)
class _Run:
    """How scripts are tried."""

    target: Target
    timeout: float
    confine: Confine
    progress: Progress


def _try(script: Path, work: _Work, place: Place, run: _Run) -> ScriptOutcome:
    bash = shell.usable(run.confine) if run.target.is_this_machine else None
    if bash is None:
        environ = {**work.environ, **shell.clean_environ(place), **dict.fromkeys(shell.OF_THE_MACHINE)}
        return reading.read(script, environ, place, machine=run.target.machine)
    given = {name: value for name, value in work.environ.items() if value is not None}
    return shell.run(
        script,
        {**given, **shell.clean_environ(place)},
        place,
        shell=bash,
        timeout=run.timeout,
        confine=run.confine,
        progress=run.progress,
    )


def _scripts(prefix: Path) -> list[Path]:
    folder = prefix.absolute() / SCRIPTS
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted((path for path in found if path.name.endswith(".sh") and path.is_file()), key=str)


@contextmanager
def _place(prefix: Path, workdir: Path) -> Iterator[Place]:
    """Give the scripts paths without blanks; careless scripts split at blanks, and would behave differently."""
    if _PLAIN.fullmatch(str(prefix)) and _PLAIN.fullmatch(str(workdir)):
        yield Place(directory=workdir, prefix=prefix)
        return
    room = Path(tempfile.mkdtemp(prefix="envpack-")).resolve()
    try:
        link = room / prefix.name
        link.symlink_to(prefix)
        directory = room / "activation"
        directory.mkdir()
        yield Place(directory=directory, prefix=link)
    finally:
        remove(room)


def _certificates(prefix: Path) -> dict[str, str]:
    bundle = certificates.bundle(prefix)
    return {"SSL_CERT_FILE": f"{ROOT}/{bundle}"} if bundle else {}


def _uncertified(prefix: Path, variables: Mapping[str, str]) -> list[str]:
    if variables.keys() & {"SSL_CERT_FILE", "SSL_CERT_DIR"} or not certificates.has_openssl(prefix):
        return []
    return ["the environment's OpenSSL finds no certificates on a node: add ca-certificates or certifi"]


def _of_a_home(own: Mapping[str, str]) -> list[str]:
    """Warn of the user's values that contain the home directory; they stay."""
    place = os.path.expanduser("~")  # noqa: PTH111 - a Path has no answer for who has no home
    home = re.compile(rf"(?<![\w.-]){re.escape(place)}(?:/|:|$)")
    named = [name for name, value in sorted(own.items()) if home.search(value)]
    return [f"`variables:` sets {name} to a path in your home directory, which nodes lack" for name in named]
