"""Read what an administrator has configured for every job: Spark's defaults, its environment, YARN's site."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DEFAULTS, ENVIRONMENT, SITE = "spark-defaults.conf", "spark-env.sh", "yarn-site.xml"

_USUAL_SPARK, _USUAL_HADOOP = Path("/etc/spark/conf"), Path("/etc/hadoop/conf")
"""The directories on EMR, Dataproc, Cloudera and Bigtop."""

_LARGEST = 4 << 20
_ESCAPED = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_KEY = re.compile(r"(?P<key>(?:\\.|[^\s=:\\])*)[ \t\f]*[=:]?[ \t\f]*(?P<value>.*)", re.DOTALL)
_ASSIGNMENT = re.compile(r"""(?P<name>[A-Za-z_][A-Za-z0-9_]*)=(?P<value>"[^"]*"|'[^']*'|[^\s;&|#]*)""")
_STATEMENT = re.compile(
    rf"(?:^|[;&|({{]|\b(?:then|else|do)\s)\s*(?:(?:export|readonly|declare\s+-x|typeset\s+-x)\s+)?"
    rf"(?P<assignments>(?:{_ASSIGNMENT.pattern.replace('?P<name>', '?:').replace('?P<value>', '?:')}\s*)+)"
)


@dataclass(frozen=True, kw_only=True)
class Configured:
    """One value of a configuration."""

    name: str
    value: str
    file: Path
    line: int | None
    """Counted from 1; None where unknown."""

    @property
    def place(self) -> str:
        """The file, and the line where known."""
        return f"{self.file}:{self.line}" if self.line else str(self.file)


def directories(environ: Mapping[str, str]) -> tuple[Path | None, Path | None]:
    """Return where Spark and where YARN's clients read their configuration on this machine, if anywhere.

    Variables come first; then the Spark whose spark-submit is on PATH, then the directories of distributions.
    Sources: Spark's bin/load-spark-env.sh, SparkSubmitArguments; Hadoop's HADOOP_CONF_DIR and YARN_CONF_DIR.
    """
    named = environ.get("SPARK_CONF_DIR") or (
        f"{environ['SPARK_HOME']}/conf" if environ.get("SPARK_HOME") else None
    )
    program = shutil.which("spark-submit", path=environ.get("PATH"))
    spark = [Path(program).resolve().parents[1] / "conf"] if program else []
    yarn = environ.get("HADOOP_CONF_DIR") or environ.get("YARN_CONF_DIR")
    return (
        Path(named) if named else next(filter(Path.is_dir, [*spark, _USUAL_SPARK]), None),
        Path(yarn) if yarn else next(filter(Path.is_dir, [_USUAL_HADOOP]), None),
    )


def files(directory: Path) -> tuple[str, ...]:
    """Return which of Spark's files are in its directory."""
    return tuple(name for name in (DEFAULTS, ENVIRONMENT) if (directory / name).is_file())


def defaults(directory: Path) -> dict[str, Configured]:
    """Return the properties of `spark-defaults.conf` by name; the last of several lines for one applies.

    Raises OSError when the file exists and cannot be read. Source: java.util.Properties.load.
    """
    file = directory / DEFAULTS
    found = {}
    for number, line in _logical_lines(_text(file)):
        if match := _KEY.fullmatch(line):
            name = _unescaped(match["key"])
            found[name] = Configured(name=name, value=_unescaped(match["value"]).strip(), file=file, line=number)
    return found


def defaults_here(environ: Mapping[str, str]) -> dict[str, Configured]:
    """Return the properties of this machine's `spark-defaults.conf`; none where it is missing or cannot be read."""
    folder, _ = directories(environ)
    try:
        return defaults(folder) if folder else {}
    except OSError:
        return {}


def environment(directory: Path) -> dict[str, Configured]:
    """Return the variables that `spark-env.sh` sets, by name, with values as they are written.

    The script is not run, and conditions around a line are ignored. Raises OSError as `defaults` does.
    """
    file = directory / ENVIRONMENT
    found = {}
    for number, line in enumerate(_text(file).splitlines(), start=1):
        if line.lstrip().startswith("#"):
            continue
        for statement in _STATEMENT.finditer(line):
            for match in _ASSIGNMENT.finditer(statement["assignments"]):
                name, value = match["name"], match["value"].strip("\"'")
                found[name] = Configured(name=name, value=value, file=file, line=number)
    return found


def keeps_what_is_set(variable: Configured) -> bool:
    """Return whether a line of a script gives a variable a value only if it has none: `${NAME:-...}`."""
    own = rf"\$\{{{variable.name}(:?-|\}})|\${variable.name}$"
    return bool(re.search(own, variable.value))


def site(directory: Path) -> dict[str, Configured]:
    """Return the properties of `yarn-site.xml` by name. Raises OSError, and ParseError for invalid XML."""
    file = directory / SITE
    if not file.is_file():
        return {}
    # The file is this machine's own, and expat reads no external entities.
    root = ET.parse(file).getroot()  # noqa: S314
    found = {}
    for each in root.iter("property"):
        name, value = each.findtext("name", "").strip(), each.findtext("value", "").strip()
        found[name] = Configured(name=name, value=value, file=file, line=None)
    return found


def _text(file: Path) -> str:
    if not file.is_file():
        return ""
    with file.open("rb") as opened:
        return opened.read(_LARGEST).decode("utf-8", "replace")


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of a properties file with the numbers of their first ones, joined at backslashes."""
    begun, joined = 0, ""
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.lstrip(" \t\f")
        if not joined and (not stripped or stripped[0] in "#!"):
            continue
        begun = begun if joined else number
        joined += stripped
        if (len(joined) - len(joined.rstrip("\\"))) % 2:
            joined = joined[:-1] or " "
            continue
        yield begun, joined
        joined = ""
    if joined.strip():
        yield begun, joined


def _unescaped(text: str) -> str:
    def meant(match: re.Match[str]) -> str:
        word = match[1]
        return chr(int(word[1:], 16)) if len(word) == 5 else _CONTROLS.get(word, word)

    return _ESCAPED.sub(meant, text)
