"""Read `envpack.yaml`, and other files of settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from envpack import yaml_nodes
from envpack.errors import BadConfiguration, UsageError
from envpack.yaml_nodes import NotYaml

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from pathlib import Path

_MERGE = "tag:yaml.org,2002:merge"
_NULL = "tag:yaml.org,2002:null"


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One key of the file with its value."""

    key: str
    """As written in the file, a section's key after the section: `gc: keep-last`."""
    value: Any
    origin: str
    """The file and the line: `/home/me/envpack.yaml:3`."""


@dataclass(frozen=True, kw_only=True)
class _Entry:
    section: str
    """Empty for a key of the file itself."""
    key: yaml.Node
    value: yaml.Node

    @property
    def shown(self) -> str:
        return f"{self.section}: {self.key.value}" if self.section else str(self.key.value)


def read(
    path: Path,
    kinds: Mapping[str, str],
    sections: Collection[str],
    booleans: Mapping[str, bool],
    *,
    example: str = "`store: s3://bucket/envs`",
) -> tuple[dict[str, Setting], list[str]]:
    """Return the file's settings, by field, and every mistake in it, as `file:line: reason`.

    `kinds` says by field what its value must be: `text`, `boolean`, `list`, `mapping`, or `gaps` for a mapping in
    which a key without a value is None; `sections` are the keys that hold other keys; `booleans` are the words for
    true and false; `example` is a line of such a file. Raises BadConfiguration when the file is not a YAML mapping,
    and UsageError when it cannot be read.
    """
    try:
        node = yaml_nodes.compose(path.read_text("utf-8-sig"), longest=yaml_nodes.BY_HAND)
    except UnicodeDecodeError as error:
        raise BadConfiguration([f"{path}: not UTF-8 text; save it as UTF-8"]) from error
    except NotYaml as error:
        where = f"{path}:{error.line}" if error.line else str(path)
        raise BadConfiguration([f"{where}: not YAML: {error.reason}"]) from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", hint="correct its permissions") from error
    if node is None:
        return {}, []
    if not isinstance(node, yaml.MappingNode):
        raise BadConfiguration([f"{path}:1: must be a mapping such as {example}"])
    settings: dict[str, Setting] = {}
    problems: list[str] = []
    seen: dict[str, int] = {}
    for entry in _entries(node, sections):
        line = entry.key.start_mark.line + 1
        origin = f"{path}:{line}"
        try:
            name = _name(entry, kinds, sections)
            if name in seen:
                raise ValueError(f"{entry.shown} is set twice, first in line {seen[name]}")
            seen[name] = line
            value = _value(entry, kinds[name], booleans)
            settings[name] = Setting(key=entry.shown, value=value, origin=origin)
        except ValueError as error:
            problems.append(f"{origin}: {error}")
    return settings, problems


def _entries(node: yaml.MappingNode, sections: Collection[str]) -> Iterator[_Entry]:
    """Yield keys and values, those of a section one by one."""
    opened: set[str] = set()
    for key, value in node.value:
        if key.value in sections and key.value not in opened and isinstance(value, yaml.MappingNode):
            opened.add(key.value)
            yield from (_Entry(section=key.value, key=inner, value=each) for inner, each in value.value)
        else:
            yield _Entry(section="", key=key, value=value)


