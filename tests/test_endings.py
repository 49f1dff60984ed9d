"""Every way out of a command: the exit code is 0 only where there is a result."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from envpack import cli

PROGRAM = """
import signal, sys, types
import click
import envpack.cli as cli

@click.command("walk")
def walk_command():
    {act}

module = types.ModuleType("walk")
module.walk_command = walk_command
sys.modules["walk"] = module
cli._COMMANDS["walk"] = ("walk", "")
sys.argv = ["envpack", "walk"]
cli.main()
"""


def ending(act: str) -> tuple[int, str]:
    """Run a command that does this; return its exit code and what it says."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(act=act)], capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("act", "code"),
    [
        ("return None", 0),
        ("return 7", 7),
        ("raise EOFError", 2),
        ("input('code: ')", 2),
        ("click.prompt('code')", 2),
        ("raise click.exceptions.Abort", 130),
        ("raise KeyboardInterrupt", 130),
        ("signal.raise_signal(signal.SIGINT)", 130),
        ("signal.raise_signal(signal.SIGTERM)", 143),
        ("sys.exit(0)", 1),
        ("sys.exit(None)", 1),
        ("sys.exit('words')", 1),
        ("sys.exit(5)", 5),
        ("raise BrokenPipeError(32, 'Broken pipe')", 141),
        ("raise click.UsageError('wrong')", 2),
        ("raise click.exceptions.Exit(3)", 3),
        ("raise RuntimeError('a bug')", 1),
        ("raise GeneratorExit", 1),
        ("raise MemoryError", 1),
        ("raise OSError(36, 'File name too long', 'a name')", 2),
        ("raise PermissionError(13, 'Permission denied', 'a name')", 2),
        ("raise OSError(28, 'No space left on device', 'a name')", 12),
        ("raise OSError(24, 'Too many open files')", 12),
        ("raise FileNotFoundError(2, 'No such file', 'a name')", 1),
        ("from envpack.errors import Conflict; raise Conflict('taken')", 10),
    ],
)
def test_an_end_without_a_result_has_a_code_of_its_own(act: str, code: int) -> None:
    assert ending(act)[0] == code


@pytest.mark.parametrize(
    "act", ["raise EOFError", "raise KeyboardInterrupt", "sys.exit(0)", "click.prompt('code')"]
)
def test_it_is_said_without_a_traceback(act: str) -> None:
    _, said = ending(act)
    assert said.strip()
    assert "Traceback" not in said


def test_an_answer_that_nobody_reads_is_no_success() -> None:
    act = "[click.echo('x' * 1000) for _ in range(10_000)]"
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(act=act)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.read(10)
        process.stdout.close()
        said = process.stderr.read()
    assert (process.returncode, b"Traceback" in said) == (141, False)


LONG = "x" * 300
"""A name that no file can have."""


@pytest.mark.parametrize(
    "arguments",
    [
        ["pack", ".", LONG],
        ["pack", LONG, "x.tar.gz"],
        ["settings", "x", "--driver-python", f"/{LONG}"],
        ["build", "r.txt", "--channel", LONG],
        ["build", "r.txt", "--cache-dir", LONG],
        ["build", LONG],
        ["lock", f"{LONG}/r.txt"],
        ["diff", f"{LONG}.lock", "r.txt"],
        ["list", "--store", f"./{LONG}"],
        ["pull", "x", LONG],
        ["channel", "init", LONG],
        ["catalog", LONG],
        ["audit", "--advisories", LONG],
        ["ci", LONG],
        ["doctor", "--channel", LONG],
    ],
    ids=lambda arguments: " ".join(arguments).replace(LONG, "LONG"),
)
def test_a_name_that_is_too_long_is_told_and_no_bug(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENVPACK_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("ENVPACK_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "r.txt").write_text("x @ ./x-1-py3-none-any.whl\n")
    code = cli.run(arguments)
    assert 2 <= code <= 12
    assert "error: " in capsys.readouterr().err
