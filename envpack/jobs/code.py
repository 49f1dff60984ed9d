"""Pack a job's code base: git's files in one zip, the same bytes everywhere, kept in the store under its digest."""

from __future__ import annotations

import io
import os
import re
import stat
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pathspec import GitIgnoreSpec

from envpack import digest
from envpack.errors import Conflict, UsageError
from envpack.jobs.job_file import entry_files
from envpack.redact import hide
from envpack.releases import keys, removal_notice
from envpack.stores.base import SMALL
from envpack.tools.git import Repository
from envpack.units import human_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from envpack.jobs.job_file import JobFile
    from envpack.stores.base import Store

IGNORE = ".envpackignore"
"""A file beside the code: what is left out of the zip, in the form of a .gitignore."""

ALWAYS_OUT = ("__pycache__/", "*.py[co]", ".git*", IGNORE)
"""Paths that are never code."""

_DIGITS = re.compile(r"[0-9A-Fa-f]{4,64}")
_LARGEST = SMALL // 2
_MANY = 200_000
_DATE = (1980, 1, 1, 0, 0, 0)
_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class CodeBundle:
    """A code base for sending."""

    digest: str
    """SHA-256 of the zip, which `sha256sum` gives too."""
    data: bytes
    """The zip. It is not compressed: so the same files have the same digest with every zlib."""
    files: tuple[str, ...]
    """The paths in it, sorted."""
    notes: tuple[str, ...] = ()
    """Notes for the user on the chosen files."""


def pack(job: JobFile) -> CodeBundle:
    """Pack the code base of a job. Raises UsageError, with every file that cannot be packed."""
    root, names, notes = _files(job)
    names = [name for name in names if (root / name).resolve() != job.path.resolve()]
    if not names:
        raise UsageError(
            f"{job.where('code')}: {job.code} has no files to send",
            hint=f"envpack sends the files that git tracks or would add; check `git status --ignored` and {IGNORE}",
        )
    _refuse_without_entry(job, root, names)
    _refuse(root, names)
    data = _zipped(root, names)
    return CodeBundle(digest=digest.of_bytes(data), data=data, files=tuple(names), notes=tuple(notes))


def module_of(job: JobFile) -> str:
    """Return the name with which the module is imported from the zip."""
    code, entry = job.folder / job.code, job.entrypoint
    if code.is_file():
        return code.stem
    if not entry:
        return code.resolve().name if (code / "__init__.py").is_file() else "__main__"
    name = entry[:-3].replace("/", ".") if entry.endswith(".py") else entry
    inside = (code / "__init__.py").is_file() and entry.endswith(".py")
    return f"{code.resolve().name}.{name}" if inside else name


def send(store: Store, bundle: CodeBundle) -> bool:
    """Write a bundle to the store unless it exists; say whether it was written.

    Raises Conflict when another object is there. It waits for a removal that begins meanwhile.
    """
    key = keys.code(bundle.digest)
    sent: list[bool] = []

    def put(_removed: bool) -> None:
        if there(store, bundle.digest) is None:
            sent.append(store.create(key, bundle.data))

    removal_notice.beside_removals(store, keys.code_folder(bundle.digest), put)
    return any(sent)


def there(store: Store, sha256: str) -> bytes | None:
    """Return the zip of this digest, or None when the store has none. Raises Conflict for other bytes."""
    key = keys.code(sha256)
    found = store.read(key)
    if found is not None and digest.of_bytes(found.data) != sha256:
        raise Conflict(
            f"the content of {store.uri(key)} does not match the digest in its name",
            hint="remove it; its owner or the store's access log shows who wrote it",
        )
    return found.data if found else None


def check_digits(short: str) -> None:
    """Raise UsageError for what is not the digest of a code base, nor its beginning."""
    if not _DIGITS.fullmatch(short):
        raise UsageError(
            f"--code: {short!r} is not the digest of a code base: write its first 4 to 64 digits",
            hint="`envpack job code` prints it; `envpack job history` shows what was submitted",
        )


def by_digest(store: Store, short: str) -> str:
    """Return the whole digest of the only bundle whose digest begins so. Raises UsageError for none and several.

    Raises Conflict when other bytes are there.
    """
    found = [
        sha256
        for entry in store.list(keys.CODE)
        if (sha256 := keys.digest_of_code(entry.key)) and sha256.startswith(short.lower())
    ]
    if len(found) != 1:
        what = f"has {len(found)} code bases whose digest begins with" if found else "has no code base"
        raise UsageError(
            f"{store.url} {what} {short}",
            hint="`envpack job history` shows what was submitted; `envpack job code` sends a code base",
        )
    there(store, found[0])
    return found[0]


