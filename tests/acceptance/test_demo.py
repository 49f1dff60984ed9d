from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


def masked(text: str) -> list[str]:
    """Return lines without what differs between machines and days: numbers, digests, how long things took."""
    text = re.sub(r"\b[0-9a-f]{16}\b", "DIGEST", text)
    text = re.sub(r"\d[\d.,]*", "N", text)
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def session() -> list[str]:
    (block,) = re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    block = re.sub(r"^\$ .*?[^\\]\n", "", block, flags=re.MULTILINE | re.DOTALL)
    return masked(block.replace("/home/me/envpack", "HERE"))


@pytest.mark.acceptance
@pytest.mark.timeout(600)
def test_the_demo_prints_what_the_readme_shows_on_a_fresh_clone_with_a_cold_cache(tmp_path: Path) -> None:
    clone = tmp_path / "a fresh clone"
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ENVPACK_", "VIRTUAL_ENV"))}
    start = time.monotonic()
    done = subprocess.run(
        ["make", "--silent", "demo"],
        cwd=clone,
        env={**kept, "XDG_CACHE_HOME": str(tmp_path / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert time.monotonic() - start < 180
    shown = masked(done.stdout.replace(str(clone).replace(" ", "%20"), "HERE").replace(str(clone), "HERE"))
    assert [line.replace("'", "") for line in shown] == session()
