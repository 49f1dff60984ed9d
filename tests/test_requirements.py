"""What a person writes in a requirements file, and what envpack makes of it."""

from __future__ import annotations

import errno
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from envpack import digest, variable_names
from envpack.errors import BadRequirements, Problem
from envpack.requirements import Indexes, Requirements, read
from envpack.requirements.formats import KINDS

if TYPE_CHECKING:
    from collections.abc import Sequence

ZEROS = "sha256:" + "0" * 64
ONES = "sha256:" + "1" * 64


@pytest.fixture(autouse=True)
def in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(name: str, text: str | bytes) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def lines(text: str | bytes) -> Requirements:
    return read(write("env.txt", text))


def environment(text: str) -> Requirements:
    return read(write("env.yml", text))


def texts(requirements: Requirements) -> list[str]:
    return [requirement.text for requirement in requirements.pypi]


def problems(path: str | Path) -> list[str]:
    with pytest.raises(BadRequirements) as caught:
        read(Path(path))
    return [str(problem) for problem in caught.value.problems]


def problem(text: str | bytes, name: str = "env.txt") -> str:
    found = problems(write(name, text))
    assert len(found) == 1, found
    return found[0]


def assert_starts(found: Sequence[str], prefixes: Sequence[str]) -> None:
    """Assert that there are as many problems as prefixes, and that each begins as its prefix does."""
    assert [text[: len(prefix)] for text, prefix in zip(found, prefixes, strict=False)] == list(prefixes)
    assert len(found) == len(prefixes), found[len(prefixes) :]


# Lines


def test_a_requirement_is_read_into_its_parts() -> None:
    (found,) = lines('Foo_Bar[Z,a_b] >=1, <2 ; python_version < "3.12" --hash=' + ONES + f" --hash {ZEROS}").pypi
    assert found.name == "foo-bar"
    assert found.specifier == "<2,>=1"
    assert found.extras == ("a-b", "z")
    assert found.marker == 'python_version < "3.12"'
    assert found.hashes == (ZEROS, ONES)
    assert found.url is None
    assert found.text == 'foo-bar[a-b,z]<2,>=1; python_version < "3.12"'
    assert (found.origin.file, found.origin.line) == ("env.txt", 1)


def test_comments_blank_lines_and_tabs_mean_nothing() -> None:
    found = lines("# one\n\n\tsix  # two\n   # three\nattrs\t#four\n  \t \nidna==3\t--hash=" + ZEROS)
    assert texts(found) == ["six", "attrs", "idna==3"]
    assert found.pypi[2].hashes == (ZEROS,)


def test_a_hash_sign_within_a_word_is_no_comment() -> None:
    (found,) = lines("x @ https://example.com/x-1-py3-none-any.whl#sha256=" + "0" * 64).pypi
    assert found.url == "https://example.com/x-1-py3-none-any.whl"
    assert found.hashes == (ZEROS,)


def test_a_backslash_joins_lines_and_the_first_line_counts() -> None:
    found = lines(f"\nsix==1.16 \\\n    --hash={ZEROS} \\\n    --hash={ONES}\nattrs")
    assert [(r.name, r.origin.line) for r in found.pypi] == [("six", 2), ("attrs", 5)]
    assert found.pypi[0].hashes == (ZEROS, ONES)


def test_a_comment_ends_a_joined_line() -> None:
    assert texts(lines("six\\\n# attrs \\\nidna")) == ["six", "idna"]


def test_a_backslash_on_the_last_line_is_harmless() -> None:
    assert texts(lines("six \\")) == ["six"]


def test_a_blank_behind_the_backslash_is_named() -> None:
    assert problem("a==1 \\ \n") == (
        "env.txt:1: 'a==1 \\\\' is not a valid requirement: a space follows the backslash: remove the space"
    )


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbfsix\r\nattrs\r\n",
        "six\nattrs".encode("utf-16"),
        b"\xff\xfe\x00\x00" + "six\nattrs".encode("utf-32-le"),
        "# -*- coding: latin-1 -*-\n# é\nsix\nattrs".encode("latin-1"),
        b"six\rattrs",
    ],
    ids=["utf-8 mark and CRLF", "utf-16", "utf-32", "declared latin-1", "CR"],
)
def test_the_usual_encodings_and_line_ends_are_understood(data: bytes) -> None:
    assert texts(lines(data)) == ["six", "attrs"]


def test_what_is_not_text_is_refused_with_its_line() -> None:
    assert problem(b"six\n# caf\xe9\n") == "env.txt:2: is not utf-8 text; save it as UTF-8"
    assert problem(b"six\n\nat\0trs\n") == "env.txt:3: is not a text file: it contains the character U+0000"
    assert problem(b"# coding: klingon\nsix\n") == "env.txt:1: unknown encoding 'klingon'; save the file as UTF-8"
    assert problem(b"\x1f\x8b\x08\x00" + bytes(range(256))).startswith("env.txt:1: is not")


