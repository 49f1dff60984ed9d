"""Complete references in a shell, from what this machine has seen of the store before: no request is made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from envpack.errors import EnvpackError

if TYPE_CHECKING:
    import click


def reference(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Return the names, and behind a name its tags or digests, that begin as what is typed."""
    from envpack.cli import options
    from envpack.files.cache import Cache
    from envpack.releases.index_copies import Copies

    try:
        config = options.configuration(dict(ctx.params))
    except EnvpackError:
        return []
    if config.store is None:
        return []
    known = Copies(Cache(Path(config.cache_dir)).indexes, config.store)
    name, sign = incomplete, ""
    for each in ":@":
        if each in incomplete:
            name, sign, _ = incomplete.partition(each)
    if not sign:
        found = list(known.names())
    elif sign == ":":
        found = [f"{name}:{tag}" for tag in known.read(name).tags]
    else:
        found = [f"{name}@{short}" for short in known.read(name).releases]
    return sorted(one for one in found if one.startswith(incomplete))