def _files(job: JobFile) -> tuple[Path, list[str], list[str]]:
    """Return the directory at which imports start, the files below it, and notes on them."""
    code = job.folder / job.code
    if code.is_file():
        return code.parent, [code.name], []
    code = code.resolve()
    found, notes = _of_git(code)
    spec = GitIgnoreSpec.from_lines([*ALWAYS_OUT, *_ignored(code)])
    kept = sorted(name for name in found if not spec.match_file(name))
    if (code / "__init__.py").is_file():
        return code.parent, [f"{code.name}/{name}" for name in kept], notes
    return code, kept, notes


def _ignored(code: Path) -> list[str]:
    path = code / IGNORE
    try:
        return path.read_text("utf-8").splitlines() if path.is_file() else []
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} cannot be read: {error}", hint="it must be a UTF-8 text file in the syntax of .gitignore"
        ) from error


def _of_git(code: Path) -> tuple[list[str], list[str]]:
    """Return the files of a directory that git knows or would add, or all where there is no repository."""
    repository = Repository(code)
    if repository.root() is None:
        why = repository.why_there_is_none()
        if "there is no git repository" not in why:
            raise UsageError(
                f"{code}: {why}",
                hint="run `git status` there and correct what it reports: envpack sends the files that git lists",
            )
        return sorted(_walk(code)), [
            f"{why} at {code}: all its files are sent, except those whose name begins with a dot"
        ]
    answer = repository.git("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate")
    if answer.returncode:
        said = " ".join(answer.stderr.decode(errors="replace").split())
        raise UsageError(
            f"git cannot list the files of {code}: {said}",
            hint="run `git status` there and correct what it reports",
        )
    names = [os.fsdecode(name) for name in answer.stdout.split(b"\0") if name]
    modules = [name for name in names if (code / name).is_dir() and not (code / name).is_symlink()]
    notes = [f"{name} is a git submodule: its files are not sent" for name in modules]
    return [name for name in names if name not in modules and os.path.lexists(code / name)], notes


def _walk(code: Path) -> Iterator[str]:
    for directory, folders, files in os.walk(code):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (
            Path(directory, name).relative_to(code).as_posix() for name in files if not name.startswith(".")
        )


def _refuse_without_entry(job: JobFile, root: Path, names: list[str]) -> None:
    """Raise UsageError if git or `.envpackignore` leaves out the file that is run: the job would fail far away."""
    code = (job.folder / job.code).resolve()
    if code.is_file():
        return
    entries = entry_files(code, job.entrypoint) if job.entrypoint else (code / "__main__.py",)
    there = [each.relative_to(root.resolve()).as_posix() for each in entries if each.is_file()]
    if there and not set(there) & set(names):
        raise UsageError(
            f"{job.where('entrypoint')}: {there[0]} is run, and it is not among the files to send",
            hint=f"git ignores it, or {IGNORE} leaves it out",
        )


def _refuse(root: Path, names: list[str]) -> None:
    """Raise UsageError for files that cannot be sent, too many bytes, and secrets that this process knows."""
    problems = []
    sizes: dict[str, int] = {}
    for name in names[:_MANY]:
        path = (root / name).resolve()
        if not path.is_relative_to(root.resolve()):
            problems.append(f"{name} is a link that leads out of {root}")
        elif not path.is_file():
            problems.append(f"{name} is not a regular file")
        elif not name.isprintable():
            problems.append(f"{name!r} cannot be the name of a file in a zip")
        else:
            sizes[name] = path.stat().st_size
    if problems:
        raise UsageError(problems, hint=f"exclude it with a line in {IGNORE}, or replace it by a regular file")
    if sum(sizes.values()) > _LARGEST or len(names) > _MANY:
        large = sorted(sizes, key=lambda name: -sizes[name])[:_SHOWN]
        told = ", ".join(f"{name} ({human_size(sizes[name])})" for name in large)
        raise UsageError(
            f"the code in {root} is larger than {human_size(_LARGEST)} or has too many files: {told}",
            hint=f"exclude data files with lines in {IGNORE}",
        )


def _zipped(root: Path, names: list[str]) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_STORED) as archive:
        # Python finds a package without `__init__.py` only where its directory has an entry of its own.
        for folder in _folders(names):
            archive.writestr(_entry(f"{folder}/", stat.S_IFDIR | 0o755), b"")
        for name in names:
            data = (root / name).read_bytes()
            text = data.decode("utf-8", "surrogateescape")
            if hide(text) != text:
                raise UsageError(
                    f"{name} contains a secret that this process knows, and others can read the code in the store",
                    hint="remove it from the file; let the job read it at run time, from a variable or a secret "
                    "store",
                )
            executable = (root / name).stat().st_mode & stat.S_IXUSR
            archive.writestr(_entry(name, stat.S_IFREG | (0o755 if executable else 0o644)), data)
    return raw.getvalue()


def _folders(names: Iterable[str]) -> list[str]:
    found = {str(parent) for name in names for parent in PurePosixPath(name).parents}
    return sorted(found - {"."})


def _entry(name: str, mode: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _DATE)
    entry.create_system = 3  # Unix, on every packing system
    entry.external_attr = mode << 16 | (0x10 if name.endswith("/") else 0)
    return entry
