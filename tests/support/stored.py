"""Every kind of stored object, with one that is as envpack writes it and ways to damage one."""

from __future__ import annotations

import copy
import gzip
import json
import tarfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from envpack import digest, units
from envpack.archive import pieces
from envpack.archive.members import Entry
from envpack.archive.saving import Saving
from envpack.build import last_build, recipes, shared_pieces, store_reuse
from envpack.catalog import publishing
from envpack.codec import Kind
from envpack.config.target import Target
from envpack.packages.package import PackedPackage
from envpack.prefix import ledger
from envpack.releases import (
    file_list,
    index,
    keys,
    last_use,
    listed,
    lookup,
    manifest,
    publish,
    removal_notice,
    submissions,
    tags,
)
from envpack.releases.manifest import ArchiveFacts, Manifest, Provenance, Verification
from envpack.sources import environments, kept
from envpack.stores import open_store
from envpack.verify import earlier

if TYPE_CHECKING:
    from collections.abc import Iterator

    from envpack.stores.base import Store

ONE, TWO = "1" * 64, "2" * 64
NOW = "2026-01-02T03:04:05Z"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A kind of stored object with a good one."""

    kind: Kind[Any]
    value: Any
    """Its JSON."""

    @property
    def data(self) -> bytes:
        return self.dumped(self.value)

    def dumped(self, value: Any) -> bytes:
        text = json.dumps(value).encode()
        return gzip.compress(text, 1, mtime=0) if self.kind.packed else text


def some_manifest(archive: bytes = b"", name: str = "udf") -> Manifest:
    """Return a manifest in which every field has a value."""
    sha256 = digest.of_bytes(archive)
    return Manifest(
        name=name,
        archive=ArchiveFacts(
            file=keys.archive_file(name, sha256, "tar.gz"),
            format="tar.gz",
            size=len(archive),
            sha256=sha256,
            unpacked_size=10,
            members=2,
        ),
        python="3.11.7",
        target=Target(cuda="12.4", spark="3.5.6"),
        packages=(
            PackedPackage(
                name="python",
                version="3.11.7",
                source="conda",
                sha256=ONE,
                url="https://conda.anaconda.org/conda-forge/linux-64/python-3.11.7-0_cpython.conda",
                build="0_cpython",
                size=1,
                license="PSF-2.0",
                requires=(),
                unpacked_size=1,
            ),
            PackedPackage(name="six", version="1.16", source="pypi", sha256=TWO, url="", requires=("python",)),
        ),
        requested=("six",),
        variables={"GDAL_DATA": "./environment/share/gdal"},
        input_digest=ONE,
        created=units.now(),
        envpack="1.0",
        verified=Verification.RUN,
        warnings=("a warning",),
        slim=(Saving(rule="tests", files=1, size=1),),
        packer="11/conda-pack-0.9.2/deflate-0.9.0/zlib-ng-2.2.5",
        beside={keys.FILES: ONE},
        description="Features for the churn model",
        owner="data-platform",
        provenance=Provenance(
            by="jane", job="https://ci/1", repository="https://git/x", commit="abc", file="udf.txt", modified=True
        ),
    )


def some_archive() -> bytes:
    """Return an archive that can be pulled: a Python that is a script."""
    with BytesIO() as raw:
        with tarfile.open(fileobj=raw, mode="w:gz", compresslevel=1) as tar:
            for name, data in (("bin/python", b"#!/bin/sh\n"), ("lib/x.py", b"")):
                info = tarfile.TarInfo(name)
                info.size, info.mode = len(data), 0o755
                tar.addfile(info, BytesIO(data))
        return raw.getvalue()


def fill(store: Store, folder: Path) -> Manifest:
    """Publish one release with all that belongs to it, a tag, an index and a record of use; return its manifest."""
    archive = folder / "archive"
    archive.write_bytes(some_archive())
    described = some_manifest(archive.read_bytes())
    files = [file_list.File("bin/python", 10, "0" * 16, "conda/python"), file_list.File("lib/x.py", 0, "", "")]
    beside = {
        keys.FILES: file_list.dumps(files),
        keys.PIECES: json.dumps(SAMPLES["pieces"].value).encode(),
        keys.VERIFICATION: SAMPLES["verification"].data,
        keys.lock_file("udf"): b"version: 6\n",
    }
    release, _ = publish.publish(store, described, archive, beside)
    for tag in ("latest", "prod"):
        tags.advance(store, "udf", tag, described.digest, by="jane")
    store.create(keys.verified(described), b'{"how": "run"}')
    last_use.note_use(store, described)
    index.refresh(store, "udf")
    store.create(keys.REMOVAL_NOTICE, SAMPLES["removal-notice"].data)
    return release.manifest


def _samples() -> dict[str, Sample]:
    described = some_manifest()
    stored_index = listed.NameIndex(
        name="udf",
        releases={described.short_digest: ("stamp", index.summary(described))},
        tags={"prod": ("stamp", described.digest)},
    )
    facts = pieces.Facts(
        owner="six",
        length=1,
        sha256=ONE,
        size=1,
        entries=(Entry("a", "file", 1, "", False),),
        directories=("d",),
        rewritten=(pieces.Rewritten("a", "/prefix", "text"),),
        saved=(Saving(rule="tests", files=1, size=1),),
    )
    files = [file_list.File("bin/x", 1, "0" * 16, "conda/x")]
    tag = tags.Tag(moves=(tags.Move(digest=TWO, moved=NOW, by="jane"), tags.Move(digest=ONE, moved=NOW)))
    verification: dict[str, Any] = {
        "start": ONE,
        "imports": [
            {
                "modules": ["six"],
                "owners": {"conda/python": ONE, "pypi/six": TWO},
                "files": {"lib/x.py": TWO},
                "missed": ["six.moves.winreg"],
                "release": f"udf@{'0' * 16}",
            }
        ],
        "pieces": {
            ONE: {"binaries": [{"name": "lib/x.so", "machine": "x86_64", "glibc": [2, 17], "needed": ["y"]}]}
        },
    }
    row = {"sha256": ONE, "start": 0, "size": 1, "of": "six"}
    return {
        "manifest": Sample(kind=manifest.STORED, value=described.to_json()),
        "tag": Sample(kind=tags.STORED, value=tag.to_json()),
        "build-record": Sample(kind=lookup.BUILD_RECORD, value={"schema": 1, "digest": ONE, "created": NOW}),
        "later-verification": Sample(kind=lookup.LATER_VERIFICATION, value={"how": "run"}),
        "last-use": Sample(kind=last_use.STORED, value={"schema": 1, "digest": ONE, "used": NOW}),
        "removal-notice": Sample(kind=removal_notice.STORED, value=json.loads(removal_notice.Notice().dumps())),
        "index": Sample(kind=listed.STORED, value=json.loads(gzip.decompress(stored_index.dumps()))),
        "pieces": Sample(
            kind=shared_pieces.STORED,
            value={"schema": 1, "archive": f"udf-{'0' * 16}.tar.gz", "pieces": [row]},
        ),
        "verification": Sample(kind=earlier.RECORD, value=verification),
        "files": Sample(kind=file_list.STORED, value=json.loads(gzip.decompress(file_list.dumps(files)))),
        "catalog-note": Sample(
            kind=publishing.STORED, value={"schema": 1, "pages": {"udf/index.html": "key", "assets/x.js": None}}
        ),
        "job-record": Sample(
            kind=submissions.STORED,
            value={
                "schema": 1,
                "id": "0123456789ab",
                "job": "daily-churn",
                "release": "udf",
                "digest": ONE,
                "code": TWO,
                "entrypoint": "main",
                "parameters": {"date": "2026-01-31"},
                "launcher": "yarn-cluster",
                "by": "jane",
                "submitted": NOW,
                "state": "failed",
                "application": "application_1769854500000_0007",
                "address": "http://rm:8088/proxy/application_1769854500000_0007/",
                "exit_code": 3,
                "ended": NOW,
                "said": "exit code 3",
            },
        ),
        "published": Sample(kind=shared_pieces.PUBLISHED, value={f"udf/{'0' * 16}": {ONE: 1}}),
        "recipe": Sample(
            kind=recipes.STORED,
            value={"pieces": ["a"], "sha256": ONE, "manifest": described.to_json()},
        ),
        "arrival": Sample(
            kind=ledger.STORED, value={"digests": {"info/paths.json": ONE}, "warnings": ["has a file too many"]}
        ),
        "last-build": Sample(
            kind=last_build.STORED,
            value={"manifest": described.to_json(), "seen": {"udf/tags/latest.json": ["{}", "etag"]}},
        ),
        "built wheel": Sample(
            kind=kept.STORED,
            value={
                "name": "features",
                "version": "1.0",
                "url": "",
                "sha256": "0" * 64,
                "size": 1,
                "by_index": False,
                "made": {
                    "kind": "archive",
                    "sha256": "0" * 64,
                    "file": "features-1.0-py3-none-any.whl",
                    "commit": "",
                    "subdirectory": "",
                    "requires": [{"name": "flit-core", "version": "3", "url": "", "sha256": "0" * 64}],
                    "files": {"features/__init__.py": "0" * 16},
                },
            },
        ),
        "build environment": Sample(kind=environments.STORED, value={"program": "bin/python", "files": ONE}),
        "name of a built wheel": Sample(kind=kept.POINTER, value={"full": "0" * 64}),
        "piece": Sample(kind=pieces.STORED, value=json.loads(facts.dumps())),
        "kept verification": Sample(kind=earlier.KEPT_RECORD, value=verification),
        "imports": Sample(kind=earlier.IMPORTS, value=verification["imports"]),
        "loaded files": Sample(kind=earlier.LOADED, value=["lib/python3.11/site-packages/numpy/__init__.py"]),
        "seen piece": Sample(kind=earlier.SEEN, value=verification["pieces"][ONE]),
        "facts of pieces": Sample(kind=store_reuse.FACTS, value={ONE: json.loads(facts.dumps())}),
    }


SAMPLES = _samples()

IN_A_STORE = tuple(SAMPLES)[:12]
"""The kinds that others may have written; the rest lies in this machine's cache."""