def test_a_line_that_is_too_long_and_a_file_that_is_too_large_are_refused() -> None:
    assert problem("six\n" + "a" * 100_000) == ("env.txt:2: the line has 100000 characters; the limit is 65536")
    assert problem("a" * 5000) == ("env.txt:1: the requirement has 5000 characters; the limit is 4000")
    assert (
        problem(b"#" * (5 << 20))
        == "env.txt: is larger than 4 MiB, the limit for a requirements file; check that this is the right file"
    )


def test_brackets_nested_deeply_do_no_harm() -> None:
    assert re.fullmatch("env.txt:1: .{1,200}", problem("a;" + "(" * 3900))
    assert "nested too deeply" in problem("[" * 100_000, "env.yml")
    assert "the limit is" in problem("dependencies:\n- 'a[when=" + "(" * 50_000 + "'", "env.yml")


# Environment variables


def test_an_environment_variable_in_capitals_is_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INDEX_TOKEN", "s3cret")
    monkeypatch.setenv("lower", "1")
    found = lines("--index-url https://me:${INDEX_TOKEN}@example.com/simple\nsix==1 # ${UNSET_IN_A_COMMENT}")
    assert found.indexes.index_url == "https://me:s3cret@example.com/simple"
    assert "is not a valid requirement" in problem("six==${lower}")


def test_an_unset_environment_variable_is_a_problem_of_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INDEX_TOKEN", raising=False)
    monkeypatch.setenv("EMPTY", "")
    assert problems(write("env.txt", "six\n--index-url https://${INDEX_TOKEN}@example.com\nattrs==${EMPTY}")) == [
        "env.txt:2: the environment variable INDEX_TOKEN is not set; set it, or remove it from this line",
        "env.txt:3: the environment variable EMPTY is not set; set it, or remove it from this line",
    ]
    assert problems(write("env.txt", "six @ https://${ONE_UNSET}:${TWO_UNSET}@example.com/six-1-py3-none-any.whl"))[
        0
    ].startswith("env.txt:1: the environment variables ONE_UNSET and TWO_UNSET are not set; set them")


def test_no_error_shows_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "s3cr3t")
    monkeypatch.setenv("ODD_TOKEN", "s3cr'et\\value")
    text = "\n".join(
        [
            "six",
            "--index-url ${TOKEN}",
            "--extra-index-url ftp://me:${TOKEN}@example.com",
            "${ODD_TOKEN} !",
            "git+https://me:hunter2@example.com/x.git",
            "x @ https://me:hunter2@example.com/y-1-py3-none-any.whl",
            "z==2",
            "z @ https://me:hunter2@example.com/z-1-py3-none-any.whl",
        ]
    )
    write("env.yml", "channels:\n- file:///t/${TOKEN}/none\ndependencies: ['https://me:hunter2@example.com/c::!']")
    shown = "\n".join(problems(write("env.txt", text)) + problems("env.yml"))
    assert "s3cr" not in shown
    assert "hunter2" not in shown
    assert shown.count("${TOKEN}") == 2
    assert shown.count("${ODD_TOKEN}") == 1


# Includes


def test_included_files_are_read_relative_to_the_file_that_names_them() -> None:
    write("common/base.txt", "-r more/deep.txt\n-c ../limits.txt\nsix")
    write("common/more/deep.txt", "attrs")
    write("limits.txt", "idna<4")
    found = read(write("jobs/env.txt", "-r ../common/base.txt\nnumpy"))
    assert [(r.name, str(r.origin)) for r in found.pypi] == [
        ("attrs", "common/more/deep.txt:1"),
        ("six", "common/base.txt:3"),
        ("numpy", "jobs/env.txt:2"),
    ]
    assert [(r.text, str(r.origin)) for r in found.constraints] == [("idna<4", "limits.txt:1")]
    assert [path.name for path in found.files] == ["env.txt", "base.txt", "deep.txt", "limits.txt"]
    assert all(path.exists() for path in found.files)


def test_all_ways_to_write_an_include_are_one() -> None:
    write("b.txt", "six")
    for way in ("-r b.txt", "-rb.txt", "--requirement b.txt", "--requirement=b.txt", '-r "b.txt"', "-r ./b.txt"):
        assert texts(lines(way)) == ["six"]
    assert texts(lines(f"-r {Path('b.txt').absolute()}")) == ["six"]
    assert texts(lines(f"-r {Path('b.txt').absolute().as_uri()}")) == ["six"]


def test_whatever_a_constraint_file_includes_is_a_constraint() -> None:
    write("limits.txt", "-r more.txt\nsix<2")
    write("more.txt", "attrs<30")
    found = lines("-c limits.txt\nidna")
    assert texts(found) == ["idna"]
    assert sorted(c.text for c in found.constraints) == ["attrs<30", "six<2"]


