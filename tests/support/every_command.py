"""Every command with a secret in each of its arguments and options: what of it comes out again.

`python -m tests.support.every_command EACH FORMS` runs them as a person would, one process each, in an empty
directory; it prints what came out as JSON: command, parameter, form, how it began.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from envpack import cli
from tests.support.prepared import import_all

SECRET = "Zq7-wX9_kP2m"
HOST = "127.0.0.1:9"

FORMS = {
    "a password": f"https://reader:{SECRET}@{HOST}/c",
    "a password with a bare @": f"https://reader:p@{SECRET}@{HOST}/c",
    "a password with a blank": f"https://reader:p {SECRET}@{HOST}/c",
    "a password with a slash": f"https://reader:p/{SECRET}@{HOST}/c",
    "a password with a hash": f"https://reader:p#{SECRET}@{HOST}/c",
    "a password with a quote": f"https://reader:a'{SECRET}@{HOST}/c",
    "a password with a backslash": f"https://reader:a\\{SECRET}@{HOST}/c",
    "a password in percents": f"https://reader:{''.join(f'%{ord(letter):02X}' for letter in SECRET)}@{HOST}/c",
    "a user alone": f"https://{SECRET}@{HOST}/c",
    "a mistyped scheme": f"htps://reader:{SECRET}@{HOST}/c",
    "one slash": f"https:/reader:{SECRET}@{HOST}/c",
    "no scheme": f"reader:{SECRET}@{HOST}/c",
    "capitals": f"HTTPS://reader:{SECRET}@{HOST}/c",
    "an IPv6 host": f"https://reader:{SECRET}@[::1]:9/c",
    "a signature": f"https://{HOST}/c?sig={SECRET}",
    "an unknown parameter": f"https://{HOST}/c?zz.top={SECRET}",
    "a fragment": f"https://{HOST}/c#access={SECRET}",
    "a conda token": f"https://{HOST}/t/{SECRET}/c",
    "a conda token behind a path": f"https://{HOST}/api/conda/t/{SECRET}/c",
    "a conda token behind two slashes": f"https://{HOST}//t//{SECRET}/c",
    "a conda token in percents": f"https://{HOST}/t%2F{SECRET}/c",
    "a session in a path": f"https://{HOST}/c;jsessionid={SECRET}",
    "a bucket": f"s3://AK:{SECRET}@bucket/x",
    "a file": f"file://u:{SECRET}@h/x",
    "git": f"git+https://reader:{SECRET}@{HOST}/x.git",
    "a wheel": f"x @ https://reader:{SECRET}@{HOST}/x-1-py3-none-any.whl",
    "a channel of a spec": f"https://reader:{SECRET}@{HOST}/c::six",
    "a setting": f"token={SECRET}",
    "a header": f"Authorization: Bearer {SECRET}",
}
"""Ways to write a secret into an argument."""

LOOKS = (SECRET.encode(), base64.b64encode(f"reader:{SECRET}".encode()), b"Traceback")


def leaves(command: click.Command, *above: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command that does something, with its words."""
    if not isinstance(command, click.Group):
        yield above, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner is not None
        yield from leaves(inner, *above, name)


def lines(command: click.Command, value: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the arguments of a command with a value in one after the other."""
    arguments = [each for each in command.params if isinstance(each, click.Argument)]
    for given in arguments:
        yield str(given.name), [value if each is given else "r.txt" for each in arguments]
    for option in command.params:
        if isinstance(option, click.Option) and not option.is_flag and not option.count:
            yield str(option.name), [*("r.txt" for _ in arguments), max(option.opts, key=len), value]


def said(words: list[str]) -> bytes:
    """Run the command line in a process of its own; return all that it prints."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reading)
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        signal.setitimer(
            signal.ITIMER_REAL, 1.5
        )  # some wait for an answer of a host; what they say until then counts
        sys.argv = ["envpack", *words]
        kept = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        sys.stdout, sys.stderr = kept
        try:
            cli.main()
        finally:
            os._exit(1)  # the rest is the other process' to do
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        text = pipe.read()
    os.waitpid(process, 0)
    return text


def main(directory: Path, each: int, forms: int) -> None:
    """Try every command: of its parameters every `each`th, with so many forms, which take turns."""
    os.chdir(directory)
    Path("r.txt").write_text("six\n")
    import_all()
    turns = itertools.cycle(FORMS)
    found: list[tuple[str, ...]] = []
    tried, used = 0, set[str]()
    for words, command in leaves(cli.cli):
        count = len(list(lines(command, "")))
        for number in range(0, count, each):
            for form in itertools.islice(turns, forms):
                parameter, arguments = list(lines(command, FORMS[form]))[number]
                text = said([*words, *arguments])
                tried, used = tried + 1, used | {form}
                if any(look in text for look in LOOKS):
                    found.append((" ".join(words), parameter, form, text[:300].decode(errors="replace")))
    written = [path for path in directory.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    found += [("a file", str(path)) for path in written]
    json.dump({"found": found, "tried": tried, "forms": sorted(used)}, sys.stdout)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(Path(folder), *map(int, sys.argv[1:]))
