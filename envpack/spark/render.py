"""Write settings in the forms that people paste and programs read."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING, Any, Literal

from envpack.errors import UsageError
from envpack.spark.launchers import launcher_named
from envpack.spark.paste import NATURAL, property_name, shell_name, shell_word, words_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from envpack.spark.settings import Settings

Output = Literal["text", "oneline", "conf", "env", "json"]

# What a shell changes in a word that comes out of $(...): it splits at blanks and expands patterns.
_SPLIT = re.compile(r"[\s*?\[\\]")


def render(settings: Settings, output: Output) -> str:
    """Return the settings as text without a newline at its end.

    `text` is the text to paste for the launcher: for spark-submit shell lines, for others see
    envpack/spark/paste.py. `oneline` serves `spark-submit $(envpack ...)`, `conf` is lines of spark-defaults.conf
    or of a file for `--properties-file`, `env` lines for the shell from which a driver is started without
    spark-submit, `json` JSON. Raises UsageError when the settings cannot be written in that form.
    """
    return OUTPUTS[output](settings)


def describe(settings: Settings) -> dict[str, Any]:
    """Return the settings and their text as JSON values (schema: docs/build.schema.json)."""
    return {**settings.to_json(), "text": render(settings, "text")}


def _text(settings: Settings) -> str:
    return NATURAL[launcher_named(settings.launcher).text](settings)


def _one_line(settings: Settings) -> str:
    match launcher_named(settings.launcher).text:
        case "livy" | "livy-session" | "sparkmagic-config" | "kyuubi" | "synapse":
            return json.dumps(json.loads(_text(settings)), ensure_ascii=False)
        case "parameters":
            return _text(settings)
        case "submit" | "connect":
            return _words_in_a_line(settings)
        case "flink":
            return _checked_line(shlex.split(_text(settings).replace("\\\n", " ")))
        case _:
            raise UsageError(
                f"the settings of {settings.launcher} cannot be printed with --output oneline",
                hint="use --output text",
            )


def _words_in_a_line(settings: Settings) -> str:
    return _checked_line(words_of(settings))


def _checked_line(words: list[str]) -> str:
    for word in words:
        if _SPLIT.search(word):
            raise UsageError(
                f"{word!r} cannot be printed with --output oneline: the shell would split it",
                hint="use --output text, or --output conf with spark-submit --properties-file",
            )
    return " ".join(words)


def _properties(settings: Settings) -> str:
    launcher = launcher_named(settings.launcher)
    if launcher.driver == "session":
        raise UsageError(
            f"--output conf does not work for {launcher.name}: the client adds the archive to the session",
            hint="use --output text",
        )
    archive = {launcher.archives: ",".join(settings.archives)} if launcher.archives and settings.archives else {}
    pairs = {**archive, **settings.conf}
    if launcher.flink:  # its config.yaml
        return "\n".join(f"{property_name(name)}: {json.dumps(value)}" for name, value in pairs.items())
    return "\n".join(f"{property_name(name)}={_property_value(name, value)}" for name, value in pairs.items())


def _property_value(name: str, value: str) -> str:
    """Escape a value as java.util.Properties reads it; Spark then strips blanks at both ends."""
    if value != value.strip(" \t"):
        raise UsageError(
            f"the value of {name} begins or ends with a space or a tab, which a properties file cannot contain",
            hint="use --output text",
        )
    escaped = value.replace("\\", "\\\\")
    return escaped.replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")


def _environment(settings: Settings) -> str:
    return "\n".join(_exports(settings))


def _exports(settings: Settings) -> Iterator[str]:
    variables = variables_without_submit(settings)
    if variables is None:
        raise UsageError(
            f"{settings.launcher} cannot pass variables of this shell to the driver",
            hint="use --output text or conf",
        )
    yield from (f"export {shell_name(name)}={shell_word(value)}" for name, value in variables.items())


def variables_without_submit(settings: Settings) -> dict[str, str] | None:
    """Return the environment of a driver that is started without spark-submit; None where none reaches it.

    This form has no properties. PySpark reads PYSPARK_SUBMIT_ARGS as a shell reads its words
    (pyspark/java_gateway.py).
    """
    launcher = launcher_named(settings.launcher)
    if settings.alternatives:
        form = settings.alternatives[0]
        arguments = shlex.join([*words_of(form), "pyspark-shell"])
        return {**form.env, "PYSPARK_SUBMIT_ARGS": arguments}
    return dict(settings.env) if launcher.python_variables else None


def _json(settings: Settings) -> str:
    return json.dumps(describe(settings), indent=1, ensure_ascii=False)


OUTPUTS: dict[Output, Callable[[Settings], str]] = {
    "text": _text,
    "oneline": _one_line,
    "conf": _properties,
    "env": _environment,
    "json": _json,
}
"""Every output by its name, the default first."""
