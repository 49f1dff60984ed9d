"""The program that the packed Python runs: import modules and tell how each went.

It runs as `python -c TEXT DESCRIPTOR MODULE...`, where envpack is not installed, and writes one JSON object a line
to the descriptor. It uses nothing that Python 3.7 lacks.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback


def main(descriptor: int, modules: list[str]) -> None:
    """Import modules one after the other; each is announced first, so that a crash can be laid at its door."""
    os.set_inheritable(descriptor, False)
    with os.fdopen(descriptor, "w") as report:

        def tell(**event: object) -> None:
            report.write(json.dumps(event) + "\n")
            report.flush()

        tell(version=sys.version.split()[0], path=[os.path.realpath(folder) for folder in sys.path if folder])
        for module in modules:
            tell(importing=module)
            try:
                importlib.import_module(module)
                if module == "ssl":
                    tell(certificates=certificates())
            except BaseException as error:  # noqa: BLE001 - SystemExit fails an import as well
                tell(failed=module, reasons=reasons(error))
            else:
                tell(imported=module)
        tell(done=True)


def reasons(error: BaseException) -> list[str]:
    """Return an exception's message, and those of the exceptions that it was raised from."""
    text = "".join(traceback.format_exception_only(type(error), error)).strip()
    return [text, *(reasons(error.__cause__) if error.__cause__ else [])]


def certificates() -> int:
    """Return how many authorities a default TLS connection would trust."""
    import ssl  # noqa: PLC0415 - a Python without ssl must get as far as saying so

    return ssl.create_default_context().cert_store_stats()["x509_ca"]


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
