"""What is logged, filtered. `--help` logs nothing, and so need not import `logging`."""

from __future__ import annotations

import logging

from envpack.redact.urls import redact


class Filter(logging.Filter):
    """Takes the secrets out of what a logger is given."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Put the finished text in the place of a record's message."""
        record.msg, record.args = redact(record.getMessage()), None
        return True


def filtered_logger(name: str) -> logging.Logger:
    """Return a module's logger, whose records hold no secret whoever handles them."""
    found = logging.getLogger(name)
    if not any(isinstance(each, Filter) for each in found.filters):
        found.addFilter(Filter())
    return found
