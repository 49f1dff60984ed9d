"""A lock's wheels as pylock.toml (PEP 751): for tools that only handle Python packages.

The format has no conda packages. Source: https://packaging.python.org/en/latest/specifications/pylock-toml/.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from envpack.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from envpack.lock.lock import Lock, Wheel


def beside(requirements: Path) -> Path:
    """Return the name that the format requires for a lock beside a requirements file: `pylock.NAME.toml`."""
    return requirements.with_name(f"pylock.{requirements.stem.replace('.', '-')}.toml")


def dump(lock: Lock) -> str:
    """Return the wheels of a lock as text, and what is built from a source as that source."""
    machine, minor = lock.target.machine, lock.python_minor
    environment = f"python_version == '{minor}' and sys_platform == 'linux' and platform_machine == '{machine}'"
    lines = [
        'lock-version = "1.0"',
        f"environments = [{_text(environment)}]",
        f"requires-python = {_text(f'=={minor}.*')}",
        f"created-by = {_text(f'envpack {VERSION}')}",
        *(line for wheel in lock.wheels for line in ("", *_package(wheel))),
    ]
    return "\n".join(lines) + "\n"


def _package(wheel: Wheel) -> Iterator[str]:
    yield "[[packages]]"
    yield f"name = {_text(wheel.name)}"
    made = wheel.made
    if made is None or made.kind == "archive":
        yield f"version = {_text(wheel.version)}"
    if made is None:
        yield f"wheels = [{_file(wheel.url, wheel.sha256, wheel.size)}]"
    elif made.kind == "archive" and not wheel.direct:
        yield f"sdist = {_file(wheel.url, made.sha256, None)}"
    elif made.kind == "archive":
        below = {"subdirectory": made.subdirectory} if made.subdirectory else {}
        yield f"archive = {_file(wheel.url, made.sha256, None, **below)}"
    elif made.kind == "git":
        told = {"type": "git", "url": wheel.url.removeprefix("git+"), "commit-id": made.commit}
        below = {"subdirectory": made.subdirectory} if made.subdirectory else {}
        yield f"vcs = {_table({**told, **below})}"
    else:
        yield f"directory = {_table({'path': wheel.url})}"


def _file(url: str, sha256: str, size: int | None, **more: str) -> str:
    parts = urlsplit(url)
    place = {"path": unquote(parts.path)} if parts.scheme == "file" else {"url": url}
    name = {"name": unquote(parts.path).rpartition("/")[2]}
    told = ", ".join(f"{key} = {_text(value)}" for key, value in {**name, **place, **more}.items())
    sized = f", size = {size}" if size is not None else ""
    return f"{{ {told}{sized}, hashes = {{ sha256 = {_text(sha256)} }} }}"


def _table(values: dict[str, str]) -> str:
    return f"{{ {', '.join(f'{key} = {_text(value)}' for key, value in values.items())} }}"


def _text(value: str) -> str:
    """Return a text as TOML writes it: its basic strings have JSON's escapes, except for one character."""
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
