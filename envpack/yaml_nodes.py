"""YAML from users or other tools, as nodes: it creates no objects, and its size is limited."""

from __future__ import annotations

from typing import Any

import yaml

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's accepts at most a thousand levels, and is twenty times as fast as Python's."""

BY_HAND = 1 << 19
"""Characters; hand-written files are shorter."""


class NotYaml(ValueError):
    """Why a text cannot be read as YAML."""

    def __init__(self, reason: str, *, line: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.line = line
        """Counted from 1; 0 when it is about the whole."""


def compose(text: str, *, longest: int) -> yaml.Node | None:
    """Return the root of the only document in a text; None for an empty one.

    A node can be in several places, also within itself. Raises NotYaml, also for more than `longest` characters.
    """
    if len(text) > longest:
        raise NotYaml(f"it has {len(text)} characters, and {longest} are the most")
    try:
        root: yaml.Node | None = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = str(error.problem or error.context)
        reason = "it is nested too deeply" if "nesting depth" in problem else problem
        raise NotYaml(reason, line=mark.line + 1 if mark else 0) from error
    except yaml.reader.ReaderError as error:
        # libyaml counts bytes of UTF-8, Python's reader characters; the text before is nearly always ASCII.
        line = len(f"{text[: error.position]}.".splitlines())
        raise NotYaml(f"it has the character U+{int(error.character):04X}", line=line) from error
    except RecursionError as error:
        raise NotYaml("it is nested too deeply") from error
    except (ValueError, OverflowError) as error:
        raise NotYaml(str(error)) from error
    return root
