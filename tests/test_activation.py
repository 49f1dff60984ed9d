"""The variables that activating an environment would set, found out at build time."""

from __future__ import annotations

import json
import os
import random
import shlex
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from envpack.config.target import PLATFORMS, Target
from envpack.prefix.activation import Activation, activate, keep, reading, shell
from envpack.prefix.activation.script import Place
from envpack.progress import SILENT, Progress
from tests.support.channel import Channel
from tests.support.command import Desk, desk_at
from tests.support.missing import missing
from tests.support.processes import running
from tests.support.scripts import VARIABLES, random_script
from tests.support.wheels import write_wheel

HERE = next(Target(platform=name) for name in PLATFORMS if Target(platform=name).is_this_machine)
ELSEWHERE = next(Target(platform=name) for name in PLATFORMS if not Target(platform=name).is_this_machine)


@dataclass(kw_only=True)
class Prefix:
    """A linked prefix, as far as activation looks at one."""

    path: Path
    workdir: Path
    own: dict[str, str] = field(default_factory=dict)

    def file(self, name: str, text: str = "") -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        return path

    def script(self, name: str, *lines: str) -> None:
        self.file(f"etc/conda/activate.d/{name}", "\n".join(lines) + "\n")

    def activate(self, target: Target = HERE, *, timeout: float = 20, progress: Progress = SILENT) -> Activation:
        found = activate(
            self.path, self.own, target=target, workdir=self.workdir, timeout=timeout, progress=progress
        )
        assert list(found.variables) == sorted(found.variables)
        return found

    def variables(self, *lines: str, target: Target = HERE) -> dict[str, str]:
        """Return what one script sets, which must be no reason to say anything."""
        self.script("script.sh", *lines)
        found = self.activate(target)
        assert found.warnings == ()
        return dict(found.variables)

    def warnings(self, *lines: str, target: Target = HERE) -> tuple[str, ...]:
        """Return what is said of one script, of which nothing is kept."""
        self.script("script.sh", *lines)
        found = self.activate(target)
        assert found.variables == {}
        return found.warnings


@pytest.fixture
def prefix(tmp_path: Path) -> Prefix:
    if not shell.usable():
        missing("running activation scripts needs bash and a kernel with Landlock")
    return prefix_at(tmp_path / "build")


def prefix_at(directory: Path) -> Prefix:
    made = Prefix(path=directory / "prefix", workdir=directory / "activation")
    made.path.mkdir(parents=True)
    made.workdir.mkdir()
    return made


