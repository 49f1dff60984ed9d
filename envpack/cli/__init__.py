"""The command line: it parses options, makes one library call and prints the result."""

from __future__ import annotations

import os
import signal
import sys
import threading
from importlib import import_module
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NoReturn

import click

from envpack.cli import umask
from envpack.errors import EnvpackError, UsageError, of_system
from envpack.redact import guard_output, meet, meet_environment
from envpack.version import VERSION

if TYPE_CHECKING:
    from types import FrameType

_ENDINGS = {signal.SIGINT: 130, signal.SIGTERM: 143}
"""The exit codes after Ctrl-C and after what CI servers send to abort a build, as shells give them."""

INTERRUPTED = 130
"""The exit code of an interruption, whoever caused it."""

NOT_READ = 141
"""The exit code when the reader of stdout has gone, as shells give it for SIGPIPE."""

_GRACE = 0.9
"""Seconds for steps to clean up after themselves."""

_COMMANDS = {
    "build": ("envpack.cli.build", "Build what a requirements file asks for, publish it, print the settings."),
    "lock": ("envpack.cli.build", "Solve a requirements file and write the lock beside it."),
    "ci": ("envpack.cli.ci", "Build the environments whose requirements have changed, and report."),
    "init": ("envpack.cli.init", "Write a requirements file and envpack.yaml for what is found here."),
    "settings": ("envpack.cli.settings", "Print the settings that run Spark in a published release."),
    "list": ("envpack.cli.browse", "List the releases of a store."),
    "show": ("envpack.cli.show", "Show everything that is known of one release."),
    "diff": ("envpack.cli.diff", "Show how two releases differ, or a release and a requirements file."),
    "search": ("envpack.cli.browse", "Find the releases that contain a package."),
    "tag": ("envpack.cli.tag", "Point a tag at a release, show its history, roll it back."),
    "catalog": ("envpack.cli.catalog", "Write a static site that shows the releases of a store."),
    "pull": ("envpack.cli.pull", "Download a release and unpack it, ready to run."),
    "run": ("envpack.cli.pull", "Run a command in a release."),
    "submit": ("envpack.cli.submit", "Submit a job: its code, its parameters, its environment."),
    "job": ("envpack.cli.job", "Write job files, send their code, and look at what was submitted."),
    "kernel": ("envpack.cli.kernel", "Install a Jupyter kernel that runs a release."),
    "verify": ("envpack.cli.verify", "Check releases as they are in the store."),
    "audit": ("envpack.cli.audit", "Look for known vulnerabilities in published releases."),
    "gc": ("envpack.cli.gc", "Show what may be removed from a store, and remove it."),
    "explain": ("envpack.cli.explain", "Say from Spark's event log what an application's environment cost."),
    "doctor": ("envpack.cli.doctor", "Find out whether a build would work here."),
    "pack": ("envpack.cli.pack", "Pack an existing environment into a file; no store is involved."),
    "channel": ("envpack.cli.channel", "Make a starter channel from the Python that runs envpack."),
    "completion": ("envpack.cli.completion", "Print the script that completes envpack's commands in a shell."),
}


class _NotRead(Exception):
    """The reader of stdout has gone."""


class _Commands(click.Group):
    """Imports a command's module when the command is used, so that `--help` is instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        return _load(cmd_name) if cmd_name in _COMMANDS else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command; raises UsageError with the nearest names when there is none."""
        name = args[0]
        if name in _COMMANDS:
            return name, self.get_command(ctx, name), args[1:]
        if name == "help":
            return name, _help, args[1:]
        if name == "version":
            return name, _version, args[1:]
        import difflib

        near = difflib.get_close_matches(name, _COMMANDS, n=2, cutoff=0.6)
        raise UsageError(
            f"unknown command {name!r}",
            hint=f"did you mean {' or '.join(near)}?" if near else "`envpack --help` lists the commands",
        )

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; tell apart that nobody reads its output, of which click makes an exit like another."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _NotRead from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in _COMMANDS.items()])


def _load(name: str) -> click.Command:
    command: click.Command = getattr(import_module(_COMMANDS[name][0]), f"{name}_command")
    return command


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Example: envpack build requirements.txt --store s3://bucket/envs",
)
@click.version_option(VERSION, "-V", "--version", message="%(prog)s %(version)s")
def cli() -> None:
    """Turn a requirements file into a published PySpark environment and the settings that run a job in it."""


@click.command("help", add_help_option=False)
@click.argument("words", nargs=-1)
def _help(words: tuple[str, ...]) -> None:
    """Show the help of envpack or of one command: `envpack help build` is `envpack build --help`."""
    cli.main(args=[*words, "--help"], prog_name="envpack", standalone_mode=False)


