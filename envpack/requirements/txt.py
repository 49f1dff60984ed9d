"""Lines as pip reads them, and the files that they include."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from packaging.utils import canonicalize_name

from envpack.errors import BadRequirements, Problem
from envpack.redact import redact
from envpack.requirements import addresses, comments, options, pep508
from envpack.requirements.formats import explicit
from envpack.requirements.text import (
    LARGEST_FILE,
    LARGEST_LOCK,
    LONGEST_LINE,
    Refused,
    check_path,
    expand,
    logical_lines,
    quoted,
    read_text,
)
from envpack.requirements.values import Indexes, Origin

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from envpack.requirements.options import Option
    from envpack.requirements.values import PyRequirement

MOST_ASKED = 5_000
"""Lines of a file and of all that it includes; the largest real ones have a fifth of that."""

MOST_PROBLEMS = 1_000
"""The most problems that are shown of one file."""

_BUILDS = ("--config-settings", "--global-option", "--install-option")
_WITHOUT_EFFECT = ("--prefer-binary", "--use-feature")
_PLAIN_NAME = re.compile(r"(?P<name>\w[\w.-]*)\s*(?:\[[^\]]*\]\s*)?(?:[<>=!~;].*)?")
_NOT_LINES = (".yml", ".yaml", ".toml", ".lock", ".whl")


@dataclass(frozen=True, kw_only=True)
class Source:
    """One file that is being read."""

    path: Path
    """Where it is."""
    shown: str
    """Its name in messages."""
    is_constraint: bool = False
    """Whether it was reached through `-c`."""
    trail: tuple[Path, ...] = ()
    """The files that led to it, outermost first, by their real paths."""

    def at(self, line: int) -> Origin:
        """Return the place of a line."""
        return Origin(file=self.shown, line=line)

    def included(self, name: str, *, is_constraint: bool) -> Source:
        """Return the source that an include names; a relative path starts at this file's directory."""
        if name.startswith(("http://", "https://")):
            raise Refused(f"{quoted(name)} is a URL; download the file, and include its path")
        if name.startswith("file://"):
            name = unquote(name.removeprefix("file://"))
        return Source(
            path=self.path.parent / name,
            shown=os.path.normpath(Path(self.shown).parent / name),
            is_constraint=self.is_constraint or is_constraint,
            trail=(*self.trail, self.path.resolve()),
        )


