"""Commands before faults of an S3 server: each end has its code, nothing is half, nothing published changes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from botocore.retries.standard import ExponentialBackoff
from werkzeug.serving import make_ssl_devcert

from envpack import cli, digest
from envpack.errors import EnvpackError, VerificationFailed
from envpack.pull.pull import download, mismatch
from envpack.releases import references
from envpack.stores import open_store
from envpack.stores.s3.options import SMALLEST_PART, S3Options
from tests.support import s3_faults
from tests.support.chosen import quickly
from tests.support.releases import faults, publish
from tests.support.s3 import Gate, S3Server
from tests.support.s3_faults import ACTS, FAULTS
from tests.support.stored import fill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from envpack.stores.base import Store


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Try the acts that a class names."""
    if "act" in metafunc.fixturenames:
        metafunc.parametrize("act", metafunc.cls.acts)
        heard_of = [name for name in FAULTS if name not in metafunc.cls.unheard_of]
        metafunc.parametrize("name", quickly(heard_of, *metafunc.cls.quick))


LARGE = "x" * (SMALLEST_PART + 10)
"""Of an archive that travels in two parts."""

COMMANDS = {
    "list": ["list"],
    "show": ["show", "udf:prod"],
    "settings": ["settings", "udf:prod"],
    "tag": ["tag", "udf:prod", "next", "--move"],
    "gc": ["gc", "--grace", "0m", "--keep-last", "0", "--keep-history", "0", "--apply"],
    "catalog": ["catalog", "--publish"],
}


class AnyServer:
    """What must be true of every server; a subclass says which, and how it is spoken to."""

    secure = False
    acts: tuple[str, ...] = ACTS
    unheard_of: tuple[str, ...] = ()
    """The faults that the server cannot have."""
    quick: tuple[str, ...] = ()
    """Those that the quick tests try, one of each kind."""

    @pytest.fixture
    def server(self) -> S3Server:
        raise NotImplementedError

    @pytest.fixture
    def gate(self, server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
        server.prepare(monkeypatch)
        certificate: tuple[str, str] | None = None
        if self.secure:
            certificate = make_ssl_devcert(str(tmp_path / "server"), host="localhost")
            monkeypatch.setenv("AWS_CA_BUNDLE", certificate[0])
        gate = Gate(server, certificate)
        monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0.01)  # botocore waits for seconds
        monkeypatch.setenv("ENVPACK_CACHE_DIR", str(tmp_path / "cache"))
        monkeypatch.chdir(tmp_path)
        yield gate
        gate.close()

    def test_a_fault_ends_with_its_code_and_leaves_the_store_whole(
        self,
        *,
        name: str,
        act: str,
        server: S3Server,
        gate: Gate,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        fault, bucket = FAULTS[name], server.new_bucket()
        fault.bucket(server, bucket)
        url = f"s3://{bucket}/releases"
        monkeypatch.setenv("ENVPACK_STORE", url)
        monkeypatch.setenv("ENVPACK_S3_PATIENCE", f"{fault.patience:.0f}s")
        store = open_store(url)
        manifest = fill(store, tmp_path)
        kept = objects(store, manifest.short_digest)

        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", gate.endpoint)
        gate.serve = fault.begin(gate)
        if act == "pull":
            publish(store, LARGE, "large")
        code = run(act, gate, tmp_path, store, patience=fault.patience)
        said = capsys.readouterr()
        assert code in fault.endings(act), said.err
        assert "Traceback" not in said.err
        assert "error: " in said.err if code else "error: " not in said.err
        assert "hint: " in said.err if code else True

        gate.serve = gate.forward
        assert faults(store) == []
        assert objects(store, manifest.short_digest) == kept
        assert run(act, gate, tmp_path, store) == 0
        assert faults(store) == []


def objects(store: Store, short_digest: str) -> list[tuple[str, str]]:
    """Return the objects of a release with what tells that they were not written again."""
    return [(entry.key, entry.stamp) for entry in store.list(f"udf/{short_digest}/")]


def run(act: str, gate: Gate, folder: Path, direct: Store, *, patience: float = 1.0) -> int:
    """Do one act and return its exit code."""
    store = open_store(direct.url, S3Options(endpoint=gate.endpoint, part_size=SMALLEST_PART, patience=patience))
    match act:
        case "publish":
            return ended(lambda: publish(store, LARGE, "new"))
        case "pull":
            return ended(lambda: pulled(store, folder / "archive"))
        case "gc":
            publish(direct, "to be removed", "junk")
    return cli.run(COMMANDS[act])


def pulled(store: Store, file: Path) -> None:
    """Download an archive in parts and hold it against its manifest, as pull does."""
    release = references.resolve(store, f"large@{digest.of_bytes(LARGE.encode())}")
    download(store, release, file)
    if problem := mismatch(file, release.manifest):
        raise VerificationFailed(problem, hint="nothing was unpacked")


def ended(do: Callable[[], object]) -> int:
    try:
        do()
    except EnvpackError as error:
        cli.report(error)
        return error.exit_code
    return 0


class TestMoto(AnyServer):
    """The act that writes most, which is quick."""

    acts: tuple[str, ...] = ("publish",)
    quick = ("storm", "lost answers", "truncated", "page", "expiry", "HEAD denied", "no If-None-Match", "no bucket")

    @pytest.fixture
    def server(self, moto_s3: S3Server) -> S3Server:
        return moto_s3


@pytest.mark.acceptance
class TestEveryAct(TestMoto):
    acts = ACTS[1:]


@pytest.mark.acceptance
class TestOverHttps(TestMoto):
    acts = ("publish", "pull")
    secure = True


@pytest.mark.acceptance
class TestVersitygw(AnyServer):
    acts = ("publish", "pull", "gc")
    # It has neither versions nor KMS, and sees by the signature that a header is missing.
    unheard_of = ("versioned", "KMS", "no If-None-Match", "no Range")

    @pytest.fixture
    def server(self, real_s3: S3Server) -> S3Server:
        return real_s3


@pytest.mark.acceptance
class TestMinio(AnyServer):
    acts = ("publish", "pull", "gc")
    # It has no KMS here, and sees by the signature that a header is missing.
    unheard_of = ("KMS", "no If-None-Match", "no Range")

    @pytest.fixture
    def server(self, minio_s3: S3Server) -> S3Server:
        return minio_s3


def test_the_table_in_the_documentation_is_what_these_tests_expect() -> None:
    page = Path(__file__).parents[1] / "docs/operations.md"
    assert s3_faults.table() in page.read_text("utf-8"), "`python -m tests.support.attacks s3` writes it"
