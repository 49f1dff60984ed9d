"""Find out what an activation script exports by reading it, where it cannot be run.

Most scripts are simple: they export constants and paths below the prefix, and test whether something exists. That
part of the shell's language is interpreted here. A value that depends on anything else is unknown, and from the
first construct that is not interpreted (loops, functions, `case`, ...) every named variable counts as changed.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING

from envpack.prefix.activation.conditions import Condition, both, either, negated, test
from envpack.prefix.activation.script import NOTHING, Place, ScriptOutcome
from envpack.prefix.activation.variables import Variables, assignment, unquoted, variable_of
from envpack.prefix.activation.words import Command, Literal, Operator, Token, UnreadableError, Word, tokens

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

_NOT_FOLLOWED = re.compile(
    "[!{}]|case|coproc|do|done|elif|else|esac|fi|for|function|in|select|then|time|until|while"
)
"""Reserved words in the place of a command that are not interpreted."""

_CHANGING = re.compile(
    "alias|builtin|command|coproc|declare|enable|eval|exec|getopts|let|local|mapfile|read|readarray|readonly"
    "|set|shift|shopt|trap|typeset|unalias"
)
"""Commands of bash that may change variables, or the meaning of other commands."""

_SURE = {":": True, "true": True, "false": False}
"""Commands that change no variable and whose status is known. The status of all others is unknown."""

_DEEPEST = 5
"""How deep files may source one another."""


class _Mode(IntEnum):
    """Whether the commands that are being read are executed."""

    NO = 0
    PERHAPS = 1
    YES = 2


class _ReturnedError(Exception):
    """The script ends here by its own command."""


class _EndedError(Exception):
    """The script ends its shell."""


def read(script: Path, environ: Mapping[str, str | None], place: Place, *, machine: str) -> ScriptOutcome:
    """Return what a script would export in a bash with these variables on a node of processor `machine`.

    A variable whose value in `environ` is None is set to something unknown.
    """
    variables = Variables(environ, machine)
    try:
        _follow(script, variables, place.prefix, 0)
    except _EndedError:
        return ScriptOutcome(changed=NOTHING, problem="ends its shell")
    except OSError as error:
        return ScriptOutcome(changed=NOTHING, problem=f"cannot be read: {error.strerror}")
    exported = variables.exported | variables.perhaps_exported
    sure = set() if variables.ended else variables.exported
    return ScriptOutcome(
        changed={
            name: variables.values.get(name) if name in sure else None
            for name in sorted(variables.touched & exported)
        },
        removed=frozenset((variables.touched & environ.keys()) - exported),
        problem="may set more variables, which is known only when it runs" if variables.hidden else None,
    )


def _follow(file: Path, variables: Variables, prefix: Path, depth: int) -> None:
    """Apply a file's changes to the variables."""
    text = file.read_text("utf-8", "surrogateescape")
    found, end = tokens(text)
    reader = _Reader(found, end, variables, prefix, depth)
    try:
        reader.script()
    except UnreadableError as stop:
        end = stop.offset
    except RecursionError:
        end = 0
    except _ReturnedError:
        return
    variables.take_in_unread(text[end:])