def files_below(directory: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return mode, number of links and content of every file."""
    found = sorted(directory.rglob("*"))
    return {
        str(path): (path.lstat().st_mode, path.lstat().st_nlink, path.read_bytes() if path.is_file() else b"")
        for path in found
    }


# --- in conda's order -----------------------------------------------------------------------------------------


def test_scripts_run_by_name_and_see_what_those_before_exported(prefix: Prefix) -> None:
    prefix.script("b.sh", 'export TRAIL="$TRAIL b"')
    prefix.script("a.sh", 'export TRAIL="$TRAIL a"')
    prefix.script("Z.sh", 'export TRAIL="Z" LOCAL=1', "unset LOCAL")
    prefix.script("c.fish", "set -gx TRAIL fish")
    prefix.script("d.sh.bak", "export TRAIL=backup")
    assert prefix.activate().variables == {"TRAIL": "Z a b"}


def test_files_of_packages_come_first_then_the_state_then_scripts_then_the_persons_own(prefix: Prefix) -> None:
    everybody = {"A": "packages", "B": "packages", "C": "packages", "D": "packages"}
    prefix.file("etc/conda/env_vars.d/1.json", json.dumps({**everybody, "Z": "1"}))
    prefix.file("etc/conda/env_vars.d/2", json.dumps({"Z": "2"}))
    prefix.file("conda-meta/state", json.dumps({"version": 1, "env_vars": {"B": "state", "C": "state"}}))
    prefix.script("s.sh", 'export C=script D=script SEEN="$A $B $OWN $Z"')
    prefix.own = {"D": "own", "OWN": "mine"}
    found = prefix.activate()
    assert found.variables == {
        "A": "packages",
        "B": "state",
        "C": "script",
        "D": "own",
        "OWN": "mine",
        "SEEN": "packages state mine 2",
        "Z": "2",
    }
    assert found.warnings == ()


def test_a_file_says_names_in_capitals_and_values_as_texts(prefix: Prefix) -> None:
    values = {"lower": "x", "NUMBER": 7, "TRUTH": True, "EMPTY": "", "NONE": None, "GONE": "***unset***"}
    prefix.file("etc/conda/env_vars.d/a.json", json.dumps({"GONE": "there", **values}))
    assert prefix.activate().variables == {"LOWER": "x", "NUMBER": "7", "TRUTH": "True", "EMPTY": ""}


def test_a_persons_own_names_stay_as_they_are_though_the_prefix_keeps_them_too(prefix: Prefix) -> None:
    prefix.own = {"lower": "x", "UPPER": "y"}
    keep(prefix.path, prefix.own)
    assert json.loads((prefix.path / "conda-meta/state").read_text())["env_vars"] == prefix.own
    assert prefix.activate().variables == prefix.own


def test_a_file_can_name_what_is_no_variable(prefix: Prefix) -> None:
    prefix.file("etc/conda/env_vars.d/a.json", '{"A-B": "1", "GOOD": "3"}')
    found = prefix.activate()
    assert found.variables == {"GOOD": "3"}
    assert found.warnings == (
        "etc/conda/env_vars.d/a.json sets A-B: left out, it cannot be an environment variable's name",
    )


def test_a_package_cannot_bring_a_shells_own_variables(prefix: Prefix) -> None:
    prefix.file(
        "etc/conda/env_vars.d/a.json", json.dumps({"ENV": "$(x)", "MAILPATH": "?$(x)", "UID": "1", "OK": "3"})
    )
    prefix.file("etc/conda/activate.d/a.sh", "export CDPATH=/usr RPS1=x FINE=y\n")
    found = prefix.activate()
    assert found.variables == {"OK": "3", "FINE": "y"}
    assert sorted(warning.partition(": left out")[0] for warning in found.warnings) == [
        "a.sh sets CDPATH, RPS1",
        "etc/conda/env_vars.d/a.json sets ENV, MAILPATH",
        "etc/conda/env_vars.d/a.json sets UID",
    ]


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"A": ["b"]}', '{"A": {"b": 1}}', "\ud800", "[" * 100_000, '{"A": "' + "x" * (5 << 20) + '"}'],
)
def test_a_file_that_is_not_what_conda_writes_is_named(prefix: Prefix, text: str) -> None:
    path = prefix.file("etc/conda/env_vars.d/broken.json")
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    prefix.file("etc/conda/env_vars.d/good.json", '{"GOOD": "1"}')
    found = prefix.activate()
    assert found.variables == {"GOOD": "1"}
    assert [warning.partition(" cannot be read: ")[0] for warning in found.warnings] == [
        "etc/conda/env_vars.d/broken.json"
    ]


def test_a_variable_that_a_later_script_takes_away_is_not_set(prefix: Prefix) -> None:
    prefix.file("etc/conda/env_vars.d/a.json", '{"DECLARED": "1"}')
    prefix.script("a.sh", "export EXPORTED=1 KEPT=1")
    prefix.script("b.sh", "unset EXPORTED DECLARED NEVER_SET")
    assert prefix.activate().variables == {"KEPT": "1"}


def test_a_script_finds_itself_where_conda_has_just_activated_the_prefix(prefix: Prefix) -> None:
    seen = prefix.variables(
        'export ROOT="$CONDA_PREFIX" NAMED="$CONDA_DEFAULT_ENV" LEVEL="$CONDA_SHLVL" BUILDING="${PREFIX-no}"',
        'export FIRST="${PATH%%:*}" SOURCED="${BASH_SOURCE[0]}"',
    )
    assert seen == {
        "ROOT": "./environment",
        "NAMED": "./environment",
        "LEVEL": "1",
        "BUILDING": "no",
        "FIRST": "./environment/bin",
        "SOURCED": "./environment/etc/conda/activate.d/script.sh",
    }


def test_without_scripts_no_shell_is_started(prefix: Prefix) -> None:
    prefix.file("etc/conda/env_vars.d/a.json", '{"A": "1"}')
    steps = Steps()
    assert prefix.activate(progress=steps).variables == {"A": "1"}
    assert (steps.names, list(prefix.workdir.iterdir())) == ([], [])
    prefix.script("a.sh", "export B=2")
    prefix.activate(progress=steps)
    assert steps.names == ["activate"]


class Steps(Progress):
    """Remembers the steps that were opened."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def step(self, name: str, **facts: Any) -> Any:
        self.names.append(name)
        return super().step(name, **facts)


# --- values ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        "it's",
        'say "yes"',
        "a=b=c",
        "  blanks  ",
        "$HOME `date` \\n",
        "Grüße, 世界 🚀",
        "tab\there"[:3],
        "'; exit 1; '",
    ],
)
def test_a_value_is_read_whole(prefix: Prefix, value: str) -> None:
    assert prefix.variables(f"export VALUE={shlex.quote(value)}") == {"VALUE": value}


@pytest.mark.parametrize("value", ["$'one\\ntwo'", "$'a\\tb'", "$'\\xff\\xfe'", "$'\\e[1m'"])
def test_a_value_that_no_launcher_can_set_is_left_out(prefix: Prefix, value: str) -> None:
    assert prefix.warnings(f"export VALUE={value}") == (
        "script.sh sets VALUE: left out, its value has more than one line, or characters that cannot be printed",
    )


