"""YAML of lock files: all values are texts, and each entry has its line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from envpack import yaml_nodes
from envpack.requirements.text import LARGEST_LOCK
from envpack.yaml_nodes import NotYaml

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpack.requirements.txt import Reading, Source

_DEEPEST = 4
_NOTHING = ("", "null", "~", "Null", "NULL")


@dataclass(frozen=True)
class YamlEntry:
    """One item of a list, with its line."""

    line: int
    value: Any

    def text(self, *keys: str) -> str | None:
        """Return the text below keys, or None where there is none."""
        value = self.value
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value if isinstance(value, str) and value not in _NOTHING else None

    def number(self, key: str) -> int | None:
        """Return the whole number below a key, or None where there is none."""
        text = self.text(key)
        return int(text) if text and text.isdecimal() else None

    def texts(self, key: str) -> tuple[str, ...]:
        """Return the texts of the list below a key."""
        value = self.value.get(key) if isinstance(self.value, dict) else None
        return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def compose(text: str, source: Source, reading: Reading, *, longest: int = LARGEST_LOCK) -> yaml.Node | None:
    """Return the root of a YAML document, or None after keeping the problem; an empty one is None too."""
    try:
        return yaml_nodes.compose(text, longest=longest)
    except NotYaml as error:
        reading.refuse(source.at(error.line), f"is not YAML: {error.reason}")
        return None


def child(node: yaml.Node | None, *keys: str) -> yaml.Node | None:
    """Return the node below keys, or None."""
    for key in keys:
        pairs = node.value if isinstance(node, yaml.MappingNode) else ()
        node = next((value for name, value in pairs if name.value == key), None)
    return node


def entries(node: yaml.Node | None) -> Iterator[YamlEntry]:
    """Yield the items of a list."""
    for item in node.value if isinstance(node, yaml.SequenceNode) else ():
        yield YamlEntry(item.start_mark.line + 1, plain(item))


def pairs(node: yaml.Node | None) -> Iterator[tuple[str, yaml.Node]]:
    """Yield keys and nodes of a mapping."""
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        yield str(key.value), value


def plain(node: yaml.Node | None, depth: int = 0) -> Any:  # noqa: ANN401 - texts, lists and dictionaries of them
    """Return a node's value: every scalar is its text in the file. YAML would make 3.10 a number.

    Anything nested deeper than in any lock is left out.
    """
    if depth > _DEEPEST:
        return ""
    if isinstance(node, yaml.MappingNode):
        return {str(key.value): plain(value, depth + 1) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [plain(item, depth + 1) for item in node.value]
    return "" if node is None else str(node.value)
