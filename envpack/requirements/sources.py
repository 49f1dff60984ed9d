"""Sources that requirements name: the team's own project, an archive of one, a git repository."""

from __future__ import annotations

import ast
import configparser
import re
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urldefrag, urlsplit

from packaging.utils import InvalidSdistFilename, canonicalize_name, parse_sdist_filename

from envpack.redact import take_apart
from envpack.requirements.names import ProjectName
from envpack.requirements.text import LARGEST_FILE, Refused, quoted

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Kind = Literal["project", "archive", "git"]

ARCHIVES = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar", ".zip")
"""The suffixes of source distributions."""

FILES = ("pyproject.toml", "setup.py", "setup.cfg")
"""The files that make a directory a project."""

_GIT = re.compile(r"git\+(?:https?|ssh|file)://")
_OTHER_VCS = re.compile(r"(?:git|hg|svn|bzr)(?:\+\w+:|://)|(?:git\+)?git@")
_OF_SSH = re.compile(r"(?:git\+)?(?:ssh://)?[\w.-]+@[\w.-]+:(?!\d+/|//)[\w.~-][^\s:]*")
"""How ssh names a place, `git@host:path`: no URL, as a colon separates a port there."""
_REFERENCE = re.compile(r"[A-Za-z0-9][\w./+-]{0,200}")
_FOLDER = re.compile(r"[\w.+-]+(?:/[\w.+-]+)*")


@dataclass(frozen=True, kw_only=True)
class SourceRef:
    """A source that is built into a wheel."""

    kind: Kind
    location: str
    """A project's absolute directory; the URL of an archive, of a repository without `git+`; with credentials."""
    reference: str = ""
    """A branch, a tag or a commit of a repository; empty for its default branch."""
    subdirectory: str = ""
    """Where the project is in the archive or the repository, with `/` between folders."""


def is_source(where: str, folder: Path) -> bool:
    """Return whether a URL or a path, which may be relative to `folder`, leads to a source and not to a wheel."""
    if _OTHER_VCS.match(where):
        return True
    path = _path(where)
    on_this_machine = where.startswith("file:") or "://" not in where
    return path.lower().endswith(ARCHIVES) or (on_this_machine and _placed(path, folder).is_dir())


def read(where: str, folder: Path) -> SourceRef:
    """Return the source at a URL or a path. Raises Refused for one that cannot be built, with what to write."""
    if _OTHER_VCS.match(where):
        return _repository(where)
    url, fragment = urldefrag(where) if "://" in where else (where, "")
    subdirectory = _subdirectory(fragment)
    path = _path(url)
    if not path.lower().endswith(ARCHIVES):
        directory = _placed(path, folder).resolve()
        if not any((directory / name).is_file() for name in FILES):
            raise Refused(f"{quoted(where)} is not a Python project: it has no {', no '.join(FILES)}")
        return SourceRef(kind="project", location=str(directory))
    if "://" in url and not url.startswith("file:"):
        return SourceRef(kind="archive", location=url, subdirectory=subdirectory)
    archive = _placed(path, folder)
    if not archive.is_file():
        raise Refused(f"{quoted(where)}: this file does not exist")
    location = (archive.parent.resolve() / archive.name).as_uri()
    return SourceRef(kind="archive", location=location, subdirectory=subdirectory)


def name_of(where: str, source: SourceRef) -> ProjectName:
    """Return the project of a source without a name in front. Raises Refused when it cannot be found."""
    found: str | None = None
    if source.kind == "project":
        found = declared_name(Path(source.location))
    elif source.kind == "archive":
        with suppress(InvalidSdistFilename, ValueError):
            file = unquote(urlsplit(source.location).path).rpartition("/")[2]
            found = parse_sdist_filename(file)[0]
    else:
        found = parse_qs(urlsplit(where).fragment).get("egg", [""])[0].partition("[")[0]
    if not found:
        raise Refused(
            f"{quoted(where)} does not contain the project's name; write `NAME @ {where.partition('#')[0]}`"
        )
    return ProjectName(canonicalize_name(found))


def declared_name(directory: Path) -> str | None:
    """Return the name that a project's files declare, read as text; None when only running them would show it."""
    declared = pyproject(directory)
    for table in (declared.get("project"), declared.get("tool", {}).get("poetry")):
        if isinstance(table, dict) and isinstance(table.get("name"), str):
            return str(table["name"])
    with suppress(OSError, UnicodeDecodeError, configparser.Error):
        parser = configparser.ConfigParser(interpolation=None)
        parser.read_string(_text(directory / "setup.cfg"))
        if name := parser.get("metadata", "name", fallback=""):
            return name
    with suppress(OSError, UnicodeDecodeError, SyntaxError, ValueError, RecursionError):
        return _of_setup(ast.parse(_text(directory / "setup.py")))
    return None