def test_what_conda_its_scripts_and_the_shell_keep_for_themselves_is_no_variable(prefix: Prefix) -> None:
    prefix.own = {"MAPS_DATA": "/own"}
    assert prefix.variables(
        'export _CONDA_SET_MAPS_DATA="$MAPS_DATA" JAVA_HOME_CONDA_BACKUP="${JAVA_HOME:-}" CONDA_BACKUP_CC=cc',
        'export __CONDA_SHLVL_1_X=1 CONDA_PREFIX=/x CONDA_SHLVL=3 CONDA_PROMPT_MODIFIER=y CONDA_EXE=/z PS1="> "',
        "export NOTHING= ; NOT_EXPORTED=1 ; cd /tmp",
        "greet() { echo hello; } ; export -f greet ; export NEVER_ASSIGNED",
    ) == {"MAPS_DATA": "/own"}


@pytest.mark.parametrize(
    ("value", "relocated"),
    [
        ("$CONDA_PREFIX", "./environment"),
        ('"${CONDA_PREFIX}/share/x y"', "./environment/share/x y"),
        ("$CONDA_PREFIX/a:/usr/lib:$CONDA_PREFIX/b", "./environment/a:/usr/lib:./environment/b"),
        ('"-I$CONDA_PREFIX/include -L$CONDA_PREFIX/lib"', "-I./environment/include -L./environment/lib"),
        ('"@${CONDA_PREFIX}:x"', "@./environment:x"),
        ("$(cd $CONDA_PREFIX/share && pwd -P)", "./environment/share"),
        ("/etc/ssl/certs", "/etc/ssl/certs"),
        ("${UNSET:-/usr/local/lib/plugin}", "/usr/local/lib/plugin"),
        ("s3://bucket/key,https://example.com/a/b", "s3://bucket/key,https://example.com/a/b"),
        ("Europe/Berlin", "Europe/Berlin"),
        ("and/or", "and/or"),
    ],
)
def test_a_value_holds_where_the_archive_is_unpacked(prefix: Prefix, value: str, relocated: str) -> None:
    prefix.file("share/x y")
    assert prefix.variables(f"export VALUE={value}") == {"VALUE": relocated}


@pytest.mark.parametrize(
    "value",
    [
        "$HOME/.cache",
        "$PWD",
        "$(mktemp -d)",
        "$(command -v ls)",
        "$CONDA_PREFIX/a:$HOME/b",
        "-L$HOME/lib",
        "${CONDA_PREFIX}-other/share",
        "file://$CONDA_PREFIX/share/x",
        "$CONDA_PREFIX/share/$CONDA_PREFIX/lib",
        "/home/conda/feedstock_root/x",
        "/opt/site/lib",
        "$(uname -n)",
        "host:$(uname -n):7077",
        "$(id -un)@example.com",
    ],
)
def test_a_value_that_only_this_machine_has_is_left_out(prefix: Prefix, value: str) -> None:
    assert prefix.warnings(f"export VALUE={value}") == (
        "script.sh sets VALUE: left out, its value comes from the machine that builds",
    )


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("JAVA_HOME", "SPARK_HOME"), "the Java, Spark and Hadoop that run a job are the cluster's"),
        (("HADOOP_CONF_DIR", "PYSPARK_PYTHON"), "the Java, Spark and Hadoop that run a job are the cluster's"),
        (("LD_LIBRARY_PATH", "PATH"), "it would take the place of the node's own"),
        (("PYTHONHOME", "PYTHONPATH"), "it would change where Python looks for modules"),
        (("CC", "HOST", "WITH_IT"), "it serves compilers"),
    ],
)
@pytest.mark.parametrize("target", [HERE, ELSEWHERE], ids=["run", "read"])
def test_what_would_break_sparks_own_processes_is_left_out(
    prefix: Prefix, names: tuple[str, ...], reason: str, target: Target
) -> None:
    lines = [f"export {name}=$CONDA_PREFIX/x:${name}" for name in names]
    assert prefix.warnings(*lines, target=target) == (f"script.sh sets {', '.join(names)}: left out, {reason}",)
    prefix.own = dict.fromkeys(names, "mine")
    found = prefix.activate(target)
    assert (found.variables, found.warnings) == (prefix.own, ())


def test_many_variables_make_one_warning(prefix: Prefix) -> None:
    assert prefix.warnings(*(f"export {name}=1" for name in ("CC", "CXX", "LD", "BUILD", "HOST"))) == (
        "script.sh sets BUILD, CC, CXX and 2 more: left out, it serves compilers",
    )


def test_a_persons_own_value_stays_and_a_path_of_their_home_is_warned_about(prefix: Prefix) -> None:
    home = Path.home()
    prefix.own = {
        "MODEL": f"{home}/model.bin",
        "LIKE_IT": f"{home}-other",
        "BELOW": f"/srv{home}",
        "FINE": "/opt/site/lib",
    }
    found = prefix.activate()
    assert found.variables == prefix.own
    assert found.warnings == ("`variables:` sets MODEL to a path in your home directory, which nodes lack",)


