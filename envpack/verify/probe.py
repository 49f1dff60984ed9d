"""The program that the packed Python runs: import the modules that it is told, and report on each.

It runs as `python -c TEXT DESCRIPTOR`, where envpack is not installed. Standard input has one JSON object a line,
`{"import": MODULE, "token": TEXT}`; each is answered before the next comes, with a line on the descriptor that
repeats the token. It uses nothing that Python 3.8 lacks.
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
        for line in iter(asked.readline, ""):
            wanted = json.loads(line)
            tell(token=wanted["token"], **outcome(wanted["import"]))


def outcome(module: str) -> dict[str, object]:
    """Import a module; return how that went."""
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
