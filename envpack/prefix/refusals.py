"""Why conda packages are not linked, in words that help the user: none of rattler's, and no bytes of a file."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from envpack.errors import BrokenPackage, DamagedPackage, PackingFailed, Unreachable
from envpack.prefix.arrivals import damage
from envpack.redact import redact
from envpack.redact.logs import filtered_logger

if TYPE_CHECKING:
    from pathlib import Path

    from envpack.errors import EnvpackError
    from envpack.prefix.arrivals import Arrivals

logger = filtered_logger(__name__)

_NAMED = re.compile(r"failed to (?:fetch|link) (\S+)")

_LONGEST = 300
"""The most characters of a reason that are shown."""

_MEND_CHANNEL = (
    "repair the channel and its index, or solve again with --upgrade if the package was replaced on purpose"
)

_MEANINGS: tuple[tuple[str, type[EnvpackError], str, str], ...] = (
    (
        r"HTTP status [a-z ]*error \((404|410)\b",
        Unreachable,
        "{file} is in the index of its channel, but does not exist: {said}",
        _MEND_CHANNEL,
    ),
    (
        "error sending request|error decoding response|HTTP status",
        Unreachable,
        "a package cannot be fetched: {said}",
        "check the network and the channel's URL",
    ),
    (
        "No space left|Disk quota exceeded",
        PackingFailed,
        "the disk is full: {said}",
        "free space, or use another cache with --cache-dir or ENVPACK_CACHE_DIR",
    ),
    (
        "hash mismatch",
        BrokenPackage,
        "{file} differs from its channel's index: it has another SHA-256",
        _MEND_CHANNEL,
    ),
    (
        "File too large",
        BrokenPackage,
        "{file} contains a file that is larger than envpack allows",
        _MEND_CHANNEL,
    ),
    (
        "(?s)failed to fetch .*package cache",
        BrokenPackage,
        "{file} is damaged or truncated: it cannot be extracted",
        _MEND_CHANNEL,
    ),
    (
        "longer than the placeholder",
        PackingFailed,
        "{file} has no room in a binary file for the path of the environment, which has {length} bytes: {prefix}",
        "use a cache with a shorter path: --cache-dir or ENVPACK_CACHE_DIR",
    ),
    (
        "",
        PackingFailed,
        "the conda packages cannot be linked: {said}",
        "if a package was replaced in its channel, solve again with --upgrade",
    ),
)
"""rattler's messages, as regular expressions, and their meanings; the first match counts."""


def check_local(arrivals: Arrivals) -> None:
    """Check that the packages of directory channels are the locked ones: rattler compares no digests there.

    Raises Unreachable when one is missing, BrokenPackage when one is another file or only a part of it.
    """
    absent, damaged = [], []
    for package, path in arrivals.local_and_new():
        try:
            wrong = damage(package, path)
        except FileNotFoundError:
            absent.append(f"{path.name} is in the index of the channel {path.parent.parent}, but does not exist")
        except OSError as error:
            damaged.append(f"{path} cannot be read: {error.strerror}")
        else:
            damaged += [f"{path} {wrong}"] if wrong else []
    if absent:
        raise Unreachable([*absent, *damaged], hint=_MEND_CHANNEL)
    if damaged:
        raise BrokenPackage(damaged, hint=_MEND_CHANNEL)


def refused(arrivals: Arrivals) -> BrokenPackage | None:
    """Return the error for packages that were found unfit before they were linked; None if there are none."""
    problems = arrivals.problems
    if problems:
        text = "\n".join(sorted(problems))
        return BrokenPackage(
            f"conda packages must not be installed:\n{text}" if len(problems) > 1 else f"the conda package {text}",
            hint="use another build or version, and report it to the package's maintainers",
        )
    if arrivals.damaged:
        told = [arrivals.damaged[name] for name in sorted(arrivals.damaged)]
        return DamagedPackage(told, owners={f"conda/{name}" for name in arrivals.damaged})
    return None


def explained(error: Exception, prefix: Path) -> EnvpackError:
    """Return our error for one of rattler's: which package, what is wrong with it, and what to do."""
    text = redact(str(error)).replace(str(prefix), "PREFIX")
    logger.info("rattler: %s", ascii(text))
    found = _NAMED.search(text)
    words = {
        "file": found[1] if found else "a package",
        "length": len(os.fsencode(prefix)),
        "prefix": prefix,
        "said": ": ".join(_plain(reason) for reason in text.split("\nCaused by: ")),
    }
    kind, message, hint = next(row[1:] for row in _MEANINGS if re.search(row[0], text))
    return kind(message.format(**words), hint=hint)


def _plain(text: str) -> str:
    """Return a message as it can be shown: some quote the content of a file."""
    shown = text.strip() if text.strip().isprintable() else ascii(text.strip())
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}..."