@click.command("version")
def _version() -> None:
    """Print the version."""
    click.echo(f"envpack {VERSION}")


def main() -> NoReturn:
    """Run the command line and end the process with the exit code that says how it went."""
    umask.tighten()
    guard_output()
    meet_environment(os.environ)
    for argument in sys.argv[1:]:
        meet(argument)
    ended: list[int] = []

    def end(number: int, _frame: FrameType | None) -> None:
        ended.append(_ENDINGS[signal.Signals(number)])
        # Code that cannot be interrupted swallows the exception; the process ends all the same.
        _after(_GRACE, ended[0])
        raise KeyboardInterrupt

    for number in _ENDINGS:
        signal.signal(number, end)
    try:
        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        _clean_terminal()
        click.echo("interrupted", err=True)
        code = ended[0] if ended else INTERRUPTED
    _leave(ended[0] if ended else code)


def _after(seconds: float, code: int) -> None:
    timer = threading.Timer(seconds, _exit_now, [code])
    timer.daemon = True
    timer.start()


def _exit_now(code: int) -> NoReturn:
    _clean_terminal()
    os._exit(code)


def _clean_terminal() -> None:
    """Give a terminal its cursor and colours back, whatever bars were under way."""
    if sys.stderr.isatty():
        os.write(sys.stderr.fileno(), b"\x1b[?25h\x1b[0m\r\x1b[K")


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code, which is 0 only when there is a result.

    What is not expected goes through as it is.
    """
    try:
        result: Any = cli.main(args=arguments, prog_name="envpack", standalone_mode=False)
    except (EnvpackError, OSError) as error:
        named = of_system(error) if isinstance(error, OSError) else error
        if named is None:
            raise
        if _wants_json(arguments):
            _report_as_event(named)
        else:
            report(named)
        return named.exit_code
    except click.exceptions.Abort as abort:
        # click makes one of both: https://click.palletsprojects.com/en/stable/exceptions/
        if isinstance(abort.__cause__ or abort.__context__, EOFError):
            report(UsageError("the command asks a question, and the input ended", hint="run it in a terminal"))
            return UsageError.exit_code
        raise KeyboardInterrupt from abort
    except click.ClickException as error:
        if isinstance(error, click.exceptions.NoArgsIsHelpError):
            click.echo(error.format_message(), err=True, color=colours())
        else:
            report(_in_our_style(error))
        return error.exit_code
    except _NotRead:
        return NOT_READ
    except SystemExit as left:
        # click ends so when it has completed a word for a shell; otherwise nobody may end without a result.
        completed = left.code in (0, None) and "_ENVPACK_COMPLETE" in os.environ
        if not completed:
            said = f"a library ended the process: {left.code}"
            click.echo(f"{_mark('error:', 'red')} {said}", err=True, color=colours())
        return 0 if completed else left.code if isinstance(left.code, int) and left.code else 1
    return result if isinstance(result, int) else 0


def report(error: EnvpackError) -> None:
    """Show an expected error in a line or two, or a list of them a line each, and the next step."""
    from envpack.visible import visible

    for text in error.texts:
        click.echo(f"{_mark('error:', 'red')} {visible(text, lines=True)}", err=True, color=colours())
    if error.hint:
        click.echo(f"{_mark('hint:', 'cyan')} {visible(error.hint, lines=True)}", err=True, color=colours())


def _wants_json(arguments: list[str]) -> bool:
    """Return whether progress is wanted as JSON lines: then an error is one too."""
    return "--progress=json" in arguments or ("--progress", "json") in pairwise(arguments)


def _report_as_event(error: EnvpackError) -> None:
    from envpack.cli.answer import say_event

    say_event({"event": "error", "text": error.message, "hint": error.hint, "code": error.exit_code})


def _in_our_style(error: click.ClickException) -> UsageError:
    """Return what click says of a wrong word as an error of envpack's, with where to look for the right one."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context else "envpack"
    if isinstance(error, click.NoSuchOption):
        from envpack.cli.choice import did_you_mean

        options = (
            [name for option in context.command.get_params(context) for name in option.opts] if context else []
        )
        message = f"unknown option {error.option_name!r}{did_you_mean(error.option_name, options)}"
    else:
        message = error.format_message().rstrip(".")
    return UsageError(
        f"{message[:1].lower()}{message[1:]}", hint=f"`{path} --help` shows its arguments and options"
    )


def colours() -> bool | None:
    """Return False when colours are not wanted, and None to let the terminal decide."""
    return False if os.environ.get("NO_COLOR") else None


def _mark(word: str, colour: str) -> str:
    return click.style(word, fg=colour, bold=True)


def _leave(code: int) -> NoReturn:
    # Threads that still compress or upload would hold the process up; everything of theirs is cleaned up by now.
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        code = code or NOT_READ
    os._exit(code)