def test_a_prefix_whose_path_has_blanks_gives_the_same_answer(tmp_path: Path) -> None:
    lines = (
        "if [ -d $CONDA_PREFIX/share/maps ]; then export MAPS=$CONDA_PREFIX/share/maps; fi",
        'export XML_CATALOG_FILES="file://${CONDA_PREFIX// /%20}/etc/xml/catalog file:///etc/xml/catalog"',
    )
    for name in ("plain", "a cache, with blanks"):
        prefix = prefix_at(tmp_path / name)
        prefix.file("share/maps/map.txt")
        prefix.file("etc/conda/env_vars.d/a.json", json.dumps({"LINKED": f"{prefix.path}/share"}))
        assert prefix.variables(*lines) == {
            "LINKED": "./environment/share",
            "MAPS": "./environment/share/maps",
            "XML_CATALOG_FILES": "./environment/etc/xml/catalog file:///etc/xml/catalog",
        }


# --- certificates ---------------------------------------------------------------------------------------------

CERTIFI = "lib/python3.11/site-packages/certifi/cacert.pem"


@pytest.mark.parametrize(
    ("files", "bundle"),
    [
        (["ssl/cacert.pem"], "ssl/cacert.pem"),
        (["ssl/cacert.pem", CERTIFI, "lib/libcrypto.so.3"], "ssl/cacert.pem"),
        ([CERTIFI, "lib/libcrypto.so.3"], CERTIFI),
        ([CERTIFI], None),
        ([], None),
    ],
)
def test_openssl_is_told_where_the_certificates_are(prefix: Prefix, files: list[str], bundle: str | None) -> None:
    for name in files:
        prefix.file(name)
    found = prefix.activate()
    assert found.variables == ({"SSL_CERT_FILE": f"./environment/{bundle}"} if bundle else {})
    assert found.warnings == ()


def test_an_openssl_without_certificates_is_warned_about(prefix: Prefix) -> None:
    prefix.file("lib/libcrypto.so.3")
    (warning,) = prefix.activate().warnings
    assert "finds no certificates" in warning
    prefix.own = {"SSL_CERT_FILE": "/etc/pki/tls/cert.pem"}
    found = prefix.activate()
    assert (found.variables, found.warnings) == (prefix.own, ())


def test_certificates_that_a_script_names_come_before_the_environments(prefix: Prefix) -> None:
    prefix.file("ssl/cacert.pem")
    assert prefix.variables("export SSL_CERT_FILE=$CONDA_PREFIX/ssl/site.pem") == {
        "SSL_CERT_FILE": "./environment/ssl/site.pem"
    }


# --- scripts that misbehave -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["exit 0"], "ended its shell with exit code 0"),
        (["echo giving up >&2", "exit 3"], "ended its shell with exit code 3: giving up"),
        (["set -e", "false"], "ended its shell with exit code 1"),
        (["set -u", "export MORE=$NO_SUCH_VARIABLE"], "ended its shell with exit code 127: $CONDA_PREFIX/"),
        (["exec true"], "ended its shell with exit code 0"),
        (["kill -9 $$"], "was killed by SIGKILL"),
        (["while :; do :; done"], "did not end within 2 s"),
        (["sleep 600"], "did not end within 2 s"),
    ],
)
def test_a_script_that_does_not_come_to_its_end_sets_nothing(
    prefix: Prefix, lines: list[str], problem: str
) -> None:
    prefix.script("a.sh", "export BEFORE=1")
    prefix.script("b.sh", "export LOST=1", *lines, "export LOST_AS_WELL=1")
    prefix.script("c.sh", "export AFTER=1")
    found = prefix.activate(timeout=2 if "did not end" in problem else 60)
    assert found.variables == {"AFTER": "1", "BEFORE": "1"}
    assert len(found.warnings) == 1
    assert found.warnings[0].startswith(f"b.sh {problem}")


def test_a_script_that_fails_at_its_end_counts_as_it_does_with_conda(prefix: Prefix) -> None:
    prefix.script("a.sh", "export A=1", "echo please add a compiler", "false")
    prefix.script("b.sh", "export B=1", '[ -n "$NO_SUCH_VARIABLE" ] && export C=1')
    found = prefix.activate()
    assert found.variables == {"A": "1", "B": "1"}
    assert found.warnings == ("a.sh failed with status 1: please add a compiler",)


def test_a_script_has_no_input_no_terminal_and_may_print(prefix: Prefix) -> None:
    assert prefix.variables(
        "read line; export INPUT=got-$line",
        "echo out; echo error >&2",
        "(: < /dev/tty) 2> /dev/null || export TERMINAL=none",
        "export IGNORED_SIGNALS=got-$(bash -c 'trap -p PIPE')",
    ) == {"INPUT": "got-", "TERMINAL": "none", "IGNORED_SIGNALS": "got-"}