def test_a_constraint_knows_no_extras_and_no_url() -> None:
    write("limits.txt", "six[a]\nx @ https://example.com/x-1-py3-none-any.whl")
    assert_starts(
        problems(write("env.txt", "idna\n-c limits.txt")),
        [
            "limits.txt:1: a constraint cannot have extras",
            "limits.txt:2: a constraint can only limit versions",
        ],
    )


def test_a_file_included_twice_is_read_once() -> None:
    write("b.txt", "six==oops")
    assert len(problems(write("env.txt", "-r b.txt\n-r ./b.txt\n-r b.txt"))) == 1


def test_files_that_include_each_other_are_reported() -> None:
    write("b.txt", "-r c.txt")
    write("c.txt", "six\n-c b.txt")
    assert (
        problem("-r b.txt")
        == "c.txt:2: the files include each other in a cycle: b.txt -> c.txt -> b.txt; remove one of these lines"
    )
    assert (
        problem("-r env.txt")
        == "env.txt:1: the files include each other in a cycle: env.txt -> env.txt; remove one of these lines"
    )


def test_an_include_that_cannot_be_read_is_a_problem_of_the_line_that_names_it() -> None:
    write("limits.txt", "six<2")
    write("other.yml", "dependencies: [six]")
    Path("folder.txt").mkdir()
    found = problems(
        write(
            "env.txt",
            "-r limit.txt\n-c folder.txt\n-r other.yml\n-r https://example.com/r.txt\n-r " + "x" * 300 + ".txt",
        )
    )
    assert found == [
        "env.txt:1: 'limit.txt': this file does not exist; did you mean limits.txt?",
        "env.txt:2: 'folder.txt': is a directory, not a file",
        "env.txt:3: 'other.yml' cannot be included: include only files of requirement lines (*.txt)",
        "env.txt:4: 'https://example.com/r.txt' is a URL; download the file, and include its path",
        f"env.txt:5: a text of 304 characters: cannot be read: {os.strerror(errno.ENAMETOOLONG)}",
    ]


# Options


def test_index_options_are_kept() -> None:
    Path("wheels").mkdir()
    found = lines(
        "-i https://example.com/simple\n--extra-index-url=https://example.com/b\n"
        "--extra-index-url https://example.com/a\n"
        "--extra-index-url https://example.com/b\n-f wheels --find-links https://example.com/page.html\nsix"
    )
    assert found.indexes == Indexes(
        index_url="https://example.com/simple",
        extra_index_urls=("https://example.com/b", "https://example.com/a"),
        find_links=(str(Path("wheels").absolute()), "https://example.com/page.html"),
    )


def test_no_index_wins_over_indexes() -> None:
    Path("wheels").mkdir()
    found = lines(
        "--no-index\n-i https://example.com/simple\n--extra-index-url https://example.com/b\n-f wheels\nsix"
    )
    assert found.indexes == Indexes(no_index=True, find_links=(str(Path("wheels").absolute()),))


def test_find_links_starts_at_the_file_that_says_it() -> None:
    Path("common/wheels").mkdir(parents=True)
    write("common/base.txt", "-f ./wheels")
    assert lines("-r common/base.txt\nsix").indexes.find_links == (str(Path("common/wheels").absolute()),)


def test_a_second_index_url_is_refused_unless_it_is_the_same() -> None:
    write("b.txt", "-i https://example.com/one")
    assert problem("six\n-r b.txt\n-i https://example.com/one\n-i https://example.com/two") == (
        "env.txt:4: --index-url is already set at b.txt:1; write --extra-index-url for a second"
    )


def test_options_that_say_what_envpack_does_anyway_are_passed_over() -> None:
    text = "--only-binary :none:\n--prefer-binary\n--no-binary :none:\n--use-feature=fast-deps\n"
    assert lines(text + "six").canonical() == lines("six").canonical()


