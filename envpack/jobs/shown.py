"""A submission as it may be shown: without the secrets in it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from envpack.redact import redact, shown_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from envpack.jobs.plan import Planned


def without_secrets(planned: Planned) -> Planned:
    """Return a submission whose parameters, arguments, properties and variables are fit to be printed."""
    job = replace(planned.job, arguments=tuple(_arguments(planned.job.arguments)), env=_values(planned.job.env))
    return replace(
        planned,
        job=job,
        parameters=_values(planned.parameters),
        conf=_values(planned.conf),
        env=_values(planned.env),
    )


def _values(given: Mapping[str, str]) -> dict[str, str]:
    return {name: shown_value(name, value) for name, value in given.items()}


def _arguments(given: Sequence[str]) -> Iterator[str]:
    """Yield arguments; in `--password VALUE` and `--password=VALUE` the option names the value."""
    option = ""
    for word in given:
        name, sign, value = word.partition("=")
        if word.startswith("-"):
            yield f"{name}={shown_value(name, value)}" if sign else redact(word)
            option = "" if sign else word
        else:
            yield shown_value(option, word) if option else redact(word)
            option = ""
