"""The program that the packed Python runs: import the given modules, and report on each.

It runs as `python -c TEXT DESCRIPTOR`, where envpack is not installed. Standard input has one JSON object a line,
`{"import": MODULE, "token": TEXT}`; each is answered before the next comes, with a line on the descriptor that
repeats the token. Without a module, it reports what all imports together have loaded, in several lines. It runs on
Python 3.8.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback


def main(descriptor: int) -> None:
    """Import modules as long as some are named."""
    commands = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.set_inheritable(descriptor, False)
    with os.fdopen(descriptor, "w") as report, os.fdopen(commands) as asked:

        def tell(**event: object) -> None:
            report.write(json.dumps(event) + "\n")
            report.flush()

        tell(version=sys.version.split()[0], path=[os.path.realpath(folder) for folder in sys.path if folder])
        sys.meta_path.append(Missed)
        for line in iter(asked.readline, ""):
            wanted = json.loads(line)
            if "import" in wanted:
                tell(token=wanted["token"], **outcome(wanted["import"]))
                continue
            for kind, names in (("files", loaded()), ("missed", sorted(Missed.names))):
                for start in range(0, len(names), MANY):
                    tell(token=wanted["token"], **{kind: names[start : start + MANY]})
            tell(token=wanted["token"], all=True)


MANY = 100
"""Names in one line of the report."""


class Missed:
    """The last finder: it is asked for what no other has found."""

    names: set[str] = set()  # noqa: RUF012 - there is one of it

    @classmethod
    def find_spec(cls, name: str, path: object = None, target: object = None) -> None:  # noqa: ARG003
        """Note the name of a missing module."""
        cls.names.add(name)


def loaded() -> list[str]:
    """Return the files below the environment that are modules of this process, or that it has mapped."""
    top, folders, found = os.path.realpath("environment") + os.sep, {}, set()
    for path in (*modules(), *mapped()):
        folder, name = os.path.split(path)
        if folder not in folders:
            folders[folder] = os.path.realpath(folder)
        found.add(folders[folder] + os.sep + name)
    return sorted(path[len(top) :] for path in found if path.startswith(top))


def modules() -> list[str]:
    """Return the files of the modules that were imported."""
    files = [getattr(module, "__dict__", {}).get("__file__") for module in list(sys.modules.values())]
    return [file for file in files if isinstance(file, str)]


def mapped() -> list[str]:
    """Return the files that Linux has mapped for this process, such as libraries that other libraries need."""
    try:
        with open("/proc/self/maps", errors="surrogateescape") as maps:  # noqa: PTH123
            words = [line.rstrip("\n").split(None, 5) for line in maps]
    except OSError:
        return []
    return [each[5] for each in words if len(each) > 5 and each[5].startswith("/")]


def outcome(module: str) -> dict[str, object]:
    """Import a module; return the result."""
    try:
        importlib.import_module(module)
        trusted = certificates() if module == "ssl" else None
    except BaseException as error:  # noqa: BLE001 - SystemExit fails an import as well
        return {"reasons": [reason[:4000] for reason in reasons(error)[:20]]}
    return {"certificates": trusted}


def reasons(error: BaseException) -> list[str]:
    """Return an exception's message, and those of the exceptions that it was raised from."""
    found: list[str] = []
    cause: BaseException | None = error
    while cause is not None and len(found) < 20:
        found.append("".join(traceback.format_exception_only(type(cause), cause)).strip())
        cause = cause.__cause__
    return found


def certificates() -> int:
    """Return how many authorities a default TLS connection would trust."""
    import ssl  # noqa: PLC0415 - a Python without ssl must get as far as saying so

    return ssl.create_default_context().cert_store_stats()["x509_ca"]


if __name__ == "__main__":
    main(int(sys.argv[1]))
