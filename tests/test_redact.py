from __future__ import annotations

import ast
import base64
import gzip
import html
import io
import json
import logging
import os
import re
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import envpack
from envpack.errors import EnvpackError, UsageError
from envpack.redact import (
    clean,
    hide,
    know,
    know_login,
    known,
    may_be_published,
    meet,
    meet_environment,
    meet_files,
    meet_variables,
    public,
    redact,
    stored,
    take_apart,
    without_secrets,
)
from envpack.redact.logs import filtered_logger
from envpack.redact.streams import Filtered
from envpack.stores import open_store
from tests.support.chosen import quickly

DIGEST = "a1" * 32


# URLs


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("https://me:secret@example.com/simple", "https://example.com/simple"),
        ("https://secret@example.com/simple", "https://example.com/simple"),
        ("https://me:pa@ss@example.com/s", "https://example.com/s"),
        ("https://me:pa/ss@example.com/s", "https://example.com/s"),
        ("https://me:p/a#s?s@example.com/s", "https://example.com/s"),
        ("https://me:12/34@example.com/s", "https://example.com/s"),
        ("https://me:my pass@example.com/s", "https://example.com/s"),
        ("https://to/ken@127.0.0.1:8080/s", "https://127.0.0.1:8080/s"),
        ("https://me:pass@[::1]:80/s", "https://[::1]:80/s"),
        ("htps://me:pass@example.com/s", "htps://example.com/s"),
        ("https:/me:pass@example.com/s", "https:/example.com/s"),
        ("https//me:pass@example.com/s", "https//example.com/s"),
        ("me:pass@example.com/s", "example.com/s"),
        ("file://me:pass@example.com/s", "file://example.com/s"),
        ("git+ssh://me:pass@example.com/s.git", "git+ssh://example.com/s.git"),
        ("https://example.com/t/to-ken-1/channel/noarch/x.conda", "https://example.com/channel/noarch/x.conda"),
        ("https://example.com/api/conda/t/to-ken-1/channel", "https://example.com/api/conda/channel"),
        ("https://example.com/priv/abcdef12/simple", "https://example.com/simple"),
        ("https://example.com/aB3dE5gH7jK9mN1pQ2/org/simple", "https://example.com/org/simple"),
        ("https://example.com/x.whl?sig=abc", "https://example.com/x.whl"),
        ("https://example.com/x.whl?abc", "https://example.com/x.whl"),
        ("https://example.com/x.whl?raw=true&key=abc;auth=d", "https://example.com/x.whl?raw=true"),
        ("https://example.com/x.whl?raw=gho_abcdefghijk", "https://example.com/x.whl"),
        (f"https://example.com/x.whl?x=1#sha256={DIGEST}", f"https://example.com/x.whl#sha256={DIGEST}"),
        ("https://example.com/x.whl#access_token=abc", "https://example.com/x.whl"),
        ("https://example.com/x.whl#Ab12Cd34", "https://example.com/x.whl"),
        ("https://example.com//t//to-ken-1//channel", "https://example.com////channel"),
        ("https://example.com/t%2Fto-ken-1/channel", "https://example.com/channel"),
        ("https://example.com/api%2ft%2Fto-ken-1/channel", "https://example.com/channel"),
        ("https://example.com/c;jsessionid=ab12/x.whl", "https://example.com/x.whl"),
        ("https://me:pa'ss@example.com/s", "https://example.com/s"),
        ("https://me:pa\\ss@example.com/s", "https://example.com/s"),
    ],
)
def test_what_may_be_secret_is_no_part_of_a_public_url(url: str, plain: str) -> None:
    assert public(url) == plain
    assert public(plain) == plain


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/x.whl?raw=true",
        "https://example.com/x.whl?ref=refs/heads/main&path=dist/x-1.0-py3-none-any.whl&format=whl",
        f"https://example.com/packages/{DIGEST[:2]}/{DIGEST}/x.whl",
        "https://example.com/packages/py3/t/tqdm/tqdm-4.67-py3-none-any.whl",
        "https://example.com/f47ac10b-58cc-4372-a567-0e02b2c3d479/_packaging/pypi/simple",
        "https://example.com/conda-forge/linux-64/libopenblas-0.3.28-pthreads_h94d23a6_1.conda",
        "https://artifactory/simple/foo@1.0/x.whl",
        "https://example.com/@scope/x.whl",
        "git+https://example.com/x.git@v1.0",
        "s3://bucket/t/token/aB3dE5gH7jK9mN1pQ2",
        "s3a://bucket/x.tar.gz#environment",
        "file:///home/t/me@example.com/x",
        "abfss://container@account.dfs.core.windows.net/x",
        "https://example.com/x.whl?sig=${SIG}",
        "https://${USER}:${PASSWORD}@example.com/${TOKEN}/simple",
        "https://example.com/t/${TOKEN}/channel",
    ],
)
def test_an_address_without_secrets_stays_as_it_is(url: str) -> None:
    assert public(url) == url
    assert redact(url) == url
    assert take_apart(url).lost() == ()
    assert not list(take_apart(url).secrets())


