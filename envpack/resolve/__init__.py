"""From requirements to a lock: conda first, PyPI for packages that no channel has."""
