"""Input that nobody would write: for each thing that envpack reads from a person, what may stand there."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click
import yaml
from hypothesis import strategies as st

import envpack
from envpack import cli, requirements
from envpack.config import config
from envpack.lock import file as lock_file
from envpack.releases import references
from envpack.stores import store_of
from tests.support.stored import HOSTILE, changed, places
from tests.test_lock import LOCK

if TYPE_CHECKING:
    from collections.abc import Sequence

ENVIRONMENT = {
    "name": "udf",
    "channels": ["conda-forge", "https://example.com/channel"],
    "dependencies": ["python=3.11", "numpy>=1.26,<3", "conda-forge::pip", {"pip": ["six==1.16", "-r more.txt"]}],
    "variables": {"A": "1"},
}
CONDA_LOCK = {
    "version": 1,
    "metadata": {"channels": [{"url": "conda-forge", "used_env_vars": []}], "platforms": ["linux-64"]},
    "package": [
        {
            "name": "six",
            "version": "1.16",
            "manager": manager,
            "platform": "linux-64",
            "dependencies": {"python": ">=3"},
            "url": f"https://example.com/noarch/six-1.16-0.{suffix}",
            "hash": {"md5": "1" * 32, "sha256": "2" * 64},
            "category": "main",
            "optional": False,
        }
        for manager, suffix in (("conda", "conda"), ("pip", "whl"))
    ],
}
PIXI_LOCK = {
    "version": 6,
    "environments": {
        "default": {
            "channels": [{"url": "https://example.com/channel/"}],
            "indexes": ["https://example.com/simple"],
            "packages": {
                "linux-64": [
                    {"conda": "https://example.com/channel/noarch/six-1.16-0.conda"},
                    {"pypi": "https://example.com/six-1.16-py3-none-any.whl"},
                ]
            },
        }
    },
    "packages": [
        {
            "conda": "https://example.com/channel/noarch/six-1.16-0.conda",
            "sha256": "2" * 64,
            "md5": "1" * 32,
            "depends": ["python >=3"],
            "size": 10,
            "timestamp": 1,
        },
        {
            "pypi": "https://example.com/six-1.16-py3-none-any.whl",
            "name": "six",
            "version": "1.16",
            "sha256": "2" * 64,
        },
    ],
}
CONFIGURATION = {
    "store": "store",
    "channels": ["conda-forge"],
    "python": "3.11",
    "spark": "3.5",
    "slim": True,
    "names": {"torch": "pytorch"},
    "gc": {"keep-last": 3, "keep-newer": "30d"},
    "ci": {"requirements": ["*.txt"], "names": {"a.txt": "b"}},
    "policy": {"deny-licenses": ["GPL-*"], "deny-packages": ["pyyaml<5.4"], "deny-vulnerabilities": "high"},
    "advisories": "osv",
}
EXPLICIT = """\
# platform: linux-64
@EXPLICIT
https://example.com/linux-64/python-3.11.7-0.conda#0123456789abcdef0123456789abcdef
https://example.com/noarch/six-1.16-0.tar.bz2
"""
LINES = """\
numpy>=1.26,<3 ; python_version >= "3.9"
pandas[parquet,s3]==2.* \\
    --hash=sha256:0000000000000000000000000000000000000000000000000000000000000000
