"""A real notebook whose cells sparkmagic's PySpark kernel sends to a Livy server."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

from tests.support.venv import venv_with

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

VERSION = "0.23.0"

_PACKAGES = (f"sparkmagic=={VERSION}", "jupyter-server>=2,<3", "nbclient>=0.10,<1")

_UNUSED = ("jupyter", "jupyterlab", "notebook", "krb5", "gssapi")
"""What it asks for to show notebooks in a browser, and for Kerberos, which has no wheels."""

_SESSION_SECONDS = 300


def installed() -> Path:
    """Return a virtual environment with sparkmagic and what runs notebooks."""
    return venv_with("sparkmagic", _PACKAGES, without=_UNUSED)


def execute(cells: Sequence[str], livy: str, directory: Path, more: Mapping[str, Any] | None = None) -> list[str]:
    """Execute a notebook with these cells, in sessions of the Livy server at a URL; return what they printed.

    Fails when a cell fails. `directory` takes the notebook and the person's sparkmagic configuration, which `more`
    is merged into.
    """
    venv = installed()
    (package,) = venv.glob("lib/python*/site-packages/sparkmagic")
    credentials = {"url": livy, "auth": "None", "username": "", "password": ""}
    configuration = {
        "kernel_python_credentials": credentials,
        "livy_session_startup_timeout_seconds": _SESSION_SECONDS,
        **(more or {}),
    }
    (directory / ".sparkmagic").mkdir(parents=True)
    (directory / ".sparkmagic/config.json").write_text(json.dumps(configuration))
    notebook = directory / "notebook.ipynb"
    notebook.write_text(json.dumps(notebook_of(cells, "pysparkkernel")))
    done = subprocess.run(
        [venv / "bin/jupyter-execute", "--inplace", notebook],
        env={
            "PATH": os.pathsep.join([f"{venv}/bin", "/usr/bin", "/bin"]),
            "HOME": str(directory),
            "JUPYTER_PATH": str(package),  # which has a directory kernels
        },
        capture_output=True,
        text=True,
        timeout=_SESSION_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-20_000:]
    executed = json.loads(notebook.read_text())
    return ["".join(map(printed, cell["outputs"])) for cell in executed["cells"]]


def notebook_of(cells: Sequence[str], kernel: str) -> dict[str, Any]:
    """Return a notebook for a kernel as JSON. Source: nbformat's notebook format, version 4.5."""
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": {"name": kernel, "display_name": kernel, "language": "python"}},
        "cells": [
            {
                "cell_type": "code",
                "id": f"cell-{number}",
                "metadata": {},
                "execution_count": None,
                "outputs": [],
                "source": source,
            }
            for number, source in enumerate(cells)
        ],
    }


def printed(output: dict[str, Any]) -> str:
    """Return what one of a cell's outputs has from `print`; sparkmagic adds tables and progress bars."""
    return "".join(output.get("text", []))
