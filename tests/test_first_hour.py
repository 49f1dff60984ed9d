"""What a person meets in the first hour after the first build: a stale lock, another Spark, a terminal, a shell."""

from __future__ import annotations

import ast
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import termios
import time
from itertools import pairwise
from pathlib import Path

import pytest

import envpack
from envpack.cli.build import package_lines
from envpack.errors import UsageError
from envpack.inspect.markdown import prose
from envpack.packages.package import PackedPackage
from envpack.releases import references
from envpack.resolve.request import differences
from envpack.stores import open_store
from tests.support.command import ENVPACK, Desk
from tests.support.many_releases import fill_directory, names
from tests.support.missing import missing
from tests.support.schemas import check

# --- locks ---------------------------------------------------------------------------------------------------


def test_a_stale_lock_says_what_differs_and_how_to_go_on_with_the_same_flags(desk: Desk) -> None:
    desk.write("r.txt", "greeter <2")
    assert desk.run("lock", "r.txt", "--spark", "4.1").code == 0
    desk.write("r.txt", "greeter", "python-dateutil", "six")
    stale = desk.run("build", "r.txt", "--locked", "--spark", "4.2", "--from-pypi", "six")
    assert stale.code == 3
    for part in ("spark 4.1 -> 4.2", "2 lines added (python-dateutil, six)", "1 line changed (greeter)"):
        assert part in stale.err, part
    assert "`envpack lock r.txt --from-pypi six --spark 4.2`" in stale.err
    assert "channels" not in stale.err


def test_differences_of_requests_are_named_and_nothing_is_said_of_what_is_not_known() -> None:
    before = {"spark": "3.5", "line six": "1", "line numpy": "2", "options and variables of the file": "3"}
    after = {"python": "3.11", "line numpy": "4", "options and variables of the file": "5"}
    assert differences(before, after) == [
        "spark 3.5 -> not set",
        "options and variables of the file differ",
        "python not set -> 3.11",
        "1 line removed (six)",
        "1 line changed (numpy)",
    ]
    assert differences({}, after) == []
    assert differences(after, after) == []


# --- what a build asked for ----------------------------------------------------------------------------------


def test_settings_are_for_the_spark_of_a_flag_then_of_the_newest_build_then_of_the_first(desk: Desk) -> None:
    desk.write("r.txt", "greeter")

    def runs(*flags: str) -> bool:
        """Spark 3.5 loses the permissions of a zip outside YARN, and Spark 4.0 keeps them."""
        ran = desk.run("settings", "r", "--launcher", "standalone", *flags)
        assert ran.code == 0 or "Spark 3.5 loses" in ran.err, ran.err
        return ran.code == 0

    given = ("r.txt", "--python", desk.channel.python, "--format", "zip", "--no-verify")
    first = desk.build(*given, "--spark", "3.5")
    assert not runs()
    again = desk.build(*given, "--spark", "4.0")
    assert again["digest"] == first["digest"], "the same packages make the same bytes"
    assert runs()
    assert not runs("--spark", "3.5")
    assert json.loads(desk.releases()[0].read_text())["target"]["spark"] == "3.5"
    (asked,) = desk.store.glob("r/*/asked.json")
    assert json.loads(asked.read_text())["target"]["spark"] == "4.0"
    asked.write_text("damaged")
    assert not runs()


# --- words ---------------------------------------------------------------------------------------------------


def test_a_name_without_releases_is_an_error_with_the_nearest(tmp_path: Path) -> None:
    fill_directory(tmp_path, 20)
    name = names(20)[0]
    error = references.no_such_name(open_store(str(tmp_path)), f"{name}x")
    assert isinstance(error, UsageError)
    assert f"did you mean {name}?" in str(error.hint)


def test_a_pip_of_an_environment_file_that_no_channel_has_is_to_be_left_out(desk: Desk) -> None:
    desk.write("e.yml", "dependencies: [python, pip, {pip: [greeter]}]")
    ran = desk.run("lock", "e.yml")
    assert (ran.code, "leave `- pip` out" in ran.err) == (4, True)