def test_a_script_that_prints_without_end_does_not_fill_the_disk(prefix: Prefix) -> None:
    prefix.script("a.sh", "export A=1", "yes 'for ever' > $TMPDIR/file 2> /dev/null", "true")
    prefix.script("b.sh", "export B=1", "yes 'for ever' 2> /dev/null", "true")
    found = prefix.activate()
    assert found.variables == {"A": "1"}
    assert [warning.partition(":")[0] for warning in found.warnings] == ["b.sh printed more than 16 MB"]
    assert sum(path.stat().st_size for path in prefix.workdir.rglob("*")) <= shell.LIMITS.file_size + (1 << 20)


def test_what_a_script_starts_ends_with_it(prefix: Prefix) -> None:
    seconds = str(random.randint(10**8, 10**9))
    assert prefix.variables(f"sleep {seconds} & export A=1", f"(setsid sleep {seconds} &)") == {"A": "1"}
    assert not running(seconds)


def test_a_script_that_changes_its_shell_changes_no_other(prefix: Prefix) -> None:
    prefix.script(
        "a.sh",
        "set -- x y z",
        "set -fCx",
        "IFS=,",
        "trap 'echo bye' EXIT DEBUG",
        "alias printf=false",
        "export A=1,2",
    )
    prefix.script("b.sh", "export LD_PRELOAD=/nowhere.so LD_LIBRARY_PATH=$CONDA_PREFIX/lib B=$A", "exec 3>&1 1>&-")
    prefix.script("c.sh", 'export C="$A $# $B"')
    assert prefix.activate().variables == {"A": "1,2", "B": "1,2", "C": "1,2 0 1,2"}


def test_a_script_can_neither_change_the_prefix_nor_what_is_linked_into_it(prefix: Prefix, tmp_path: Path) -> None:
    cached = tmp_path / "package" / "data.txt"
    cached.parent.mkdir()
    cached.write_text("data\n")
    (prefix.path / "share").mkdir()
    os.link(cached, prefix.path / "share" / "data.txt")
    (prefix.path / "share" / "linked").symlink_to(cached)
    outside = tmp_path / "outside"
    attempts = [
        "echo more >> $CONDA_PREFIX/share/data.txt",
        "echo other > $CONDA_PREFIX/share/linked",
        ": > $CONDA_PREFIX/share/data.txt",
        "truncate -s 0 $CONDA_PREFIX/share/data.txt",
        "sed -i s/data/DATA/ $CONDA_PREFIX/share/data.txt",
        "rm -rf $CONDA_PREFIX/share",
        "mv $CONDA_PREFIX/share $CONDA_PREFIX/elsewhere",
        "mkdir -p $CONDA_PREFIX/new && echo new > $CONDA_PREFIX/new/file",
        "ln -s /etc/passwd $CONDA_PREFIX/passwd",
        f"echo lost > {outside}",
        'echo fine > "$TMPDIR/mine" && export TMP_WORKS=yes',
    ]
    before = files_below(prefix.path)
    prefix.script("script.sh", *(f"{attempt} 2> /dev/null" for attempt in attempts), "true")
    before = files_below(prefix.path)
    assert prefix.activate().variables == {"TMP_WORKS": "yes"}
    assert files_below(prefix.path) == before
    assert cached.read_text() == "data\n"
    assert not outside.exists()


def test_a_script_learns_nothing_of_who_builds(
    prefix: Prefix, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    credentials = tmp_path / "home" / ".aws" / "credentials"
    credentials.parent.mkdir(parents=True)
    credentials.write_text("a-secret")
    assert prefix.variables(
        "export INHERITED=${AWS_SECRET_ACCESS_KEY-nothing}",
        f"export STOLEN=got-$(cat {credentials} 2> /dev/null)",
        f"export PEEKED=got-$(tr '\\0' ' ' 2> /dev/null < /proc/{os.getpid()}/environ)",
        f"kill -0 {os.getpid()} 2> /dev/null || export SIGNALS=refused",
    ) == {"INHERITED": "nothing", "STOLEN": "got-", "PEEKED": "got-", "SIGNALS": "refused"}


WITHOUT_LANDLOCK = """
import ctypes, errno, struct, sys
from pathlib import Path

# A filter that answers every landlock_create_ruleset (444) as a kernel without it does (seccomp(2)).
rules = [(0x20, 0, 0, 0), (0x15, 0, 1, 444), (0x06, 0, 0, 0x00050000 | errno.ENOSYS), (0x06, 0, 0, 0x7FFF0000)]
program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))
filter = ctypes.create_string_buffer(struct.pack("HxxxxxxQ", len(rules), ctypes.addressof(program)))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, filter) == 0

from envpack.prefix.activation import activate
from envpack.config.target import Target

prefix, workdir, platform = sys.argv[1:]
found = activate(Path(prefix), {}, target=Target(platform=platform), workdir=Path(workdir))
print(dict(found.variables), found.warnings)
"""


def test_where_a_script_could_do_harm_it_is_read_instead_of_run(prefix: Prefix) -> None:
    prefix.script("a.sh", "export A=$CONDA_PREFIX/a B=$(echo b)", "echo harm >> $CONDA_PREFIX/share.txt")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_LANDLOCK, prefix.path, prefix.workdir, HERE.platform],
        capture_output=True,
        text=True,
        check=True,
    )
    told = "a.sh sets B: left out, its value is known only when the script runs"
    assert done.stdout.strip() == str({"A": "./environment/a"}) + " " + str((told,))
    assert not (prefix.path / "share.txt").exists()


