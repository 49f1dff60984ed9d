"""Run uv, the PyPI engine."""

from __future__ import annotations

import logging
import os
import subprocess
from typing import TYPE_CHECKING

from uv import find_uv_bin

from envpack.redact import redact
from envpack.tools import uv_failures

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

logger = logging.getLogger(__name__)


def run(
    arguments: Sequence[str], *, cache: Path, workdir: Path, on_line: Callable[[str], None] | None = None
) -> None:
    """Run uv with its cache in `cache`, in `workdir` so that no project's uv configuration is picked up.

    Each line that uv writes about its progress goes to `on_line`. Raises the error that `uv_failures` has for what
    went wrong: Unsatisfiable, Unreachable, BrokenPackage, NotReady or PackingFailed.
    """
    command = [find_uv_bin(), *arguments, "--cache-dir", str(cache), "--color", "never", "--no-python-downloads"]
    logger.debug("run %s", redact(" ".join(command)))
    lines: list[str] = []
    with subprocess.Popen(
        command,
        cwd=workdir,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="replace",
    ) as process:
        assert process.stderr is not None  # noqa: S101 - a pipe was asked for
        try:
            for line in process.stderr:
                lines.append(line)
                logger.debug("uv: %s", redact(line.rstrip()))
                if on_line:
                    on_line(line)
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise uv_failures.of(redact("".join(lines)), process.returncode)


def _environment() -> dict[str, str]:
    # An active virtual environment or conda environment must not become uv's target.
    dropped = ("VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONHOME", "PYTHONPATH", "UV_PYTHON", "UV_SYSTEM_PYTHON")
    return {name: value for name, value in os.environ.items() if name not in dropped}
