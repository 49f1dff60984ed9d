"""Write settings in the form that is pasted for each launcher."""

from __future__ import annotations

import json
import re
import shlex
from itertools import islice
from typing import TYPE_CHECKING, Any

from envpack.errors import UsageError
from envpack.spark.launchers import launcher_named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from envpack.spark.launcher import Natural
    from envpack.spark.settings import Form, Settings

# Text that a shell passes on unchanged; shlex.quote would also quote the `#` inside a word.
_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-][A-Za-z0-9_@%+=:,./#-]*")

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PROPERTY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")

_JINJA = re.compile(r"\{[{%#]")

_SERVER = "start-connect-server.sh"


def words_of(form: Form) -> list[str]:
    """Return the arguments of spark-submit: option, value, option, value."""
    return [*form.arguments, *_conf_words(form.conf)]


def shell_word(word: str) -> str:
    """Return a word as a shell reads it back."""
    return word if _PLAIN.fullmatch(word) else shlex.quote(word)


def shell_name(name: str) -> str:
    """Return the name of a variable that is valid before `=` in a shell's line; raises UsageError for another."""
    if not _VARIABLE.fullmatch(name):
        raise UsageError(
            f"{name!r} is not a valid name of an environment variable",
            hint="use letters, digits and `_`; correct `variables:` in the environment file and build again",
        )
    return name


def property_name(name: str) -> str:
    """Return the name of a Spark property that is valid in a properties file; raises UsageError."""
    if not _PROPERTY.fullmatch(name):
        raise UsageError(f"{name!r} is not a valid name of a Spark property", hint="use --output json")
    return name


def _submit(settings: Settings) -> str:
    return _lines(_pairs(words_of(settings)))


def _connect(settings: Settings) -> str:
    """Return the command that starts the server; only its environment can name the Python."""
    variables = (f"{shell_name(name)}={shell_word(value)}" for name, value in settings.env.items())
    return _lines([*variables, _SERVER, *_pairs(words_of(settings))])


def _connect_client(settings: Settings) -> str:
    """Return lines for a session's client. Source: pyspark/sql/connect/client/artifact.py."""
    archives = ", ".join(map(_literal, settings.archives))
    conf = (f"spark.conf.set({_literal(name)}, {_literal(value)})" for name, value in settings.conf.items())
    return "\n".join([f"spark.addArtifacts({archives}, archive=True)", *conf])


def _livy(settings: Settings, **first: str) -> str:
    """Return the JSON of a request to Livy. Source: Livy's REST API, POST /sessions and POST /batches."""
    body = {**first, "archives": list(settings.archives), "conf": dict(settings.conf)}
    return json.dumps(body, indent=2, ensure_ascii=False)


def _livy_session(settings: Settings) -> str:
    return _livy(settings, kind="pyspark")


def _sparkmagic(settings: Settings) -> str:
    """Return a cell; sparkmagic adds the kind itself, and `-f` replaces a session that runs."""
    return f"%%configure -f\n{_livy(settings)}"


def _sparkmagic_config(settings: Settings) -> str:
    """Return keys of sparkmagic's config.json; its own timeout of 60 s is too short for a first large archive.

    Source: sparkmagic's utils/configuration.py.
    """
    defaults = {"session_configs_defaults": json.loads(_livy(settings))}
    return json.dumps({**defaults, "livy_session_startup_timeout_seconds": 300}, indent=2, ensure_ascii=False)


def _airflow(settings: Settings) -> str:
    return _keywords({"archives": ",".join(settings.archives), "conf": dict(settings.conf)})


def _airflow_livy(settings: Settings) -> str:
    return _keywords({"archives": list(settings.archives), "conf": dict(settings.conf)})


def _parameters(settings: Settings) -> str:
    archives = {str(launcher_named(settings.launcher).archives): ",".join(settings.archives)}
    return " ".join(shell_word(word) for word in _conf_words({**archives, **settings.conf}))


def _gcloud(settings: Settings) -> str:
    """Return options of gcloud, which splits lists at commas or at a separator between two `^` before them."""
    pairs = [f"{name}={value}" for name, value in settings.conf.items()]
    free = next(mark for mark in (",", ";", "|", "~", "@@", "%%%") if not any(mark in pair for pair in pairs))
    head = "" if free == "," else f"^{free}^"
    return _lines(
        [
            shell_word(f"--archives={','.join(settings.archives)}"),
            shell_word(f"--properties={head}{free.join(pairs)}"),
        ]
    )


def _kyuubi(settings: Settings) -> str:
    """Return the JSON of a batch. Source: Kyuubi's REST API, POST /api/v1/batches."""
    archives = {str(launcher_named(settings.launcher).archives): ",".join(settings.archives)}
    body = {"batchType": "PYSPARK", "conf": {**archives, **settings.conf}}
    return json.dumps(body, indent=2, ensure_ascii=False)


def _operator(settings: Settings) -> str:
    """Return YAML, whose quoted texts are JSON's. Source: the operator's SparkApplication, v1beta2."""
    archives = [f"    - {_literal(archive)}" for archive in settings.archives]
    conf = [f"    {_literal(name)}: {_literal(value)}" for name, value in settings.conf.items()]
    return "\n".join(["spec:", "  deps:", "    archives:", *archives, "  sparkConf:", *conf])


def _zeppelin(settings: Settings) -> str:
    """Return a paragraph, whose lines end a value. Source: Zeppelin's ConfInterpreter."""
    archives = {str(launcher_named(settings.launcher).archives): ",".join(settings.archives)}
    pairs = {**archives, **settings.conf}
    if broken := next((name for name, value in pairs.items() if "\n" in value or value != value.strip()), None):
        raise UsageError(
            f"the value of {broken} has a line break or a space at an end, which a %spark.conf paragraph cannot "
            "contain",
            hint="use --output json",
        )
    return "\n".join(["%spark.conf", *(f"{property_name(name)} {value}" for name, value in pairs.items())])


_OF_FLINK = {
    "python.archives": "-pyarch",
    "python.executable": "-pyexec",
    "python.client.executable": "-pyclientexec",
}
"""Flink's short names of its options. Source: Flink's ProgramOptions and CliFrontendParser."""


def _flink(settings: Settings) -> str:
    """Return options of `flink run`, which has short ones for Python and `-D` for all others."""
    archives = {str(launcher_named(settings.launcher).archives): ",".join(settings.archives)}
    pairs = {**archives, **settings.conf}
    return _lines(
        f"{_OF_FLINK[name]} {shell_word(value)}" if name in _OF_FLINK else shell_word(f"-D{name}={value}")
        for name, value in pairs.items()
    )


NATURAL: Mapping[Natural, Callable[[Settings], str]] = {
    "submit": _submit,
    "connect": _connect,
    "connect-client": _connect_client,
    "livy": _livy,
    "livy-session": _livy_session,
    "sparkmagic": _sparkmagic,
    "sparkmagic-config": _sparkmagic_config,
    "airflow": _airflow,
    "airflow-livy": _airflow_livy,
    "parameters": _parameters,
    "gcloud": _gcloud,
    "operator": _operator,
    "kyuubi": _kyuubi,
    "synapse": _livy,
    "zeppelin": _zeppelin,
    "flink": _flink,
}
"""Every launcher's way to write its settings."""


def _conf_words(conf: Mapping[str, str]) -> Iterable[str]:
    return (word for name, value in conf.items() for word in ("--conf", f"{name}={value}"))


def _pairs(words: Iterable[str]) -> Iterable[str]:
    quoted = map(shell_word, words)
    return iter(lambda: " ".join(islice(quoted, 2)), "")


def _lines(parts: Iterable[str]) -> str:
    return " \\\n".join(parts)


def _keywords(arguments: Mapping[str, Any]) -> str:
    """Return keyword arguments of an operator, whose `conf` Airflow fills in as a template."""
    lines = []
    for keyword, value in arguments.items():
        if isinstance(value, dict):
            lines += [
                f"{keyword}={{",
                *(f"    {_literal(k)}: {_literal(_kept_by_jinja(v))}," for k, v in value.items()),
                "},",
            ]
        elif isinstance(value, list):
            lines.append(f"{keyword}=[{', '.join(map(_literal, value))}],")
        else:
            lines.append(f"{keyword}={_literal(value)},")
    return "\n".join(lines)


def _kept_by_jinja(value: str) -> str:
    """Return a value that Jinja returns unchanged. `raw` is not safe: a value could contain its end."""
    return value.replace("{", "{{ '{' }}") if _JINJA.search(value) else value


def _literal(text: str) -> str:
    """Return a string as Python source; JSON's strings are the same, except for astral characters."""
    return json.dumps(text, ensure_ascii=False)