# --- reading --------------------------------------------------------------------------------------------------

GDAL = """
if [[ -n "$GDAL_DATA" ]]; then
    export _CONDA_SET_GDAL_DATA=$GDAL_DATA
fi
if [ -d $CONDA_PREFIX/share/gdal ]; then
    export GDAL_DATA=$CONDA_PREFIX/share/gdal
    export GDAL_DRIVER_PATH=$CONDA_PREFIX/lib/gdalplugins
elif [ -d $CONDA_PREFIX/Library/share/gdal ]; then
    export GDAL_DATA=$CONDA_PREFIX/Library/share/gdal
fi
if [[ ! -d "$GDAL_DRIVER_PATH" ]]; then
    unset GDAL_DRIVER_PATH
fi
export CPL_ZIP_ENCODING=UTF-8   # zip files need it
if [ -n "${BASH_VERSION:-}" ]; then
    if [ -f "${CONDA_PREFIX}/share/bash-completion/completions/gdalinfo" ]; then
        source "${CONDA_PREFIX}/share/bash-completion/completions/gdalinfo"
    fi
fi
"""
COMPLETION = """
_gdalinfo() {
    local cur prev
    case "$1" in
        -*) cur=$1 ;;
    esac
    GDAL_OPTIONS="--help"
}
complete -o default -F _gdalinfo gdalinfo
"""
PROJ = """
if [ -n "${PROJ_DATA:-}" ]; then
    export _CONDA_SET_PROJ_DATA=$PROJ_DATA
fi
if [ -d "${CONDA_PREFIX}/share/proj" ]; then
  export "PROJ_DATA=${CONDA_PREFIX}/share/proj"
elif [ -d "${CONDA_PREFIX}/Library/share/proj" ]; then
  export PROJ_DATA="${CONDA_PREFIX}/Library/share/proj"
fi
if [ -f "${CONDA_PREFIX}/share/proj/copyright_and_licenses.csv" ]; then
  export PROJ_NETWORK="OFF"
else
  export PROJ_NETWORK="ON"
fi
"""
ESMF = """
if [ -f "${CONDA_PREFIX}/lib/esmf.mk" ]; then
  export ESMFMKFILE="${CONDA_PREFIX}/lib/esmf.mk"
fi
"""
GLIB = """
export GSETTINGS_SCHEMA_DIR_CONDA_BACKUP="${GSETTINGS_SCHEMA_DIR:-}"
export GSETTINGS_SCHEMA_DIR="$CONDA_PREFIX/share/glib-2.0/schemas"
"""
HDF5 = """
[ -v HDF5_PLUGIN_PATH ] && export __CONDA_SHLVL_1_HDF5_PLUGIN_PATH=${HDF5_PLUGIN_PATH}
export HDF5_PLUGIN_PATH=${CONDA_PREFIX}/lib/plugins:${HDF5_PLUGIN_PATH:-/usr/local/hdf5/lib/plugin}
"""
ARROW = """
GDB_PREFIX="$CONDA_PREFIX/share/gdb/auto-load"
WRAPPER_DIR="$GDB_PREFIX/$CONDA_PREFIX/lib"
mkdir -p "$WRAPPER_DIR" || true
if [ ! -w "$WRAPPER_DIR" ]; then
    return
fi
for target in "$GDB_PREFIX/placeholder/lib/"*.py; do
    symlink="$WRAPPER_DIR/$(basename "$target")"
    ln -s "$target" "$symlink"
done
"""
PLAIN = """
NAME=value; export NAME
export ONE=1 TWO="two words" THREE='$CONDA_PREFIX'
export FOUR=a'b'"c"\\d
if [[ $(uname) == Darwin ]]; then export OS=mac; else export OS=linux; fi
if test -z "$UNSET" && ! [ -e "$CONDA_PREFIX/none" ]; then export BOTH=yes; fi
[ -x $CONDA_PREFIX/lib/esmf.mk ] || export EXECUTABLE=no
FLAGS="-a"; FLAGS+=" -b"; export FLAGS
env | sort > /dev/null
: ${ONE:-x} && export EIGHT=8
return 0
export NEVER=1
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(GDAL, {"GDAL_DATA": "./environment/share/gdal", "CPL_ZIP_ENCODING": "UTF-8"}, id="gdal"),
        pytest.param(PROJ, {"PROJ_DATA": "./environment/share/proj", "PROJ_NETWORK": "ON"}, id="proj"),
        pytest.param(ESMF, {"ESMFMKFILE": "./environment/lib/esmf.mk"}, id="esmf"),
        pytest.param(GLIB, {"GSETTINGS_SCHEMA_DIR": "./environment/share/glib-2.0/schemas"}, id="glib"),
        pytest.param(HDF5, {"HDF5_PLUGIN_PATH": "./environment/lib/plugins:/usr/local/hdf5/lib/plugin"}, id="hdf5"),
        pytest.param(ARROW, {}, id="arrow"),
        pytest.param(
            PLAIN,
            {
                "NAME": "value",
                "ONE": "1",
                "TWO": "two words",
                "THREE": "$CONDA_PREFIX",
                "FOUR": "abcd",
                "OS": "linux",
                "BOTH": "yes",
                "EXECUTABLE": "no",
                "FLAGS": "-a -b",
                "EIGHT": "8",
            },
            id="plain",
        ),
    ],
)
def test_for_another_platform_reading_a_script_says_what_running_it_says(
    prefix: Prefix, text: str, expected: dict[str, str]
) -> None:
    for name in ("share/gdal/gcs.csv", "share/proj/proj.db", "lib/esmf.mk"):
        prefix.file(name)
    prefix.file("share/bash-completion/completions/gdalinfo", COMPLETION)
    assert prefix.variables(text, target=HERE) == expected
    assert prefix.variables(text, target=ELSEWHERE) == expected


LIBXML2 = """
conda_catalog_files=""
rem="${CONDA_PREFIX}"
for pre in ${rem}; do
    conda_catalog_files="${conda_catalog_files}${pre}"
