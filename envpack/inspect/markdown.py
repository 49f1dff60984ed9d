"""Write package changes as Markdown, safe for any names and versions."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpack.packages.compare import Comparison
    from envpack.packages.package import PackedPackage

_MOST_ROWS = 100


def package_table(changes: Comparison, label: str, after: str = "now") -> Iterator[str]:
    """Yield the lines of a table of package changes, headed by what was compared, with an empty line at its end."""
    if not changes:
        yield f"The same packages as {code(label)}."
        yield ""
        return
    rows = [f"| {code(package.name)} | | {_version(package)} |" for package in changes.added]
    rows += [f"| {code(package.name)} | {_version(package)} | |" for package in changes.removed]
    rows += [f"| {code(old.name)} | {_version(old, new)} | {_version(new, old)} |" for old, new in changes.changed]
    yield f"| package | {code(label)} | {after} |"
    yield "|---|---|---|"
    yield from sorted(rows)[:_MOST_ROWS]
    if len(rows) > _MOST_ROWS:
        yield f"| ... {len(rows) - _MOST_ROWS} more | | |"
    yield ""


def code(words: str) -> str:
    """Return words as code, in a table too."""
    return f"`{words.replace('`', chr(39)).replace('|', chr(92) + '|')}`"


def text(words: str) -> str:
    """Return words as plain text, in a table too."""
    escaped = html.escape(words.replace("\n", " "), quote=False).replace("|", "\\|")
    return "".join(f"\\{c}" if c in "*_`[]" else c for c in escaped)


def prose(words: str) -> str:
    """Return a sentence of envpack's as Markdown: text between backticks is code, the rest plain text."""
    parts = words.replace("\n", " ").split("`")
    if len(parts) % 2 == 0:
        return text(words)
    return "".join(code(part) if at % 2 and part.strip() else text(part) for at, part in enumerate(parts))


def _version(package: PackedPackage, other: PackedPackage | None = None) -> str:
    """Return a version with its build and its source; with its bytes where nothing else differs."""
    told = f"{package.version}{f' {package.build}' if package.build else ''} ({package.kind})"
    same = other and (package.version, package.build, package.kind) == (other.version, other.build, other.kind)
    return text(f"{told} {package.sha256[:8]}" if same else told)