class _Reader:
    """Reads the tokens of one script and interprets what it can."""

    def __init__(self, found: list[Token], end: int, variables: Variables, prefix: Path, depth: int) -> None:
        self.found = found
        self.rest = end
        """The offset in the script at which the tokens end."""
        self.variables = variables
        self.prefix = prefix
        self.depth = depth
        self.at = 0
        self.mode = _Mode.YES

    def script(self) -> None:
        """Interpret a whole script. Raises UnreadableError at the first construct that cannot be interpreted."""
        self.commands(())

    def commands(self, ends: Collection[str]) -> Condition:
        """Interpret commands up to one of the reserved words; return the last one's status."""
        status: Condition = True
        while self.at < len(self.found):
            if self.operator("\n", ";"):
                continue
            if self.reserved() in ends:
                break
            status = self.and_or()
            if self.at < len(self.found) and not self.operator("\n", ";"):
                raise UnreadableError(self.found[self.at].offset)
        return status

    def and_or(self) -> Condition:
        status = self.pipeline()
        while joint := self.operator("&&", "||"):
            self.line_ends()
            wanted = status if joint == "&&" else negated(status)
            with self.only_if(wanted):
                following = self.pipeline()
            status = both(status, following) if joint == "&&" else either(status, following)
        return status

    def pipeline(self) -> Condition:
        turned = self.reserved() == "!"
        if turned:
            self.at += 1
        status = self.command()
        while self.operator("|", "|&"):
            # Each command of a pipeline has its own shell, so none changes a variable here.
            self.line_ends()
            with self.only_if(condition=False):
                self.command()
            status = None
        return negated(status) if turned else status

    def command(self) -> Condition:
        match self.reserved():
            case "if":
                return self.conditional()
            case "[[":
                return self.double_bracket()
            case str(word) if _NOT_FOLLOWED.fullmatch(word):
                raise UnreadableError(self.here())
            case _:
                return self.simple()

    def conditional(self) -> Condition:
        """Interpret an `if`: the branch that is taken, or all as possible."""
        start = self.here()
        undecided: Condition = True
        while self.reserved() in ("if", "elif"):
            self.at += 1
            with self.only_if(undecided):
                condition = self.commands(("then",))
                self.expect("then")
                with self.only_if(condition):
                    self.commands(("elif", "else", "fi"))
            undecided = both(undecided, negated(condition))
        if self.reserved() == "else":
            self.at += 1
            with self.only_if(undecided):
                self.commands(("fi",))
        self.expect("fi")
        if self.operator_here("|", "|&", "<", ">", ">>", "&"):
            raise UnreadableError(start)
        return None

    def double_bracket(self) -> Condition:
        self.at += 1
        result = self.alternatives()
        self.expect("]]")
        return result

    def alternatives(self) -> Condition:
        result = self.conjunction()
        while self.operator("||"):
            result = either(result, self.conjunction())
        return result

    def conjunction(self) -> Condition:
        result = self.primary()
        while self.operator("&&"):
            result = both(result, self.primary())
        return result

    def primary(self) -> Condition:
        """Decide one test between double brackets, where words are not split."""
        operands: list[str | None] = []
        while self.at < len(self.found) and self.reserved() != "]]":
            token = self.found[self.at]
            if isinstance(token, Operator):
                break
            pattern = any(re.search(r"[*?\[]", part.text) for part in _loose_texts(token))
            operands.append(None if pattern else self.variables.value(token.parts))
            self.at += 1
        return self.test(operands)

    def simple(self) -> Condition:
        """Interpret a command, with the assignments before it."""
        start = self.here()
        words = list(self.words(start))
        if not words:
            raise UnreadableError(start)
        if self.operator_here("|", "|&"):
            return None
        ahead = 0
        while ahead < len(words) and assignment(words[ahead], quoted=False):
            ahead += 1
        if ahead == len(words):
            for word in words:
                self.assign(word)
            return None if any(isinstance(part, Command) for word in words for part in word.parts) else True
        named = self.variables.fields(words[ahead])
        if not named or named[0] is None:
            raise UnreadableError(start)
        return self.carry_out(named[0], words[ahead + 1 :], start)

    def words(self, start: int) -> Iterator[Word]:
        """Yield the words of a command; where its output goes makes no difference."""
        while self.at < len(self.found):
            token = self.found[self.at]
            if isinstance(token, Word):
                self.at += 1
                yield token
            elif token.text in ("<", ">", ">>", ">|", ">&", "<&", "&>", "&>>", "<>"):
                self.at += 2
            elif token.text in ("(", "<<", "<<-", "<<<", "&"):
                raise UnreadableError(start)
            else:
                return

    def carry_out(self, command: str, arguments: list[Word], start: int) -> Condition:
        if _CHANGING.fullmatch(command) or (command == "printf" and _first(arguments) == "-v"):
            if command == "command" and _first(arguments) in ("-v", "-V"):
                return None
            return self.unread(start)
        match command:
            case "export":
                status = self.export(arguments, start)
            case "unset":
                status = self.unset(arguments, start)
            case "." | "source":
                status = self.source(arguments, start)
            case "return" | "exit":
                status = self.end(command, start)
            case "[" | "test":
                status = self.bracket(command, arguments)
            case _:
                status = _SURE.get(command)
        return status

    def assign(self, word: Word) -> None:
        """Interpret `NAME=VALUE` or `NAME+=VALUE`."""
        found = assignment(word)
        if found is None or self.mode == _Mode.NO:
            return
        name, adding, parts = found
        value = self.variables.value(parts)
        if adding:
            before = self.variables.values.get(name, "")
            value = None if before is None or value is None else before + value
        self.variables.assign(name, value if self.mode == _Mode.YES else None)

    def export(self, arguments: list[Word], start: int) -> Condition:
        names = [variable_of(word) for word in arguments]
        if not all(names) or any("{" in part.text for word in arguments for part in _loose_texts(word)):
            return self.unread(start)
        for word, name in zip(arguments, names, strict=True):
            self.assign(word)
            if name and self.mode != _Mode.NO:
                self.variables.export(name, sure=self.mode == _Mode.YES)
        return True

    def unset(self, arguments: list[Word], start: int) -> Condition:
        option = _first(arguments)
        if option == "-f":
            return True
        names = [variable_of(word) for word in (arguments[1:] if option == "-v" else arguments)]
        if not all(names) or any(assignment(word) for word in arguments):
            return self.unread(start)
        for name in names:
            if name and self.mode == _Mode.YES:
                self.variables.unset(name)
            elif name and self.mode == _Mode.PERHAPS:
                self.variables.doubt(name)
        return True

    def source(self, arguments: list[Word], start: int) -> Condition:
        """Interpret another file; the effect of one outside the prefix is unknown."""
        if self.mode == _Mode.PERHAPS:
            return self.unread(start)
        if self.mode == _Mode.YES:
            file = self.variables.value(arguments[0].parts) if len(arguments) == 1 else None
            path = Path(file or "/")
            if not path.is_relative_to(self.prefix) or not path.is_file() or self.depth == _DEEPEST:
                return self.unread(start)
            _follow(path, self.variables, self.prefix, self.depth + 1)
        return None

    def end(self, command: str, start: int) -> Condition:
        if self.mode == _Mode.PERHAPS:
            raise UnreadableError(start)
        if self.mode == _Mode.YES:
            raise _ReturnedError if command == "return" else _EndedError
        return None

    def bracket(self, command: str, arguments: list[Word]) -> Condition:
        if command == "[":
            arguments = arguments[:-1]
        fields = [self.variables.fields(word) for word in arguments]
        if None in fields:
            return None
        return self.test([field for found in fields for field in found or ()])

    def test(self, operands: list[str | None]) -> Condition:
        return test(operands, prefix=self.prefix, variables=self.variables.values)

    def unread(self, start: int) -> Condition:
        """Stop at a command that is not interpreted, unless it is not executed."""
        if self.mode == _Mode.NO:
            return None
        raise UnreadableError(start)

    @contextmanager
    def only_if(self, condition: Condition) -> Iterator[None]:
        """Execute what is read in the block only if a condition holds."""
        before = self.mode
        self.mode = min(before, {True: _Mode.YES, False: _Mode.NO, None: _Mode.PERHAPS}[condition])
        yield
        self.mode = before

    def here(self) -> int:
        """Return where the next token starts."""
        return self.found[self.at].offset if self.at < len(self.found) else self.rest

    def reserved(self) -> str | None:
        token = self.found[self.at] if self.at < len(self.found) else None
        return token.plain if isinstance(token, Word) else None

    def expect(self, word: str) -> None:
        if self.reserved() != word:
            raise UnreadableError(self.here())
        self.at += 1

    def operator_here(self, *wanted: str) -> str | None:
        token = self.found[self.at] if self.at < len(self.found) else None
        return token.text if isinstance(token, Operator) and token.text in wanted else None

    def operator(self, *wanted: str) -> str | None:
        """Skip one of the operators, if it comes next, and return it."""
        found = self.operator_here(*wanted)
        self.at += found is not None
        return found

    def line_ends(self) -> None:
        while self.operator("\n"):
            pass


def _loose_texts(word: Word) -> list[Literal]:
    return [part for part in unquoted(word.parts) if isinstance(part, Literal)]


def _first(arguments: list[Word]) -> str | None:
    return arguments[0].plain if arguments else None