@dataclass(kw_only=True)
class Reading:
    """Reads lines and keeps what they ask for, and every problem on the way."""

    root: Path
    """The directory of the user's file."""
    environment: str | None = None
    """Which of a lock's environments is asked for."""
    extras: tuple[str, ...] = ()
    """Which of a project's extras are asked for."""
    groups: tuple[str, ...] = ()
    """Which of a project's dependency groups are asked for."""
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    """Items that have no effect, each with its place."""
    pypi: list[PyRequirement] = field(default_factory=list)
    constraints: list[PyRequirement] = field(default_factory=list)
    indexes: Indexes = field(default_factory=Indexes)
    files: list[Path] = field(default_factory=list)
    places: dict[str, str] = field(default_factory=dict)
    """See `Requirements.places`."""
    only_binary: frozenset[str] = frozenset()
    """See `Requirements.only_binary`."""
    needs_hashes: bool = False
    """Whether some line says `--require-hashes`."""
    _seen: set[tuple[Path, bool]] = field(default_factory=set, init=False)
    _asked: set[tuple[bool, str, tuple[str, ...]]] = field(default_factory=set, init=False)
    _index_origin: Origin | None = field(default=None, init=False)
    _count: int = field(default=0, init=False)

    def refuse(self, origin: Origin, reason: str, values: Mapping[str, str] | None = None) -> None:
        """Keep a problem, without its credentials and without `values`, the environment variables in it."""
        for name, value in (values or {}).items():
            if len(value) > 3:
                reason = reason.replace(value, f"${{{name}}}").replace(repr(value)[1:-1], f"${{{name}}}")
        self.problems.append(Problem(origin.file, origin.line, redact(reason)))
        self._end_early(len(self.problems), "problems", origin)

    def warn(self, origin: Origin, what: str) -> None:
        """Keep a warning, without its credentials."""
        self.warnings.append(redact(str(Problem(origin.file, origin.line, what))))
        self._end_early(len(self.warnings), "warnings", origin)

    def count(self, origin: Origin) -> None:
        """Count one thing that is asked for. Raises BadRequirements, with all problems so far, for one too many."""
        self._count += 1
        if self._count > MOST_ASKED:
            raise BadRequirements(
                [
                    *self.problems,
                    Problem(origin.file, origin.line, f"too many requirements: the limit is {MOST_ASKED}"),
                ],
                hint="list only the packages that your code imports; the solver adds what they need",
            )

    def _end_early(self, number: int, what: str, origin: Origin) -> None:
        if number >= MOST_PROBLEMS:
            raise BadRequirements(
                self.problems
                or [Problem(origin.file, origin.line, f"envpack stopped here, after {number} {what}")],
                hint=f"check that this is a requirements file: it has {number} {what} or more",
            )

    def read_text(self, source: Source) -> str | None:
        """Return a file's text, or None after keeping the problem."""
        try:
            text = read_text(source.path, largest=LARGEST_FILE if source.path.suffix == ".txt" else LARGEST_LOCK)
        except Refused as refused:
            self.refuse(source.at(refused.line), refused.reason)
            return None
        self.files.append(source.path)
        return text

    def read_file(self, source: Source) -> None:
        """Read every line of a file that another one includes."""
        text = self.read_text(source) or ""
        if explicit.recognises(source.path, text):
            self.refuse(
                source.at(0),
                "is an explicit list and cannot be included: include only files of requirement lines (*.txt)",
            )
        else:
            for number in comments.headers(text):
                self.warn(source.at(number), "`# envpack:` has no effect in a file that another one includes")
            self.read_lines(text, source)

    def read_lines(self, text: str, source: Source) -> None:
        """Read every line of a file's text."""
        for number, line in logical_lines(text):
            self.read_line(line, source=source, number=number)

    def read_line(self, line: str, *, source: Source, number: int) -> None:
        """Read one logical line, and the file that it includes if it does."""
        values: dict[str, str] = {}
        origin = source.at(number)
        self.count(origin)
        try:
            if len(line) > LONGEST_LINE:
                raise Refused(f"the line has {len(line)} characters; the limit is {LONGEST_LINE}")
            written = line
            line, values = expand(line)
            addresses.notice(line, written, values)
            text, given = options.split(line)
            if text:
                self._require(
                    text, given, source, origin, partial(addresses.as_written, line=written, values=values)
                )
        except Refused as refused:
            self.refuse(origin, refused.reason, values)
            return
        if not text:
            for option in given:
                self._obey(option, source, origin, values, written)
                self.note_place(option.value, written, values)

    def note_place(self, url: str, line: str, values: Mapping[str, str]) -> None:
        """Keep the public form of a line's URL: with its variables as such."""
        if "://" in url and url not in self.places:
            self.places[url] = addresses.storable(addresses.as_written(url, line, values))

    def _require(
        self,
        text: str,
        given: tuple[Option, ...],
        source: Source,
        origin: Origin,
        as_written: Callable[[str], str],
    ) -> None:
        for option in given:
            if option.name in _BUILDS:
                _refuse_or_pass_over(option)
            if option.name != "--hash":
                raise Refused(f"write {option.name} on a separate line")
        requirement = pep508.read(
            text, hashes=[option.value for option in given], origin=origin, folder=source.path.parent
        )
        if source.is_constraint:
            _check_constraint(requirement)
        if requirement.url and not requirement.url.startswith("file:"):
            written = as_written(requirement.url)
            addresses.check_storable(written)
            requirement = replace(requirement, address=addresses.storable(written))
        key = (source.is_constraint, requirement.text, requirement.hashes)
        if key not in self._asked:
            self._asked.add(key)
            (self.constraints if source.is_constraint else self.pypi).append(requirement)

    def _obey(self, option: Option, source: Source, origin: Origin, values: Mapping[str, str], line: str) -> None:
        try:
            match option.name:
                case "--requirement" | "--constraint":
                    self._include(source.included(option.value, is_constraint=option.name == "--constraint"))
                case "--index-url":
                    self._set_index(option.value, origin)
                case "--extra-index-url":
                    more = (*self.indexes.extra_index_urls, addresses.checked_index(option.value))
                    self.indexes = replace(self.indexes, extra_index_urls=_distinct(more))
                case "--editable":
                    written = partial(addresses.as_written, line=line, values=values)
                    self._require(_editable(option.value, source.path.parent), (), source, origin, written)
                case "--find-links":
                    links = (*self.indexes.find_links, self.directory_or_url(option.value, source))
                    self.indexes = replace(self.indexes, find_links=_distinct(links))
                case "--no-index":
                    self.indexes = replace(self.indexes, no_index=True)
                case "--require-hashes":
                    self.needs_hashes = True
                case "--only-binary":
                    self.only_binary = _narrowed(self.only_binary, option.value)
                case _:
                    _refuse_or_pass_over(option)
        except Refused as refused:
            self.refuse(origin, refused.reason, values)

    def _include(self, source: Source) -> None:
        if source.path.suffix.lower() in _NOT_LINES:
            raise Refused(
                f"{quoted(source.shown)} cannot be included: include only files of requirement lines (*.txt)"
            )
        try:
            check_path(source.path)
        except Refused as refused:
            raise Refused(f"{quoted(source.shown)}: {refused.reason}") from refused
        real = source.path.resolve()
        if real in source.trail:
            names = [path.name for path in (*source.trail[source.trail.index(real) :], real)]
            raise Refused(
                f"the files include each other in a cycle: {' -> '.join(names)}; remove one of these lines"
            )
        if (real, source.is_constraint) not in self._seen:
            self._seen.add((real, source.is_constraint))
            self.read_file(source)

    def _set_index(self, url: str, origin: Origin) -> None:
        if self.indexes.index_url not in (None, addresses.checked_index(url)):
            raise Refused(
                f"--index-url is already set at {self._index_origin}; write --extra-index-url for a second"
            )
        self.indexes = replace(self.indexes, index_url=url)
        self._index_origin = self._index_origin or origin

    def directory_or_url(self, where: str, source: Source) -> str:
        """Return a URL unchanged and a directory as an absolute path; relative ones start at the source's."""
        if "://" in where and not where.startswith("file://"):
            return addresses.checked_index(where)
        try:
            is_url = where.startswith("file://")
            written = Path(unquote(where.removeprefix("file://")) if is_url else where).expanduser()
            path = source.path.parent / written
            check_path(path, directory=True)
        except RuntimeError as error:
            raise Refused(f"{quoted(where)}: this user does not exist") from error
        except Refused as refused:
            raise Refused(f"{quoted(where)}: {refused.reason}") from refused
        path = path.resolve()
        relative = Path(os.path.relpath(path, self.root.resolve()))
        self.places[str(path)] = (written if written.is_absolute() else relative).as_posix()
        return str(path)


