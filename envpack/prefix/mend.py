"""Remove damaged packages from the caches, so that they are fetched again."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from envpack.prefix.arrivals import place_of
from envpack.prefix.ledger import Ledger
from envpack.tools import uv

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from envpack.files.cache import Cache
    from envpack.lock.lock import Lock


def forget(owners: Collection[str], lock: Lock, cache: Cache, scratch: Path) -> None:
    """Remove the caches' copies of some of a lock's packages, each `conda/NAME` or `pypi/NAME`.

    Raises the errors of `uv.run` when uv's cache cannot be changed.
    """
    ledger = Ledger(cache.checked)
    for package in lock.packages:
        if f"conda/{package.name}" in owners:
            shutil.rmtree(place_of(package, cache.packages), ignore_errors=True)
            ledger.forget(package.sha256)
    wheels = [wheel for wheel in lock.wheels if f"pypi/{wheel.name}" in owners]
    for wheel in wheels:
        ledger.forget(wheel.sha256)
    if wheels:
        names = sorted(str(wheel.name) for wheel in wheels)
        uv.run(["cache", "clean", *names], cache=cache.uv, workdir=scratch)
