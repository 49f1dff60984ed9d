"""Write docs/troubleshooting.md from the errors' own texts: `make reference`."""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from envpack import errors
from envpack.errors import EnvpackError

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "troubleshooting.md"
_OTHERS = {"Problem": ("BadRequirements", 2), "Refused": ("BadRequirements", 0)}
"""Classes whose texts become a line of another error, and which of their arguments is the text."""

_SHORTEST = 12
"""Characters of a message's own words; shorter ones are all placeholder."""

_HEAD = """# Troubleshooting

Made by `make reference` from the texts of the errors themselves, so that none is missing. `...` is where a name, a
path or a number is in what you see. Errors are sorted by exit code; search this page for words of your message. The
second column is what the hint below the message says.

`envpack doctor` finds most causes before a build does: it tries out the store, channels, index, cache and
configuration. `--verbose` shows what was run.
"""


def page() -> str:
    """Return the page: for each kind of error its exit code, what it means, and every message with its remedy."""
    found: dict[str, set[tuple[str, str]]] = defaultdict(set)
    kinds = {kind.__name__: kind for kind in _kinds(EnvpackError) if kind.__module__ == errors.__name__}
    for path in sorted((ROOT / "envpack").rglob("*.py")):
        for name, message, hint in _messages(path, kinds):
            found[name].add((message, hint))
    lines = [_HEAD]
    for name in sorted(found, key=lambda name: (kinds[name].exit_code, name)):
        kind = kinds[name]
        lines += [f"## Exit code {kind.exit_code}: {_words(name)}", "", _cell(ast.literal_eval(repr(kind.__doc__)))]
        lines += ["", "| message | what to do |", "|---|---|"]
        lines += [f"| {_cell(message)} | {_cell(hint)} |" for message, hint in sorted(found[name])]
        lines += [""]
    return "\n".join(lines).rstrip("\n") + "\n"


def _kinds(root: type[EnvpackError]) -> Iterator[type[EnvpackError]]:
    yield root
    for kind in root.__subclasses__():
        yield from _kinds(kind)


def _messages(path: Path, kinds: dict[str, type[EnvpackError]]) -> Iterator[tuple[str, str, str]]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            continue
        name, place = _OTHERS.get(node.func.id, (node.func.id, 0))
        if name not in kinds or len(node.args) <= place:
            continue
        message = _template(node.args[place])
        if len(message.replace("...", "").strip()) < _SHORTEST:
            continue
        hint = next((_template(keyword.value) for keyword in node.keywords if keyword.arg == "hint"), "")
        yield name, message, hint


def _template(node: ast.expr) -> str:
    """Return a text with `...` where a value is filled in; empty for what is no text."""
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.JoinedStr(values=values):
            return "".join(_template(each) if isinstance(each, ast.Constant) else "..." for each in values)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return f"{_template(left) or '...'}{_template(right) or '...'}"
        case ast.IfExp(body=body):
            return _template(body)
    return ""


def _words(name: str) -> str:
    return "".join(f" {c.lower()}" if c.isupper() else c for c in name).strip()


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("[", "\\[")


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    sys.stdout.write(f"{PAGE}\n")
