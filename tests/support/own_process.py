"""What belongs to the whole process: each test begins with what a new process has, and leaves what it found.

So no test sees the secrets, variables, directory or signals of another that ran before it in the same worker.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LEARNED: dict[tuple[str, str], Callable[[], Any]] = {
    ("envpack.redact.known", "_secrets"): dict,
    ("envpack.redact.known", "_forms"): dict,
    ("envpack.stores.s3.assembly", "_proofs"): dict,
    ("envpack.tools.cage", "_hopeless"): set,
    ("envpack.tools.cage", "_said"): set,
    ("envpack.cli.umask", "_given"): lambda: None,
}
"""By module and name: what envpack learns while a process lives, and what a new process knows."""

ASKED = {("envpack.packages.advisories", "_read"), ("envpack.tools.uv_access", "_from_keyring")}
"""Functions that remember an answer from outside, which another test may give in another way."""

FACTS = {
    ("envpack.archive.start", "_put_off"),  # it is packed and runs in other Pythons
    ("envpack.catalog.pages", "_maker"),
    ("envpack.catalog.templates", "templates"),
    ("envpack.explain.imports_script", "_said"),  # people paste it into Python processes of a Spark
    ("envpack.files.installed", "_listed"),  # a function of its arguments
    ("envpack.packages.licenses", "_licensing"),
    ("envpack.resolve.mapping", "known"),
    ("envpack.stores.s3.client", "_loader"),
    ("envpack.tools.cage", "_admitted"),
    ("envpack.tools.seatbelt", "_works"),
    ("envpack.visible", "_unseen"),
}
"""What is remembered of envpack's own files and of the machine: it is the same for every test."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ)


@pytest.fixture(autouse=True)
def own_process() -> Iterator[None]:
    """Begin as a new process does; at the end, put back what is the process's."""
    for (module, name), beginning in LEARNED.items():
        if module in sys.modules:
            setattr(sys.modules[module], name, beginning())
    for module, name in ASKED:
        if module in sys.modules:
            getattr(sys.modules[module], name).cache_clear()
    variables, directory, umask = dict(os.environ), Path.cwd(), _umask()
    handlers = [(number, signal.getsignal(number)) for number in _SIGNALS]
    logger = logging.getLogger("envpack")
    logged, level = list(logger.handlers), logger.level
    yield
    if dict(os.environ) != variables:
        os.environ.clear()
        os.environ.update(variables)
    os.chdir(directory)
    os.umask(umask)
    for number, handler in handlers:
        if signal.getsignal(number) is not handler:
            signal.signal(number, handler)
    logger.handlers[:] = logged
    logger.setLevel(level)


def _umask() -> int:
    umask = os.umask(0o022)
    os.umask(umask)
    return umask
