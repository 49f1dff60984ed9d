"""Take secrets out of URLs before they reach a log, a lock, a manifest or an error."""

from __future__ import annotations

import re

_USERINFO = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*://)[^/@\s'\"]*@")
_TOKEN = re.compile(r"(?P<host>https?://[^/\s'\"]+)/t/[^/\s'\"]+")
_QUERY_SECRET = re.compile(
    r"(?i)(?P<key>[?&](?:token|api[_-]?key|access[_-]?token|password|signature|x-amz-[a-z-]+|awsaccesskeyid)=)[^&#\s'\"]*"
)


def redact(text: str) -> str:
    """Return `text` with the credentials of every URL in it removed.

    User names and passwords (`https://user:password@host`), conda tokens (`/t/TOKEN/`) and secret query
    parameters (`?token=...`) go. What is left of a URL still names the same file for someone who has the
    credentials.
    """
    text = _USERINFO.sub(lambda match: match["scheme"], text)
    text = _TOKEN.sub(lambda match: match["host"], text)
    return _QUERY_SECRET.sub(lambda match: match["key"] + "***", text)
