"""PyPI as it was on one day, for what slow tests install beside the project's own dependencies."""

DAY = "2026-11-26T00:00:00Z"
"""Move it forward with `make pins`."""

VARIABLES = {"UV_EXCLUDE_NEWER": DAY}
"""What makes uv look at no later upload."""
