"""Run Spark's Python workers, and say on stderr what each imported; in a driver say it at its end.

`envpack explain --import-hook` prints this file. Sent with a job (`--files envpack_imports.py`) and named in
spark.python.daemon.module it takes the place of pyspark.daemon; it changes nothing else. After the first task of a
worker, and whenever a later task brought more, a line `envpack-imports: {...}` stands in the executor's stderr. A
driver that imports this module writes such a line when it ends.
"""

import atexit
import json
import sys

_said = set()


def _say(process):
    seen = {
        name: str(getattr(module, "__version__", "") or "")
        for name, module in list(sys.modules.items())
        if "." not in name and not name.startswith("_") and "site-packages" in _place(module)
    }
    if set(seen) - _said:
        _said.update(seen)
        python = ".".join(str(part) for part in sys.version_info[:3])
        sys.stderr.write(
            "envpack-imports: " + json.dumps({"process": process, "python": python, "modules": seen}) + "\n"
        )
        sys.stderr.flush()


def _place(module):
    found = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", None) or ()), "")
    return str(found)


def _recorded(main):
    def worker_main(*arguments):
        try:
            return main(*arguments)
        finally:
            _say("worker")

    return worker_main


if __name__ == "__main__":
    from pyspark import daemon

    daemon.worker_main = _recorded(daemon.worker_main)
    daemon.manager()
elif __name__ == "envpack_imports":
    atexit.register(_say, "driver")
