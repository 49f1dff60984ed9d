"""The cage: the walls around packaged code on this machine, found by building one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from envpack.doctor.finding import Finding
from envpack.errors import EnvpackError
from envpack.tools.cage import Confine, examine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpack.config.config import Config
    from envpack.tools.cage import Walls

_OF_LEVELS = {
    "full": "packaged code is confined: it has its own files, processes and network",
    "strong": "packaged code is confined, without namespaces: it shares /dev/shm, and has no AF_UNIX sockets",
    "weak": "packaged code is confined in part",
    "none": "packaged code is not confined",
}


def look(config: Config) -> Iterator[Finding]:
    """Build an empty cage, and report its walls."""
    try:
        confine = Confine.named(config.confine)
    except EnvpackError as error:
        yield Finding(check="cage", level="problem", text=error.message, hint=error.hint)
        return
    if confine is Confine.OFF:
        text = "packaged code is not confined: `confine` is off"
        yield Finding(check="cage", level="warning", text=text, hint="take `confine: off` away")
        return
    walls = examine()
    text = f"{_OF_LEVELS[walls.level]} ({', '.join(walls.names) or 'nothing'})"
    if walls.level == "full":
        yield Finding(check="cage", level="ok", text=text)
    elif walls.level == "strong":
        yield Finding(check="cage", level="note", text=f"{text}; {_reasons(walls)}", hint=_hint(walls))
    else:
        required = confine is Confine.REQUIRE
        text = f"{text}; it can reach {', '.join(walls.open)}: {_reasons(walls)}"
        yield Finding(check="cage", level="problem" if required else "warning", text=text, hint=_hint(walls))


def _reasons(walls: Walls) -> str:
    return walls.reason or "this system has no more"


def _hint(walls: Walls) -> str | None:
    """Say what would allow namespaces, for the most common refusals (docs/security.md)."""
    reason = walls.reason
    if "Permission denied" in reason:
        return (
            "AppArmor restricts user namespaces: allow them for this Python, or set the sysctl of docs/security.md"
        )
    if "No space left" in reason:
        return "set the sysctl user.max_user_namespaces above 0"
    if "Operation not permitted" in reason:
        return "a container's seccomp profile forbids namespaces; docs/security.md says which one allows them"
    return "a newer kernel can do more" if reason else None
