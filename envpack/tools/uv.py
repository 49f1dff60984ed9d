"""Run uv, the PyPI engine."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from uv import find_uv_bin

from envpack.errors import NotReady
from envpack.redact import meet_files, redact
from envpack.redact.logs import filtered_logger
from envpack.tools import uv_bounds, uv_failures, uv_runs
from envpack.tools.uv_access import NO_ACCESS, environment, meet_keyring

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from envpack.tools.uv_access import Access

logger = filtered_logger(__name__)


def run(
    arguments: Sequence[str],
    *,
    cache: Path,
    workdir: Path,
    access: Access = NO_ACCESS,
    on_line: Callable[[str], None] | None = None,
    most: int = uv_bounds.ANY,
) -> None:
    """Run uv with its cache in `cache`, in `workdir`; it reads no configuration file and none of its own variables.

    `access` says which indexes to ask and with which credentials; no argument holds one. Each line of uv's progress
    goes to `on_line`. No wheel is unpacked to more than `most` bytes. Raises the error that `uv_failures` has for
    the failure: NoSolution, Unsatisfiable, Unreachable, BrokenPackage, NotReady, UsageError or PackingFailed.
    """
    command = [find_uv_bin(), *arguments, "--cache-dir", str(cache), "--color", "never", "--no-python-downloads"]
    command += ["--no-config", *access.arguments]
    logger.debug("run %s", " ".join(command))
    meet_files(os.environ)
    meet_keyring(os.environ, access)
    lines: list[str] = []
    with (
        uv_runs.registered(cache, most) as runs,
        subprocess.Popen(
            command,
            cwd=workdir,
            env={**environment(os.environ), **access.environment, "UV_NO_WRAP": "1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            pass_fds=() if runs.held is None else (runs.held,),
        ) as process,
    ):
        assert process.stderr is not None  # noqa: S101 - a pipe was asked for
        try:
            with uv_bounds.bounded(process, cache, most, runs) as bound:
                for line in process.stderr:
                    lines.append(line)
                    logger.debug("uv: %s", line.rstrip())
                    if on_line:
                        on_line(line)
                process.wait()
        except BaseException:
            process.kill()
            raise
    bound.check("".join(lines))
    if process.returncode:
        raise uv_failures.of(redact("".join(lines)), process.returncode)


def default_index(*, cache: Path, workdir: Path) -> str:
    """Return the address of the index that uv asks where none is named; `workdir` gets two files.

    Raises NotReady when uv does not report it.
    """
    nothing, answer = workdir / "nothing.txt", workdir / "index.txt"
    nothing.write_text("", "utf-8")
    run(
        [
            *("pip", "compile", str(nothing), "--output-file", str(answer), "--emit-index-url", "--no-header"),
            *("--offline", "--python", sys.executable),
        ],
        cache=cache,
        workdir=workdir,
    )
    for line in answer.read_text("utf-8").splitlines():
        option, _, address = line.partition(" ")
        if option == "--index-url":
            return address
    raise NotReady(
        "uv did not report the URL of its package index", hint="give one with --index-url in the requirements"
    )