@pytest.mark.acceptance
def test_the_solver_says_nothing_of_processors(desk: Desk) -> None:
    desk.write("r.txt", "greeter<1")
    assert "archspec" not in desk.run("lock", "r.txt").err


def test_a_summary_shows_commands_as_code_and_foreign_words_as_they_are() -> None:
    assert prose("run `envpack lock r.txt` again") == "run `envpack lock r.txt` again"
    assert prose("an odd ` and <b> *bold*") == "an odd \\` and &lt;b&gt; \\*bold\\*"
    assert "<" not in prose("`a` <script> `b`").replace("&lt;", "")


def test_names_of_packages_wrap_at_the_terminals_width_and_are_never_broken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def package(name: str) -> PackedPackage:
        return PackedPackage(name=name, version="1.0", source="pypi", url="https://x/y.whl", sha256="0" * 64)

    some = [package(f"a-rather-long-name-of-a-package-{n}") for n in range(9)]
    for columns in (20, 60, 80, 200):
        monkeypatch.setenv("COLUMNS", str(columns))
        lines = "\n".join(package_lines(some)).splitlines()
        widest = max(map(len, lines))
        assert widest <= max(60, min(110, columns))
        for each in some:
            assert sum(f"{each.name} 1.0" in line for line in lines) == 1


# --- progress ------------------------------------------------------------------------------------------------


def test_progress_can_be_had_as_json_lines(desk: Desk, seed: Path) -> None:
    desk.write("r.txt", "greeter")
    desk.forget_pieces(but=seed)
    ran = desk.run("build", "r.txt", "--progress", "json", "--output", "json", ENVPACK_STORES="x")
    assert ran.code == 0, ran.err
    events = [check(json.loads(line), "progress") for line in ran.err.splitlines()]
    ended = [event["step"] for event in events if event["event"] == "end"]
    assert [step for step in ended if step in ("link", "compile", "pack", "upload")] == [
        "link", "compile", "pack", "upload",
    ]  # fmt: skip
    assert any("ENVPACK_STORES" in event.get("text", "") for event in events if event["event"] == "warning")
    failed = desk.run("list", "no", "--progress=json")
    (*_, last) = [check(json.loads(line), "progress") for line in failed.err.splitlines()]
    assert (failed.code, last["event"], last["code"]) == (2, "error", 2)


class Terminal:
    """A program in a pseudo-terminal."""

    def __init__(self, command: list[str], directory: Path, environment: dict[str, str]) -> None:
        try:
            self.master, slave = pty.openpty()
        except OSError as error:
            missing(f"this machine has no pseudo-terminals: {error}")
        self.process = subprocess.Popen(
            command,
            cwd=directory,
            env={**environment, "TERM": "xterm", "COLUMNS": "120"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - it becomes the terminal's own
        )
        os.close(slave)
        self.shown = ""

    def until(self, pattern: str, seconds: float = 60) -> bool:
        """Read until a pattern is shown; return whether it was."""
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.shown):
            ready, _, _ = select.select([self.master], [], [], 0.2)
            try:
                self.shown += os.read(self.master, 65536).decode("utf-8", "replace") if ready else ""
            except OSError:
                break
            if time.monotonic() > deadline:
                break
        return re.search(pattern, self.shown) is not None

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.master)
        self.process.kill()
        self.process.wait(10)


@pytest.mark.parametrize("step", ["solve", "compile"])
def test_ctrl_c_leaves_the_terminal_as_it_was(desk: Desk, step: str) -> None:
    desk.write("r.txt", "greeter")
    desk.forget_pieces()
    with Terminal([str(ENVPACK), "build", "r.txt", "--upgrade"], desk.home, desk.environment) as terminal:
        assert terminal.until(rf"{step}\b.*━"), terminal.shown[-500:]
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.until("interrupted")
        assert terminal.process.wait(30) == 130
        terminal.until("nothing more", 0.5)
    hidden, seen = terminal.shown.rfind("\x1b[?25l"), terminal.shown.rfind("\x1b[?25h")
    assert seen > hidden, "the cursor is visible again"
    assert "━" not in terminal.shown[terminal.shown.rfind("interrupted") :]


