"""A conda environment file: its match specs, its `pip:` list, its channels and variables."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from envpack import variable_names
from envpack.redact import may_be_published
from envpack.requirements import addresses, match_spec, reach
from envpack.requirements.formats import nodes
from envpack.requirements.formats.content import FileContent
from envpack.requirements.text import (
    LONGEST_LINE,
    Refused,
    did_you_mean,
    expand,
    logical_lines,
    quoted,
)
from envpack.requirements.values import CondaSpec
from envpack.yaml_nodes import BY_HAND

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from envpack.requirements.txt import Reading, Source

KEYS = ("name", "channels", "dependencies", "variables", "prefix", "description", "owner")
"""The keys that conda reads, and two that it ignores: what the environment is for (CEP 24), and its owner. `prefix`
is a path on the machine that wrote the file, and is ignored here."""

_OF_OTHERS = ("platforms", "category", "channel_priority", "channel-priority", "revision")
"""Keys that other tools write, and conda ignores too (CEP 24)."""

LONGEST_REMARK = 2000
"""Characters of a description or an owner."""

_TAG = "tag:yaml.org,2002:"
_TAGS = frozenset(
    _TAG + kind
    for kind in ("str", "int", "float", "bool", "null", "timestamp", "map", "seq", "merge", "value", "binary")
)
_CHANNEL_VARIABLE = re.compile(r"\$(?P<brace>\{)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?(brace)\})")
_BOOLEANS = {"true": "True", "false": "False"}


def recognises(path: Path, text: str) -> bool:  # noqa: ARG001 - what is wrong in it is to be told
    """Return whether a file is named as environment files are."""
    return path.suffix.lower() in (".yml", ".yaml")


def read(text: str, source: Source, reading: Reading) -> FileContent:
    """Return the content of an environment file; its `pip:` list and every problem go to `reading`.

    Source: conda's documentation, "Creating an environment file manually".
    """
    root = nodes.compose(text, source, reading, longest=BY_HAND)
    return Walk(source=source, reading=reading).environment(root)


@dataclass(frozen=True, kw_only=True)
class Walk:
    """Reads the nodes of one environment file and keeps their problems."""

    source: Source
    reading: Reading

    def environment(self, root: yaml.Node | None) -> FileContent:
        """Return the content of the whole file."""
        if root is None:
            return FileContent()
        self.refuse_foreign(root)
        if not isinstance(root, yaml.MappingNode):
            self.refuse(root, f"is not an environment file: it holds no keys such as {KEYS[0]}: and {KEYS[2]}:")
            return FileContent()
        given: dict[str, yaml.Node] = {}
        for key, node, value in self.entries(root):
            if key in KEYS:
                given[key] = value
            elif key not in _OF_OTHERS and (near := did_you_mean(key, KEYS)):
                self.refuse(node, f"unknown key {quoted(key)}{near}")
            else:
                self.reading.warn(self.source.at(_line(node)), f"the key {quoted(key)} has no effect, as in conda")
        return FileContent(
            name=self.name(given.get("name")),
            channels=tuple(self.channels(given.get("channels"))),
            conda=tuple(self.dependencies(given.get("dependencies"))),
            variables=dict(self.variables(given.get("variables"))),
            description=self.remark("description", given.get("description")),
            owner=self.remark("owner", given.get("owner")),
        )

    def refuse_foreign(self, root: yaml.Node) -> None:
        """Refuse every tag that would make the YAML reader build anything but plain values."""
        for node in _foreign(root):
            self.refuse(node, f"the tag {quoted(node.tag.replace(_TAG, '!!'))} is not allowed here")

    def remark(self, key: str, node: yaml.Node | None) -> str | None:
        """Return a text about the environment in one line; it is published."""
        if node is None or _is_null(node):
            return None
        if not isinstance(node, yaml.ScalarNode) or not _is_plain(node.value):
            self.refuse(node, f"{key}: must be a string")
            return None
        text = " ".join(node.value.split())
        if len(text) > LONGEST_REMARK:
            self.refuse(node, f"{key}: has {len(text)} characters; {LONGEST_REMARK} are the most")
        elif not may_be_published(key, text):
            self.refuse(node, f"{key}: has what may be a secret, and it is published")
        else:
            return text or None
        return None

    def refuse(self, node: yaml.Node, reason: str) -> None:
        """Keep a problem with the line of its node."""
        self.reading.refuse(self.source.at(_line(node)), reason)

    def entries(self, node: yaml.MappingNode) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
        """Yield key, key's node and value of a mapping; a key that comes again is a problem."""
        first: dict[str, yaml.Node] = {}
        for key_node, value in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is None:
                self.refuse(key_node, "a key must be a word")
            elif key in first:
                self.refuse(key_node, f"the key {quoted(key)} is already at line {_line(first[key])}")
            else:
                first[key] = key_node
                yield key, key_node, value

    def texts(self, node: yaml.Node | None, what: str) -> Iterator[tuple[str, yaml.Node]]:
        """Yield the texts of a list; anything else is a problem."""
        for item in self.items(node, what):
            text = _text(item)
            if text is None:
                self.refuse(item, f"{what} has an item that is not a string; put it in quotes")
            else:
                yield text, item

    def items(self, node: yaml.Node | None, what: str) -> list[yaml.Node]:
        """Return the items of a list; anything else is a problem."""
        if node is None or _is_null(node):
            return []
        if isinstance(node, yaml.SequenceNode):
            return list(node.value)
        self.refuse(node, f"{what} must be a list: one line `- ...` for each")
        return []

    def name(self, node: yaml.Node | None) -> str | None:
        """Return what `name:` says."""
        if node is None or _is_null(node):
            return None
        if isinstance(node, yaml.ScalarNode):
            return node.value.strip() or None
        self.refuse(node, "name: must be a word")
        return None

    def channels(self, node: yaml.Node | None) -> Iterator[str]:
        """Yield each channel once, with variables filled in and directories as absolute paths."""
        seen = {"nodefaults"}
        for written, item in self.texts(node, "channels:"):
            values: dict[str, str] = {}
            try:
                channel, values = expand(written, variable=_CHANNEL_VARIABLE)
                addresses.notice(channel, written, values)
                if "://" in channel:
                    channel = addresses.checked_login(channel).rstrip("/")
                self.reading.note_place(channel, written, values)
                if channel.startswith((".", "/", "~", "file:")):
                    channel = self.reading.directory_or_url(channel, self.source)
            except Refused as refused:
                self.reading.refuse(self.source.at(_line(item)), refused.reason, values)
                continue
            if channel not in seen:
                seen.add(channel)
                yield channel

    def dependencies(self, node: yaml.Node | None) -> Iterator[CondaSpec]:
        """Yield the match specs; lines for pip go to the reading."""
        for item in self.items(node, "dependencies:"):
            if isinstance(item, yaml.MappingNode):
                self.pip(item)
                continue
            self.reading.count(self.source.at(_line(item)))
            try:
                yield self.spec(item)
            except Refused as refused:
                self.refuse(item, refused.reason)

    def spec(self, item: yaml.Node) -> CondaSpec:
        """Return one match spec; raises Refused."""
        text = _text(item)
        if text is None:
            raise Refused("`dependencies:` has an item that YAML does not read as a string; put it in quotes")
        if text.startswith("-") or ";" in text or "://" in text.partition("+")[2]:
            raise Refused(f"{quoted(text)} is not a conda match spec; write it under `- pip:`")
        return CondaSpec(spec=match_spec.parse(text), text=text, origin=self.source.at(_line(item)))

    def pip(self, item: yaml.MappingNode) -> None:
        """Read the lines of a `pip:` list."""
        for key, node, value in self.entries(item):
            if key == "pip":
                for text, line in self.texts(value, "pip:"):
                    for _, requirement in logical_lines(text):
                        self.reading.read_line(requirement, source=self.source, number=_line(line))
            elif isinstance(value, yaml.ScalarNode) and value.value:
                self.refuse(node, f"a dependency is a string: write {quoted(f'- {key}={value.value}')}")
            else:
                self.refuse(node, f"only pip: has a list of its own, not {quoted(key)}")

    def variables(self, node: yaml.Node | None) -> Iterator[tuple[str, str]]:
        """Yield names and values; variables that affect more than the environment's packages cause a warning."""
        if node is None or _is_null(node):
            return
        if not isinstance(node, yaml.MappingNode):
            self.refuse(node, "variables: must be lines of `NAME: value`")
            return
        for name, key, value in self.entries(node):
            if problem := variable_names.problem(name):
                self.refuse(key, f"{quoted(name)} {problem}")
            elif not isinstance(value, yaml.ScalarNode) or _is_null(value) or not _is_plain(value.value):
                self.refuse(
                    value, f'the variable {name} must have a string as its value; write `""` for an empty one'
                )
            elif "\n" in value.value:
                self.refuse(value, f"the variable {name} has more than one line, which no launcher can set")
            elif not may_be_published(name, value.value):
                self.refuse(
                    value,
                    f"the variable {name} has what may be a secret, and environments are published; set it where "
                    "the job is started",
                )
            else:
                if what := reach.effect(name):
                    self.reading.warn(self.source.at(_line(key)), f"the variable {name} goes to every job: {what}")
                yield name, _variable(value)


def _foreign(root: yaml.Node) -> Iterator[yaml.Node]:
    """Yield every node whose tag would make the YAML reader build anything but plain values."""
    waiting, seen = [root], set[int]()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if node.tag not in _TAGS:
            yield node
        if isinstance(node, yaml.MappingNode):
            waiting += [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            waiting += node.value


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _is_null(node: yaml.Node) -> bool:
    return bool(node.tag == _TAG + "null")


def _text(node: yaml.Node) -> str | None:
    """Return the text of a node, or None when YAML takes it for a number, a list or the like."""
    if not isinstance(node, yaml.ScalarNode) or node.tag != _TAG + "str":
        return None
    text = node.value.strip()
    return text if text and _is_plain(text) else None


def _is_plain(text: str) -> bool:
    # YAML can write what no file name, URL or variable can hold.
    return len(text) <= LONGEST_LINE and not re.search(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]", text)


def _variable(node: yaml.ScalarNode) -> str:
    """Return a variable's value as written, except that a truth value is as conda writes it."""
    written = str(node.value)
    return written if node.style else _BOOLEANS.get(written.lower(), written)
