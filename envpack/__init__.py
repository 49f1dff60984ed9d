"""Turn a requirements file into a published PySpark environment and the settings that run a job in it."""

from __future__ import annotations

__version__ = "0.1.0"