# --- completion ----------------------------------------------------------------------------------------------

SHELLS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
READY = {"bash": "", "zsh": "autoload -U compinit; compinit -D\n", "fish": ""}
SOURCE = {
    "bash": 'eval "$(envpack completion bash)"\n',
    "zsh": 'eval "$(envpack completion zsh)"\n',
    "fish": "envpack completion fish | source\n",
}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_live_shell_completes_references_tags_launchers_and_packages(desk: Desk, shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    fill_directory(desk.store, 20)
    name = names(20)[0]
    listed = desk.run("list", name, "--output", "json").json()["releases"]
    tag = next(tag for each in listed for tag in each["tags"])
    package = desk.run("show", name, "--output", "json").json()["manifest"]["packages"][0]["name"]
    path = f"{ENVPACK.parent}:{desk.environment['PATH']}"
    with Terminal(SHELLS[shell], desk.home, {**desk.environment, "PATH": path, "PS1": "$ "}) as terminal:
        terminal.type(READY[shell] + SOURCE[shell] + "echo rea''dy\n")
        assert terminal.until("ready"), terminal.shown
        for typed, wanted in {
            f"envpack show {name[:-1]}": name,
            f"envpack tag {name} {tag[:2]}": tag,
            "envpack settings --launcher k8s-clu": "k8s-cluster",
            f"envpack search {package[:-1]}": package,
            "envpack chan": "channel",
        }.items():
            terminal.shown = ""
            terminal.type(f"{typed}\t")
            assert terminal.until(re.escape(wanted), 15), (typed, terminal.shown)
            terminal.type("\x15")


# --- JSON ----------------------------------------------------------------------------------------------------


@pytest.mark.acceptance
def test_what_lock_settings_pack_and_channel_init_print_has_a_schema(desk: Desk, channel_prefix: Path) -> None:
    desk.write("r.txt", "greeter")
    check(desk.run("lock", "r.txt", "--output", "json").json(), "lock")
    desk.build("r.txt", "--no-verify")
    for launcher in ("yarn-cluster", "yarn-client", "local"):
        check(desk.run("settings", "r", "--launcher", launcher, "--output", "json").json(), "settings")
    packed = desk.run("pack", str(channel_prefix), "packed.tar.gz", "--output", "json")
    assert packed.code == 0, packed.err
    check(packed.json(), "pack")
    made = desk.run("channel", "init", "a channel", "--output", "json")
    assert made.code == 0, made.err
    check(made.json(), "channel-init")


@pytest.fixture
def channel_prefix(desk: Desk, tmp_path: Path) -> Path:
    """An installed environment: a release that was pulled and unpacked is a conda prefix."""
    desk.write("p.txt", "greeter")
    desk.build("p.txt", "--no-verify")
    place = tmp_path / "prefix"
    pulled = desk.run("pull", "p", str(place))
    assert pulled.code == 0, pulled.err
    return place


def test_no_message_counts_one_of_something_in_the_plural() -> None:
    """`1 wheels`: a number that may be one is shown by `units.count`; these never are one."""
    never_one = {
        *("yaml_nodes.py: characters", "txt.py: characters", "match_spec.py: characters", "text.py: characters"),
        *("pep508.py: characters", "environment.py: characters", "wheel.py: members", "conda_package.py: files"),
        *("policy.py: violations", "references.py: releases", "explain.py: logs", "__init__.py: as"),
        "addresses.py: characters",
    }
    wrong = []
    for path in sorted(Path(envpack.__file__).parent.rglob("*.py")):
        for text in (
            node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.JoinedStr)
        ):
            for number, words in pairwise(text.values):
                if not (isinstance(number, ast.FormattedValue) and isinstance(words, ast.Constant)):
                    continue
                noun = re.match(r" ([a-z]+s)\b", str(words.value))
                if ast.unparse(number.value).startswith("len(") and noun:
                    wrong.append(f"{path.name}: {noun[1]}")
    assert set(wrong) == never_one
