"""Variables in a prefix's JSON files, as conda reads and writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envpack.files.regular import read_regular

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

STATE = "conda-meta/state"
"""What the user set for the environment, below the prefix. Source: conda's base/constants.py."""

OF_PACKAGES = "etc/conda/env_vars.d"
"""The directory of the packages' files."""

_LARGEST = 4 << 20
"""Bytes of one file."""

_UNSET = "***unset***"
"""A value that means unset. Source: conda's base/constants.py."""


def files(prefix: Path) -> list[Path]:
    """Return the files in the order in which conda reads them: those of packages by name, then the state.

    Later ones win. Source: conda's activate.py, `_get_environment_env_vars`.
    """
    folder = prefix / OF_PACKAGES
    found = sorted(folder.iterdir(), key=str) if folder.is_dir() else []
    return [path for path in (*found, prefix / STATE) if path.is_file()]


def read(path: Path) -> dict[str, str | None]:
    """Return the variables of one file; None means one to unset.

    Names are in capitals, as conda exports them by default (`envvars_force_uppercase`). Raises ValueError when the
    file is not in conda's format.
    """
    try:
        value: Any = json.loads(read_regular(path, _LARGEST).decode("utf-8"))
    except OSError as error:
        raise ValueError(error.strerror) from error
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    if path.parts[-2:] == Path(STATE).parts and isinstance(value, dict):
        value = value.get("env_vars", {})
    if not isinstance(value, dict):
        raise ValueError("it is not an object")
    return dict(_texts(value))


def write(prefix: Path, variables: Mapping[str, str]) -> None:
    """Write an environment file's `variables:` into the prefix, where conda keeps them; no file if there are none.

    With them in it, two archives whose variables differ have two digests.
    """
    if variables:
        path = prefix / STATE
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"version": 1, "env_vars": dict(sorted(variables.items()))})
        path.unlink(missing_ok=True)
        path.write_text(text, "utf-8")


def _texts(value: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    for name, item in value.items():
        if isinstance(item, dict | list):
            raise ValueError(f"{name} is not a text")
        yield name.upper(), None if item is None or item == _UNSET else str(item)
