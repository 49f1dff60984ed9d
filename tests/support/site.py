"""Catalogs to look at: of stores with many releases, and with releases that mean harm."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from tests.support.many_releases import fill_directory

HOSTILE = "\"><script>window.harmed=1</script><img src=x onerror=window.harmed=2>'&lt;{{7*7}}</td>"
"""Text that would do something if it were taken for more than text."""

PROTOTYPE = "__proto__"
"""A name that is a key of every JavaScript object."""


@dataclass
class Read(HTMLParser):
    """A page as a browser's parser sees it."""

    html: str
    links: list[str] = field(default_factory=list)
    """Where `href`, `src` and `action` lead."""
    loaded: list[str] = field(default_factory=list)
    """What a browser fetches by itself."""
    attributes: set[str] = field(default_factory=set)
    """The names of all attributes."""
    inline: list[str] = field(default_factory=list)
    """What stands inside script and style elements."""
    ids: list[str] = field(default_factory=list)
    text: str = ""

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._open: list[str] = []
        self.feed(self.html)

    def __hash__(self) -> int:
        return id(self)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.attributes |= set(given)
        self.ids += [value for name, value in attrs if name == "id" and value]
        found = [value for name, value in attrs if name in {"href", "src", "action"} and value]
        self.links += found
        if tag in {"script", "link", "img", "iframe", "object", "embed", "source"}:
            self.loaded += found
        if tag in {"script", "style"}:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in {"script", "style"} and self._open:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open:
            self.inline.append(data)
        self.text += data


def pages(site: Path) -> dict[str, Read]:
    """Return every page of a site by its path."""
    return {str(path.relative_to(site)): Read(path.read_text("utf-8")) for path in sorted(site.rglob("*.html"))}


def data(file: Path) -> Any:
    """Return what a data script hands over."""
    text = file.read_text("utf-8")
    assert text.startswith("catalog.take(")
    assert text.endswith(");\n")
    return json.loads(f"[{text.removeprefix('catalog.take(').removesuffix(');' + chr(10))}]")[1]


def manifests(store: Path, name: str = "*") -> list[Any]:
    """Return the manifests of a store, newest first within each name."""
    found = [json.loads(path.read_text("utf-8")) for path in store.glob(f"{name}/*/manifest.json")]
    newest_first = sorted(found, key=lambda value: str(value["created"]), reverse=True)
    return sorted(newest_first, key=lambda value: str(value["name"]))


def hostile_store(store: Path) -> Any:
    """Make a store whose newest release has harm in every text, and return that release's manifest."""
    fill_directory(store, 3)
    newest = manifests(store)[0]
    newest["packages"][0].update(license=HOSTILE, url=f"javascript:{HOSTILE}")
    newest["packages"][1].update(name=PROTOTYPE, version=PROTOTYPE)
    newest["requested"] = [HOSTILE]
    newest["variables"] = {"HOSTILE": HOSTILE, PROTOTYPE: HOSTILE}
    newest["warnings"] = [HOSTILE]
    newest["python"] = "3.11.7"
    newest["provenance"] = {
        "by": HOSTILE,
        "job": f"javascript:{HOSTILE}",
        "repository": HOSTILE,
        "file": HOSTILE,
    }
    folder = store / newest["name"] / newest["archive"]["sha256"][:16]
    (folder / "manifest.json").write_text(json.dumps(newest), "utf-8")
    tags = store / newest["name"] / "tags"
    (tags / f"{HOSTILE.replace('/', '')}.json").write_bytes((tags / "latest.json").read_bytes())
    strange = store / HOSTILE.replace("/", "") / ("0" * 16)
    strange.mkdir(parents=True)
    (strange / "manifest.json").write_text(json.dumps(newest), "utf-8")
    return newest
