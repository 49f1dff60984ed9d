"""Take the screenshots of docs/explain.md anew, for somebody to look at.

python -m tests.support.report_screenshots && pngquant --force --ext .png docs/explain/*.png
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from envpack.explain import logs
from envpack.explain.explanation import explain
from envpack.explain.page import page
from tests.support.browser import CHROMIUM, FLAGS, Scheme, visit
from tests.support.event_logs import DATA
from tests.support.job import SPARK_4

FOLDER = Path(__file__).parents[2] / "docs" / "explain"
SHOTS: tuple[tuple[str, Scheme, int], ...] = (
    ("light", "light", 1200),
    ("dark", "dark", 1200),
    ("phone", "light", 390),
)


def main() -> None:
    """Write every screenshot."""
    FOLDER.mkdir(exist_ok=True)
    log = logs.find(str(DATA / f"container-killed-{SPARK_4}.jsonl.zst"))
    with tempfile.TemporaryDirectory() as work, sync_playwright() as playwright:
        Path(work, "report.html").write_text(page(explain(log)), "utf-8")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for name, scheme, width in SHOTS:
            with visit(browser, f"{Path(work).as_uri()}/", width=width, color_scheme=scheme) as there:
                there.open("report.html")
                there.page.screenshot(path=FOLDER / f"{name}.png", full_page=width < 800)
        browser.close()


if __name__ == "__main__":
    main()
