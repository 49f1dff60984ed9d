"""The templates of the pages, and their functions; other packages' pages extend the same base."""

from __future__ import annotations

import hashlib
from datetime import datetime, timezone
from functools import cache
from pathlib import Path

import jinja2

from envpack import digest
from envpack.archive.formats import FORMATS
from envpack.catalog.plot import plot, sparkline
from envpack.spark.advice import unpacking_seconds
from envpack.units import count, human_size
from envpack.version import VERSION

MINUS = "\N{MINUS SIGN}"

_HERE = Path(__file__).parent


@cache
def templates(package: str = "envpack.catalog") -> jinja2.Environment:
    """Return the templates of a package, followed by those of the catalog."""
    made = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package), jinja2.PackageLoader("envpack.catalog")]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {
        "count": count,
        "size": human_size,
        "signed": _signed,
        "short": _short,
        "moment": _moment,
        "duration": _duration,
    }
    made.globals |= {
        "asset": cache(asset_path),
        "formats": FORMATS,
        "unpacking_seconds": unpacking_seconds,
        "plot": plot,
        "sparkline": sparkline,
        "made_by": VERSION,
    }
    return made


def asset(name: str) -> bytes:
    """Return a file that the pages use."""
    return (_HERE / "assets" / name).read_bytes()


def asset_path(name: str) -> str:
    """Return the path of an asset; it changes with the content, so that a page never loads an old script."""
    stem, _, suffix = name.partition(".")
    return f"assets/{stem}-{hashlib.sha256(asset(name)).hexdigest()[:12]}.{suffix}"


def _short(sha256: str) -> str:
    """Return the part of a digest that is used in paths."""
    return sha256[: digest.SHORT]


def _moment(text: str) -> str:
    """Return a moment as `2026-11-26 21:40`, in UTC."""
    found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return found.astimezone(timezone.utc).strftime("%Y-%m-%d %H:%M")


def _duration(seconds: float) -> str:
    """Return how long something takes, as `2.4 s`."""
    if seconds < 0.1:
        return "less than 0.1 s"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def _signed(amount: int) -> str:
    """Return a difference of bytes with its sign, as `+1.2 MB`."""
    return f"{'+' if amount > 0 else MINUS}{human_size(abs(amount))}" if amount else "±0"