six @ https://user:password@example.com/six-1.16-py3-none-any.whl#sha256=00
-r more.txt
-c limits.txt
--index-url https://example.com/simple
--find-links wheels
-e .
"""

_LINE_PARTS = st.sampled_from(
    [
        "numpy", "Torch", "a", "_", "-", ".", "1", "==", ">=", "~=", "!=", "===", "<", "2.0", "1!2", "2.*",
        "1e9", "9" * 400,
        ",", ";", " ", "\t", "\n", "\r", "\\\n", "\\", "#", " # ", "[", "]", "(", ")", "'", '"', "@", " @ ",
        "${HOME}", "${X}", "$X",
        "python_version", "sys_platform", "extra", " in ", " not in ", " and ", " or ", "'3.9'", "https://",
        "file://", "git+ssh://",
        "http://[", "http://u:p@h:x/", "%", "%zz", "%00", "../", "/", "~", "~nobody-has-this-name/", ".whl",
        "six-1-py3-none-any.whl",
        "-r ", "-c ", "-e ", "--hash=", "sha256:", "0" * 64, "--index-url ", "--find-links ", "--", "--pre",
        "-f", "-i",
        "\0", "\x0b", "\x1b[2J", "\x85", "\u2028", "\u202e", "\ufeff", "\ud800",
        "\N{GREEK SMALL LETTER ALPHA}", "\u0663",
    ]
)  # fmt: skip
_ODD_TEXT = st.one_of(
    st.text(max_size=12), st.text(st.characters(categories=["Cc", "Cs", "Cf", "Nd", "Zs"]), max_size=5)
)
_TEXT = st.lists(st.one_of(_LINE_PARTS, _LINE_PARTS, _ODD_TEXT), max_size=14).map("".join)

ODD_VALUES: tuple[Any, ...] = tuple(value for value in HOSTILE if not isinstance(value, str) or len(value) < 1000)

SEEDS: dict[str, bytes] = {
    "nothing": b"",
    "a blank": b" ",
    "NUL": b"a\0b: [1]\n",
    "only NUL": b"\0" * 10_000,
    "UTF-8 BOM": b"\xef\xbb\xbfname: x\n",
    "UTF-16 BOM": "\ufeffname: x\n".encode("utf-16-le"),
    "UTF-16 cut in a character": "\ufeffname: x\n".encode("utf-16-le")[:-1],
    "UTF-32 BOM alone": b"\xff\xfe\0\0",
    "two BOMs": b"\xef\xbb\xbf\xef\xbb\xbfnumpy\n",
    "Latin-1": "name: caf\xe9\n".encode("latin-1"),
    "a surrogate": "name: \ud800\n".encode("utf-8", "surrogatepass"),
    "a surrogate as an escape": b'name: "\\ud800"\n"\\udfff": 1\n',
    "an encoding that is none": b"# -*- coding: no-such-code -*-\nnumpy\n",
    "an encoding that is no text": b"# coding: hex\nnumpy\n",
    "an encoding that unpacks": b"# coding: zlib\nnumpy\n",
    "IDNA": b"# coding: idna\n" + b"\xc3\xa9" * 20_000 + b"\n",
    "100,000 [": b"[" * 100_000,
    "100,000 {": b"{" * 100_000,
    "100,000 [ with text": b"dependencies: " + b"[a, " * 100_000,
    "100,000 - -": b"- " * 100_000,
    "deep indentation": b"".join(b" " * depth + b"a:\n" for depth in range(1_000)),
    "100,000 lines": b"numpy>=1\n" * 100_000,
    "100,000 keys": b"".join(b"k%d: 1\n" % number for number in range(100_000)),
    "20,000 items": b"dependencies:\n" + b"".join(b"- p%d\n" % number for number in range(20_000)),
    "a loop": b"dependencies: &a [*a]\n",
    "a loop of keys": b"&a {*a : *a}\n",
    "a loop of merges": b"&a\n<<: *a\ndependencies: [six]\n",
    "a bomb": b"a: &a0 [x, x]\n"
    + b"".join(b"b%d: &a%d [*a%d, *a%d]\n" % (n, n, n - 1, n - 1) for n in range(1, 40))
    + b"dependencies: *a39\n",
    "a bomb of packages": b"version: 6\nenvironments:\n  default: {packages: {linux-64: *a9}}\n".replace(
        b"*a9", b"&a9 [x]"
    )
    + b"packages: [*a9, *a9]\n",
    "an alias of nothing": b"dependencies: *nothing\n",
    "a huge number": b"version: " + b"9" * 10_000 + b"\n",
    "a huge number in sixties": b"version: " + b"1:" * 50_000 + b"1\n",
    "a huge exponent": b"version: 1e999999999\npython: 1e999999999\n",
    "a binary number": b"version: 0b" + b"1" * 50_000 + b"\n",
    "a date that is none": b"version: 2001-99-99\nname: 2001-99-99\n",
    "a time that is none": b"version: 2001-01-01 99:99:99\n",
    "a base64 that is none": b"name: !!binary '='\n",
    "a set": b"? a\n? b\n",
    "a Python object": b"name: !!python/object/apply:os.system ['touch MARKER']\n",
    "two documents": b"name: x\n---\nname: y\n",
    "a directive": b"%YAML 9.9\n---\nname: x\n",
    "tabs": b"\tname:\tx\n",
    "a line of 10 MB": b"numpy" * 2_000_000,
    "a line of 1 MB of #": b"#" * 1_000_000,
    "a line of 60,000 blanks": b"numpy" + b" " * 60_000 + b"#",
    "60,000 (": b"numpy " + b"(" * 60_000,
    "60,000 [ in a requirement": b"numpy" + b"[" * 60_000,
    "60,000 \\": b"numpy" + b"\\" * 60_000,
    "60,000 ,": b"numpy>=" + b"1," * 30_000,
    "60,000 .": b"numpy==" + b"1." * 30_000 + b"1",
    "60,000 and": b"numpy; " + b"os_name=='a' and " * 3_500 + b"os_name=='a'",
    "60,000 ( in a marker": b"numpy; " + b"(" * 30_000 + b"os_name=='a'" + b")" * 30_000,
    "a version of 4,300 digits": b"numpy==" + b"9" * 5_000,
    "an epoch of 4,300 digits": b"numpy==" + b"9" * 5_000 + b"!1",
    "60,000 $": b"${A" * 20_000,
    "60,000 @": b"a@" * 30_000 + b"https://h/",
    "60,000 : and /": b"six @ https://" + b"u:p@" * 15_000 + b"h/",
    "continuations": b"numpy \\\n" * 20_000,
    "itself": b"-r itself.txt\n-c itself.txt\n",
    "an archive": b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + bytes(range(256)),
    "a PNG": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 10,
    "JSON": b'{"dependencies": {"a": [null, true, 1e400, -0.0]}}',
}
"""Files that other readers of such text have stumbled over, by what is in them."""


class Reader(Protocol):
    """Gives a value to envpack; the folder is empty, and is the working directory."""

    def __call__(self, value: Any, folder: Path, /) -> object: ...


@dataclass(frozen=True, kw_only=True)
class Input:
    """One way in: what may come there, and what reads it."""

    values: st.SearchStrategy[Any]
    read: Reader


def _mutated(text: str) -> st.SearchStrategy[bytes]:
    """Return what becomes of a text by a few insertions, cuts and exchanges."""
    edit = st.tuples(st.integers(0, len(text)), st.integers(0, 30), _TEXT)

    def edited(edits: Sequence[tuple[int, int, str]]) -> bytes:
        found = text
        for at, gone, new in edits:
            found = found[:at] + new + found[at + gone :]
        return found.encode("utf-8", "surrogatepass")

    return st.lists(edit, min_size=1, max_size=4).map(edited)


def _encoded(texts: st.SearchStrategy[str]) -> st.SearchStrategy[bytes]:
    codes = st.sampled_from(["utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-be"])
    return st.builds(lambda text, code: text.encode(code, "surrogatepass"), texts, codes)


def _document(sample: Any) -> st.SearchStrategy[bytes]:
    """Return a YAML document in which one to three values are something else."""
    where = st.sampled_from([place for place in places(sample) if place])
    anything = st.one_of(
        st.sampled_from(ODD_VALUES),
        _TEXT,
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), _TEXT),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
            max_leaves=8,
        ),
    )

    def with_others(changes: Sequence[tuple[tuple[Any, ...], Any]]) -> bytes:
        found = sample
        for place, value in changes:
            try:
                found = changed(found, place, value)
            except (KeyError, IndexError, TypeError):  # an earlier change took it away
                continue
        return json.dumps(found).encode()

    return st.lists(st.tuples(where, anything), min_size=1, max_size=3).map(with_others)


def _yaml(sample: Any) -> st.SearchStrategy[bytes]:
    text = yaml.safe_dump(sample, sort_keys=False)
    return st.one_of(_document(sample), _mutated(text), _encoded(_TEXT), st.binary(max_size=60))


def _requirements(name: str) -> Reader:
    def read(value: Any, folder: Path) -> object:
        (folder / name).write_bytes(value)
        return requirements.read(folder / name)

    return read


def _configuration(value: Any, folder: Path) -> object:
    (folder / config.FILE).write_bytes(value)
    try:
        return _used(config.load({}, {}, folder))
    finally:
        (folder / config.FILE).unlink()


def _variables(value: Any, folder: Path) -> object:
    return _used(config.load({}, value, folder))


def _used(loaded: config.Config) -> object:
    """Take the values that a command takes from the configuration before it begins."""
    return loaded.target(), store_of(loaded) if loaded.store else None


def _lock(value: Any, folder: Path) -> object:
    path = folder / "r.txt.lock"
    path.write_bytes(value)
    return lock_file.read(path)


def _reference(value: Any, folder: Path) -> object:
    return references.parse(value)


def _command(value: Any, folder: Path) -> object:
    code = cli.run(list(value))
    assert code not in (1, 130, 141), value
    return code


def _build(value: Any, folder: Path) -> object:
    return envpack.build(**{"file": folder / "r.txt", "store": str(folder / "store"), **value})


def _arguments() -> st.SearchStrategy[list[str]]:
    """Return command lines of real commands and options with odd values.

    Nothing that is there is named, so that no command comes to its work.
    """
    words, options = set[str](), set[str]()
    context = click.Context(cli.cli)
    # `doctor` and `channel init` look at this machine, whatever else they are given.
    names = [name for name in cli.cli.list_commands(context) if name not in ("doctor", "channel")]
    for name in names:
        command = cli.cli.get_command(context, name)
        assert command
        for parameter in command.params:
            options.update(option for option in parameter.opts if option.startswith("-"))
            kind = parameter.type
            words.update(map(str, getattr(kind, "choices", ())))
    value = st.one_of(st.sampled_from(sorted(words)), st.sampled_from(_ODD_TEXTS), _TEXT)
    option = st.sampled_from(sorted(options))
    given_option = st.one_of(
        option.map(lambda name: [name]),
        st.builds(lambda name, text: [name, text], option, value),
        st.builds(lambda name, text: [f"{name}={text}"], option, value),
    )
    rest = st.lists(st.one_of(given_option, value.map(lambda text: [text])), max_size=5)
    lines = st.builds(
        lambda name, parts: [name, *(each for part in parts for each in part)], st.sampled_from(names), rest
    )
    return lines.map(lambda line: [_as_argument(text) for text in line])


def _as_argument(text: str) -> str:
    """Return a text as a process can be given it: bytes without a NUL, whatever they stand for."""
    return os.fsdecode(text.encode("utf-8", "surrogatepass").replace(b"\0", b""))


_ODD_TEXTS = [
    "no-such", "no-such.txt", "no-such.yml", "no-such/folder", "udf:prod", "udf@0123", "udf@" + "0" * 65,
    "s3://", "s3://b", "S3://bucket/x",
    "s3a://bucket/x", "file://host/x", "file:", "https://example.com", "https://user:secret@example.com/x",
    "oci://x", "--", "-", "",
    "3.5", "3", "999.999", "-1", "0", "1" * 5000, "\u0663.\u0661", "nan", "1e400", "30d", "1000000000000000d",
    "0.0000001s", "20 GB", "-5 GB",
    "9" * 400 + " GB", "x" * 5000, "~nobody-has-this-name/x", "a\0b", "\ud800", "\x1b]52;c;eA==\x07", "a b",
    "*", "[", "**/*", "HEAD", "@{u}",
]  # fmt: skip


def _keywords() -> st.SearchStrategy[dict[str, Any]]:
    odd = st.one_of(
        st.sampled_from(
            [*ODD_VALUES, b"bytes", 3.5, 3, float("nan"), object(), ("a", 1), {"a": 1}, {1: "a"}, Path("x"), True]
        ),
        st.sampled_from(_ODD_TEXTS),
        _TEXT,
        st.lists(_TEXT, max_size=3),
        st.dictionaries(_TEXT, _TEXT, max_size=2),
    )
    names = [
        "file",
        "name",
        "tag",
        "latest",
        "locked",
        "upgrade",
        "verify",
        "dry_run",
        "driver_python",
        *config_fields(),
        "channel",
        "no_such",
    ]
    return st.dictionaries(st.sampled_from(names), odd, min_size=1, max_size=3)


def config_fields() -> list[str]:
    """Return the names of what can be configured, but for the cache, which is this machine's."""
    return [name for name in config.Config.__dataclass_fields__ if name not in ("origins", "cache_dir")]


