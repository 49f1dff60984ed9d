"""Call the hooks of a build backend (PEP 517), in the cage, in the Python that the wheel is built for.

It imports nothing of envpack's. Its argument is one JSON object: `source`, the project's directory; `out`, the
directory for the wheel, both relative to the working directory, as are HOME and TMPDIR; `backend` and `path`, from
pyproject.toml; `met`, the requests of the backend that were fulfilled, null for everything; `report`, a descriptor.
It writes one line of JSON to that: `{"needs": [...]}` when the backend needs more, or `{"wheel": NAME}`.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any


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
