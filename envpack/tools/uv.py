"""Run uv, the PyPI engine, and tell what its failures mean."""

from __future__ import annotations

import logging
import os
import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from uv import find_uv_bin

from envpack.errors import Unreachable
from envpack.redact import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

logger = logging.getLogger(__name__)

_NETWORK = re.compile(
    r"error sending request|Failed to fetch|Request failed|Could not connect|dns error|tcp connect error"
    r"|operation timed out|Network connectivity is disabled"
)
_ADDRESS = re.compile(r"https?://[^\s`'\")]+")


@dataclass(frozen=True)
class Failure(Exception):
    """uv ended with an error that is not the network's."""

    text: str
    """What uv wrote, without credentials."""


def run(
    arguments: Sequence[str], *, cache: Path, workdir: Path, on_line: Callable[[str], None] | None = None
) -> None:
    """Run uv with its cache in `cache`, in `workdir` so that no project's uv configuration is picked up.

    Each line that uv writes about its progress goes to `on_line`. Raises Unreachable when an index does not
    answer, and Failure for everything else that goes wrong.
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
        _fail("".join(lines))


def _environment() -> dict[str, str]:
    # An active virtual environment or conda environment must not become uv's target.
    dropped = ("VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONHOME", "PYTHONPATH", "UV_PYTHON", "UV_SYSTEM_PYTHON")
    return {name: value for name, value in os.environ.items() if name not in dropped}


def _fail(text: str) -> None:
    text = redact(text).strip().removeprefix("error: ")
    if _NETWORK.search(text) and "No solution found" not in text:
        addresses = _ADDRESS.findall(text)
        where = addresses[-1] if addresses else "the package index"
        reason = text.splitlines()[-1].strip().removeprefix("cause: ")
        raise Unreachable(
            f"a package index cannot be read ({where}): {reason}",
            hint="check the network; name another index with --index-url in the requirements or UV_INDEX_URL, "
            "or wheels in a folder with --find-links",
        )
    raise Failure(text)