def test_only_binary_adds_up_and_none_forgets_what_was_said_before() -> None:
    write("b.txt", "--only-binary Two_x")
    assert lines("--only-binary one,:all:\n--only-binary :none:,one\n-r b.txt\nsix").only_binary == {"one", "two-x"}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("--pre", "--pre would allow pre-releases of every package; allow those of one package"),
        ("--no-binary :all:", "--no-binary is not supported"),
        ("--trusted-host example.com", "--trusted-host is not supported"),
        ("--config-settings a=b", "--config-settings is not supported"),
        ("six --config-settings a=b", "--config-settings is not supported"),
        ("six -C a=b", "--config-settings is not supported"),
        ("six --global-option x", "--global-option is not supported"),
        ("-e .", "'.' is not a Python project: it has no pyproject.toml"),
        ("--editable=git+https://example.com/x", "'git+https://example.com/x' does not contain the project's name"),
        ("--hash=" + ZEROS, "--hash is an option without a requirement; is a backslash missing"),
        ("six --hash=md5:12", "the algorithm of the hash 'md5:12' is not sha256 or sha384 or sha512"),
        ("six --hash=sha256:12", "the hash 'sha256:12' does not have 64 hexadecimal digits"),
        (
            "--indx-url https://example.com",
            "'--indx-url' is not an option of a requirements file; did you mean --index-url",
        ),
        ("--user", "'--user' is not an option of a requirements file"),
        ("-U", "'-U' is not an option of a requirements file"),
        ("--index-url", "--index-url needs a value"),
        ("--find-links=", "--find-links needs a value"),
        ("--no-index=yes", "--no-index takes no value"),
        (
            "-e ./x --prefer-binary ; python_version < '3'",
            "the marker \"python_version < '3'\" must follow the path",
        ),
        ("--no-index six", "'six' comes after an option; write the requirement before its options"),
        ("six -r b.txt", "write --requirement on a separate line"),
        ("-f 'x", "the options of this line cannot be parsed: no closing quotation"),
        ("-f none", "'none': this directory does not exist"),
        ("-f ~nobody-of-that-name/x", "'~nobody-of-that-name/x': this user does not exist"),
        ("-i example.com/simple", "'example.com/simple' is not a URL; begin it with https://"),
        ("-i http://[", "'http://[' is not a valid URL"),
    ],
)
def test_an_option_that_cannot_be_honoured_is_refused_with_the_reason(line: str, reason: str) -> None:
    assert_starts([problem(f"attrs\n{line}")], [f"env.txt:2: {reason}"])


def test_require_hashes_wants_a_pin_and_a_hash_on_every_line() -> None:
    write("limits.txt", "idna<4")
    good = f"--require-hashes\n-c limits.txt\nsix==1 --hash={ZEROS}\n"
    assert texts(lines(good)) == ["six==1"]
    assert problems(write("env.txt", f"{good}attrs>=1 --hash={ZEROS}\nidna==3")) == [
        "env.txt:4: --require-hashes wants `attrs==VERSION` with a --hash",
        "env.txt:5: --require-hashes wants `idna==VERSION` with a --hash",
    ]


# Wheels


def test_a_local_wheel_becomes_a_file_url_with_its_hash() -> None:
    wheel = write("my wheels/Foo_Bar-1.0-py3-none-any.whl", b"content")
    expected = wheel.absolute().as_uri()
    for line in ("./my wheels/Foo_Bar-1.0-py3-none-any.whl", f"foo.bar @ {expected}", expected):
        (found,) = lines(line).pypi
        assert (found.name, found.url) == ("foo-bar", expected)
        assert found.hashes == (f"sha256:{digest.of_file(wheel)}",)
        assert found.text == f"foo-bar @ {expected}"


def test_a_local_wheel_starts_at_the_file_that_names_it() -> None:
    wheel = write("common/x-1-py3-none-any.whl", b"")
    write("common/base.txt", 'x-1-py3-none-any.whl[b,a] ; python_version < "3.12"')
    (found,) = lines("-r common/base.txt").pypi
    assert found.url == wheel.absolute().as_uri()
    assert found.extras == ("a", "b")
    assert found.marker == 'python_version < "3.12"'


def test_a_remote_wheel_needs_no_name() -> None:
    url = "https://me:pw@example.com/wheels;v/torch-2.1.0%2Bcpu-cp311-cp311-linux_x86_64.whl"
    (found,) = lines(f'{url} ; sys_platform == "linux"').pypi
    assert (found.name, found.url, found.marker) == ("torch", url, 'sys_platform == "linux"')
    assert found.text == f'torch @ {url} ; sys_platform == "linux"'


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (".", "'.' is not a Python project: it has no pyproject.toml, no setup.py, no setup.cfg"),
        ("./project", "'./project' is neither a wheel (*.whl), nor a source distribution (*.tar.gz, *.zip)"),
        ("../x-1.tar.gz", "'../x-1.tar.gz': this file does not exist"),
        ("x @ https://example.com/download", "'https://example.com/download' is neither a wheel"),
        (
            "git+https://example.com/x.git@main",
            "'git+https://example.com/x.git@main' does not contain the project's",
        ),
        ("x @ hg+ssh://example.com/x", "'hg+ssh://example.com/x' has a scheme that envpack does not support"),
        (
            "./y-1-py3-none-any.whl",
            "'y-1-py3-none-any.whl': this file does not exist; did you mean x-1-py3-none-any.whl?",
        ),
        ("./nonsense.whl", "'nonsense.whl' is not the file name of a wheel"),
        ("y @ ./x-1-py3-none-any.whl", "'./x-1-py3-none-any.whl' is a wheel of x, not of y"),
        ("s3://b/x-1-py3-none-any.whl", "'s3://b/x-1-py3-none-any.whl' cannot be fetched; use https://"),
        ("http://[/x-1-py3-none-any.whl", "'http://[/x-1-py3-none-any.whl' is not a valid URL"),
        (f"./x-1-py3-none-any.whl --hash={ZEROS}", "the hash of the file is sha256:e3b0c44298fc"),
    ],
)
def test_a_source_that_is_no_wheel_is_refused_with_what_to_do(line: str, reason: str) -> None:
    write("x-1-py3-none-any.whl", b"")
    assert_starts([problem(f"attrs\n{line}")], [f"env.txt:2: {reason}"])