def _name(entry: _Entry, kinds: Mapping[str, str], sections: Collection[str]) -> str:
    """Return the field that a key sets. Raises ValueError."""
    key = entry.key.value
    if not isinstance(entry.key, yaml.ScalarNode):
        raise ValueError("a key must be the name of a setting")
    if entry.key.tag == _MERGE:
        raise ValueError("YAML's merge key `<<` is not supported: write the settings out")
    if not entry.section and key in sections:
        if isinstance(entry.value, yaml.MappingNode):
            raise ValueError(f"{key} is set twice: put its keys under one `{key}:`")
        raise ValueError(f"{key} must be a mapping: write its keys under it, one on each line")
    name = (f"{entry.section}_{key}" if entry.section else key).replace("-", "_")
    flattened = any(name.startswith(f"{section}_") for section in sections) and not entry.section
    if name in kinds and not flattened:
        return name
    written = {_written(field, sections): field for field in kinds}
    if flattened and name in kinds:
        near = [_written(name, sections)]
    else:
        same = [text for text in written if text.startswith(f"{entry.section}: ")] if entry.section else []
        import difflib

        near = difflib.get_close_matches(entry.shown, same, n=1) or difflib.get_close_matches(
            entry.shown, written, n=1, cutoff=0.7
        )
        near = near or [text for text in written if entry.section and text == key]
        near = near or [" or ".join(_flattened(entry, written))]
    question = f"; did you mean {near[0]}?" if near[0] else ""
    raise ValueError(f"unknown setting {entry.shown}{question}")


def _flattened(entry: _Entry, written: Iterable[str]) -> list[str]:
    """Return the settings that begin with a key; if it holds keys of their own names, only those."""
    found = [text for text in written if text.startswith(f"{entry.shown}-")]
    inner = entry.value.value if isinstance(entry.value, yaml.MappingNode) else []
    meant = {f"{entry.shown}-{str(key.value).replace('_', '-')}" for key, _ in inner}
    return [text for text in found if text in meant] or found


def _written(field: str, sections: Collection[str]) -> str:
    """Return how a field is written in the file: `gc_keep_last` as `gc: keep-last`."""
    section, _, rest = field.partition("_")
    return f"{section}: {rest.replace('_', '-')}" if section in sections and rest else field.replace("_", "-")


def _value(entry: _Entry, kind: str, booleans: Mapping[str, bool]) -> Any:  # noqa: ANN401 - the field's type
    match kind, entry.value:
        case "text", yaml.ScalarNode() if entry.value.value:
            # The text as written: YAML would make 3.10 a number and lose its zero.
            return str(entry.value.value)
        case "boolean", yaml.ScalarNode() if entry.value.value.lower() in booleans:
            return booleans[entry.value.value.lower()]
        case "list", yaml.ScalarNode() if entry.value.value:
            return (str(entry.value.value),)
        case "list", yaml.SequenceNode() if all(isinstance(item, yaml.ScalarNode) for item in entry.value.value):
            return tuple(str(item.value) for item in entry.value.value)
        case "list", yaml.SequenceNode():
            one = next(item for item in entry.value.value if not isinstance(item, yaml.ScalarNode))
            raise ValueError(f"{entry.shown}: each entry must be one value, not a {_shape(one)}")
        case "gaps", yaml.MappingNode() if all(_is_pair(*pair) for pair in entry.value.value):
            empty = {key.value for key, value in entry.value.value if value.tag == _NULL}
            return {name: None if name in empty else value for name, value in _mapping(entry).items()}
        case "mapping", yaml.MappingNode() if all(_is_pair(*pair) for pair in entry.value.value):
            return _mapping(entry)
        case "mapping" | "gaps", yaml.MappingNode():
            key, value = next(pair for pair in entry.value.value if not _is_pair(*pair))
            if not isinstance(key, yaml.ScalarNode):
                raise ValueError(f"{entry.shown}: a key must be a string")
            raise ValueError(f"{entry.shown}: {key.value} must be one value, not a {_shape(value)}")
        case _:
            raise ValueError(f"{entry.shown} must be {_WANTED[kind]}")


_WANTED = {
    "text": "a string",
    "boolean": "true or false",
    "list": "a list",
    "mapping": "a mapping",
    "gaps": "a mapping",
}


def _shape(node: yaml.Node) -> str:
    return "list" if isinstance(node, yaml.SequenceNode) else "mapping"


def _is_pair(key: yaml.Node, value: yaml.Node) -> bool:
    return isinstance(key, yaml.ScalarNode) and isinstance(value, yaml.ScalarNode)


def _mapping(entry: _Entry) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in entry.value.value:
        if key.value in found:
            raise ValueError(f"{entry.shown} has {key.value} twice")
        found[str(key.value)] = str(value.value)
    return found
