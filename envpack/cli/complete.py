"""Complete references in a shell, from what this machine has seen of the store before: no request is made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from envpack.errors import EnvpackError

if TYPE_CHECKING:
    import click

    from envpack.releases.index_copies import Copies


def _copies(ctx: click.Context) -> Copies | None:
    """Return what this machine has seen of the configured store, or None when none is configured."""
    from envpack.cli import options
    from envpack.files.cache import Cache
    from envpack.releases.index_copies import Copies

    try:
        config = options.configuration(dict(ctx.params), checked=False)
    except EnvpackError:
        return None
    return Copies(Cache(Path(config.cache_dir)).indexes, config.store) if config.store else None


def name(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of releases that begin as what is typed."""
    known = _copies(ctx)
    return [each for each in known.names() if each.startswith(incomplete)] if known else []


def tag(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Return the tags that begin as what is typed: of the reference's name, or of all names."""
    known = _copies(ctx)
    if known is None:
        return []
    of = str(ctx.params.get("reference") or "").split(":")[0].split("@")[0]
    names = [of] if of else known.names()
    return sorted({each for one in names for each in known.read(one).tags if each.startswith(incomplete)})


def package(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Return the packages that releases contain and that begin as what is typed."""
    known = _copies(ctx)
    if known is None:
        return []
    indexes = (known.read(one) for one in known.names())
    listed = (each for index in indexes for _, each in index.releases.values())
    return sorted({p.name for each in listed for p in each.packages if p.name.startswith(incomplete)})


def reference(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Return the names, and behind a name its tags or digests, that begin as what is typed."""
    known = _copies(ctx)
    if known is None:
        return []
    of, sign = incomplete, ""
    for each in ":@":
        if each in incomplete:
            of, sign, _ = incomplete.partition(each)
    if not sign:
        found = list(known.names())
    elif sign == ":":
        found = [f"{of}:{tag}" for tag in known.read(of).tags]
    else:
        found = [f"{of}@{short}" for short in known.read(of).releases]
    return sorted(one for one in found if one.startswith(incomplete))
