"""Which source distributions of a project the indexes offer.

Source: the simple repository API (https://packaging.python.org/en/latest/specifications/simple-repository-api/).
"""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)

from envpack.errors import Unreachable
from envpack.redact import public, take_apart
from envpack.resolve.building import Offered
from envpack.tools.download import opened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from packaging.version import Version

    from envpack.requirements.names import ProjectName
    from envpack.requirements.values import Indexes

_JSON = "application/vnd.pypi.simple.v1+json"
_ACCEPT = {"Accept": f"{_JSON}, text/html;q=0.5"}
_LARGEST = 64 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")


def sources(
    name: ProjectName,
    indexes: Indexes,
    *,
    default: Callable[[], str],
    hashes: Sequence[str],
    python: str,
) -> tuple[Offered, ...]:
    """Return the source distributions of a project for this Python, one for each version, the newest first.

    Those that were yanked are among them.

    `default` gives the index that is asked where none is named. `hashes` are the allowed ones; none allows any. A
    file whose page does not give its hash is allowed.

    The first index that has the project answers, as in uv's default, or the only one that the project is taken
    from; pages of links are asked too. Raises Unreachable when an index does not answer.
    """
    owner = indexes.owner_of(name)
    links = [link for link in indexes.find_links if owner is None or not link.startswith("http")]
    found = [each for link in links for each in _linked(link, name, ()) or ()]
    if not indexes.no_index:
        urls = (*indexes.extra_index_urls, indexes.index_url or default())
        for url in (owner,) if owner else urls:
            page = _of_index(f"{url.rstrip('/')}/{name}/", name, urls)
            if page is not None:
                found += page
                break
    wheels: dict[Version, list[str]] = {}
    for file, *_ in found:
        if parsed := _wheel_version(file, name):
            wheels.setdefault(parsed, []).append(file)
    fitting: dict[Version, Offered] = {}
    for file, url, sha256, needs, yanked in sorted(found, key=lambda file: file[4] is not None):
        version = _version(file, name)
        refused = hashes and sha256 and f"sha256:{sha256}" not in hashes
        if version and not refused and _admits(needs, python):
            beside = tuple(wheels.get(version, ()))
            offer = Offered(version=version, url=url, sha256=sha256, wheels=beside, yanked=yanked)
            fitting.setdefault(version, offer)
    return tuple(sorted(fitting.values(), key=lambda each: each.version, reverse=True))


File = tuple[str, str, "str | None", str, "str | None"]
"""Name, address, SHA-256, `Requires-Python`, why it was yanked."""


def _of_index(url: str, name: ProjectName, logins: tuple[str, ...]) -> list[File] | None:
    """Return the files of a project's page in an index, which may be a directory; None when there is none."""
    if url.startswith("file:"):
        page = Path(unquote(urlsplit(url).path), "index.html")
        if page.is_file():
            reader = _Links(url)
            reader.feed(page.read_text("utf-8", "replace"))
            return reader.files
    return _linked(url, name, logins)


def _linked(link: str, name: ProjectName, logins: tuple[str, ...]) -> list[File] | None:
    """Return the files of a page or a directory; None when there is none."""
    if "://" in link and not link.startswith("file:"):
        return _page(link, logins)
    directory = Path(unquote(urlsplit(link).path) if "://" in link else link)
    if not directory.is_dir():
        return None
    return [
        (path.name, path.as_uri(), None, "", None)
        for path in sorted(directory.iterdir())
        if path.is_file() and (_version(path.name, name) or _wheel_version(path.name, name))
    ]


def _page(url: str, logins: tuple[str, ...]) -> list[File] | None:
    """Return the files of a page; None when there is no such page."""
    try:
        with opened(url, logins, headers=_ACCEPT) as answer:
            kind = str(getattr(answer, "headers", {}).get("Content-Type", ""))
            base = str(getattr(answer, "url", url))
            text = answer.read(_LARGEST)
    except HTTPError as error:
        if error.code in (404, 410):
            return None
        raise Unreachable(
            f"a package index refused the request ({public(url)}): HTTP {error.code}",
            hint="put user and password into a netrc file, or into the index's URL as `${USER}:${TOKEN}@`",
        ) from error
    except (OSError, HTTPException) as error:
        raise Unreachable(
            f"a package index cannot be read ({public(url)}): {error}",
            hint="check the network, the proxy and the index's URL",
        ) from error
    try:
        if kind.startswith(_JSON):
            return list(_of_json(json.loads(text), base))
        reader = _Links(base)
        reader.feed(text.decode("utf-8", "replace"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unreachable(
            f"this URL is not a package index ({public(url)}): {error}",
            hint="correct --index-url or --extra-index-url in the requirements; most end with /simple",
        ) from error
    return reader.files


def _of_json(page: dict[str, Any], base: str) -> Iterator[File]:
    for file in page["files"]:
        sha256 = file.get("hashes", {}).get("sha256")
        needs = file.get("requires-python") or ""
        told = file.get("yanked") or None
        yanked = told if told is None or isinstance(told, str) else ""
        yield file["filename"], urljoin(base, file["url"]), sha256, needs, yanked


class _Links(HTMLParser):
    """Reads the anchors of a page."""

    def __init__(self, base: str) -> None:
        super().__init__()
        self.files: list[File] = []
        self._base = base

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "a" and (href := given.get("href")):
            url, fragment = urldefrag(urljoin(self._base, href))
            digits = fragment.partition("sha256=")[2][:64]
            sha256 = digits if _SHA256.fullmatch(digits) else None
            file = take_apart(url).path.rpartition("/")[2]
            yanked = given["data-yanked"] or "" if "data-yanked" in given else None
            self.files.append((file, url, sha256, given.get("data-requires-python") or "", yanked))


def _version(file: str, name: ProjectName) -> Version | None:
    try:
        project, version = parse_sdist_filename(file)
    except (InvalidSdistFilename, ValueError):
        return None
    return version if str(canonicalize_name(project)) == str(name) else None


def _wheel_version(file: str, name: ProjectName) -> Version | None:
    try:
        project, version, *_ = parse_wheel_filename(file)
    except (InvalidWheelFilename, ValueError):
        return None
    return version if str(project) == str(name) else None


def _admits(needs: str, python: str) -> bool:
    try:
        return SpecifierSet(needs).contains(python, prereleases=True)
    except InvalidSpecifier:
        return True
