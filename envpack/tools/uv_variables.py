"""Which of uv's variables reach uv: those for connections to servers, and none that could change an answer.

Everything else that begins with `UV_` is left out, known or not: a lock answers its request for every user. envpack
reads the variables that name indexes (UV_DEFAULT_INDEX, UV_INDEX, ...) and makes them part of the request. Source:
uv's documentation, "Environment variables", of uv 0.13.
"""

from __future__ import annotations

PASSED_ON = frozenset(
    {
        # timeouts and retries
        "UV_HTTP_TIMEOUT",
        "UV_REQUEST_TIMEOUT",
        "UV_HTTP_CONNECT_TIMEOUT",
        "UV_HTTP_RETRIES",
        # certificates
        "UV_NATIVE_TLS",
        "UV_SYSTEM_CERTS",
        "UV_INSECURE_HOST",
        # concurrency
        "UV_CONCURRENT_DOWNLOADS",
        "UV_CONCURRENT_BUILDS",
        "UV_CONCURRENT_INSTALLS",
        "UV_CONCURRENT_CACHE_READS",
        # credentials, and stores whose requests are signed
        "UV_KEYRING_PROVIDER",
        "UV_CREDENTIALS_DIR",
        "UV_S3_ENDPOINT_URL",
        "UV_GCS_ENDPOINT_URL",
        "UV_AZURE_ENDPOINT_URL",
        # what is logged
        "UV_LOG_CONTEXT",
        "UV_STACK_SIZE",
    }
)
"""The variables of uv's that reach it."""


def reaches_uv(variable: str) -> bool:
    """Return whether a variable of the user's may reach uv: all except uv's own that are not named here."""
    return not variable.startswith("UV_") or variable in PASSED_ON
