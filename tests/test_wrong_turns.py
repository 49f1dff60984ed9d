"""What a person gets wrong in the first hour, on the command line: refused before any work, with what to write."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from envpack.build import check
from envpack.cli import run
from envpack.errors import UsageError
from envpack.spark.archives import joined
from envpack.spark.launchers import LAUNCHERS
from envpack.version import VERSION

REMEDY = ("did you mean", "write ", "give ", "choose one", "must be", "at most", "the newest")


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


Ask = Callable[..., Said]


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    """Run envpack in an empty directory, where no channel and no index can be reached."""
    for name in list(os.environ):
        if name.startswith(("ENVPACK_", "AWS_", "UV_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("ENVPACK_CACHE_DIR", str(tmp_path / "cache"))
    home = tmp_path / "home"
    home.mkdir()
    (home / "r.txt").write_text("greeter\n", "utf-8")
    monkeypatch.chdir(home)

    def asked(*arguments: str, **variables: str) -> Said:
        with monkeypatch.context() as here:
            for name, value in variables.items():
                here.setenv(name, value)
            code = run(list(arguments))
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return asked


def nothing_was_done(home: Path) -> bool:
    return sorted(path.name for path in home.iterdir() if path.name != "envpack.yaml") == ["r.txt"]


NEARLY_URLS = {
    "s3:/bucket/x": "s3://bucket/x",
    "s3:bucket/x": "s3://bucket/x",
    "s3//bucket/x": "s3://bucket/x",
    "s3:///bucket/x": "s3://bucket/x",
    "S3:/bucket/x": "s3://bucket/x",
    "s3;//bucket/x": "s3://bucket/x",
    "s3: //bucket/x": "s3://bucket/x",
    "s3:\\\\bucket\\x": "s3://bucket/x",
    "s3n://bucket/x": "s3://bucket/x",
    "s4://bucket/x": None,
    "S3A:/bucket/x": "s3a://bucket/x",
    "s3:": None,
    "s3://": None,
    " s3://bucket/x": "s3://bucket/x",
    "./s3://bucket/x": "s3://bucket/x",
    "//bucket/x": "s3://bucket/x",
    "arn:aws:s3:::bucket/x": "s3://bucket/x",
    "https://bucket.s3.eu-west-1.amazonaws.com/x": "s3://bucket/x",
    "https://s3.amazonaws.com/bucket/x": "s3://bucket/x",
    "bucket.s3.amazonaws.com/x": "s3://bucket/x",
    "gs://bucket/x": None,
    "hdfs://node/x": None,
    "https://example.com/x": None,
    "file:x": "file:///x",
    "file:/x": "file:///x",
    "FILE:/srv/x": "file:///srv/x",
    "file:\\\\srv\\x": "file:///srv/x",
    "file://x/y": "file:///x/y",
    "flie:///x": "file:///x",
    "file:/C:/envs": "/mnt/c/envs",
    "C:\\envs": "/mnt/c/envs",
    "d:/envs/store": "/mnt/d/envs/store",
    "file:///C:/envs": "/mnt/c/envs",
    "\\\\server\\share": None,
    "envs\\store": "envs/store",
    "localhost:9000/bucket": None,
    "": None,
    "s3://bucket/x\n": "s3://bucket/x",
}


@pytest.mark.parametrize("dry", [False, True], ids=["build", "dry run"])
@pytest.mark.parametrize(("given", "right"), NEARLY_URLS.items(), ids=map(repr, NEARLY_URLS))
def test_a_store_that_looks_like_a_url_and_is_none_is_refused_with_the_nearest(
    ask: Ask, given: str, right: str | None, dry: bool
) -> None:
    said = ask("build", "r.txt", "--store", given, *(["--dry-run"] if dry else []))
    assert (said.code, said.out) == (2, "")
    assert "--store: " in said.err
    if right:
        assert right in said.err
    assert nothing_was_done(Path.cwd())


@pytest.mark.parametrize("bucket", ["b", "b_", "my bucket", "bücket", "b" * 256])
def test_a_store_in_what_is_no_bucket_is_refused_with_what_a_bucket_is(ask: Ask, bucket: str) -> None:
    said = ask("build", "r.txt", "--store", f"s3://{bucket}/x")
    assert (said.code, said.out) == (2, "")
    assert "cannot be a bucket, whose name has 3 to 63 letters" in said.err


@pytest.mark.parametrize("place", ["x" * 256, "ü" * 128, "../" + "x" * 300, "x/" * 2100, "ü/" * 1400], ids=len)
@pytest.mark.parametrize("option", ["--store", "--cache-dir"])
@pytest.mark.parametrize("command", [("build", "r.txt"), ("doctor",)], ids=" ".join)
def test_a_path_that_no_file_system_takes_is_refused(
    ask: Ask, command: tuple[str, ...], option: str, place: str
) -> None:
    said = ask(*command, option, place, **({} if option == "--store" else {"ENVPACK_STORE": "store"}))
    assert f"{option}: a path of " in said.err + said.out
    assert "Traceback" not in said.err + said.out
    assert said.code == 2


def test_doctor_says_what_is_in_the_way_of_a_store(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    said = ask("doctor", "--store", str(tmp_path / "file" / "store"), "--timeout", "5")
    assert "PROBLEM  store" in said.out
    assert "the first build makes it" not in said.out


@pytest.mark.parametrize("number", ["inf", "nan", "1e308", "9" * 30, "-1", "0", ""])
@pytest.mark.parametrize(
    "command",
    [("job", "history", "--number"), ("doctor", "--timeout"), ("ci", "--all", "*.txt", "--dry-run", "--jobs")],
    ids=" ".join,
)
def test_a_number_that_no_one_can_mean_is_refused(ask: Ask, command: tuple[str, ...], number: str) -> None:
    said = ask(*command, number, ENVPACK_STORE="store")
    assert (said.code, said.out) == (2, "")
    assert f"{command[-1]}': {number!r} is not a whole number from 1 to " in said.err


@pytest.mark.parametrize("where", ["variable", "file"])
def test_a_store_from_elsewhere_is_refused_with_where_it_came_from(ask: Ask, where: str) -> None:
    if where == "file":
        Path("envpack.yaml").write_text("spark: '3.5'\nstore: s3:/bucket/x\n", "utf-8")
        said, origin = ask("list"), "envpack.yaml:2: "
    else:
        said, origin = ask("list", ENVPACK_STORE="s3:/bucket/x"), "ENVPACK_STORE: "
    assert said.code == 2
    assert f"{origin}'s3:/bucket/x' is not a store: write s3://bucket/x" in said.err


def test_every_right_form_of_a_directory_is_taken_and_shown_normalised(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    store = tmp_path / "store"
    store.mkdir()
    for given in ("../store", "../home/../store/", "~/store", str(store), f"file://{store}", f"FILE://{store}"):
        said = ask("list", "--store", given)
        assert said.code == 0, said.err
        assert f"{store} holds no releases" in said.err.replace("file://", "")
        assert ".." not in said.err


def test_a_link_in_a_relative_store_is_followed_as_the_file_system_does(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "far" / "away").mkdir(parents=True)
    Path("link").symlink_to(tmp_path / "far" / "away")
    assert f"{tmp_path / 'far' / 'store'} holds" in ask("list", "--store", "link/../store").err


NEARLY_CHANNELS = {
    "https:/conda.example.com/c": "https://conda.example.com/c",
    "htps://conda.example.com/c": "https://conda.example.com/c",
    "file:///srv/c d\n": "file:///srv/c d",
    "file:/srv/c": "file:///srv/c",
    "C:\\channel": "/mnt/c/channel",
    "ftp://conda.example.com/c": None,
}


@pytest.mark.parametrize(("given", "right"), NEARLY_CHANNELS.items(), ids=map(repr, NEARLY_CHANNELS))
def test_a_channel_that_looks_like_a_url_and_is_none_is_refused(ask: Ask, given: str, right: str | None) -> None:
    said = ask("lock", "r.txt", "--channel", given)
    assert (said.code, "--channel: " in said.err, (right or "") in said.err) == (2, True, True)


@pytest.mark.parametrize(
    ("given", "right"),
    [
        ("localhost:9000", "http://localhost:9000"),
        ("https:/s3.example.com", "https://s3.example.com"),
        ("s3.example.com", "https://s3.example.com"),
        ("http://", None),
        ("ftp://s3.example.com", None),
    ],
)
def test_an_endpoint_that_is_no_url_is_refused(ask: Ask, given: str, right: str | None) -> None:
    said = ask("list", "--store", "s3://bucket/x", "--s3-endpoint-url", given)
    assert (said.code, "--s3-endpoint-url: " in said.err, (right or "") in said.err) == (2, True, True)


WRONG = {
    "name": ("Bad Name", None),
    "tag": ("Bad Tag!", None),
    "driver-python": ("nosuch", None),
    "from-pypi": ("a b", "ENVPACK_FROM_PYPI"),
    "from-conda": ("numpy==1", "ENVPACK_FROM_CONDA"),
    "allow-clobber": ("six >1", None),
    "python": ("three", "ENVPACK_PYTHON"),
    "glibc": ("abc", "ENVPACK_GLIBC"),
    "cuda": ("xx", "ENVPACK_CUDA"),
    "spark": ("3.9", "ENVPACK_SPARK"),
    "policy-deny-vulnerabilities": (None, "ENVPACK_POLICY_DENY_VULNERABILITIES"),
    "cache-limit": ("much", "ENVPACK_CACHE_LIMIT"),
    "s3-sse": ("rot13", "ENVPACK_S3_SSE"),
    "s3-bucket-owner": ("me", "ENVPACK_S3_BUCKET_OWNER"),
    "s3-patience": ("long", "ENVPACK_S3_PATIENCE"),
    "launcher": (None, "ENVPACK_LAUNCHER"),
    "platform": (None, "ENVPACK_PLATFORM"),
    "format": (None, "ENVPACK_FORMAT"),
    "compression": (None, "ENVPACK_COMPRESSION"),
    "index-strategy": (None, "ENVPACK_INDEX_STRATEGY"),
    "reuse": (None, "ENVPACK_REUSE"),
    "node-bandwidth": (None, "ENVPACK_NODE_BANDWIDTH"),
    "nodes": (None, "ENVPACK_NODES"),
    "confine": (None, "ENVPACK_CONFINE"),
    "s3-addressing": (None, "ENVPACK_S3_ADDRESSING"),
    "with-pyspark": (None, "ENVPACK_WITH_PYSPARK"),
    "gc-keep-last": (None, "ENVPACK_GC_KEEP_LAST"),
    "gc-grace": (None, "ENVPACK_GC_GRACE"),
    "cache-dir": ("r.txt", "ENVPACK_CACHE_DIR"),
}


@pytest.mark.parametrize("command", ["build", "build --dry-run", "ci --dry-run"])
@pytest.mark.parametrize("setting", WRONG)
def test_a_value_that_cannot_be_used_is_refused_before_any_work(ask: Ask, setting: str, command: str) -> None:
    given, variable = WRONG[setting]
    verb, *more = command.split()
    if given is not None and (setting, verb) != ("name", "ci"):
        said = ask(verb, "r.txt", "--store", "store", f"--{setting}", given, *more)
        assert (said.code, said.out) == (2, "")
        assert f"--{setting}: " in said.err
        assert any(word in said.err for word in (*REMEDY, "give its 12 digits", "is a file")), said.err
    if variable is not None:
        value = "Path.txt" if given is None else given.replace(" ", "?")
        said = ask(verb, "r.txt", "--store", "store", *more, **{variable: value})
        assert (said.code, said.out) == (2, "")
        assert f"{variable}: " in said.err
    assert nothing_was_done(Path.cwd())


@pytest.mark.parametrize(
    ("given", "meant"),
    {
        "livi": "livy-session or livy-batch",
        "livy": "livy-session or livy-batch",
        "k8s": "k8s-cluster or k8s-client",
        "spark": "spark-operator or sparkmagic or sparkmagic-config",
        "yarn-clstr": "yarn-cluster or yarn-client",
        "emr-servreless": "emr-serverless",
    }.items(),
)
def test_a_launcher_that_is_none_is_answered_with_those_of_that_kind(ask: Ask, given: str, meant: str) -> None:
    for said in (ask("build", "r.txt", "--launcher", given), ask("build", "r.txt", ENVPACK_LAUNCHER=given)):
        assert said.code == 2
        assert f"did you mean {meant}" in said.err


def test_a_launcher_that_is_near_none_is_answered_with_the_list(ask: Ask) -> None:
    for said in (ask("build", "r.txt", "--launcher", "qqq"), ask("build", "r.txt", ENVPACK_LAUNCHER="x")):
        assert (said.code, "did you mean" in said.err, "yarn-cluster, yarn-client" in said.err) == (2, False, True)


def test_every_field_of_the_configuration_that_can_be_wrong_is_in_the_table() -> None:
    gc_times = {"gc_keep_newer", "gc_keep_used", "gc_keep_history", "gc_keep_jobs"}
    assert {*check._RULES, *check._OPTIONS} - gc_times - {
        "ci_names",
        "names",
        "package_index",
        "index_mirrors",
    } <= {name.replace("-", "_") for name in WRONG}


def test_everything_that_is_wrong_is_reported_at_once_each_with_its_origin(ask: Ask) -> None:
    Path("envpack.yaml").write_text("glibc: old\nspark: 3.9\n", "utf-8")
    said = ask("build", "r.txt", "--store", "s3:/b/x", "--tag", "Bad Tag!", ENVPACK_CUDA="xx")
    lines = said.err.splitlines()
    assert said.code == 2
    for start in ("--store: ", "--tag: ", "ENVPACK_CUDA: ", "/envpack.yaml:1: ", "/envpack.yaml:2: "):
        assert sum(start in line for line in lines) == 1, start
    assert all(line.startswith("error: ") for line in lines)


@pytest.mark.parametrize("command", ["build", "lock"])
def test_a_lock_that_must_stay_is_not_solved_again(ask: Ask, command: str) -> None:
    said = ask(command, "r.txt", "--locked", "--upgrade")
    assert said.code == UsageError.exit_code
    assert "--locked: it uses the lock as it is, and --upgrade solves again" in said.err


def test_a_cuda_version_is_not_explained_by_a_glibc(ask: Ask) -> None:
    assert "2.28" not in ask("build", "r.txt", "--store", "s", "--cuda", "xx").err


@pytest.mark.parametrize("dry", [False, True])
def test_a_store_that_cannot_be_a_directory_is_refused_before_the_solve(ask: Ask, dry: bool) -> None:
    said = ask("build", "r.txt", "--store", "r.txt/store", *(["--dry-run"] if dry else []))
    assert said.code == 8
    assert "a part of this path is a file: use another directory" in said.err


def test_a_variable_that_is_nobodys_says_so_with_the_nearest(ask: Ask) -> None:
    said = ask("list", ENVPACK_STORES="s", ENVPACK_STORE="s")
    assert said.code == 0
    assert "warning: envpack has no variable ENVPACK_STORES: did you mean ENVPACK_STORE?" in said.err
    assert "ENVPACK_STORES" not in ask("list", "--quiet", ENVPACK_STORES="s", ENVPACK_STORE="s").err


MISTAKES = {
    "gc: {keep-lst: 5}": "unknown setting gc: keep-lst; did you mean gc: keep-last?",
    "policy:\n  deny-license: [GPL]": "unknown setting policy: deny-license; did you mean policy: deny-licenses?",
    "gc-keep-last: 5": "unknown setting gc-keep-last; did you mean gc: keep-last?",
    "s3: {region: x}": "unknown setting s3; did you mean s3-region?",
    "s3: {regin: x}": "unknown setting s3; did you mean s3-endpoint-url or",
    "gc: 5": "gc must be a mapping",
    "store: a\nspark: '3.5'\nstore: b": "store is set twice, first in line 1",
    "gc: {keep-last: 5, keep-last: 6}": "gc: keep-last is set twice",
    "gc: {keep-last: 5}\ngc: {grace: 1d}": "gc is set twice",
    "s3-region: a\ns3_region: b": "s3_region is set twice, first in line 1",
    "names: {torch: a, torch: b}": "names has torch twice",
    "names: {torch: [a]}": "names: torch must be one value, not a list",
    "glibc: abc": "'abc' is not a version of glibc",
    "gc: {keep-last: many}": "gc: keep-last must be a whole number such as 5, not 'many'",
    "ci: {names: {r.txt: Bad Name}}": "is not a valid name of a release",
    "? [a]\n: b": "a key must be the name of a setting",
    "spark:": "spark must be a string",
}


@pytest.mark.parametrize(("text", "reason"), MISTAKES.items(), ids=MISTAKES)
def test_a_mistake_in_the_file_is_reported_once_with_its_line_and_the_code_of_wrong_usage(
    ask: Ask, text: str, reason: str
) -> None:
    Path("envpack.yaml").write_text(f"{text}\n", "utf-8")
    for command in (["list"], ["ci", "--all", "*.txt", "--dry-run"], ["build", "r.txt", "--dry-run"]):
        said = ask(*command, ENVPACK_STORE="store") if not text.startswith("store") else ask(*command)
        assert said.code == 2
        assert said.err.count(reason) == 1, said.err
        assert "envpack.yaml:" in said.err.split(reason)[0]
    assert nothing_was_done(Path.cwd())


@pytest.mark.parametrize(
    ("given", "meant"), [("bulid", "build"), ("pul", "pull"), ("setings", "settings"), ("catalogue", "catalog")]
)
def test_a_command_that_is_misspelt_is_answered_with_the_nearest(ask: Ask, given: str, meant: str) -> None:
    said = ask(given, "r.txt")
    assert (said.code, said.out) == (2, "")
    assert said.err == f"error: unknown command {given!r}\nhint: did you mean {meant}?\n"


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["settings", "x", "--launcher", "k8s-clustr"], "'k8s-clustr'; did you mean k8s-cluster or "),
        (["build", "r.txt", "--compression", "fst"], "'fst'; did you mean fast?"),
        (["completion", "bsh"], "'bsh'; did you mean bash or zsh?"),
        (["build", "r.txt", "--format", "rar"], "'rar'; did you mean tar?"),
        (["show", "x", "--output", "yaml"], "'yaml' is not one of text, json, sbom"),
        (["build", "r.txt", "--stor", "s"], "unknown option '--stor'; did you mean --store?"),
        (["build", "r.txt", "--zzz"], "unknown option '--zzz'\n"),
    ],
)
def test_a_word_that_is_misspelt_is_answered_with_the_nearest(ask: Ask, words: list[str], meant: str) -> None:
    said = ask(*words)
    assert (said.code, said.out) == (2, "")
    assert meant in said.err


def test_what_people_try_first_for_help_and_version_works(ask: Ask) -> None:
    assert ask("help").out == ask("--help").out
    assert ask("help", "build").out == ask("build", "--help").out
    assert ask("help", "channel", "init").out == ask("channel", "init", "--help").out
    assert ask("help", "bulid").code == 2
    versions = {ask(word).out for word in ("version", "--version", "-V")}
    assert versions == {f"envpack {VERSION}\n"}


@pytest.mark.parametrize("group", [[], ["job"], ["channel"]], ids=repr)
def test_a_command_that_needs_another_shows_its_help_and_no_error(ask: Ask, group: list[str]) -> None:
    ran = ask(*group)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == ask(*group, "--help").out


@pytest.mark.parametrize(
    "words",
    [
        ["build"],
        ["build", "r.txt", "--nosuch"],
        ["build", "r.txt", "--launcher", "yarn"],
        ["build", "r.txt", "s.txt"],
        ["ci", "--jobs", "many"],
        ["list", "--output"],
        ["gc", "nosuch", "--quiet", "--store", "store"],
        ["diff", "r", "nosuch.txt", "--store", "store"],
        ["ci", "nosuch.txt", "--store", "store"],
        ["ci", "--merge", "nosuch"],
        ["tag", "r", "nosuch", "--rollback", "--store", "store"],
        ["build", "--hlep"],
        ["channel", "inti"],
        ["--nosuch"],
        ["nosuch"],
    ],
    ids=" ".join,
)
def test_every_error_has_one_style_and_a_hint(ask: Ask, words: list[str]) -> None:
    said = ask(*words)
    lines = said.err.splitlines()
    assert (said.code, said.out) == (2, "")
    assert [line.split(":")[0] for line in lines] == ["error", "hint"]
    assert not lines[0].removeprefix("error: ")[0].isupper()
    assert not re.search(r"Errno|: :", said.err)


WORDED = [
    (["build", "r.txt", "--python", "py3"], {}, "error: --python: 'py3' is not a version of Python"),
    (
        ["list", "--store", "s"],
        {"ENVPACK_PYTHON": "py3"},
        "error: ENVPACK_PYTHON: 'py3' is not a version of Python",
    ),
    (["gc", "nosuch", "--store", "s"], {}, "has no releases of nosuch"),
    (["diff", "r", "nosuch.txt", "--store", "s"], {}, "has no r:latest"),
    (["diff", "nosuch.yml", "r", "--store", "s"], {}, "the file nosuch.yml does not exist, and "),
    (["tag", "r", "x", "--rollback", "--store", "s"], {}, "write envpack tag --rollback NAME:TAG"),
    (["build", "--hlep"], {}, "did you mean --help?"),
    (["gc", "--keep-last", "-1", "--store", "s"], {}, "--keep-last: must be a whole number such as 5, not '-1'"),
]


@pytest.mark.parametrize(("words", "variables", "part"), WORDED, ids=lambda value: str(value)[:40])
def test_an_error_says_what_was_wrong_in_words_that_fit_it(
    ask: Ask, words: list[str], variables: dict[str, str], part: str
) -> None:
    said = ask(*words, **variables)
    assert (said.code, said.out, part in said.err) == (2, "", True), said.err


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("gc: {keep-last: -1}", "gc: keep-last must be a whole number such as 5, not '-1'"),
        ("gc: {grace: soon}", "gc: grace must be a time"),
        ("cache-limit: big", "cache-limit must be a size"),
        ("s3-patience: x", "s3-patience must be a time"),
        ("nodes: none", "nodes must be a number of nodes"),
    ],
)
def test_a_wrong_value_in_the_file_is_reported_with_its_key(ask: Ask, line: str, part: str) -> None:
    Path("envpack.yaml").write_text(f"{line}\n", "utf-8")
    said = ask("list", "--store", "s")
    assert said.code == 2
    assert f"envpack.yaml:1: {part}" in said.err


@pytest.mark.parametrize(
    "words",
    [
        ["ci", "r.txt", "--dry-run", "--store", "s"],
        ["build", "r.txt", "--dry-run", "--store", "s"],
        ["lock", "r.txt", "--python", "py3"],
        ["list", "--store", "s"],
        ["list", "--tagged", "--store", "s"],
        ["search", "six", "--store", "s"],
        ["gc", "nosuch", "--store", "s"],
        ["verify", "nosuch", "--store", "s"],
    ],
    ids=lambda words: words[0],
)
def test_with_progress_as_json_every_line_is_json(ask: Ask, words: list[str]) -> None:
    Path("channel").mkdir()
    said = ask(*words, *(["--channel", "./channel"] if "r.txt" in words else []), "--progress", "json")
    events = [json.loads(line) for line in said.err.splitlines()]
    assert events
    assert all(event["event"] for event in events)


@pytest.mark.parametrize(
    ("given", "right"),
    [
        ("s3:/bucket/m.zip", "s3://bucket/m.zip"),
        ("s3a:bucket/m.zip", "s3a://bucket/m.zip"),
        ("S3:///bucket/m.zip", "s3://bucket/m.zip"),
        ("file:/srv/m.zip", "file:///srv/m.zip"),
        ("file:m.zip", "file:///m.zip"),
    ],
)
def test_another_archive_that_looks_like_a_url_and_is_none_is_refused(given: str, right: str) -> None:
    with pytest.raises(UsageError, match=f"is not a valid URL: write {re.escape(right)}"):
        joined([f"{given}#models"], "s3a://b/own.tar.gz", LAUNCHERS["yarn-cluster"])


@pytest.mark.parametrize("variable", ["ENVPACK_OUTPUT", "ENVPACK_QUIET", "ENVPACK_HOME"])
def test_a_variable_that_is_near_none_is_not_answered_with_another(ask: Ask, variable: str) -> None:
    said = ask("list", "--store", "s", **{variable: "x"})
    assert f"envpack has no variable {variable}; `envpack doctor` lists what can be set" in said.err


def test_a_list_of_errors_says_on_each_line_that_it_is_one(ask: Ask) -> None:
    Path("r.txt").write_text("numpy ==\n\n-e .\n", "utf-8")
    said = ask("lock", "r.txt")
    assert said.code == 3
    assert [line.split(":")[0] for line in said.err.splitlines()][:2] == ["error", "error"]
