"""The cluster on which an environment must run, in the solvers' terms."""

from __future__ import annotations

import platform
import re
from dataclasses import asdict, dataclass
from typing import Any

from envpack.errors import UsageError

PLATFORMS = ("linux-64", "linux-aarch64")
"""The subdirs envpack builds for: those a Spark cluster has."""

DEFAULT_GLIBC = "2.28"
"""Fits Enterprise Linux 8 and newer, Amazon Linux 2023, Debian 11 and newer; Amazon Linux 2 needs 2.26."""

_MACHINES = {"linux-64": "x86_64", "linux-aarch64": "aarch64"}

_VERSION = re.compile(r"[0-9]{1,4}\.[0-9]{1,4}")
_SPARK = re.compile(r"[0-9]{1,4}\.[0-9]{1,4}(\.[0-9]{1,4})?")

# The C library versions that uv has a platform for (`uv pip compile --help`, --python-platform).
_UV_GLIBC = ((2, 17), (2, 28), *((2, minor) for minor in range(31, 41)))


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where the environment will run. Nothing in it comes from this machine."""

    platform: str = "linux-64"
    """The conda subdir."""
    glibc: str = DEFAULT_GLIBC
    """The oldest glibc among the nodes, as `MAJOR.MINOR`."""
    cuda: str | None = None
    """The CUDA version that the nodes' driver supports, or None."""
    spark: str | None = None
    """The Spark version of the cluster, or None when the environment is not tied to one."""

    def __post_init__(self) -> None:
        if self.platform not in PLATFORMS:
            raise UsageError(
                f"unknown platform {self.platform!r}", hint=f"envpack builds for {' and '.join(PLATFORMS)}"
            )
        for name, example in (("glibc", "2.28"), ("cuda", "12.4")):
            value = getattr(self, name)
            if value is not None and not _VERSION.fullmatch(value):
                raise UsageError(f"{name} {value!r} is not a version", hint=f"write it as {example}")
        if self.spark is not None and not _SPARK.fullmatch(self.spark):
            raise UsageError(f"Spark {self.spark!r} is not a version", hint="write it as 3.5 or 3.5.6")

    @property
    def machine(self) -> str:
        """The processor, as `uname -m` prints it on a node."""
        return _MACHINES[self.platform]

    @property
    def is_this_machine(self) -> bool:
        """Whether this machine can run the target's programs."""
        return platform.system() == "Linux" and platform.machine() == self.machine

    def virtual_packages(self) -> tuple[tuple[str, str, str], ...]:
        """Return name, version and build of every virtual package of the target.

        Source: conda's virtual packages, https://docs.conda.io/projects/conda (Managing virtual packages).
        """
        found = [
            ("__unix", "0", "0"),
            ("__linux", "0", "0"),
            ("__glibc", self.glibc, "0"),
            ("__archspec", "1", self.machine),
        ]
        if self.cuda:
            found.append(("__cuda", self.cuda, "0"))
        return tuple(found)

    def uv_platform(self) -> str:
        """Return uv's name of the target: the newest it knows whose glibc is not newer than the nodes'."""
        wanted = tuple(int(part) for part in self.glibc.split("."))
        fitting = [version for version in _UV_GLIBC if version <= wanted]
        if not fitting:
            raise UsageError(
                f"no wheels exist for glibc {self.glibc}",
                hint="give 2.17, the oldest glibc of manylinux wheels, or newer",
            )
        major, minor = fitting[-1]
        return f"{self.machine}-manylinux_{major}_{minor}"

    def marker_environment(self, python: str) -> dict[str, str]:
        """Return PEP 508's marker variables on the target for a Python version such as `3.11.7`."""
        return {
            "implementation_name": "cpython",
            "implementation_version": python,
            "os_name": "posix",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": python,
            "python_version": ".".join(python.split(".")[:2]),
            "sys_platform": "linux",
        }

    def to_json(self) -> dict[str, Any]:
        """Return the target as JSON values, without unset ones."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Target:
        """Read the result of `to_json`; keys of a newer envpack are ignored."""
        return cls(**{name: value[name] for name in cls.__dataclass_fields__ if name in value})
