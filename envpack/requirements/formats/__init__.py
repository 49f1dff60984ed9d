"""The formats that requirements come in, one module each; another one is a module and its name below."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from envpack.requirements.formats import (
    conda_list,
    conda_lock,
    environment,
    explicit,
    lines,
    pixi_lock,
    poetry_lock,
    pylock,
    pyproject,
    uv_lock,
)

if TYPE_CHECKING:
    from pathlib import Path

    from envpack.requirements.formats.content import InputFormat

FORMATS = cast(
    "tuple[InputFormat, ...]",
    (explicit, conda_list, pixi_lock, conda_lock, uv_lock, poetry_lock, pylock, pyproject, lines, environment),
)
"""The formats, in the order in which a file is tested."""

KINDS = (
    "requirement lines (*.txt), a conda environment file (*.yml, *.yaml), pyproject.toml, pylock.toml, uv.lock, "
    "poetry.lock, a `conda list --explicit` file, conda-lock.yml or pixi.lock"
)


def format_of(path: Path, text: str) -> InputFormat | None:
    """Return the format of a file, by its name and its text, or None when it is none of them."""
    return next((each for each in FORMATS if each.recognises(path, text)), None)
