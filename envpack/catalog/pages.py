"""The pages of a catalog, and their inputs."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envpack.catalog import data
from envpack.catalog.contents import load
from envpack.catalog.offers import commands, offers
from envpack.catalog.templates import asset, asset_path, templates
from envpack.packages.compare import compare
from envpack.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from envpack.catalog.contents import Contents, Environment, Version
    from envpack.catalog.vulnerable import Vulnerable
    from envpack.packages.advisories import Vulnerability
    from envpack.releases.lookup import Release
    from envpack.stores.base import Store

INDEX = "index.html"
"""The page to open."""

ASSETS = ("catalog.css", "catalog.js", "search.js", "compare.js")

_HERE = Path(__file__).parent

_MADE_BY = (_HERE, _HERE.parent / "spark")
"""The folders whose files decide the content of a given release's page."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """One file of a catalog."""

    path: str
    """Its path, relative to the index."""
    key: str
    """Changes with its inputs."""
    wave: int
    """Files are written in waves, so that the targets of a page's links are written before it."""
    render: Callable[[], bytes]
    """Makes its bytes."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """All files of a catalog."""

    pages: tuple[Page, ...]
    contents: Contents


def site(store: Store, contents: Contents, *, beside: bool, vulnerable: Vulnerable | None = None) -> Site:
    """Return the files that show what a store holds; nothing is rendered yet.

    `beside` says that the catalog is in the store itself, where its pages can link to manifests and archives. With
    `vulnerable` they show known vulnerabilities.
    """
    return Site(pages=tuple(_Pages(store, contents, vulnerable, beside=beside)), contents=contents)


def gone(path: str) -> Page:
    """Return the replacement of the page of a release or an environment that the store no longer has."""
    return Page(path=path, key=_key("gone", path), wave=1, render=partial(_gone, path))


class _Pages:
    """All pages for a store's content at one time, in the best order for reading manifests."""

    def __init__(self, store: Store, contents: Contents, vulnerable: Vulnerable | None, *, beside: bool) -> None:
        self._contents = contents
        self._vulnerable = vulnerable
        self._beside = beside
        # A manifest is wanted for its release's page and data, and for the page of the release after it.
        self._load = lru_cache(maxsize=64)(partial(load, store))

    def __iter__(self) -> Iterator[Page]:
        for name in ASSETS:
            yield Page(path=asset_path(name), key=_key("asset"), wave=0, render=partial(asset, name))
        for environment in self._contents.environments:
            for version in environment.versions:
                yield from self._of_version(version)
            yield from self._of_environment(environment)
        everything = _key(
            self._contents.store, *map(_state, self._contents.environments), *self._contents.passed_over
        )
        yield Page(path="packages.js", key=everything, wave=3, render=partial(data.packages, self._contents))
        leads = [environment.lead[1] for environment in self._contents.environments]
        key = _key(everything, *map(self._might, leads))
        yield Page(path=INDEX, key=key, wave=3, render=self._render_index)

    def _of_version(self, version: Version) -> Iterator[Page]:
        address = f"{version.listed.name}/{version.id}"
        around = [listed and listed.digest for listed in (version.before, version.after)]
        key = _key(version.stamp, *version.tags, *around, self._contents.store, self._beside, self._might(version))
        yield Page(
            path=f"{address}.js", key=_key(version.stamp), wave=1, render=partial(self._render_data, version)
        )
        path = f"{address}.html"
        yield Page(path=path, key=key, wave=1, render=partial(self._render_release, version, path))

    def _of_environment(self, environment: Environment) -> Iterator[Page]:
        key = _key(self._contents.store, _state(environment), self._might(environment.lead[1]))
        path = f"{environment.name}/{INDEX}"
        yield Page(path=path, key=key, wave=2, render=partial(self._render_environment, environment, path))
        path, store = f"{environment.name}/compare.html", self._contents.store
        yield _page(path, "compare.html", 2, key, environment=environment, store=store)

    def _might(self, version: Version) -> list[list[str]] | None:
        return self._vulnerable.might(version.listed.packages) if self._vulnerable else None

    def _vulnerabilities(self, release: Release) -> tuple[Vulnerability, ...] | None:
        """Return the known vulnerabilities of a release; None when no advisories are configured."""
        return self._vulnerable.of(release.manifest.packages) if self._vulnerable else None

    def _render_index(self) -> bytes:
        return _render(
            INDEX,
            "index.html",
            contents=self._contents,
            vulnerable=dict(self._worst()) if self._vulnerable else None,
        )

    def _worst(self) -> Iterator[tuple[str, tuple[Vulnerability, ...]]]:
        """Yield environments whose lead release has known vulnerabilities, with these."""
        for environment in self._contents.environments:
            lead = environment.lead[1]
            if self._might(lead) and (release := self._load(lead.listed)):
                yield environment.name, self._vulnerabilities(release) or ()

    def _render_data(self, version: Version) -> bytes:
        release = self._load(version.listed)
        return data.release(release.manifest) if release else b""

    def _render_environment(self, environment: Environment, path: str) -> bytes:
        reference, lead = environment.lead
        release = self._load(lead.listed)
        return _render(
            path,
            "environment.html",
            environment=environment,
            reference=reference,
            lead=lead,
            release=release,
            vulnerabilities=self._vulnerabilities(release) if release else None,
            offers=offers(release) if release else (),
            commands=commands(reference, self._contents.store),
            store=self._contents.store,
        )

    def _render_release(self, version: Version, path: str) -> bytes:
        release = self._load(version.listed)
        if release is None:
            return _gone(path)
        before = self._load(version.before) if version.before else None
        return _render(
            path,
            "release.html",
            version=version,
            release=release,
            changes=compare(before.manifest.packages, release.manifest.packages) if before else None,
            vulnerabilities=self._vulnerabilities(release),
            offers=offers(release),
            store=self._contents.store,
            beside=self._beside,
        )


def _page(path: str, template: str, wave: int, key: str, **context: Any) -> Page:  # noqa: ANN401 - the template's
    return Page(path=path, key=key, wave=wave, render=partial(_render, path, template, **context))


def _render(path: str, template: str, **context: Any) -> bytes:  # noqa: ANN401 - the template's
    return templates().get_template(template).render(root="../" * path.count("/"), **context).encode()


def _gone(path: str) -> bytes:
    return _render(path, "gone.html", name=path.split("/", 1)[0])


def _state(environment: Environment) -> list[object]:
    return [environment.name, [[version.stamp, *version.tags] for version in environment.versions]]


def _key(*parts: object) -> str:
    made_from = json.dumps([_maker(), *parts])
    return hashlib.sha256(made_from.encode()).hexdigest()[:20]


@cache
def _maker() -> str:
    """Return a digest of envpack's own part in the pages: its version, templates and code."""
    seen = hashlib.sha256(VERSION.encode())
    for folder in _MADE_BY:
        for file in sorted(folder.rglob("*.*")):
            if file.suffix != ".pyc":
                seen.update(file.read_bytes())
    return seen.hexdigest()
