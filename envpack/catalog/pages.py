"""Which pages a catalog has, and what each is made from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from envpack.catalog import data
from envpack.catalog.offers import offers
from envpack.catalog.plot import plot, sparkline
from envpack.progress import human_size
from envpack.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from envpack.catalog.contents import Contents, Environment, Version
    from envpack.releases import Release

INDEX = "index.html"
"""The page to open."""

ASSETS = ("catalog.css", "catalog.js", "search.js", "compare.js")

MINUS = "\N{MINUS SIGN}"

_HERE = Path(__file__).parent

_MADE_BY = (_HERE, _HERE.parent / "spark")
"""The folders whose files decide what a page says of a given release."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """One file of a catalog."""

    path: str
    """Where it lies, relative to the index."""
    key: str
    """Changes with what it is made from."""
    wave: int
    """Files are written in waves, so that what a page links to is there before it."""
    render: Callable[[], bytes]
    """Makes its bytes."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """All files of a catalog."""

    pages: tuple[Page, ...]
    contents: Contents


def site(contents: Contents, *, beside: bool) -> Site:
    """Return the files that show what a store holds; nothing is rendered yet.

    `beside` says that the catalog lies in the store itself, where its pages can link to manifests and archives.
    """
    return Site(pages=tuple(_pages(contents, beside=beside)), contents=contents)


def gone(path: str) -> Page:
    """Return what replaces the page of a release or an environment that the store no longer has."""
    return _page(path, "gone.html", 1, _key("gone", path), name=path.split("/", 1)[0])


def _pages(contents: Contents, *, beside: bool) -> Iterator[Page]:
    yield from _assets()
    everything = []
    for environment in contents.environments:
        states = []
        for version in environment.versions:
            own = _identity(version.release)
            around = [release and _identity(release) for release in (version.before, version.after)]
            states.append([own, *version.tags])
            yield _data(f"{_address(version)}.js", 0, _key("data", own), partial(data.release, version))
            yield _page(
                f"{_address(version)}.html",
                "release.html",
                1,
                _key("release", own, around, version.tags, version.release.archive_uri, contents.store, beside),
                version=version,
                store=contents.store,
                beside=beside,
            )
        everything.append([environment.name, states])
        yield from _of_environment(environment, contents.store, states)
    yield _data("packages.js", 3, _key("packages", everything), partial(data.packages, contents))
    yield _page(
        INDEX, "index.html", 3, _key("index", everything, contents.store, contents.passed_over), contents=contents
    )


def _of_environment(environment: Environment, store: str, states: list[list[str]]) -> Iterator[Page]:
    for file in ("index.html", "compare.html"):
        template = "environment.html" if file == "index.html" else file
        key = _key(template, environment.name, states, store)
        yield _page(f"{environment.name}/{file}", template, 2, key, environment=environment, store=store)


def _assets() -> Iterator[Page]:
    for name in ASSETS:
        yield _data(_asset(name), 0, _key("asset"), (_HERE / "assets" / name).read_bytes)


def _data(path: str, wave: int, key: str, render: Callable[[], bytes]) -> Page:
    return Page(path=path, key=key, wave=wave, render=render)


def _page(path: str, template: str, wave: int, key: str, **context: Any) -> Page:  # noqa: ANN401 - the template's
    def render() -> bytes:
        text = _templates().get_template(template).render(root="../" * path.count("/"), path=path, **context)
        return text.encode()

    return Page(path=path, key=key, wave=wave, render=render)


def _address(version: Version) -> str:
    return f"{version.manifest.name}/{version.id}"


def _asset(name: str) -> str:
    """Return the path of an asset; it changes with the content, so that a page never meets another one's script."""
    content = (_HERE / "assets" / name).read_bytes()
    stem, _, suffix = name.partition(".")
    return f"assets/{stem}-{hashlib.sha256(content).hexdigest()[:12]}.{suffix}"


def _key(*parts: object) -> str:
    made_from = json.dumps([_maker(), *parts])
    return hashlib.sha256(made_from.encode()).hexdigest()[:20]


def _identity(release: Release) -> str:
    """Return what tells a release from any other one, also from one that was there before it was removed."""
    manifest = release.manifest
    return f"{manifest.digest[:20]} {manifest.created} {manifest.input_digest[:20]}"


@cache
def _maker() -> str:
    """Return a digest of envpack's own part in the pages: its version, templates and code."""
    seen = hashlib.sha256(VERSION.encode())
    for folder in _MADE_BY:
        for file in sorted(folder.rglob("*.*")):
            if file.suffix != ".pyc":
                seen.update(file.read_bytes())
    return seen.hexdigest()


@cache
def _templates() -> jinja2.Environment:
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("envpack.catalog"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters |= {"size": human_size, "signed": _signed}
    templates.globals |= {
        "asset": cache(_asset),
        "offers": offers,
        "plot": plot,
        "sparkline": sparkline,
        "made_by": VERSION,
    }
    return templates


def _signed(amount: int) -> str:
    """Return a difference of bytes with its sign, as `+1.2 MB`."""
    return f"{'+' if amount > 0 else MINUS}{human_size(abs(amount))}" if amount else "±0"
