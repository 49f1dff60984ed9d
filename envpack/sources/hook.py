"""Call the hooks of a build backend (PEP 517), in the cage, in the Python that the wheel is built for.

It imports nothing of envpack's. Its argument is one JSON object: `source`, the project's directory; `out`, the
directory for the wheel, both relative to the working directory, as are HOME and TMPDIR; `backend` and `path`, from
pyproject.toml; `met`, the requests of the backend that were fulfilled, null for everything; `listed`, whether the
source is what git lists; `report`, a descriptor.
It writes one line of JSON to that: `{"needs": [...]}` when the backend needs more, or `{"wheel": NAME}`.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from contextlib import suppress
from importlib import metadata
from typing import Any

_FINDERS = "setuptools.file_finders"
_FILES: list[str] = []


def files(directory: str = "") -> list[str]:
    """Return the paths of the project's files below a directory of it, as setuptools wants them of a plug-in."""
    return [path for path in _FILES if path.startswith(f"{directory}/" if directory else "")]


def answer_for_git(place: str) -> None:
    """Tell the project's files to backends that ask git which there are: a build sees no `.git`.

    setuptools packs the data files that a plug-in of setuptools-scm or setuptools-git finds. It finds none here,
    and they would be left out without a word. `place` is a new directory for another plug-in.

    Source: setuptools' documentation, "Adding Support for Revision Control Systems"; pbr's `git.py`.
    """
    for folder, _, names in os.walk("."):
        _FILES.extend(os.path.normpath(os.path.join(folder, name)) for name in sorted(names))  # noqa: PTH118
    points = (point for distribution in metadata.distributions() for point in distribution.entry_points)
    if any(point.group == _FINDERS for point in points):
        info = os.path.join(place, "project_files-1.dist-info")  # noqa: PTH118
        os.makedirs(info)  # noqa: PTH103
        for name, text in (
            ("METADATA", "Metadata-Version: 2.1\nName: project-files\nVersion: 1\n"),
            ("entry_points.txt", f"[{_FINDERS}]\nproject = __main__:files\n"),
        ):
            with open(os.path.join(info, name), "w", encoding="utf-8") as file:  # noqa: PTH118, PTH123
                file.write(text)
        sys.path.append(place)
    with suppress(ImportError):
        setattr(importlib.import_module("pbr.git"), "_find_git_files", lambda *_, **__: files())  # noqa: B010


def main() -> None:
    """Ask the backend for its requirements, and let it build the wheel if they are fulfilled."""
    order: dict[str, Any] = json.loads(sys.argv[1])
    source, out = os.path.abspath(order["source"]), os.path.abspath(order["out"])  # noqa: PTH100 - links stay
    for name in ("HOME", "TMPDIR"):
        os.environ[name] = os.path.abspath(os.environ[name])  # noqa: PTH100
    # The directory of this file, which holds envpack's modules, is replaced by the backend's own.
    sys.path[0:1] = [os.path.join(source, part) for part in order["path"]]  # noqa: PTH118
    sys.argv[:] = ["setup.py"]
    os.chdir(source)
    if order["listed"]:
        answer_for_git(os.path.join(os.environ["TMPDIR"], "finder"))  # noqa: PTH118
    module, _, attributes = order["backend"].partition(":")
    backend: Any = importlib.import_module(module)
    for name in filter(None, attributes.split(".")):
        backend = getattr(backend, name)
    hook = getattr(backend, "get_requires_for_build_wheel", None)
    needs = [str(need) for need in hook({})] if hook else []
    if order["met"] is not None and not {*needs} <= {*order["met"]}:
        answer: dict[str, Any] = {"needs": needs}
    else:
        answer = {"wheel": os.path.basename(str(backend.build_wheel(out, {}, None)))}  # noqa: PTH119
    with os.fdopen(order["report"], "w", encoding="utf-8") as report:
        report.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