def _distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def _check_constraint(requirement: PyRequirement) -> None:
    if requirement.extras:
        raise Refused("a constraint cannot have extras; write the extras in the requirements")
    if requirement.url:
        raise Refused("a constraint can only limit versions; write the URL in the requirements")


def _narrowed(names: frozenset[str], value: str) -> frozenset[str]:
    """Return the names of `--only-binary` with those of one more; `:none:` forgets those before it, as in pip."""
    told = [name.strip() for name in value.split(",") if name.strip()]
    if ":none:" in told:
        names, told = frozenset(), told[len(told) - told[::-1].index(":none:") :]
    return names | {name if name == ":all:" else canonicalize_name(name) for name in told}


def _editable(value: str, folder: Path) -> str:
    """Return what `-e` names as a requirement. Raises Refused for a bare name that is no directory, as pip does."""
    name = _PLAIN_NAME.fullmatch(value)
    if name is None:
        return value
    if not (folder / name["name"]).is_dir():
        raise Refused(f"-e is for the directory of a project or for a repository, and {quoted(value)} is neither")
    return f"./{value}"


def _refuse_or_pass_over(option: Option) -> None:
    """Refuse an option that a packed environment cannot honour; the others match what envpack does anyway."""
    if option.name in _WITHOUT_EFFECT or (option.name == "--no-binary" and option.value == ":none:"):
        return
    match option.name:
        case "--pre":
            reason = "would allow pre-releases of every package; allow those of one package, such as `NAME>=2.0rc1`"
        case "--no-binary":
            reason = "is not supported: envpack uses wheels, and builds from source only what has no wheel"
        case "--trusted-host":
            reason = "is not supported: envpack always checks TLS; set SSL_CERT_FILE to your certificates"
        case "--hash":
            reason = "is an option without a requirement; is a backslash missing at the end of the line above?"
        case _:
            reason = "is not supported, because it would make builds differ between machines; remove it"
    raise Refused(f"{option.name} {reason}")