WORD = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=8, max_size=20)
ODD = st.text("ab1:@/?#&= '\"%+\\<>;,é", min_size=1, max_size=12)


@given(user=WORD, head=WORD, odd=ODD, host=st.sampled_from(["example.com", "127.0.0.1:8080", "localhost:80"]))
def test_no_letter_of_a_password_can_end_it_too_early(user: str, head: str, odd: str, host: str) -> None:
    url = f"https://{user}:x{head}{odd}{head}@{host}/simple/"
    assert head not in public(url)
    assert head not in redact(f"cannot read '{quote(url, safe=':/@')}'")


@given(name=st.text("abcdefghijklmnopqrstuvwxyz_-", min_size=1, max_size=20), value=WORD)
def test_a_parameter_of_any_name_is_taken_for_a_secret(name: str, value: str) -> None:
    url = f"https://example.com/x.whl?{name}={value}Q7"
    shown = redact(f"GET {url} failed")
    revisions = ("ref", "ref_type", "at", "branch", "version", "revision")
    assert f"{value}Q7" not in shown or name in revisions


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("https://example.com/x.whl?token=secret&a=1", "https://example.com/x.whl?token=***&a=***"),
        ("cannot read 'https://a:b@example.com/x' now", "cannot read 'https://example.com/x' now"),
        ("https://a:my pass word@example.com/x: no", "https://example.com/x: no"),
        ("a:pass@example.com:8080 refused", "example.com:8080 refused"),
        ("(https://example.com/x?sig=abc).", "(https://example.com/x?sig=***)."),
        ("http://a.example/x?y=1,http://b:c@d.example/", "http://a.example/x?y=***,http://d.example/"),
        ("Authorization: Basic dXNlcjpwYXNzd29yZA==", "Authorization: Basic ***"),
        ("{'x-jfrog-art-api': 'AKCp8abcdef'}", "{'x-jfrog-art-api': '***'}"),
        ("got Bearer abcdefgh.ijk", "got Bearer ***"),
        (f"token ghp_{'a1' * 18}", "token ***"),
        ("AKIAIOSFODNN7EXAMPLE does not exist", "*** does not exist"),
        ("'https://a:b'c@example.com/x' is no store", "'https://example.com/x' is no store"),
        ("'https://a:b\\\\c@example.com/x' is no store", "'https://example.com/x' is no store"),
        ("see https://example.com/c;jsessionid=ab12/x.", "see https://example.com/x."),
        ("GET https://example.com/t%2Fto-ken-1/c", "GET https://example.com/c"),
        ("--name: 'token=Zq7-wX9kP2m' is none", "--name: 'token=***' is none"),
        ("UV_INDEX_A_PASSWORD=s3cret-w0rd uv", "UV_INDEX_A_PASSWORD=*** uv"),
    ],
)
def test_what_looks_like_a_secret_is_taken_out_of_a_text(text: str, clean: str) -> None:
    assert redact(text) == clean
    assert redact(clean) == clean


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("UV_INDEX_A_PASSWORD=s3cret-w0rd uv", "s3cret-w0rd"),
        ("--name: 'token=Zq7-wX9kP2m' is none", "Zq7-wX9kP2m"),
        ("Authorization: Basic dXNlcjpwYXNzd29yZA==", "dXNlcjpwYXNzd29yZA=="),
        ("{'x-jfrog-art-api': 'AKCp8abcdef'}", "AKCp8abcdef"),
        (f"token ghp_{'a1b2' * 9}", f"ghp_{'a1b2' * 9}"),
        ("AKIAIOSFODNN7EXAMPLE does not exist", "AKIAIOSFODNN7EXAMPLE"),
        ("https://example.com/x.whl?token=Zq7-wX9kP2m&a=1", "Zq7-wX9kP2m"),
        ("cannot read 'https://someone:s3cret-w0rd@example.com/x'", "s3cret-w0rd"),
        ("GET https://example.com/t/Zq7-wX9kP2m/c", "Zq7-wX9kP2m"),
    ],
)
def test_a_secret_is_taken_out_whole_though_a_piece_of_it_is_known(
    text: str, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for start in range(len(secret) - 4):
        for end in range(start + 4, len(secret) + 1):
            monkeypatch.setattr(known, "_secrets", {})
            monkeypatch.setattr(known, "_forms", {})
            alone = redact(text)
            know(secret[start:end])
            assert redact(text) == alone


def test_known_secrets_that_overlap_are_hidden_as_one() -> None:
    know("first-Secret-77x", "77x-second-Secret")
    assert hide("a first-Secret-77x-second-Secret b") == "a *** b"


@pytest.mark.parametrize(
    "text",
    [
        "mail me@example.com",
        "a @ b",
        "see https://example.com:8080 or mail me@example.com",
        "https://example.com: connection refused (user@example.com)",
        "requirements.txt:3: six @ https://example.com/six-1.0-py3-none-any.whl",
        "NAME:TAG@ab12cd34",
        "--archives s3a://bucket/x.tar.gz#environment",
        "https://example.com/page#a-section",
        "token=${TOKEN} password=<password> secret=*** api_key=yourkey",
        '["https://example.com/x","jane@example.com"]',
        "'https://example.com/x','https://example.com/y@1.0'",
        "https://example.com/a;b/x.whl",
    ],
)
def test_a_text_without_secrets_stays_as_it_is(text: str) -> None:
    assert redact(text) == text


# Secrets that were met

FORMS: dict[str, Callable[[str], str]] = {
    "as it is": lambda s: s,
    "in a URL": lambda s: quote(s, safe=""),
    "in a path": quote,
    "in a form": quote_plus,
    "in small letters in a URL": lambda s: re.sub("%..", lambda m: m[0].lower(), quote(s, safe="")),
    "quoted twice": lambda s: quote(quote(s, safe=""), safe=""),
    "in JSON": lambda s: json.dumps(s)[1:-1],
    "in JSON with letters": lambda s: json.dumps(s, ensure_ascii=False)[1:-1],
    "in HTML": html.escape,
    "in Python": lambda s: repr(s)[1:-1],
    "in base64": lambda s: base64.b64encode(s.encode()).decode(),
    "in single quotes of YAML": lambda s: s.replace("'", "''"),
}


@pytest.mark.parametrize("secret", ["plain-Secret-123", "o#dd/pa@ss wo?rd'\"x\\y", "naïve+ütf=8&more"])
@pytest.mark.parametrize("form", FORMS)
def test_a_secret_that_was_met_is_hidden_in_every_form(secret: str, form: str) -> None:
    know(secret)
    written = FORMS[form](secret)
    assert written not in hide(f"before {written} after")


@pytest.mark.parametrize("before", ["", "a", "ab", "name:"])
@pytest.mark.parametrize("after", ["", "c", "cd"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_secret_is_hidden_wherever_in_base64_it_lies(
    before: str, after: str, encode: Callable[[bytes], bytes]
) -> None:
    secret = "o#dd/pa@ss wo?rd'\"x\\y"
    know(secret)
    left = hide(encode(f"{before}{secret}{after}".encode()).decode()).partition("***")
    assert left[1]
    assert max(len(left[0]), len(left[2])) <= len("base64:=")


def test_a_name_with_its_password_is_hidden_as_a_header_has_it() -> None:
    know_login("someone", "pw-1234")
    header = base64.b64encode(b"someone:pw-1234").decode()
    assert hide(f"sent {header}") == "sent ***"


@pytest.mark.parametrize(
    "word", ["python", "latest", "1.2.3", "42", "main", "/usr/bin/x", "abc", "****", "${TOKEN}"]
)
def test_what_stands_in_many_texts_is_no_secret(word: str) -> None:
    know(word)
    assert hide(f"a {word} b") == f"a {word} b"


def test_a_short_secret_is_hidden_only_where_it_stands_alone() -> None:
    know("hunt3r")
    assert hide("hunt3r hunt3rs a%3Ahunt3r@") == "*** hunt3rs a%3A***@"


def test_secrets_are_met_in_urls_variables_and_files(tmp_path: Path) -> None:
    meet("--index-url https://me:met-in-url1@example.com/t/met-as-token1/x?a=met-as-value1#b=met-as-fragment1")
    meet_environment(
        {
            "MY_TOKEN": "met-as-variable1",
            "SOME_URL": "http://u:met-in-proxy1@proxy:80",
            "PATH": "/usr/bin:met-in-path1",
            "DOCKER_AUTH_CONFIG": '{"auths": {"example.com": {"auth": "met-in-json1"}}}',
        }
    )
    meet_variables("x @ https://example.com/x.whl?sig=${SIG}&v=${UNSET}", {"SIG": "met-by-name1"})
    (tmp_path / ".netrc").write_text("machine example.com login me password met-in-netrc1\n")
    (tmp_path / ".rattler").mkdir()
    (tmp_path / ".rattler/credentials.json").write_text('{"example.com": {"BearerToken": "met-by-rattler1"}}')
    (tmp_path / ".config/uv").mkdir(parents=True)
    (tmp_path / ".config/uv/uv.toml").write_text('index-url = "https://me:met-in-toml1@example.com/simple"\n')
    meet_files({"HOME": str(tmp_path)})
    text = "url1 token1 value1 fragment1 variable1 proxy1 name1 netrc1 rattler1 toml1 json1"
    words = [f"met-in-{w}" for w in ("url1", "proxy1", "netrc1", "toml1", "json1")]
    words += [f"met-as-{w}" for w in ("token1", "value1", "fragment1", "variable1")]
    words += ["met-by-name1", "met-by-rattler1"]
    assert len(words) == len(text.split())
    assert hide(" ".join(words)) == " ".join(["***"] * len(words))
    assert hide("met-in-path1") == "met-in-path1"


def test_a_child_gets_no_variable_with_a_secret() -> None:
    environ = {
        "PATH": "/usr/bin",
        "GITHUB_TOKEN": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "PROXY": "http://u:p@proxy:80",
        "SSH_AUTH_SOCK": "/run/sock",
        "GIT_AUTHOR_NAME": "A Person",
        "INDEX": "https://example.com/simple",
    }
    assert set(without_secrets(environ)) == {"PATH", "SSH_AUTH_SOCK", "GIT_AUTHOR_NAME", "INDEX"}


@pytest.mark.parametrize(
    ("name", "value", "fine"),
    [
        ("GREETING", "hello", True),
        ("TOKENIZERS_PARALLELISM", "false", True),
        ("TOKEN_FILE", "/run/secrets/token", True),
        ("API_TOKEN", "abc123def456", False),
        ("DATABASE", "postgresql://me:pass@example.com/db", False),
        ("INDEX", "https://example.com/t/to-ken-1/simple", False),
        ("SORT_KEY", "customer_id", True),
    ],
)
def test_a_variable_with_a_secret_is_not_published(name: str, value: str, fine: bool) -> None:
    assert may_be_published(name, value) is fine


# What leaves


def test_all_that_is_written_to_a_stream_is_filtered() -> None:
    know("stream-Secret-1")
    raw = io.BytesIO()
    stream = Filtered(raw, encoding="utf-8")
    print("a stream-Secret-1", quote("stream-Secret-1"), file=stream, flush=True)
    assert raw.getvalue() == b"a *** ***\n"


def test_a_traceback_of_the_command_is_filtered() -> None:
    program = (
        "import os, sys; from envpack.redact import guard_output, meet_environment; guard_output(); "
        "meet_environment(os.environ); print(os.environ['MY_TOKEN']); raise ValueError(os.environ['MY_TOKEN'])"
    )
    environ = {**os.environ, "MY_TOKEN": "traceback-Secret-1"}
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=False)
    assert "ValueError: ***" in done.stderr
    assert "traceback-Secret-1" not in done.stdout + done.stderr


def test_the_command_filters_what_it_says() -> None:
    command = [str(Path(sys.executable).with_name("envpack")), "command-Secret-1"]
    environ = {**os.environ, "MY_TOKEN": "command-Secret-1"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "***" in done.stderr
    assert "command-Secret-1" not in done.stdout + done.stderr


def test_every_program_that_is_run_is_given_its_environment() -> None:
    """What is not said is inherited, secrets included."""
    silent = []
    for path in Path(envpack.__path__[0]).rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            starts = isinstance(call, ast.Call) and ast.unparse(call.func) in (
                *(
                    "subprocess.run",
                    "subprocess.Popen",
                    "subprocess.check_output",
                    "subprocess.check_call",
                    "Popen",
                ),
                *("asyncio.create_subprocess_exec", "os.popen", "os.system", "os.execv", "os.spawnv"),
            )
            if starts and "env" not in {word.arg for word in call.keywords}:  # type: ignore[attr-defined]
                silent.append(f"{path.name}:{call.lineno}")  # type: ignore[attr-defined]
    assert silent == []


def test_an_error_and_its_causes_hold_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = UsageError("https://me:error-Secret@example.com/x", hint="?sig=1 at http://a/?b=hint-Secret")
    assert error.message == str(error) == "https://example.com/x"
    assert error.hint == "?sig=1 at http://a/?b=***"
    error.__cause__ = OSError(2, "https://me:cause-Secret@example.com/x")
    error.__cause__.__context__ = subprocess.CalledProcessError(1, ["x", "https://me:word-Secret@example.com"])
    clean(error)
    shown = f"{error.__cause__} {error.__cause__!r} {error.__cause__.__context__}"
    assert "Secret" not in shown
    assert "https://example.com/x" in shown
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_text("--index-url ftp://me:library-Secret@example.com/x\n")
    with pytest.raises(EnvpackError) as caught:
        envpack.build("a.txt", store="a store")
    assert "library-Secret" not in "".join(traceback.format_exception(caught.value))


def test_what_is_logged_holds_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    logger = filtered_logger("envpack.test")
    with caplog.at_level(logging.DEBUG, logger="envpack.test"):
        logger.debug("asks %s", "https://me:log-Secret@example.com/x")
    assert "log-Secret" not in caplog.text
    assert "https://example.com/x" in caplog.text


def test_every_module_logs_through_the_filter() -> None:
    modules = Path(envpack.__path__[0]).rglob("*.py")
    unfiltered = {path.name for path in modules if "getLogger" in path.read_text("utf-8")}
    assert unfiltered <= {"logs.py", "options.py"}  # the filter itself, and the handler of --verbose


def test_what_is_stored_holds_no_secret_also_in_gzip() -> None:
    know("stored-Secret-1")
    assert stored(b'{"a": "stored-Secret-1"}') == b'{"a": "***"}'
    assert gzip.decompress(stored(gzip.compress(b"stored-Secret-1"))) == b"***"
    clean_data = gzip.compress(b"nothing")
    assert stored(clean_data) is clean_data
    assert stored(b"\xff\x00binary") == b"\xff\x00binary"


def test_no_store_keeps_a_secret(tmp_path: Path, s3_store_url: str) -> None:
    know("kept-Secret-1")
    for url in (str(tmp_path), s3_store_url):
        store = open_store(url)
        assert store.create("a/b.json", b'"kept-Secret-1"')
        there = store.read("a/b.json")
        assert there
        assert there.data == b'"***"'
        assert store.replace("a/b.json", b"kept-Secret-1", there.version)
        assert (store.read("a/b.json") or there).data == b"***"


@given(st.text(max_size=300))
def test_any_text_can_be_filtered_twice(text: str) -> None:
    once = redact(text)
    assert redact(once) == once


@example("?&0")
@given(st.text(max_size=100))
def test_any_text_can_be_taken_apart(text: str) -> None:
    plain = public(f"https://{text}")
    assert public(plain) == plain


PIECES = (
    "a", "http", "a.b.", "a-", "eyJabcdefgh-", "eyJabc.", "xoxb-", "glpat-", "-:@a.", "x:y@a.a.", "a://b:    ",
    "u:p@", "://", "http://a:", "/t/x", "/priv/a", "/t/a/a-", "&", "?a=b&", "#a", "abc def ", "bearer  ", "${A}",
    ",a", "[a:", "1.",
)  # fmt: skip
"""What a long line may be made of, to be tried at each of its places."""


@pytest.mark.acceptance
@pytest.mark.parametrize("before", quickly(["", "http://h/"], ""))
def test_what_a_line_costs_grows_with_its_length_alone(before: str) -> None:
    """Four times the length must not be sixteen times the work; nine leaves room for the clock."""
    dear = {}
    for piece in PIECES:
        for after in ("", "@h.io/"):
            short, long = (seconds(before + piece * (size // len(piece)) + after) for size in (1 << 13, 1 << 15))
            if long > 9 * short and long > 0.04:
                dear[f"{piece}...{after}"] = (short, long)
    assert dear == {}


def seconds(text: str) -> float:
    """Return the processor time that a text takes, at best."""
    taken = []
    for _ in range(2):
        start = time.process_time()
        redact(text)
        taken.append(time.process_time() - start)
    return min(taken)