def setup_requires(directory: Path) -> tuple[str, ...]:
    """Return what `setup_requires` of setup.cfg and setup.py names, read as text: [build-system]'s older form."""
    found: list[str] = []
    with suppress(OSError, UnicodeDecodeError, configparser.Error):
        parser = configparser.ConfigParser(interpolation=None)
        parser.read_string(_text(directory / "setup.cfg"))
        found += re.split(r"[\n;]", parser.get("options", "setup_requires", fallback=""))
    with suppress(OSError, UnicodeDecodeError, SyntaxError, TypeError, ValueError, RecursionError):
        value = ast.literal_eval(_keyword(ast.parse(_text(directory / "setup.py")), "setup_requires"))
        found += [value] if isinstance(value, str) else map(str, value or ())
    return tuple(filter(None, map(str.strip, found)))


def states_its_needs(directory: Path) -> bool:
    """Return whether a project's pyproject.toml holds all its dependencies, and no build has to find them."""
    declared = pyproject(directory)
    project = declared.get("project")
    if project is None:
        return bool(declared.get("tool", {}).get("poetry"))
    dynamic = project.get("dynamic")
    return not ({*dynamic} & {"dependencies", "optional-dependencies"} if isinstance(dynamic, list) else dynamic)


def pyproject(directory: Path) -> dict[str, Any]:
    """Return what a project's pyproject.toml says; nothing when there is none. Raises Refused for a broken one."""
    path = directory / "pyproject.toml"
    try:
        declared = tomllib.loads(_text(path)) if path.is_file() else {}
    except (OSError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise Refused(f"{path} cannot be read: {error}") from error
    for name in ("project", "tool"):
        if not isinstance(declared.get(name, {}), dict):
            raise Refused(f"{path} cannot be used: [{name}] is not a table")
    return declared


def _text(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(LARGEST_FILE).decode("utf-8")


def _of_setup(tree: ast.Module) -> str | None:
    value = _keyword(tree, "name")
    return str(value.value) if isinstance(value, ast.Constant) and value.value is not None else None


def _keyword(tree: ast.Module, name: str) -> ast.expr:
    """Return the value of a keyword of setup(); `None` where it is missing."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "setup":
            for keyword in node.keywords:
                if keyword.arg == name:
                    return keyword.value
    return ast.Constant(value=None)


def _path(where: str) -> str:
    """Return the path of a URL, or a path unchanged. Raises Refused for an invalid URL."""
    try:
        return unquote(urlsplit(where).path) if "://" in where or where.startswith("file:") else where
    except ValueError as error:
        raise Refused(f"{quoted(where)} is not a valid URL") from error


def _placed(path: str, folder: Path) -> Path:
    """Return where a path leads. Raises Refused for one that no file can have."""
    try:
        placed = folder / Path(path).expanduser()
        placed.lstat()
    except FileNotFoundError:
        return placed
    except (OSError, ValueError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise Refused(f"{quoted(path)}: {reason or 'this is not a valid file name'}") from error
    return placed


def _subdirectory(fragment: str) -> str:
    """Return what `#subdirectory=` names. Raises Refused for a path that leads out of the source."""
    (found,) = parse_qs(fragment).get("subdirectory", [""])[:1]
    found = found.strip("/")
    if found and (not _FOLDER.fullmatch(found) or ".." in found.split("/")):
        raise Refused(f"the subdirectory {quoted(found)} is not inside the source; correct `#subdirectory=`")
    return found


def named_for_ssh(where: str) -> bool:
    """Return whether a text is how ssh names a repository, `git@host:path`."""
    return bool(_OF_SSH.fullmatch(where))


def egg_extras(where: str) -> str:
    """Return the extras that `#egg=NAME[EXTRAS]` asks for, separated by commas."""
    told = parse_qs(urldefrag(where)[1]).get("egg", [""])[0]
    return told.partition("[")[2].rstrip("]")


def _repository(where: str) -> SourceRef:
    if _OF_SSH.fullmatch(where):
        raise Refused(
            f"{quoted(where)} is not a URL; write git+ssh:// in front, and `/` for the `:` after the host"
        )
    if not _GIT.match(where):
        raise Refused(
            f"{quoted(take_apart(where).shown())} has a scheme that envpack does not support; write "
            "git+https://..., "
            "git+ssh://... or git+file:///..."
        )
    try:
        url, fragment = urldefrag(where.removeprefix("git+"))
        parts = urlsplit(url)
    except ValueError as error:
        raise Refused(f"{quoted(where)} is not a valid URL") from error
    path, at, reference = parts.path.rpartition("@")
    if not at:
        path, reference = parts.path, ""
    if (at and not _REFERENCE.fullmatch(reference)) or ".." in reference:
        raise Refused(f"{quoted(reference)} after `@` is not a valid name of a branch, a tag or a commit")
    return SourceRef(
        kind="git",
        location=parts._replace(path=path).geturl(),
        reference=reference,
        subdirectory=_subdirectory(fragment),
    )