done
export XML_CATALOG_FILES="file://${conda_catalog_files}/etc/xml/catalog file:///etc/xml/catalog"
unset conda_catalog_files rem
"""
OPENMP = """
threads=$(nproc)
export OMP_NUM_THREADS=$threads
export OMP_SCHEDULE=static
"""
UNDECIDED = """
if command -v nvidia-smi > /dev/null; then
    export GPU_DATA=$CONDA_PREFIX/share/gpu
fi
export CPU_DATA=$CONDA_PREFIX/share/cpu
"""
GCC = """
function _tc_activation() {
  for thing in "$@"; do
    eval export "'${thing}=${CONDA_PREFIX}/bin/${thing}'"
  done
}
_tc_activation CC CXX
"""
SITE = """
export FIRST=1
. /etc/site/profile.sh
export SECOND=2
"""


@pytest.mark.parametrize(
    ("text", "kept", "left_out"),
    [
        pytest.param(LIBXML2, {}, "sets XML_CATALOG_FILES: left out, its value is known only when", id="libxml2"),
        pytest.param(OPENMP, {"OMP_SCHEDULE"}, "sets OMP_NUM_THREADS: left out, its value is known", id="openmp"),
        pytest.param(UNDECIDED, {"CPU_DATA"}, "sets GPU_DATA: left out, its value is known only", id="undecided"),
        pytest.param(GCC, {}, "may set more variables, which is known only when it runs", id="gcc"),
        pytest.param(SITE, {"FIRST"}, "sets SECOND: left out, its value is known only when", id="site"),
        pytest.param("export A=1; exit 0", {}, "ends its shell", id="exit"),
    ],
)
def test_what_cannot_be_read_with_certainty_is_left_out_by_name(
    prefix: Prefix, text: str, kept: set[str], left_out: str
) -> None:
    prefix.script("script.sh", text)
    found = prefix.activate(ELSEWHERE)
    assert set(found.variables) == set(kept)
    assert any(warning.startswith(f"script.sh {left_out}") for warning in found.warnings), found.warnings
    assert list(prefix.workdir.iterdir()) == []


def test_reading_knows_the_other_platforms_processor(prefix: Prefix) -> None:
    assert prefix.variables("export TARGET=$(uname -m)-linux", target=ELSEWHERE) == {
        "TARGET": f"{ELSEWHERE.machine}-linux"
    }


@pytest.mark.parametrize(
    "nested", ["$(" * 5000, "if true; then " * 3000, "`", "'", "${x", "( ) } fi done", "\0\r\f"]
)
def test_a_script_that_is_no_shell_script_is_no_reason_to_fail(prefix: Prefix, nested: str) -> None:
    prefix.script("a.sh", nested)
    prefix.script("b.sh", "export B=2")
    assert prefix.activate(ELSEWHERE).variables == {"B": "2"}


def test_reading_never_says_what_running_denies(prefix: Prefix) -> None:
    """Scripts of all sorts: what is read is true, and what is not read is left open."""
    prefix.file("share/data.txt", "data\n")
    prefix.file("inner.sh", "export BETA=inner; GAMMA=q; export GAMMA")
    place = Place(directory=prefix.workdir, prefix=prefix.path)
    dice = random.Random(20240229)
    known = 0
    for _ in range(200):
        text = random_script(dice)
        given = {**shell.clean_environ(place), "PATH": "/usr/bin:/bin", "DELTA": "before"}
        read = reading.read(prefix.file("s.sh", text), given, place, machine=HERE.machine)
        ran = exported_by(prefix.path / "s.sh", given, prefix.workdir)
        if ran is None:
            assert all(value is None for value in read.changed.values()), text
            continue
        for name in VARIABLES:
            if name in read.changed:
                assert read.changed[name] in (None, ran.get(name)), f"{name} in:\n{text}"
                known += read.changed[name] is not None
            elif not read.problem:
                assert ran.get(name) == (None if name in read.removed else given.get(name)), f"{name} in:\n{text}"
    assert known > 60


def exported_by(script: Path, environ: dict[str, str], directory: Path) -> dict[str, str] | None:
    """Return what a bash exports that has sourced a script; None when the script ended it."""
    after = directory / "after"
    after.unlink(missing_ok=True)
    program = f". {script}; /usr/bin/env -0 > {after}"
    subprocess.run(["bash", "-c", program], env=environ, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if not after.exists():
        return None
    return dict(entry.split("=", 1) for entry in after.read_text().split("\0") if entry)


# --- in a build -----------------------------------------------------------------------------------------------

NEEDY = """
import os

