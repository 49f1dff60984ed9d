"""uv's failures: each kind with its error class, its message and its remedy.

One table serves both commands, `uv pip compile` while solving and `uv pip install` while linking. The texts are
those of uv 0.13; a failure without a row keeps uv's own message.
"""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from envpack.errors import (
    BrokenPackage,
    NoSolution,
    NotReady,
    PackingFailed,
    Unreachable,
    Unsatisfiable,
    UsageError,
)

if TYPE_CHECKING:
    from envpack.errors import EnvpackError

_CACHE = "use another directory with --cache-dir or ENVPACK_CACHE_DIR"
_ADDRESS = re.compile(r"https?://[^\s`'\")]+")
_LEAD = re.compile(r"^\s*(?:error|cause): ")
_LINK_HINT = (
    "if the file was replaced on purpose, solve again with --upgrade; otherwise ask its maintainers for another one"
)


@dataclass(frozen=True, kw_only=True)
class FailureKind:
    """One kind of failure."""

    name: str
    """A word for tests and tables."""
    said: re.Pattern[str]
    """What uv's text contains for this kind."""
    error: type[EnvpackError]
    says: str
    """The beginning of the message; uv's reason follows, or `{address}` is filled in."""
    hint: str | None


def _kind(name: str, said: str, error: type[EnvpackError], says: str, hint: str | None) -> FailureKind:
    return FailureKind(name=name, said=re.compile(said, re.IGNORECASE), error=error, says=says, hint=hint)


KINDS = (
    _kind(
        "disk full",
        r"no space left on device|disk quota exceeded|\(os error (?:28|122)\)",
        PackingFailed,
        "the disk is full",
        f"free some space, or {_CACHE}",
    ),
    _kind(
        "too few descriptors",
        r"too many open files|\(os error (?:23|24)\)|could not detect either glibc version nor musl",
        NotReady,
        "uv cannot open enough files",
        "raise the limit, for example with `ulimit -n 1024`",
    ),
    _kind(
        "file size limit",
        r"file too large|\(os error 27\)",
        NotReady,
        "a file is larger than this process may write",
        "raise the limit, for example with `ulimit -f unlimited`",
    ),
    _kind(
        "no memory",
        r"cannot allocate memory|memory allocation of \d+ bytes failed|\(os error 12\)",
        NotReady,
        "there is not enough memory for uv",
        "give the process more memory",
    ),
    _kind(
        "cache not usable",
        r"failed to initialize cache|permission denied|read-only file system|operation not permitted"
        r"|\(os error (?:1|13|30)\)",
        UsageError,
        "a directory cannot be used",
        _CACHE,
    ),
    _kind(
        "credentials",
        r"lack of valid authentication credentials|401 Unauthorized|403 Forbidden|407 Proxy Authentication",
        Unreachable,
        "a package index refused the credentials, or needs some ({address})",
        "put user and password into a netrc file, or into the index's URL as `${USER}:${TOKEN}@`",
    ),
    _kind(
        "certificate",
        r"invalid peer certificate|certificate verify failed|UnknownIssuer|CertExpired",
        Unreachable,
        "the certificate of a package index is not trusted ({address})",
        "set SSL_CERT_FILE to your site's certificates",
    ),
    _kind(
        "no index",
        r"unexpected HTML|unsupported content.type|not a valid .*(?:simple|index)|Failed to parse .*simple",
        Unreachable,
        "this URL is not a package index ({address})",
        "correct --index-url or --extra-index-url in the requirements; most end with /simple",
    ),
    _kind(
        "network",
        r"error sending request|Failed to fetch|Request failed|Could not connect|dns error|tcp connect error"
        r"|operation timed out|Network connectivity is disabled|error decoding response body"
        r"|HTTP status (?:server|client) error",
        Unreachable,
        "a package index cannot be read ({address})",
        "check the network; give another index with --index-url in the requirements or UV_DEFAULT_INDEX, "
        "or a directory of wheels with --find-links",
    ),
    _kind(
        "hash",
        r"hash mismatch|hashes? (?:do|does) not match",
        BrokenPackage,
        "a wheel is not the one that was locked",
        _LINK_HINT,
    ),
    _kind(
        "wheel gone",
        r"distribution not found at",
        BrokenPackage,
        "a wheel does not exist at its URL any more",
        "put it back, or solve again with --upgrade",
    ),
    _kind(
        "other name or version inside",
        r"does not start with the normalized package name|metadata (?:name|version) .* does not match"
        r"|package metadata (?:name|version)|expected .* to have the (?:name|version)",
        BrokenPackage,
        "the content of a wheel does not match its file name",
        _LINK_HINT,
    ),
    _kind(
        "damaged wheel",
        r"failed to (?:extract|unzip)|invalid zip|zip (?:file|archive)|unexpected header|central directory|\bcrc\b"
        r"|the wheel is invalid|\.dist-info director|invalid package format|has invalid metadata"
        r"|failed to open file `[^`]*\.dist-info/"
        r"|(?:RECORD|WHEEL|METADATA)\b.*(?:is invalid|not found|missing)|failed to read metadata",
        BrokenPackage,
        "a wheel is damaged",
        _LINK_HINT,
    ),
    _kind(
        "wrong platform",
        r"not compatible with the current (?:Python|platform)|incompatible with the (?:current|target) platform"
        r"|(?:wheel|dependency) is incompatible",
        Unsatisfiable,
        "a wheel does not fit the cluster",
        "give a wheel for the cluster's platform and Python, or describe the nodes with --platform, --glibc, "
        "--python",
    ),
)
"""Tested in this order: a full disk during a download is a disk error, not a network error."""

