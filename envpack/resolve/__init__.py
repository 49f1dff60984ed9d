"""From requirements to a lock: conda first, PyPI for what no channel carries."""
