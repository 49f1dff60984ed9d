"""The filter of the log. `--help` logs nothing, and so need not import `logging`."""

from __future__ import annotations

import logging

from envpack.redact.urls import redact


class Filter(logging.Filter):
    """Removes the secrets from the records of a logger."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Replace a record's message with the filtered text."""
        record.msg, record.args = redact(record.getMessage()), None
        return True


def filtered_logger(name: str) -> logging.Logger:
    """Return a module's logger, whose records hold no secret for any handler."""
    found = logging.getLogger(name)
    if not any(isinstance(each, Filter) for each in found.filters):
        found.addFilter(Filter())
    return found
