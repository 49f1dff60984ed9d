"""How many files this process may have open at once: solving, uv and threads need several dozen."""

from __future__ import annotations

import resource

from envpack.errors import NotReady

LEAST = 64
"""With fewer, rattler's runtime panics."""

ENOUGH = 1024


def ensure() -> None:
    """Raise the limit as far as this process may and needs to. Raises NotReady when that is too little."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= ENOUGH:
        return
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(ENOUGH, hard)
    if wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    if max(soft, wanted) < LEAST:
        raise NotReady(
            f"the limit of open files is {max(soft, wanted)}, and a build needs {LEAST} or more",
            hint="raise the limit, for example with `ulimit -n 1024`",
        )
