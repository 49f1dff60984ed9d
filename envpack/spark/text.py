"""Write settings as what people paste and programs read."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Literal

from envpack.errors import UsageError
from envpack.spark.launchers import launcher_named

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from envpack.spark.settings import Form, Settings

Output = Literal["text", "oneline", "conf", "json"]

# What a shell passes on as it stands; shlex.quote would also quote the `#` inside a word.
_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-][A-Za-z0-9_@%+=:,./#-]*")

# What a shell changes in a word that comes out of $(...): it splits at blanks and expands patterns.
_SPLIT = re.compile(r"[\s*?\[\\]")


def render(settings: Settings, output: Output) -> str:
    """Return the settings as text without a newline at its end.

    `text` is shell lines to paste after spark-submit, `oneline` the same for `spark-submit $(envpack ...)`,
    `conf` lines of spark-defaults.conf or of a file for `--properties-file`, `json` JSON. Raises UsageError
    when a value cannot be said that way.
    """
    return OUTPUTS[output](settings)


def _lines(settings: Settings) -> str:
    words = [word if _PLAIN.fullmatch(word) else shlex.quote(word) for word in _words(settings)]
    pairs = zip(words[::2], words[1::2], strict=True)
    return " \\\n".join(f"{option} {value}" for option, value in pairs)


def _one_line(settings: Settings) -> str:
    words = _words(settings)
    for word in words:
        if _SPLIT.search(word):
            raise UsageError(
                f"{word!r} cannot be printed in one line: the shell would take it apart",
                hint="use --output text, or --output conf with spark-submit --properties-file",
            )
    return " ".join(words)


def _properties(settings: Settings) -> str:
    _option, archive = settings.arguments
    conf = {launcher_named(settings.launcher).archives: archive, **settings.conf}
    return "\n".join(f"{name}={_property_value(name, value)}" for name, value in conf.items())


def _property_value(name: str, value: str) -> str:
    """Escape a value as java.util.Properties reads it; Spark then strips blanks at both ends."""
    if value != value.strip(" \t"):
        raise UsageError(
            f"the value of {name} begins or ends with a blank, which a properties file cannot hold",
            hint="use --output text",
        )
    escaped = value.replace("\\", "\\\\")
    return escaped.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")


def _json(settings: Settings) -> str:
    return json.dumps(settings.to_json(), indent=1, ensure_ascii=False)


def _words(form: Form) -> list[str]:
    conf: Mapping[str, str] = form.conf
    return [*form.arguments, *(word for name, value in conf.items() for word in ("--conf", f"{name}={value}"))]


OUTPUTS: dict[Output, Callable[[Settings], str]] = {
    "text": _lines,
    "oneline": _one_line,
    "conf": _properties,
    "json": _json,
}
"""Every output by its name, the default first."""
