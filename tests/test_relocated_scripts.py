"""Scripts and modules that name the prefix run wherever they are unpacked, without conda-unpack."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from envpack import digest
from envpack.archive import python_prefix, shell_prefix
from envpack.archive.packing import pack
from envpack.archive.scripts import freed
from envpack.files.cache import Cache
from envpack.lock.lock import CondaPackage
from envpack.prefix.link import Login, link_conda
from envpack.requirements.names import CondaName
from tests.support.packages import Named, write_conda

PREFIX = "/opt/placeholder_placehold_placehold"


def run(script: str, path: str, tmp_path: Path, *arguments: str) -> str:
    """Unpack a script somewhere, run it through a link from another directory, and return its output."""
    node = tmp_path / "a node" / "environment"
    for name, target in {"python": sys.executable, "sh": "/bin/sh", "tool": shutil.which("echo")}.items():
        (node / "bin").mkdir(parents=True, exist_ok=True)
        (node / "bin" / name).symlink_to(target or "")
    data = freed(path, script.replace("PREFIX", PREFIX).encode(), PREFIX.encode())
    assert PREFIX.encode() not in data, data.decode()
    place = node / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)
    place.chmod(0o755)
    link = tmp_path / "link to it"
    link.symlink_to(place)
    environ = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    done = subprocess.run(
        [link, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environ,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr + data.decode()
    return done.stdout.replace(str(node.resolve()), "HERE")


PYTHONS = [
    "#!PREFIX/bin/python",
    "#!PREFIX/bin/python3.11 -E",
    "#! PREFIX/bin/python -E -s",
    "#!/usr/bin/env PREFIX/bin/python",
    "#!/usr/bin/env -S PREFIX/bin/python",
    "#!/usr/bin/env -S PREFIX/bin/python -E -s",
    "#!/usr/bin/env -SPREFIX/bin/python -E",
    "#!/usr/bin/env -S A=1 PREFIX/bin/python",
    "#!/usr/bin/env -S -u HOME PREFIX/bin/python3",
    "#!/bin/env PREFIX/bin/python",
    "#!/usr/bin/env python",
    "#!/usr/bin/env -S python3 -E",
    "#!/bin/sh\n'''exec' \"PREFIX/bin/python\" \"$0\" \"$@\"\n' '''",
]


@pytest.mark.parametrize("path", ["bin/program", "libexec/deep/down/program"])
@pytest.mark.parametrize("line", PYTHONS)
def test_a_python_script_is_run_by_the_python_of_its_environment(line: str, path: str, tmp_path: Path) -> None:
    script = f"{line}\nimport sys\nprint(sys.argv[1:])\n"
    assert run(script, path, tmp_path, "a b", "c") == "['a b', 'c']\n"


SHELL = {
    "bare": ("echo PREFIX/x", "HERE/x\n"),
    "bare, as one word": ("printf '%s|' PREFIX/x PREFIX/y", "HERE/x|HERE/y|"),
    "in double quotes": ('echo "PREFIX/x  y"', "HERE/x  y\n"),
    "in single quotes": ("echo 'PREFIX/x  $HOME'", "HERE/x  $HOME\n"),
    "assigned": ('prefix=PREFIX\necho "${prefix}/x"', "HERE/x\n"),
    "exported": ("export A=PREFIX/share:PREFIX/lib\necho $A", "HERE/share:HERE/lib\n"),
    "as a command": ("exec PREFIX/bin/tool one", "one\n"),
    "as a quoted command": ('exec "PREFIX/bin/tool" "$@" two', "two\n"),
    "as a default": ('echo "${NOT_SET:-PREFIX/x}" ${NOT_SET:-PREFIX/y}', "HERE/x HERE/y\n"),
    "in a substitution": ('echo "$(echo "PREFIX/x" \'PREFIX/y\')"', "HERE/x HERE/y\n"),
    "in backticks": ("echo `echo PREFIX/x`", "HERE/x\n"),
    "in a here-document": ("cat <<EOF\nPREFIX/x 'it is'\nEOF\necho PREFIX", "HERE/x 'it is'\nHERE\n"),
    "in an indented here-document": ("cat <<-END\n\tPREFIX/x\n\tEND\necho after", "HERE/x\nafter\n"),
    "behind a quoted here-document": ("cat <<'EOF'\n$HOME \"\nEOF\necho PREFIX", '$HOME "\nHERE\n'),
    "in a comment": ("# it's in PREFIX\necho PREFIX", "HERE\n"),
    "beside what looks like a comment": ("a=${#} ; echo a#b PREFIX", "a#b HERE\n"),
    "escaped around": ('echo \\"PREFIX\\" "\\"PREFIX\\""', '"HERE" "HERE"\n'),
    "in a case": ('case "PREFIX/x" in PREFIX/*) echo yes;; *) echo no;; esac', "yes\n"),
    "in a function": ("f() {\n  echo PREFIX\n}\nf", "HERE\n"),
    "in a test": ('if [ xPREFIX = "xPREFIX" ]; then echo same; fi', "same\n"),
    "for sed": ("echo /usr/x | sed -e 's|/usr|PREFIX|g'", "HERE/x\n"),
    "for awk": ("echo | awk '{ print \"PREFIX\" }'", "HERE\n"),
    "in a subshell": ("( echo PREFIX; echo 'a)b' )", "HERE\na)b\n"),
    "with arithmetic": ("echo $((1 + 2)) PREFIX", "3 HERE\n"),
    "twice on a line": ("echo PREFIX PREFIX", "HERE HERE\n"),
    "strict": ("set -eu\necho PREFIX", "HERE\n"),
}


@pytest.mark.parametrize(
    "shell", ["#!/bin/sh", "#!/bin/bash", "#!/usr/bin/env bash", "#!PREFIX/bin/sh", "#!/bin/sh -e"]
)
@pytest.mark.parametrize("name", SHELL)
def test_a_shell_script_finds_its_environment(name: str, shell: str, tmp_path: Path) -> None:
    body, expected = SHELL[name]
    assert run(f"{shell}\n{body}\n", "bin/program", tmp_path) == expected


def test_bash_has_a_way_of_quoting_of_its_own(tmp_path: Path) -> None:
    assert run("#!/bin/bash\necho $'PREFIX\\tit\\'s'\n", "bin/x", tmp_path) == "HERE\tit's\n"


def test_a_shell_script_anywhere_finds_its_environment(tmp_path: Path) -> None:
    assert run("#!/bin/sh\necho PREFIX\n", "share/a/b/run.sh", tmp_path) == "HERE\n"


@pytest.mark.parametrize(
    "body",
    ["cat <<'EOF'\nPREFIX\nEOF\n", "echo 'PREFIX\n", 'echo "$(PREFIX\n', "cat <<EOF\nPREFIX\n", "x=`PREFIX\n"],
)
def test_what_no_variable_can_stand_in_is_left_alone(body: str) -> None:
    text = f"#!/bin/sh\n{body}".replace("PREFIX", PREFIX)
    assert shell_prefix.without_prefix(text, "bin/x", PREFIX) is None
    assert freed("bin/x", text.encode(), PREFIX.encode()) == text.encode()


PYTHON = {
    "text": ("print('PREFIX/x')", "HERE/x\n"),
    "bytes": ("print(b'PREFIX/x'.decode())", "HERE/x\n"),
    "several": ("A = ['PREFIX', \"PREFIX/lib:PREFIX/bin\"]\nprint(*A)", "HERE HERE/lib:HERE/bin\n"),
    "joined": ("print('a' 'PREFIX' 'b')", "aHEREb\n"),
    "over lines": ('print("""PREFIX\nPREFIX""", "PREFIX")', "HERE\nHERE HERE\n"),
    "raw": ("print(r'PREFIX\\n')", "HERE\\n\n"),
    "beside other letters": ("ü = 'ü'; print(ü, 'PREFIX')", "ü HERE\n"),
    "a docstring": ('def f():\n    """In PREFIX."""\nprint("PREFIX", f.__doc__)', "HERE In $PREFIX.\n"),
    "a comment": ("print('PREFIX')  # PREFIX", "HERE\n"),
    "as a key": ("print({'PREFIX': 1}['PREFIX'], f'{1}')", "1 1\n"),
}


@pytest.mark.parametrize("name", PYTHON)
def test_a_python_script_asks_for_its_prefix(name: str, tmp_path: Path) -> None:
    body, expected = PYTHON[name]
    script = f"#!PREFIX/bin/python\nimport sys\nsys.prefix = sys.argv[1]\n{body}\n"
    here = str((tmp_path / "a node" / "environment").resolve())
    assert run(script, "bin/program", tmp_path, here) == expected


@pytest.mark.parametrize("source", ["f'PREFIX/{1}'\n", "print 'PREFIX'\n", "match x:\n    case 'PREFIX': pass\n"])
def test_a_module_that_cannot_ask_is_left_alone(source: str) -> None:
    data = source.replace("PREFIX", PREFIX).encode()
    assert python_prefix.without_prefix(data, PREFIX.encode()) is None
    assert freed("lib/python3.11/x.py", data, PREFIX.encode()) == data


def test_pkg_config_files_name_their_own_place() -> None:
    data = f"prefix={PREFIX}\nlibdir=${{prefix}}/lib\n".encode()
    assert freed("lib/pkgconfig/x.pc", data, PREFIX.encode()).startswith(b"prefix=${pcfiledir}/../..\n")


def test_what_cannot_be_rewritten_is_named(tmp_path: Path) -> None:
    def naming(text: str) -> Named:
        return Named(data=text.replace("PREFIX", PREFIX).encode(), placeholder=PREFIX)

    files = {
        "bin/can": naming("#!/bin/sh\necho PREFIX\n"),
        "bin/cannot": naming("#!/bin/sh\ncat <<'EOF'\nPREFIX\nEOF\n"),
        "etc/some.conf": naming("home=PREFIX\n"),
        "include/some.h": naming('#define HOME "PREFIX"\n'),
    }
    path = write_conda(tmp_path / "channel", "p", files=files, executable=["bin/can", "bin/cannot"])
    package = CondaPackage(
        name=CondaName("p"),
        version="1.0",
        build="0",
        build_number=0,
        subdir="noarch",
        url=path.as_uri(),
        sha256=digest.of_file(path),
        noarch="generic",
    )
    prefix = tmp_path / "prefix"
    prefix.mkdir()
    link_conda([package], prefix, platform="linux-64", login=Login(), cache=Cache(tmp_path / "cache"))
    assert pack(prefix, tmp_path / "out.tar.gz").warnings == (
        "programs that name their prefix in a way that cannot be rewritten: bin/cannot",
        "files that name a prefix which no node has: etc/some.conf",
    )