# Usual mistakes


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("numpy=1.26", "'numpy=1.26' is not a valid requirement: `=` is conda's operator; write `numpy==1.26`"),
        (
            "numpy = 1.26.*",
            "'numpy = 1.26.*' is not a valid requirement: `=` is conda's operator; write `numpy==1.26.*`",
        ),
        ("numpy 1.26", "'numpy 1.26' is not a valid requirement: write `numpy==1.26`"),
        ("numpy=>1", "'numpy=>1' is not a valid requirement: write `>=` and `<=`"),
        (
            "conda-forge::gdal",
            "'conda-forge::gdal' is not a valid requirement: write a channel in an environment file",
        ),
        ("other.txt", "'other.txt' is a file, not a requirement; write `-r other.txt`"),
        ("numpy>=", "'numpy>=' is not a valid requirement: Expected"),
        ("six; python='3'", "\"six; python='3'\" is not a valid requirement: Expected a marker variable"),
        ("python", "Python itself cannot be a PyPI requirement; set its version with `--python 3.11`"),
        ("Python==3.10.4", "Python itself cannot be a PyPI requirement; set its version with `--python 3.10`"),
    ],
)
def test_a_usual_mistake_is_met_with_its_remedy(line: str, reason: str) -> None:
    assert_starts([problem(f"attrs\n{line}")], [f"env.txt:2: {reason}"])


def test_every_problem_of_every_file_is_reported_at_once() -> None:
    write("b.txt", "six==\n-e ../lib\n\npython==3.12\n--pre\n")
    text = """\
        numpy=1.26
        pandas >= 2  # fine
        -r b.txt
        --indexurl https://example.com
        git+https://example.com/x
        ./none-1-py3-none-any.whl
        attrs==${NOT_SET_ANYWHERE}
        idna --hash=sha256:1 \\
             --hash=sha256:2
        scipy==1
        scipy==2
        -c nowhere.txt
        """
    assert_starts(
        problems(write("env.txt", text)),
        [
            "b.txt:1: 'six==' is not a valid requirement: ",
            "b.txt:2: '../lib' is neither a wheel",
            "b.txt:4: Python itself cannot be",
            "b.txt:5: --pre would allow",
            "env.txt:1: 'numpy=1.26' is not a valid requirement: `=` is conda's operator",
            "env.txt:4: '--indexurl' is not an option of a requirements file; did you mean --index-url",
            "env.txt:5: 'git+https://example.com/x' does not contain the project's name",
            "env.txt:6: 'none-1-py3-none-any.whl': this file does not exist",
            "env.txt:7: the environment variable NOT_SET_ANYWHERE is not set; set it, or remove it from this line",
            "env.txt:8: the hash 'sha256:1' does not have 64",
            "env.txt:11: 'scipy==2' clashes with 'scipy==1' at env.txt:10",
            "env.txt:12: 'nowhere.txt': this file does not exist",
        ],
    )


def test_a_project_pinned_twice_differently_is_a_clash() -> None:
    write("limits.txt", "a<1")
    url = "https://example.com/u-1.0-py3-none-any.whl"
    text = f"-c limits.txt\na==2\nb==1\nB==2\nc>=3\nc==2.5\nu @ {url}\nu>1\nd==1.*\nd==2.0"
    assert problems(write("env.txt", text)) == [
        "env.txt:2: 'a==2' clashes with 'a<1' at limits.txt:1",
        "env.txt:4: 'b==2' clashes with 'b==1' at env.txt:3",
        "env.txt:6: 'c==2.5' clashes with 'c>=3' at env.txt:5",
        f"env.txt:8: 'u>1' clashes with 'u @ {url}' at env.txt:7",
        "env.txt:10: 'd==2.0' clashes with 'd==1.*' at env.txt:9",
    ]


def test_lines_of_one_project_that_can_hold_together_are_kept() -> None:
    text = "a>=1\na<2\na[x]\nb==1; python_version<'3'\nb==2; python_version>='3'\nt==2.1\nt==2.1+cpu\nsix\nsix\n"
    assert texts(lines(text)) == [
        "a>=1",
        "a<2",
        "a[x]",
        'b==1; python_version < "3"',
        'b==2; python_version >= "3"',
        "t==2.1",
        "t==2.1+cpu",
        "six",
    ]


# Files


def test_a_file_that_asks_for_nothing_is_refused() -> None:
    write("limits.txt", "six<2")
    assert problem("") == "env.txt: asks for no package"
    assert problem("# only a comment\n-c limits.txt\n") == "env.txt: asks for no package"
    assert problem("", "env.yml") == "env.yml: asks for no package"
    assert problem("name: x\ndependencies:\n", "env.yml") == "env.yml: asks for no package"


