"""The errors that a user can cause or fix, each kind with its own exit code."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from envpack.redact import redact

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


class EnvpackError(Exception):
    """An expected failure: what happened, what to do next, and the exit code that says which kind it was."""

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str | Sequence[str], *, hint: str | None = None) -> None:
        found = (message,) if isinstance(message, str) else message
        self.texts = tuple(redact(each) for each in found)
        """What is wrong; several where several things are, in the order in which they are shown."""
        self.message = "\n".join(self.texts)
        """One or two lines that name the thing that failed and why, or a line for each thing that is wrong."""
        super().__init__(self.message)
        self.hint = hint and redact(hint)
        """The next step for the person, if there is one."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Subclasses take other arguments than the message, so their constructors cannot be called with the message.
        return _unpickled, (type(self), self.args), self.__dict__


def _unpickled(kind: type[EnvpackError], args: tuple[object, ...]) -> EnvpackError:
    return kind.__new__(kind, *args)


class UsageError(EnvpackError):
    """An option, a reference or a configuration value is invalid."""

    exit_code = 2


class BadConfiguration(UsageError):
    """Options, variables or values of `envpack.yaml` are invalid; all problems are reported together."""

    def __init__(self, problems: Sequence[str], *, hint: str | None = None) -> None:
        self.problems = tuple(redact(problem) for problem in problems)
        """Each as `ORIGIN: reason`; the origin is an option, a variable, or `envpack.yaml` with its line."""
        super().__init__(self.problems, hint=hint)


class Problem(NamedTuple):
    """One thing that is wrong at one place of a file."""

    file: str
    """The file as the person named it."""
    line: int
    """Counted from 1; 0 when the problem has no line."""
    reason: str
    """What is wrong and, where there is one, what to write instead."""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.reason}"


class BadRequirements(EnvpackError):
    """A requirements file or a lock is invalid; all problems are reported together."""

    exit_code = 3

    def __init__(self, problems: Sequence[Problem], *, hint: str | None = None) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__([str(problem) for problem in self.problems], hint=hint)


class Unsatisfiable(EnvpackError):
    """No set of packages satisfies the requirements; the message explains why."""

    exit_code = 4


class NoSolution(Unsatisfiable):
    """What a solver answers when there is no solution; the message is its own explanation, not yet a person's."""


class Unreachable(EnvpackError):
    """A channel, a package index or a git server did not answer."""

    exit_code = 5


class PackingFailed(EnvpackError):
    """A file could not be fetched, linked or packed, for example because the disk is full."""

    exit_code = 6


class BrokenPackage(PackingFailed):
    """A package is damaged, or differs from its name, its index or the lock."""


class DamagedPackage(BrokenPackage):
    """The cached copy of a package changed after it was downloaded."""

    def __init__(
        self, message: str | Sequence[str], *, owners: Collection[str] = (), hint: str | None = None
    ) -> None:
        super().__init__(
            message, hint=hint or "delete the cache directory (`envpack doctor` shows it), and check its disk"
        )
        self.owners = frozenset(owners)
        """What the packages are called among those that share a prefix: `conda/NAME` or `pypi/NAME`."""


class VerificationFailed(EnvpackError):
    """An archive does not work when it is unpacked and run as on a node."""

    exit_code = 7


class StoreRefused(EnvpackError):
    """The store refused a request: wrong credentials, a missing permission, a bucket that does not exist."""

    exit_code = 8


class StoreUnreachable(EnvpackError):
    """The store did not answer, or not reliably."""

    exit_code = 9


class Conflict(EnvpackError):
    """Something that must not be overwritten exists with other content, or another process changes it."""

    exit_code = 10


class PolicyViolated(EnvpackError):
    """The environment contains a package that the site's policy does not allow."""

    exit_code = 11


class NotReady(EnvpackError):
    """This machine or its configuration cannot build.

    Too few file descriptors, too little memory, and what `envpack doctor` finds.
    """

    exit_code = 12


class JobFailed(EnvpackError):
    """The job failed or was killed, and its launcher reports no exit code."""

    exit_code = 13


class LauncherFailed(EnvpackError):
    """The program or server that starts jobs is missing, did not answer, or refused the job."""

    exit_code = 14


class Gone(Conflict):
    """A release was removed while envpack used it."""


_NAMES = {errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES, errno.EPERM, errno.EROFS}
_LIMITS = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EIO}


def of_system(error: OSError) -> EnvpackError | None:
    """Return the error for a name that the system refuses, or a limit of the machine; None for anything else.

    Code that knows more about the failure reports it earlier; this is for unexpected cases.
    """
    said = f"{error.filename or 'this machine'}: {error.strerror}"
    if error.errno in _NAMES:
        return UsageError(said, hint="use another path, or ask its owner for the permission")
    if error.errno in _LIMITS:
        return NotReady(said, hint="free space or raise the limit, then try again")
    return None
