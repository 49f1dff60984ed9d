"""The indexes that uv's variables name: part of the request, as they decide what a lock holds."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from packaging.utils import canonicalize_name

from envpack.errors import UsageError
from envpack.redact import take_apart
from envpack.requirements.values import STRATEGIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from envpack.requirements.values import Indexes

_NAMED = re.compile(r"(?P<name>[A-Za-z0-9_.-]+)=(?P<url>.+)")


def with_environment(indexes: Indexes, environ: Mapping[str, str]) -> Indexes:
    """Return the indexes of a file with those that variables name: the file's own lines come first.

    Source: uv's documentation, "Environment variables": UV_DEFAULT_INDEX and the older UV_INDEX_URL, UV_INDEX, the
    older UV_EXTRA_INDEX_URL, UV_FIND_LINKS. A name and a password of UV_INDEX_NAME_USERNAME and
    UV_INDEX_NAME_PASSWORD go into the address. They are all ignored where the file says `--no-index`.
    """
    if indexes.no_index:
        return indexes
    default = [*_addresses(environ, "UV_DEFAULT_INDEX"), *_addresses(environ, "UV_INDEX_URL")]
    extra = [*_addresses(environ, "UV_INDEX"), *_addresses(environ, "UV_EXTRA_INDEX_URL")]
    links = [link.strip() for link in environ.get("UV_FIND_LINKS", "").split(",") if link.strip()]
    return replace(
        indexes,
        index_url=indexes.index_url or next(iter(default), None),
        extra_index_urls=_distinct([*indexes.extra_index_urls, *extra]),
        find_links=_distinct(
            [*indexes.find_links, *(link if "://" in link else _absolute(link) for link in links)]
        ),
    )


def with_owners(indexes: Indexes, owners: Mapping[str, str]) -> Indexes:
    """Return indexes with those that exclusively own the projects of certain names; these are asked first.

    `owners` holds names or patterns such as `acme-*`, each with the index that such projects are taken from; those
    of a file come later. Raises UsageError where the best version of all indexes is wanted too.
    """
    owners = {**owners, **{name: url for name, url in indexes.owners if name not in owners}}
    if not owners or indexes.no_index:
        return indexes
    if indexes.strategy != STRATEGIES[0]:
        raise UsageError(
            f"package-index sets the index of {', '.join(owners)}, and index-strategy {indexes.strategy} "
            "could take a higher version from another index",
            hint=f"leave index-strategy out, or set it to {STRATEGIES[0]}",
        )
    with_logins = {take_apart(url).public(): url for url in (indexes.index_url, *indexes.extra_index_urls) if url}
    asked = [(str(canonicalize_name(name)), with_logins.get(url, url)) for name, url in owners.items()]
    return replace(
        indexes,
        extra_index_urls=_distinct([*(url for _, url in asked), *indexes.extra_index_urls]),
        owners=tuple(asked),
    )


def with_mirrors(indexes: Indexes, mirrors: Mapping[str, str], *, default: Callable[[], str]) -> Indexes:
    """Return indexes with mirrors in the place of those that have one; the index itself is never asked then.

    `mirrors` holds addresses of indexes, with or without `/` at the end, each with its mirror's. `default` gives
    the index that is asked where none is named. An index's user and password stay its own: a mirror's are in its
    address, in a netrc file, or in a keyring.
    """
    if not mirrors or indexes.no_index:
        return indexes
    by_address = {_comparable(url): mirror for url, mirror in mirrors.items()}

    def of(url: str) -> str:
        return by_address.get(_comparable(url), url)

    asked = indexes.index_url or default()
    return replace(
        indexes,
        index_url=of(asked) if indexes.index_url or of(asked) != asked else None,
        extra_index_urls=_distinct(map(of, indexes.extra_index_urls)),
        owners=tuple((name, of(url)) for name, url in indexes.owners),
    )


def _comparable(url: str) -> str:
    """Return an address without what makes no other index of it: a login, `/` at the end, capitals of the host."""
    plain = take_apart(url).public().rstrip("/")
    scheme, separator, rest = plain.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{separator}{host}".lower() + slash + path


def _addresses(environ: Mapping[str, str], variable: str) -> Iterator[str]:
    for word in environ.get(variable, "").split():
        named = _NAMED.fullmatch(word)
        yield _with_login(named["url"], named["name"], environ) if named else word


def _with_login(url: str, name: str, environ: Mapping[str, str]) -> str:
    """Return the address of a named index with the user and the password that variables hold for it."""
    word = re.sub(r"[^A-Za-z0-9]", "_", name).upper()
    user, password = (environ.get(f"UV_INDEX_{word}_{part}", "") for part in ("USERNAME", "PASSWORD"))
    scheme, separator, rest = url.partition("://")
    if not (user or password) or not separator or "@" in rest.partition("/")[0]:
        return url
    login = f"{quote(user, safe='')}:{quote(password, safe='')}" if password else quote(user, safe="")
    return f"{scheme}://{login}@{rest}"


def _absolute(link: str) -> str:
    return link if "://" in link else str(Path(link).expanduser().absolute())


def _distinct(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))