def _environ() -> st.SearchStrategy[dict[str, str]]:
    names = st.sampled_from([f"ENVPACK_{name.upper()}" for name in config_fields()])
    return st.dictionaries(names, st.one_of(st.sampled_from(_ODD_TEXTS), _TEXT), min_size=1, max_size=4)


INPUTS: dict[str, Input] = {
    "requirement lines": Input(
        values=st.one_of(_encoded(_TEXT), _mutated(LINES), st.binary(max_size=60)),
        read=_requirements("itself.txt"),
    ),
    "explicit list": Input(values=_mutated(EXPLICIT), read=_requirements("explicit.txt")),
    "environment file": Input(values=_yaml(ENVIRONMENT), read=_requirements("udf.yml")),
    "conda-lock": Input(values=_yaml(CONDA_LOCK), read=_requirements("conda-lock.yml")),
    "pixi.lock": Input(values=_yaml(PIXI_LOCK), read=_requirements("pixi.lock")),
    "configuration": Input(values=_yaml(CONFIGURATION), read=_configuration),
    "variables": Input(values=_environ(), read=_variables),
    "lock": Input(
        values=st.one_of(
            _document(yaml.safe_load(lock_file.dump(LOCK))), _mutated(lock_file.dump(LOCK)), st.binary(max_size=60)
        ),
        read=_lock,
    ),
    "reference": Input(values=st.one_of(_TEXT, st.sampled_from(_ODD_TEXTS), st.text()), read=_reference),
    "command line": Input(values=_arguments(), read=_command),
    "Python call": Input(values=_keywords(), read=_build),
}
"""Every way in. What is read from a store has its own tests."""
