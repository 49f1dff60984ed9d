"""Whatever uv ends with has its own words and exit code."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from envpack.errors import BrokenPackage, EnvpackError, NoSolution, NotReady, PackingFailed, Unreachable, UsageError
from envpack.tools import uv, uv_failures
from tests.support.wheels import write_wheel

NO_SOLUTION = "error: No solution found when resolving dependencies\n  cause: Because "

SAID: dict[str, tuple[str, type[EnvpackError]]] = {
    "disk full": (
        "error: Failed to query it\n  cause: failed to write `/c/x.py`: No space left on device (os error 28)",
        PackingFailed,
    ),
    "quota": ("error: failed to persist\n  cause: Disk quota exceeded (os error 122)", PackingFailed),
    "descriptors": ("error: failed to open file `/c/y`: Too many open files (os error 24)", NotReady),
    "descriptors, as uv tells it at its start": (
        "error: Failed to discover it\n  cause: Could not detect either glibc version nor musl libc version",
        NotReady,
    ),
    "file size": ("error: Failed to write to the client cache\n  cause: File too large (os error 27)", NotReady),
    "memory": ("memory allocation of 1234 bytes failed", NotReady),
    "cache is a file": (
        "error: Failed to initialize cache at `/c`\n  cause: failed to create directory: File exists (os error 17)",
        UsageError,
    ),
    "cache of another": ("error: failed to open file `/c/z`: Permission denied (os error 13)", UsageError),
    "read-only": ("error: failed to create `/c`\n  cause: Read-only file system (os error 30)", UsageError),
    "401": (
        f"{NO_SOLUTION}x was not found\n\nhint: An index (https://a.example) (401 Unauthorized).",
        Unreachable,
    ),
    "certificate": (
        "error: Failed to fetch: `https://pypi.example/x/`\n  cause: invalid peer certificate: UnknownIssuer",
        Unreachable,
    ),
    "no route": (
        "error: Failed to fetch: `https://a.example/x/`\n  cause: error sending request\n  cause: connect error",
        Unreachable,
    ),
    "hash": (
        "error: Failed to download `x==1`\n  cause: Hash mismatch for `x==1`\n\nExpected:\n  sha256:00\n",
        BrokenPackage,
    ),
    "no solution": (f"{NO_SOLUTION}only x<=1 is available and you require x>2, we can conclude", NoSolution),
    "unknown": ("error: something that nobody has seen", PackingFailed),
}


@pytest.mark.parametrize("case", SAID)
def test_each_kind_of_failure_has_its_class_and_a_next_step(case: str) -> None:
    text, kind = SAID[case]
    error = uv_failures.of(text, 2)
    assert type(error) is kind
    assert not error.message.startswith("error:") or kind is NoSolution
    assert error.hint or kind is NoSolution


def test_uv_ended_by_a_signal_is_the_machines_matter() -> None:
    assert "SIGKILL" in str(uv_failures.of("", -9))
    assert type(uv_failures.of("", -9)) is NotReady
    assert type(uv_failures.of("", -40)) is NotReady


Ask = Callable[..., EnvpackError]


@pytest.fixture
def ask(tmp_path: Path) -> Ask:
    """Let uv fail at a requirement, in a folder of wheels, and return the error."""

    def run(line: str, *, cache: Path | None = None) -> EnvpackError:
        asked = tmp_path / "asked.txt"
        asked.write_text(f"{line}\n", "utf-8")
        arguments = ["pip", "compile", str(asked), "--no-index", "--find-links", str(tmp_path)]
        arguments += ["--only-binary", ":all:", "--output-file", str(tmp_path / "pylock.toml")]
        with pytest.raises(EnvpackError) as caught:
            uv.run(arguments, cache=cache or tmp_path / "cache", workdir=tmp_path)
        return caught.value

    return run


@pytest.mark.acceptance
def test_damaged_wheels_are_no_unsatisfiable_request(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "rubbish-1-py3-none-any.whl").write_bytes(b"PK rubbish")
    write_wheel(tmp_path, "cut", "1", files={"cut.py": "x = 1\n" * 9999})
    cut = tmp_path / "cut-1-py3-none-any.whl"
    cut.write_bytes(cut.read_bytes()[:-200])
    with zipfile.ZipFile(tmp_path / "empty-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("empty.py", "")
    write_wheel(tmp_path, "inner", "1")
    (tmp_path / "inner-1-py3-none-any.whl").rename(tmp_path / "outer-1-py3-none-any.whl")
    write_wheel(tmp_path, "mistyped", "1", requires=["six >>> 1"])
    for name in ("rubbish", "cut", "empty", "outer", "mistyped"):
        for line in (name, f"{name} @ {(tmp_path / f'{name}-1-py3-none-any.whl').as_uri()}"):
            error = ask(line)
            assert type(error) is BrokenPackage, (line, error.message)
            assert name in error.message
            assert "loosen" not in str(error.hint)


def test_a_wheel_that_is_gone_is_named(ask: Ask, tmp_path: Path) -> None:
    error = ask(f"gone @ {(tmp_path / 'gone-1-py3-none-any.whl').as_uri()}")
    assert type(error) is BrokenPackage
    assert "gone-1-py3-none-any.whl" in error.message


def test_installing_has_the_same_kinds(tmp_path: Path) -> None:
    (tmp_path / "rubbish-1-py3-none-any.whl").write_bytes(b"PK rubbish")
    write_wheel(tmp_path, "replaced", "1")
    kinds = {"rubbish": "damaged", "replaced": "not the one that was locked", "gone": "does not exist at its URL"}
    for name, words in kinds.items():
        wheel = (tmp_path / f"{name}-1-py3-none-any.whl").as_uri()
        asked = tmp_path / f"{name}.txt"
        digest = hashlib.sha256(b"PK rubbish").hexdigest() if name == "rubbish" else "0" * 64
        asked.write_text(f"{name} @ {wheel} --hash=sha256:{digest}\n", "utf-8")
        arguments = ["pip", "install", "--requirements", str(asked), "--prefix", str(tmp_path / "new")]
        arguments += ["--python", sys.executable, "--no-index", "--no-deps", "--require-hashes"]
        with pytest.raises(BrokenPackage, match=words) as caught:
            uv.run(arguments, cache=tmp_path / "cache", workdir=tmp_path)
        assert name in caught.value.message


def test_a_cache_that_cannot_be_used_leads_to_the_option_that_names_another(ask: Ask, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("", "utf-8")
    error = ask("six", cache=file)
    assert type(error) is UsageError
    assert "--cache-dir" in str(error.hint)


@pytest.mark.skipif(os.getuid() == 0 and not Path("/usr/bin/setpriv").exists(), reason="root may write everywhere")
def test_a_cache_of_somebody_else_is_no_unsatisfiable_request(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(stat.S_IRUSR | stat.S_IXUSR)
    program = (
        "import sys; from pathlib import Path; from envpack.tools import uv\n"
        "uv.run(['pip', 'list'], cache=Path(sys.argv[1], 'uv'), workdir=Path('/'))"
    )
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.getuid() == 0 else []
    done = subprocess.run(
        [*drop, sys.executable, "-c", program, cache], capture_output=True, text=True, check=False
    )
    assert "UsageError" in done.stderr, done.stderr
    assert "FrozenInstanceError" not in done.stderr
