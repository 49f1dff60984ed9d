"""Write docs/troubleshooting.md from the errors' own texts: `make reference`."""

from __future__ import annotations

import ast
import re
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

_PLACEHOLDER = re.compile("\0([^\0]*)\0")
_CAUSES = {"error", "failed", "failure", "refused", "broken", "exc", "missing"}
"""Names of variables that hold what went wrong."""

_PLAIN = {"each", "it", "one", "text", "given", "value", "shown", "found", "told", "said", "what", "x"}
"""Names of variables that say nothing of the value."""

_HEAD = """# Troubleshooting

`make reference` writes this page from the messages in the code. A word in capitals is a value in your message: a
name, a path, a number. Messages are sorted by exit code; search this page for words of yours. The second column is
the hint below the message. It is empty where the message itself says what to do. Messages of exit code 3 come after
`FILE:LINE:`.

`envpack doctor` finds most causes before a build does: it checks the store, the channels, the index, the cache and
the configuration. `--verbose` prints the commands that envpack runs.
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
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            continue
        name, place = _OTHERS.get(node.func.id, (node.func.id, 0))
        if name not in kinds or len(node.args) <= place:
            continue
        message = _template(node.args[place])
        if len(_PLACEHOLDER.sub("", message).strip()) < _SHORTEST:
            continue
        hint = next((_hint(keyword.value, node, tree) for keyword in node.keywords if keyword.arg == "hint"), "")
        yield name, message, hint


def _hint(value: ast.expr, call: ast.Call, tree: ast.Module) -> str:
    """Return the text of a hint, also where it is a name: then what was last assigned to that name before."""
    if not isinstance(value, ast.Name):
        return _template(value)
    given = [
        (node.lineno, _template(node.value))
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and node.lineno < call.lineno
        if any(isinstance(target, ast.Name) and target.id == value.id for target in node.targets)
    ]
    return max(given, default=(0, ""))[1]


def _template(node: ast.expr) -> str:
    """Return a text with a marked word where a value is filled in; empty for what is no text."""
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.JoinedStr(values=values):
            return "".join(_template(each) if isinstance(each, ast.Constant) else _value(each) for each in values)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return f"{_template(left) or _value(left)}{_template(right) or _value(right)}"
        case ast.IfExp(body=body):
            return _template(body)
    return ""


def _value(node: ast.expr) -> str:
    return f"\0{_word(node)}\0"


def _word(node: ast.expr) -> str:  # noqa: PLR0911 - one for each form of an expression
    """Return a word in capitals for a value, from the names in the expression that gives it."""
    match node:
        case ast.FormattedValue(value=value) | ast.Subscript(value=value) | ast.IfExp(body=value):
            return _word(value)
        case ast.Attribute(value=value, attr="name" | "value" | "path" | "public" | "shown"):
            return _word(value)
        case ast.Attribute(value=ast.Name(id=name)) if name in _CAUSES:
            return "REASON"
        case ast.Attribute(attr=name) | ast.Name(id=name):
            plain = name.strip("_").lower()
            return "REASON" if plain in _CAUSES else "VALUE" if plain in _PLAIN else plain.upper().replace("_", " ")
        case ast.Call(args=[first, *_]) if not isinstance(first, ast.Constant):
            return _word(first)
        case ast.Call(func=ast.Attribute(value=value)):
            return _word(value)
        case ast.BinOp(left=left):
            return _word(left)
        case ast.ListComp(generators=[first, *_]) | ast.GeneratorExp(generators=[first, *_]):
            return _word(first.iter)
    return "VALUE"


def _words(name: str) -> str:
    return "".join(f" {c.lower()}" if c.isupper() else c for c in name).strip()


def _cell(text: str) -> str:
    # A value may begin with its own punctuation: `is a directory{its files}`.
    text = re.sub(r"(?<=[a-z])(?=\0[A-Z ]+\0)", " ", text.replace("\0\0", "\0 \0"))
    text = _PLACEHOLDER.sub(lambda match: match[1], text)
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("[", "\\[")


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    sys.stdout.write(f"{PAGE}\n")