def test_a_missing_file_is_met_with_the_nearest_names() -> None:
    write("jobs/pandas-udf.txt", "six")
    assert problems("jobs/pandas_udf.txt") == [
        "jobs/pandas_udf.txt: this file does not exist; did you mean pandas-udf.txt?"
    ]
    assert problems("jobs/pandas-udf") == [
        "jobs/pandas-udf: this file does not exist; did you mean pandas-udf.txt?"
    ]
    assert problems("nowhere/env.yml") == ["nowhere/env.yml: this file does not exist, nor does its directory"]
    assert problems("jobs/x.yml") == ["jobs/x.yml: this file does not exist"]
    for name in ("a.txt", "b.txt", "c.txt", "d.yml"):
        write(f"jobs/{name}", "six")
    assert problems("jobs/none.yml") == ["jobs/none.yml: this file does not exist; there is 'd.yml'"]
    assert problems("jobs/nowhere.txt") == [
        "jobs/nowhere.txt: this file does not exist; there are 'a.txt', 'b.txt', 'c.txt'"
    ]
    assert problems("jobs") == ["jobs: is a directory, not a file; there are 'a.txt', 'b.txt', 'c.txt'"]


def test_a_file_of_another_kind_is_refused_with_what_is_accepted() -> None:
    kinds = f"is not {KINDS}; "
    Path("folder").mkdir()
    Path("folder.txt").mkdir()
    os.mkfifo("pipe.txt")
    assert problems("folder") == ["folder: is a directory, not a file"]
    assert problems("folder.txt") == ["folder.txt: is a directory, not a file"]
    assert problems("pipe.txt") == ["pipe.txt: is a pipe, a socket or a device, not a regular file"]
    assert (
        problem("x", "env.txt.lock")
        == f"env.txt.lock: {kinds}give env.txt; envpack uses the lock beside it by itself"
    )
    assert problem("six", "env.in") == f"env.in: {kinds}rename it if it is one of these"


def test_the_stem_names_the_release() -> None:
    assert read(write("jobs/pandas-udf.txt", "six")).stem == "pandas-udf"
    assert read(write("jobs/geo.yaml", "dependencies: [gdal]")).stem == "geo"
    assert read(write("jobs/geo.yaml", "name: maps\ndependencies: [gdal]")).stem == "maps"


def test_random_bytes_and_words_raise_nothing_but_bad_requirements() -> None:
    chance = random.Random(7)
    words = [
        "six",
        "==1",
        "[",
        "@",
        "-r ",
        "--hash=",
        "\\\n",
        "\n",
        "\n- ",
        ": ",
        "dependencies:",
        "&a ",
        "*a",
        "{",
        "}",
    ]
    words += [
        "!!python/object:os.system ",
        '"\\ud800"',
        '"\\0"',
        "https://[",
        "file:",
        "~x",
        "\0",
        "é",
        "'",
        "pip:",
        "|",
    ]
    for turn in range(600):
        data = chance.randbytes(60) if turn % 3 == 0 else "".join(chance.choices(words, k=12)).encode()
        for name in ("env.txt", "env.yml"):
            try:
                read(write(name, data)).canonical()
            except BadRequirements as error:
                str(error).encode()


# Environment files


FULL = """\
name: geo
channels:
  - conda-forge
  - nodefaults
  - https://example.com/t/${CHANNEL_TOKEN}/extra
dependencies:
  - python=3.11
  - conda-forge::GDAL >=3
  - "numpy 1.26.*"
  - pip
  - pip:
      - Six==1.16
      - -r more.txt
      - --extra-index-url https://example.com/simple
variables:
  GDAL_CACHEMAX: 512
  RATIO: 1.10
  MODE: 0755
  DEBUG: true
  QUOTED: "true"
  ANSWER: yes
  EMPTY: ""
prefix: /home/someone/envs/geo
"""


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Requirements:
    monkeypatch.setenv("CHANNEL_TOKEN", "tok-123")
    write("more.txt", "attrs")
    return environment(FULL)


def test_an_environment_file_is_read_whole(full: Requirements) -> None:
    assert full.stem == "geo"
    assert full.channels == ("conda-forge", "https://example.com/t/tok-123/extra")
    assert [(spec.name, spec.text, spec.origin.line) for spec in full.conda] == [
        ("python", "python=3.11", 7),
        ("gdal", "conda-forge::GDAL >=3", 8),
        ("numpy", "numpy 1.26.*", 9),
        ("pip", "pip", 10),
    ]
    assert [(r.text, str(r.origin)) for r in full.pypi] == [("six==1.16", "env.yml:12"), ("attrs", "more.txt:1")]
    assert full.indexes.extra_index_urls == ("https://example.com/simple",)
    assert not full.conda_first
    assert full.files == (Path("env.yml"), Path("more.txt"))


