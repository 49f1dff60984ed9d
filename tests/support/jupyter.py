"""A real Jupyter that executes notebooks with kernels of a folder."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.sparkmagic import notebook_of, printed
from tests.support.venv import venv_with

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PACKAGES = ("nbconvert>=7,<8", "nbclient>=0.10,<1", "jupyter-core>=5,<6")
_SECONDS = 600


def installed() -> Path:
    """Return a virtual environment with what executes notebooks; it has no kernel of its own to use."""
    return venv_with("jupyter", _PACKAGES)


def execute(
    cells: Sequence[str], kernel: str, directory: Path, data: Path, environment: Mapping[str, str]
) -> list[str]:
    """Execute a notebook with `jupyter nbconvert` and a kernel of the data directory; return what cells printed."""
    venv = installed()
    notebook = directory / "notebook.ipynb"
    notebook.write_text(json.dumps(notebook_of(cells, kernel)))
    done = subprocess.run(
        [venv / "bin/jupyter-nbconvert", "--to", "notebook", "--execute", "--inplace", notebook.name],
        cwd=directory,
        env={
            **environment,
            "PATH": os.pathsep.join([f"{venv}/bin", environment["PATH"]]),
            "JUPYTER_DATA_DIR": str(data),
        },
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-20_000:]
    executed = json.loads(notebook.read_text())
    return ["".join(map(printed, cell["outputs"])) for cell in executed["cells"]]
