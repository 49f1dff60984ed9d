"""What requirement lines cannot say: description, owner, channels and variables, in comments that pip ignores.

    # envpack:
    #   description: Features for the churn model
    #   owner: data-platform@example.com
    #   channels: [conda-forge]
    #   variables:
    #     HF_HOME: ./.cache/huggingface

The text after `# envpack:` and the comment lines below it that are indented by two blanks or more are YAML.
A line without a comment, or with a comment that is not indented, ends it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from envpack.requirements import comments
from envpack.requirements.formats import nodes
from envpack.requirements.formats.content import FileContent
from envpack.requirements.formats.environment import Walk
from envpack.requirements.text import did_you_mean, quoted
from envpack.yaml_nodes import BY_HAND

if TYPE_CHECKING:
    from envpack.requirements.txt import Reading, Source

KEYS = ("description", "owner", "channels", "variables")
"""The keys of a header."""


def read(text: str, source: Source, reading: Reading) -> FileContent:
    """Return the content of a file's headers; every problem goes to `reading`, with its line."""
    walk = Walk(source=source, reading=reading)
    given: dict[str, yaml.Node] = {}
    for block in comments.blocks(text):
        root = nodes.compose(block, source, reading, longest=BY_HAND)
        if root is None:
            continue
        walk.refuse_foreign(root)
        if not isinstance(root, yaml.MappingNode):
            walk.refuse(root, f"behind `# envpack:` there must be keys such as {KEYS[1]}: and {KEYS[3]}:")
            continue
        for key, node, value in walk.entries(root):
            if key in given:
                first = given[key].start_mark.line + 1
                walk.refuse(node, f"the key {quoted(key)} is already at line {first}")
            elif key in KEYS:
                given[key] = value
            else:
                remedy = did_you_mean(key, KEYS) or f"; there are {', '.join(KEYS)}"
                walk.refuse(node, f"unknown key {quoted(key)} of `# envpack:`{remedy}")
    return FileContent(
        channels=tuple(walk.channels(given.get("channels"))),
        variables=dict(walk.variables(given.get("variables"))),
        description=walk.remark("description", given.get("description")),
        owner=walk.remark("owner", given.get("owner")),
    )