def test_variables_are_kept_as_written_and_truth_values_as_conda_writes_them(full: Requirements) -> None:
    assert full.variables == {
        "GDAL_CACHEMAX": "512",
        "RATIO": "1.10",
        "MODE": "0755",
        "DEBUG": "True",
        "QUOTED": "true",
        "ANSWER": "yes",
        "EMPTY": "",
    }


def test_a_channel_that_is_a_directory_starts_at_the_file() -> None:
    Path("jobs/channel").mkdir(parents=True)
    found = read(write("jobs/env.yml", "channels: [./channel]\ndependencies: [six]"))
    assert found.channels == (str(Path("jobs/channel").absolute()),)
    assert problem("channels: [./chanel]\ndependencies: [six]", "jobs/env.yml") == (
        "jobs/env.yml:1: './chanel': this directory does not exist; did you mean channel?"
    )


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("env.yml", "channels: ['{}']\ndependencies: [six]"),
        ("a.txt", "six @ {}/six-1.0-py3-none-any.whl"),
        ("a.txt", "a @ git+{}"),
        ("a.txt", "--index-url {}\nsix"),
        ("a.txt", "--find-links {}\nsix"),
    ],
)
def test_an_address_with_half_a_bracket_is_no_url(file: str, line: str) -> None:
    assert "is not a valid URL" in problem(line.format("https://[x/y"), file)


def test_pip_lists_add_up() -> None:
    assert texts(environment("dependencies:\n- pip: [six]\n- pip: [attrs]\n- pip:\n")) == ["six", "attrs"]


def test_every_problem_of_an_environment_file_has_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    text = """\
nam: x
channels: [a, 3, "https://example.com/t/$NOT_SET/c"]
name: a
name: b
dependencies:
  - numpy: 1.26
  - 3.11
  -
  - foo@
  - pandas[excel]
  - numpy==1; python_version>'3'
  - git+https://example.com/x
  - -r more.txt
  - numpy =>1
  - a b c d
  - npm: [left-pad]
  - pip:
      - numpy=1
      - -e .
      - 3
  - pip: six
variables:
  1A: x
  B: [1]
  C:
  D: "a\\nb"
platform: !!python/object/apply:os.system ["true"]
"""
    assert_starts(
        problems(write("env.yml", text)),
        [
            "env.yml:1: unknown key 'nam'; did you mean name?",
            "env.yml:2: channels: has an item that is not a string; put it in quotes",
            "env.yml:2: the environment variable NOT_SET is not set; set it, or remove it from this line",
            "env.yml:4: the key 'name' is already at line 3",
            "env.yml:6: a dependency is a string: write '- numpy=1.26'",
            "env.yml:7: `dependencies:` has an item that YAML does not read as a string",
            "env.yml:8: `dependencies:` has an item that YAML does not read as a string",
            "env.yml:9: 'foo@' is not a conda match spec: ",
            "env.yml:10: 'pandas[excel]' is not a conda match spec: conda packages have no extras",
            "env.yml:11: \"numpy==1; python_version>'3'\" is not a conda match spec; write it under `- pip:`",
            "env.yml:12: 'git+https://example.com/x' is not a conda match spec; write it under `- pip:`",
            "env.yml:13: '-r more.txt' is not a conda match spec; write it under `- pip:`",
            "env.yml:14: 'numpy =>1' is not a conda match spec: ",
            "env.yml:15: 'a b c d' is not a conda match spec: it has more than a name, a version and a build",
            "env.yml:16: only pip: has a list of its own, not 'npm'",
            "env.yml:18: 'numpy=1' is not a valid requirement: `=` is conda's operator",
            "env.yml:19: '.' is not a Python project",
            "env.yml:20: pip: has an item that is not a string",
            "env.yml:21: pip: must be a list",
            "env.yml:23: '1A' cannot be an environment variable's name",
            "env.yml:24: the variable B must have a string",
            "env.yml:25: the variable C must have a string",
            "env.yml:26: the variable D has more than one line",
            "env.yml:27: the tag '!!python/object/apply:os.system' is not allowed here",
        ],
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("dependencies: [six\nname: x", "env.yml:2: is not YAML: "),
        ("dependencies:\n\t- six", "env.yml:2: is not YAML: "),
        ("a: 1\n---\nb: 2", "env.yml:2: is not YAML: but found another document"),
        ("name: x\n\x07", "env.yml:2: is not YAML: it has the character U+0007"),
        ('name: "\\UFFFFFFFF"', "env.yml:1: is not YAML: "),
        ("- six\n", "env.yml:1: is not an environment file: it holds no keys such as name: and dependencies:"),
        ("dependencies: six", "env.yml:1: dependencies: must be a list"),
        ("variables: [a]\ndependencies: [six]", "env.yml:1: variables: must be lines of `NAME: value`"),
        *(
            (
                f"dependencies: [six]\nvariables:\n  A: b\n  {name}: x",
                f"env.yml:4: {name!r} is a shell's own variable",
            )
            for name in (*variable_names.RULED_BY, *variable_names.READ_ONLY)
        ),
        (f"variables:\n  {'A' * 201}: x", f"env.yml:2: '{'A' * 201}' is longer than 200 characters"),
        ("name: [a]\ndependencies: [six]", "env.yml:1: name: must be a word"),
        ("? [a]\n: b\n", "env.yml:1: a key must be a word"),
    ],
)
def test_what_is_no_environment_file_is_refused_with_its_line(text: str, reason: str) -> None:
    assert_starts([problem(text, "env.yml")], [reason])