HOSTILE: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1.5,
    10**30,
    2**63,
    "",
    ".",
    "..",
    "../../x",
    "/etc/x",
    "a$(touch MARKER)",
    "a; touch MARKER",
    "a\ntouch MARKER",
    "`touch MARKER`",
    "a && touch MARKER",
    "a' touch MARKER '",
    "a=b",
    "a\0b",
    "\x1b]52;c;eA==\x07",
    "\x9b2J\u202e",
    "\ud800",
    "x" * 5_000,
    "0" * 64,
    "\u0663.\u0661",
    [],
    {},
    [1, None],
    [[[]]],
    {"": ""},
    {"a$(touch MARKER)": "x", "b; touch MARKER": "x", "PROMPT_COMMAND": "touch MARKER"},
    {"A": "$(touch MARKER)", "B": "`touch MARKER`", "C": "'; touch MARKER; '", "D": "\n touch MARKER"},
)
"""What may stand in the place of any value. MARKER is a file that no command makes."""


def places(value: Any) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value inside a JSON value, its own first."""
    yield ()
    if isinstance(value, dict):
        for key, each in value.items():
            yield from ((key, *rest) for rest in places(each))
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from ((number, *rest) for rest in places(each))


def changed(value: Any, place: tuple[Any, ...], to: Any) -> Any:
    """Return a JSON value with another at one place; `GONE` takes the place away."""
    if not place:
        return copy.deepcopy(to)
    *above, last = place
    found = copy.deepcopy(value)
    inner = found
    for step in above:
        inner = inner[step]
    if to is GONE:
        del inner[last]
    else:
        inner[last] = to
    return found


GONE = object()

bytes_that_are_damaged = st.one_of(
    st.just(b""),
    st.just(b"null"),
    st.just(b"\xff\xfe"),
    st.just(b"[" * 100_000),
    st.just(b'{"a":' * 100_000),
    st.just(b'{"schema": 1, "name": "' + b"\\ud800" + b'"}'),
    st.binary(max_size=200),
    st.text(max_size=200).map(str.encode),
)


def damaged(sample: Sample) -> st.SearchStrategy[bytes]:
    """Return what a sample becomes by damage: other bytes, other values, missing values, cut, flipped."""
    data = sample.data
    other_value = st.builds(
        lambda place, to: sample.dumped(changed(sample.value, place, to)),
        st.sampled_from([place for place in places(sample.value) if place]),
        st.one_of(st.sampled_from(HOSTILE), st.just(GONE), st.recursive(st.none(), st.lists, max_leaves=5)),
    )
    cut = st.integers(0, len(data) - 1).map(lambda end: data[:end])
    flipped = st.builds(
        lambda at, to: data[:at] + bytes([to]) + data[at + 1 :], st.integers(0, len(data) - 1), st.integers(0, 255)
    )
    return st.one_of(bytes_that_are_damaged, other_value, cut, flipped)


def store_in(folder: Path) -> tuple[Store, Manifest]:
    """Return a store below a folder with one release of every kind of object."""
    store = open_store(str(folder / "store"))
    return store, fill(store, folder)
