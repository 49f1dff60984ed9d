"""A Python for uv to ask, so that no packaged one has to run.

`uv pip install --python PYTHON` starts PYTHON to learn about it, with the caller's environment: its start-up files
(`sitecustomize`, `.pth`) would run outside of any cage, and its answer would decide where files are written. This
program replaces it: it asks envpack's own Python what uv wants to know, and answers for the other version. Source:
uv's crates/uv-python/python/get_interpreter_info.py.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any


def write(directory: Path, *, python: Path, version: str) -> Path:
    """Write a program that answers for `python`, whose version is `version`; return its path."""
    program = directory / "python"
    words = [sys.executable, "-I", __file__, str(python), version]
    program.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n', "utf-8")
    program.chmod(0o755)
    return program


def answer(own: dict[str, Any], python: Path, version: str) -> dict[str, Any]:
    """Return the answer that `python` itself would give uv, derived from this Python's answer."""
    minor = ".".join(version.split(".")[:2])
    prefix = python.parent.parent
    free = (prefix / "lib" / f"python{minor}t").is_dir()
    library = f"lib/python{minor}t" if free else f"lib/python{minor}"
    packages = f"{library}/site-packages"
    places = {
        "purelib": packages,
        "platlib": packages,
        "include": f"include/site/{Path(library).name}",
        "scripts": "bin",
        "data": "",
    }
    tag = f"cpython-{minor.replace('.', '')}{'t' if free else ''}"
    markers = {"implementation_version": version, "python_full_version": version, "python_version": minor}
    return {
        **own,
        "markers": {**own["markers"], **markers, "implementation_name": "cpython"},
        **dict.fromkeys(("sys_base_prefix", "sys_base_exec_prefix", "sys_prefix"), str(prefix)),
        **dict.fromkeys(("sys_base_executable", "sys_executable"), str(python)),
        "sys_path": [str(prefix / library), str(prefix / packages)],
        "site_packages": [str(prefix / packages)],
        "stdlib": str(prefix / library),
        "extension_suffixes": [f".{tag}-{own['markers']['platform_machine']}-linux-gnu.so", ".abi3.so", ".so"],
        "scheme": {name: str(prefix / place) for name, place in places.items()},
        "virtualenv": places,
        "gil_disabled": free,
    }


def main() -> None:
    """Answer uv for the Python that was given to `write`."""
    python, version, *arguments = sys.argv[1:]
    done = subprocess.run([sys.executable, *arguments], capture_output=True, check=False, env={})
    try:
        text = json.dumps(answer(json.loads(done.stdout), Path(python), version)).encode()
    except (ValueError, KeyError, TypeError):
        text = done.stdout
    sys.stdout.buffer.write(text)
    sys.stderr.buffer.write(done.stderr)
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