_NO_SOLUTION = "no solution found"
_INSIDE_NO_SOLUTION = ("credentials", "other name or version inside", "damaged wheel")
"""Kinds that uv wraps into an unsatisfiable request."""


def of(text: str, code: int) -> EnvpackError:
    """Return the error for uv's output and exit code; a negative code is the signal that ended uv.

    `text` is uv's standard error, without secrets.
    """
    text = text.strip()
    if code < 0:
        return _killed(-code, text)
    unsatisfiable = _NO_SOLUTION in text.lower()
    for kind in KINDS:
        if unsatisfiable and kind.name not in _INSIDE_NO_SOLUTION:
            continue
        if kind.said.search(text):
            return _told(kind, text)
    if unsatisfiable:
        return NoSolution(text)
    return PackingFailed(
        f"uv failed: {_reason(text) or f'exit code {code}'}",
        hint="run again with --verbose, which shows the commands of uv",
    )


def _told(kind: FailureKind, text: str) -> EnvpackError:
    addresses = _ADDRESS.findall(text)
    says = kind.says.format(address=addresses[-1] if addresses else "the default index")
    return kind.error(f"{says}: {_reason(text)}", hint=kind.hint)


def _killed(number: int, text: str) -> EnvpackError:
    names = {int(known): known.name for known in signal.Signals}
    said = f": {_reason(text)}" if text else ""
    hint = "raise the limit of `ulimit -f`, then try again" if number == signal.SIGXFSZ else "try again"
    hint = "try again; the machine may need more memory" if number == signal.SIGKILL else hint
    return NotReady(f"uv was killed by {names.get(number, f'signal {number}')}{said}", hint=hint)


def _reason(text: str) -> str:
    """Return what uv names as failed and the innermost cause, in one line."""
    told = [line for line in _lines(text) if _NO_SOLUTION not in line.lower()]
    if not told:
        return ""
    if _NO_SOLUTION in text.lower():
        # The prose is about versions; the problem of the file is in the hint.
        hints = text.split("\nhint: ")[1:]
        told = [" ".join(hint.split()) for hint in hints] or told
    return told[0] if len(told) == 1 else f"{told[0]}: {told[-1]}"


def _lines(text: str) -> list[str]:
    """Return the failure and its causes, outermost first; uv's earlier progress output is left out."""
    lines = text.splitlines()
    told = [line for line in lines if _LEAD.match(line)] or [
        line for line in lines if line.strip() and not line.startswith(("warning: ", "Resolved ", "Using "))
    ]
    return [_LEAD.sub("", line).strip() for line in told]
