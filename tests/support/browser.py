"""A real browser: Debian's Chromium, driven by Playwright, with nothing of it going to the network by itself."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.support.missing import missing

CHROMIUM = shutil.which("chromium")

PLAIN = "catalog.example"
"""A host that leads here and that no browser trusts: it gives its pages no clipboard interface."""

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    f"--host-resolver-rules=MAP {PLAIN} 127.0.0.1",
)

Scheme = Literal["light", "dark"]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Run the browser, with a profile that nobody has used.

    Playwright keeps an event loop in this thread while it runs, and nothing that starts another one works beside
    it: the browser ends with the file that uses it.
    """
    if CHROMIUM is None:
        missing("no browser: the page's tests need Debian's chromium (apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One person's look at a site."""

    context: BrowserContext
    page: Page
    base: str
    """The site's address, with a slash at its end."""
    asked: list[str] = field(default_factory=list)
    """Every address that the browser has asked for."""
    complaints: list[str] = field(default_factory=list)
    """What the browser's console and the page's scripts have complained about."""

    def open(self, path: str) -> None:
        self.page.goto(self.base + path)

    def wait_for_search(self) -> None:
        self.page.wait_for_selector("html[data-ready]")

    def copied(self) -> str:
        """Return what the clipboard holds, by pasting it."""
        self.page.evaluate(
            "document.body.prepend(Object.assign(document.createElement('textarea'), {id: 'pasted'}))"
        )
        self.page.locator("body > textarea").focus()
        self.page.keyboard.press("Control+V")
        text = self.page.locator("body > textarea").input_value()
        self.page.evaluate("document.querySelector('body > textarea').remove()")
        return text

    def shown(self, selector: str) -> list[str]:
        """Return the texts of the elements that can be seen."""
        return [entry.inner_text() for entry in self.page.locator(selector).all() if entry.is_visible()]

    def foreign(self) -> list[str]:
        """Return the addresses that are not the site's own."""
        return [url for url in self.asked if not url.startswith((self.base, "data:"))]


@contextmanager
def visit(browser: Browser, base: str, *, width: int = 1200, height: int = 800, **options: Any) -> Iterator[Visit]:
    """Open a site as somebody who was never there; `options` are those of Playwright's new_context."""
    context = browser.new_context(viewport={"width": width, "height": height}, **options)
    try:
        page = context.new_page()
        page.set_default_timeout(20_000)
        made = Visit(context=context, page=page, base=base)
        page.on("request", lambda request: made.asked.append(request.url))
        page.on("console", lambda message: made.complaints.append(message.text))
        page.on("pageerror", lambda error: made.complaints.append(str(error)))
        yield made
    finally:
        context.close()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def served(folder: Path) -> Iterator[int]:
    """Serve a folder over HTTP on this machine; give the port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
