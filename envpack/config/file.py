"""Read `envpack.yaml`."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import yaml

from envpack import yaml_nodes
from envpack.errors import BadRequirements, Problem, UsageError
from envpack.yaml_nodes import NotYaml

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path


def read(
    path: Path, kinds: Mapping[str, str], sections: Collection[str], booleans: Mapping[str, bool]
) -> dict[str, Any]:
    """Return what the file sets, by field.

    `kinds` says by field what its value must be: `text`, `boolean`, `list` or `mapping`; `sections` are the keys
    that hold other keys; `booleans` are the words for true and false. Raises BadRequirements with every mistake at
    once, and UsageError when the file cannot be read.
    """
    try:
        node = yaml_nodes.compose(path.read_text("utf-8-sig"), longest=yaml_nodes.BY_HAND)
    except UnicodeDecodeError as error:
        raise BadRequirements([Problem(str(path), 0, "not UTF-8 text")]) from error
    except NotYaml as error:
        raise BadRequirements([Problem(str(path), error.line, f"not YAML: {error.reason}")]) from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    if node is None:
        return {}
    if not isinstance(node, yaml.MappingNode):
        raise BadRequirements([Problem(str(path), 1, "must be a mapping such as `store: s3://bucket/envs`")])
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for key_node, value_node in _flat(node, sections):
        try:
            name, value = _entry(key_node, value_node, kinds, booleans)
            values[name] = value
        except ValueError as error:
            problems.append(Problem(str(path), key_node.start_mark.line + 1, str(error)))
    if problems:
        raise BadRequirements(problems)
    return values


def _flat(node: yaml.MappingNode, sections: Collection[str]) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    """Yield keys and values; what stands under `ci:` as `ci-NAME`, and so for every section."""
    for key_node, value_node in node.value:
        if key_node.value in sections and isinstance(value_node, yaml.MappingNode):
            for inner, value in value_node.value:
                name = f"{key_node.value}-{inner.value}"
                yield yaml.ScalarNode(inner.tag, name, inner.start_mark, inner.end_mark), value
        else:
            yield key_node, value_node


def _entry(
    key_node: yaml.Node, value_node: yaml.Node, kinds: Mapping[str, str], booleans: Mapping[str, bool]
) -> tuple[str, Any]:
    name = str(key_node.value).replace("-", "_")
    if name not in kinds:
        near = difflib.get_close_matches(name, kinds, n=1)
        question = f"; did you mean {near[0].replace('_', '-')}?" if near else ""
        raise ValueError(f"there is no setting {key_node.value}{question}")
    kind = kinds[name]
    value: Any
    match kind, value_node:
        case "text", yaml.ScalarNode():
            # The text as written: YAML would make 3.10 a number and lose its zero.
            value = str(value_node.value)
        case "boolean", yaml.ScalarNode() if value_node.value.lower() in booleans:
            value = booleans[value_node.value.lower()]
        case "list", yaml.ScalarNode():
            value = (str(value_node.value),)
        case "list", yaml.SequenceNode() if all(isinstance(item, yaml.ScalarNode) for item in value_node.value):
            value = tuple(str(item.value) for item in value_node.value)
        case "mapping", yaml.MappingNode():
            value = {str(k.value): str(v.value) for k, v in value_node.value}
        case _:
            raise ValueError(f"{key_node.value} must be a {kind}")
    return name, value