with open(os.environ["MAPS_DATA"] + "/map.txt") as file:
    MAP = file.read()
"""
EXPECTED = {
    "ACTIVATED_HOME": "./environment/share/activated",
    "ACTIVATED_LEVEL": "7",
    "GREETING": "hello",
    "MAPS_DATA": "./environment/share/maps",
    "MAPS_ENCODING": "UTF-8",
    "SSL_CERT_FILE": "./environment/ssl/cacert.pem",
}
JAVA = "jvm-activate.sh sets JAVA_HOME: left out, the Java, Spark and Hadoop that run a job are the cluster's"


@dataclass(frozen=True, kw_only=True)
class Made:
    desk: Desk
    result: Any

    @property
    def manifest(self) -> Any:
        (path,) = self.desk.store.glob("atlas/*/manifest.json")
        return json.loads(path.read_text())


@pytest.fixture(scope="module", params=["here", "elsewhere"])
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, channel: Channel, warm_cache: Path
) -> Made:
    """A build for this machine and one for another; its wheel cannot be imported without the variables."""
    desk = desk_at(tmp_path_factory.mktemp("activation") / "a desk", channel, warm_cache)
    write_wheel(desk.home, "needy", "1", files={"needy.py": NEEDY})
    desk.write(
        "atlas.yml",
        "dependencies: [scripted, activated, pip: ['--no-index', '--find-links .', needy]]",
        "variables: {GREETING: hello}",
    )
    platform = channel.platform if request.param == "here" else channel.foreign
    return Made(desk=desk, result=desk.build("atlas.yml", "--platform", platform))


def test_the_manifest_holds_the_variables_and_what_was_left_out(made: Made) -> None:
    assert made.manifest["variables"] == EXPECTED
    assert JAVA in made.manifest["warnings"]
    assert JAVA in made.result["notes"]
    assert not any("wrappers-activate.sh" in warning for warning in made.manifest["warnings"])


def test_the_settings_hand_the_variables_to_drivers_and_executors(made: Made) -> None:
    conf = made.result["settings"]["conf"]
    for process in ("executorEnv", "yarn.appMasterEnv"):
        named = {key: value for key, value in conf.items() if key.startswith(f"spark.{process}.")}
        named.pop("spark.yarn.appMasterEnv.PYSPARK_PYTHON", None)
        assert named == {f"spark.{process}.{name}": value for name, value in EXPECTED.items()}


def test_the_settings_of_someone_elses_release_need_nothing_but_the_manifest_and_the_archive(
    made: Made, tmp_path: Path
) -> None:
    theirs = desk_at(tmp_path / "their desk", made.desk.channel, tmp_path / "their cache")
    shutil.copytree(made.desk.store, theirs.store)
    for path in theirs.store.rglob("*"):
        if (
            path.is_file()
            and path.name not in ("manifest.json", "latest.json")
            and not path.name.endswith(".tar.gz")
        ):
            path.unlink()
    ran = theirs.run("settings", "atlas", "--output", "json")
    assert ran.code == 0, ran.err
    settings, built = ran.json()["settings"], made.result["settings"]
    here, there = theirs.store.as_uri(), made.desk.store.as_uri()
    assert json.loads(json.dumps(settings).replace(here, there)) == built


def test_nothing_that_a_script_writes_is_in_the_archive(made: Made) -> None:
    (archive,) = made.desk.store.glob("atlas/*/*.tar.gz")
    with tarfile.open(archive) as tar:
        names = [member.name for member in tar if member.name.startswith("share/wrappers/")]
    assert names == ["share/wrappers/replace-me", "share/wrappers/replace-me/wrapper.py"]


def test_other_variables_make_another_release(desk: Desk) -> None:
    references = set()
    for value in ("one", "two", "two"):
        desk.write("r.yml", "dependencies: [greeter]", f"variables: {{GREETING: {value}}}")
        built = desk.build("r.yml", "--no-verify")
        references.add(built["reference"])
        assert built["settings"]["conf"]["spark.executorEnv.GREETING"] == value
    assert len(references) == 2