def test_reading_lines_does_not_load_the_solver() -> None:
    path = write("env.txt", "six")
    code = f"import sys; from pathlib import Path; from envpack.requirements import read; read(Path({str(path)!r}))"
    subprocess.run([sys.executable, "-c", f"{code}; assert 'rattler' not in sys.modules"], check=True)


# The canonical form


BASE = f"six>=1\nattrs==23 --hash={ZEROS}\n-i https://example.com/simple\n--extra-index-url https://example.com/a\n"


def test_the_canonical_form_forgets_comments_order_place_and_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "s3cret")
    expected = lines(BASE).canonical()
    url = "https://me:${TOKEN}@example.com"
    write("elsewhere/b.txt", f"Six >= 1  # moved\n-i {url}/simple\n")
    text = f"\n# other\n-r b.txt\n--extra-index-url {url}/a\nattrs == 23 \\\n --hash={ZEROS}\nsix>=1\n"
    found = read(write("elsewhere/other.txt", text)).canonical()
    assert found == expected
    assert digest.of_json(found) == digest.of_json(expected)
    assert "s3cret" not in str(found)


@pytest.mark.parametrize(
    "change",
    [
        ("six>=1", "six>=2"),
        ("six>=1", "six>=1; python_version<'3'"),
        ("six>=1", "six[x]>=1"),
        ("six>=1", "six @ https://example.com/six-1-py3-none-any.whl"),
        (ZEROS, ONES),
        ("/simple", "/other"),
        ("com/a\n", "com/a\n--extra-index-url https://example.com/b\n"),
        ("com/a\n", "com/a\n--no-index\n"),
        ("com/a\n", "com/a\n-f https://example.com/wheels\n"),
        ("com/a\n", "com/a\n-c limits.txt\n"),
    ],
)
def test_the_canonical_form_changes_with_all_that_can_change_the_solve(change: tuple[str, str]) -> None:
    write("limits.txt", "six<3")
    assert BASE.replace(*change) != BASE
    assert lines(BASE.replace(*change)).canonical() != lines(BASE).canonical()


@pytest.mark.parametrize(
    "change",
    [
        ("python=3.11", "python=3.12"),
        ("conda-forge::GDAL", "other::GDAL"),
        ("  - nodefaults", "  - other"),
        ("512", "513"),
        ("Six==1.16", "Six==1.15"),
    ],
)
def test_the_canonical_form_of_an_environment_file_changes_too(full: Requirements, change: tuple[str, str]) -> None:
    assert environment(FULL.replace(*change)).canonical() != full.canonical()


def test_the_canonical_form_of_an_environment_file_forgets_what_decides_nothing(full: Requirements) -> None:
    head, _, _ = FULL.partition("prefix:")
    same = head.replace("name: geo", "name: other  # comment")
    same = same.replace("  - python=3.11\n", "").replace("  - pip\n", "  - pip\n  - python=3.11\n")
    assert environment(same).canonical() == full.canonical()


def test_asking_no_index_is_another_request() -> None:
    assert lines("six\n--no-index").canonical() != lines("six").canonical()


def test_lines_and_a_pip_list_of_the_same_are_different_requests() -> None:
    assert lines("six").canonical() != environment("dependencies: [{pip: [six]}]").canonical()


def test_a_local_wheel_counts_by_name_and_content_not_by_place() -> None:
    def with_wheel(folder: str, content: bytes) -> dict[str, Any]:
        write(f"{folder}/wheels/x-1-py3-none-any.whl", content)
        return read(write(f"{folder}/env.txt", "./wheels/x-1-py3-none-any.whl\n-f wheels")).canonical()

    assert with_wheel("one", b"same") == with_wheel("two", b"same")
    assert with_wheel("one", b"same") != with_wheel("three", b"other")


def test_an_absolute_directory_counts_as_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    first = read(write("a/env.txt", f"six\n-f {tmp_path / 'wheels'}")).canonical()
    assert read(write("b/c/env.txt", f"six\n-f {tmp_path / 'wheels'}")).canonical() == first
    assert read(write("d/env.txt", "six\n-f ../wheels")).canonical()["indexes"]["find_links"] == ["../wheels"]


def test_problems_carry_their_place_as_values() -> None:
    with pytest.raises(BadRequirements) as caught:
        lines("six==")
    (found,) = caught.value.problems
    assert isinstance(found, Problem)
    assert (found.file, found.line) == ("env.txt", 1)
    assert caught.value.exit_code == 3
