"""Thousands of releases that were never built, as a team leaves them behind in a year or two.

Names, versions and licences are real ones; environments drift from release to release as real ones do. The same
count gives the same releases. Archives are a few bytes with the digest that they claim; in a directory they are as
long as they claim instead, with a hole behind these bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envpack.stores.local import LocalStore

if TYPE_CHECKING:
    from envpack.stores.base import Store

RELEASES_PER_NAME = 20
PACKAGES = 60

_FIRST = datetime(2025, 1, 1, 6, tzinfo=timezone.utc)

_WORDS = (
    *(
        "fraud",
        "churn",
        "pricing",
        "search",
        "ads",
        "risk",
        "supply",
        "credit",
        "media",
        "genome",
        "claims",
        "fleet",
    ),
    *("energy", "basket", "traffic", "billing", "audit", "imaging", "weather", "forecast", "catalog", "identity"),
)
_KINDS = ("features", "scoring", "training", "report", "ingest", "quality", "udf", "export", "matching", "ranking")
_PEOPLE = ("maria", "jonas", "li", "amina", "peter")

_CONDA = """
python PSF-2.0 3.9.19 3.10.14 3.11.7 3.11.9 3.12.4
openssl Apache-2.0 3.0.13 3.1.5 3.2.1 3.3.1
libffi MIT 3.4.2 3.4.4
sqlite blessing 3.45.1 3.45.3 3.46.0
zlib Zlib 1.2.13 1.3.1
xz LGPL-2.1-only 5.2.6 5.4.6 5.6.0
bzip2 bzip2-1.0.6 1.0.8
ncurses X11 6.4 6.5
readline GPL-3.0-only 8.2
tk TCL 8.6.13
ca-certificates ISC 2024.2.2 2024.6.2 2024.7.4
libgcc-ng GPL-3.0-only 13.2.0 14.1.0
libstdcxx-ng GPL-3.0-only 13.2.0 14.1.0
libblas BSD-3-Clause 3.9.0
liblapack BSD-3-Clause 3.9.0
libopenblas BSD-3-Clause 0.3.26 0.3.27
llvm-openmp Apache-2.0 18.1.1 18.1.8
icu MIT 73.2 74.2
libexpat MIT 2.6.1 2.6.2
libuuid BSD-3-Clause 2.38.1
libnsl LGPL-2.1-or-later 2.0.1
lz4-c BSD-2-Clause 1.9.4
zstd BSD-3-Clause 1.5.5 1.5.6
snappy BSD-3-Clause 1.1.10 1.2.0
"""

_PYPI = """
numpy BSD-3-Clause 1.22.4 1.24.4 1.26.4 2.0.1 2.1.0
pandas BSD-3-Clause 1.5.3 2.0.3 2.1.4 2.2.2 2.2.3
pyarrow Apache-2.0 11.0.0 14.0.2 15.0.2 16.1.0 17.0.0
scipy BSD-3-Clause 1.10.1 1.11.4 1.13.1 1.14.0
scikit-learn BSD-3-Clause 1.2.2 1.3.2 1.4.2 1.5.1
xgboost Apache-2.0 1.7.6 2.0.3 2.1.0
lightgbm MIT 3.3.5 4.3.0 4.5.0
torch BSD-3-Clause 2.0.1 2.2.2 2.3.1 2.4.0
transformers Apache-2.0 4.36.2 4.41.2 4.44.0
tokenizers Apache-2.0 0.15.2 0.19.1
requests Apache-2.0 2.28.2 2.31.0 2.32.3
urllib3 MIT 1.26.18 2.0.7 2.2.2
certifi MPL-2.0 2023.11.17 2024.2.2 2024.7.4
charset-normalizer MIT 3.3.2
idna BSD-3-Clause 3.6 3.7
six MIT 1.16.0
python-dateutil Apache-2.0 2.8.2 2.9.0
pytz MIT 2023.3 2024.1
tzdata Apache-2.0 2023.4 2024.1
pyyaml MIT 6.0 6.0.1
jinja2 BSD-3-Clause 3.1.2 3.1.3 3.1.4
markupsafe BSD-3-Clause 2.1.3 2.1.5
click BSD-3-Clause 8.1.7
protobuf BSD-3-Clause 3.20.3 4.25.3 5.27.2
grpcio Apache-2.0 1.60.0 1.62.2 1.65.1
boto3 Apache-2.0 1.28.0 1.34.0 1.34.149
botocore Apache-2.0 1.31.0 1.34.0 1.34.149
s3transfer Apache-2.0 0.10.0 0.10.2
jmespath MIT 1.0.1
s3fs BSD-3-Clause 2023.12.2 2024.6.1
fsspec BSD-3-Clause 2023.12.2 2024.6.1
aiohttp Apache-2.0 3.9.3 3.9.5 3.10.0
attrs MIT 23.2.0
frozenlist Apache-2.0 1.4.1
multidict Apache-2.0 6.0.5
yarl Apache-2.0 1.9.4
joblib BSD-3-Clause 1.3.2 1.4.2
threadpoolctl BSD-3-Clause 3.2.0 3.5.0
matplotlib PSF-2.0 3.7.5 3.8.4 3.9.1
pillow HPND 9.5.0 10.2.0 10.3.0 10.4.0
contourpy BSD-3-Clause 1.2.1
cycler BSD-3-Clause 0.12.1
fonttools MIT 4.47.2 4.53.1
kiwisolver BSD-3-Clause 1.4.5
packaging Apache-2.0 23.2 24.1
pyparsing MIT 3.1.2
cryptography Apache-2.0 41.0.7 42.0.5 43.0.0
cffi MIT 1.16.0
pycparser BSD-3-Clause 2.21 2.22
sqlalchemy MIT 1.4.54 2.0.25 2.0.31
psycopg2-binary LGPL-3.0-or-later 2.9.9
pydantic MIT 1.10.17 2.5.3 2.8.2
typing-extensions PSF-2.0 4.9.0 4.12.2
tqdm MPL-2.0 4.66.1 4.66.4
nltk Apache-2.0 3.8.1
spacy MIT 3.7.4 3.7.5
shap MIT 0.44.1 0.46.0
statsmodels BSD-3-Clause 0.14.1 0.14.2
networkx BSD-3-Clause 3.2.1 3.3
geopandas BSD-3-Clause 0.14.4 1.0.1
shapely BSD-3-Clause 2.0.3 2.0.5
delta-spark Apache-2.0 2.4.0 3.1.0 3.2.0
great-expectations Apache-2.0 0.18.12 0.18.19
mlflow-skinny Apache-2.0 2.11.1 2.14.3
"""


@dataclass(frozen=True)
class _Project:
    name: str
    license: str
    versions: tuple[str, ...]
    source: str


def objects(count: int) -> Iterator[tuple[str, bytes]]:
    """Yield every object of a store with `count` releases, as key and content; a manifest after what it needs."""
    made = 0
    for number in range((count + RELEASES_PER_NAME - 1) // RELEASES_PER_NAME):
        releases = min(RELEASES_PER_NAME, count - made)
        made += releases
        yield from _environment(_name(number), number, releases)


def names(count: int) -> list[str]:
    """Return the names of a store with `count` releases."""
    return [_name(number) for number in range((count + RELEASES_PER_NAME - 1) // RELEASES_PER_NAME)]


def fill(store: Store, count: int, *, threads: int = 8) -> None:
    """Publish `count` releases in a store of any kind."""
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(lambda pair: store.create(*pair), objects(count)):
            pass
    if isinstance(store, LocalStore):
        lengthen(Path(store.url))


def lengthen(root: Path) -> None:
    """Give the archives of a directory the sizes that their manifests say; the disk keeps no more for that."""
    for path in root.glob("*/*/manifest.json"):
        facts = json.loads(path.read_bytes())["archive"]
        os.truncate(path.with_name(facts["file"]), facts["size"])


def fill_directory(root: Path, count: int) -> None:
    """Write a directory store with `count` releases, quicker than through its own door: 10,000 take seconds."""
    for key, data in objects(count):
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    lengthen(root)


def fill_bucket(client: Any, bucket: str, prefix: str, count: int, *, threads: int = 8) -> None:
    """Put `count` releases below a prefix of a bucket with a boto3 client, without asking what is there."""

    def put(pair: tuple[str, bytes]) -> None:
        client.put_object(Bucket=bucket, Key=f"{prefix}/{pair[0]}", Body=pair[1])

    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(put, objects(count)):
            pass


def _name(number: int) -> str:
    word = _WORDS[number % len(_WORDS)]
    kind = _KINDS[number // len(_WORDS) % len(_KINDS)]
    again = number // (len(_WORDS) * len(_KINDS))
    return f"{word}-{kind}-{again + 1}" if again else f"{word}-{kind}"


@cache
def _projects() -> tuple[tuple[_Project, ...], tuple[_Project, ...]]:
    return tuple(
        tuple(
            _Project(name, licence, tuple(versions), source)
            for name, licence, *versions in (line.split() for line in table.split("\n") if line)
        )
        for table, source in ((_CONDA, "conda"), (_PYPI, "pypi"))
    )  # type: ignore[return-value]


@cache
def _package(project: _Project, version: str) -> dict[str, Any]:
    """Return a package as a manifest holds it."""
    build = {"build": "h0f5a1b2_0"} if project.source == "conda" else {}
    host = "https://conda.anaconda.org/conda-forge/linux-64" if build else "https://files.pythonhosted.org/packages"
    growth = 1 + 0.06 * project.versions.index(version)
    size = int(growth * (20_000 + int(_sha256(project.name)[:6], 16)))
    return {
        "name": project.name,
        "version": version,
        "source": project.source,
        "sha256": _sha256(f"{project.name} {version}"),
        "url": f"{host}/{project.name}-{version}{'-h0f5a1b2_0.conda' if build else '-py3-none-any.whl'}",
        **build,
        "size": size,
        "license": project.license,
        "unpacked_size": 4 * size,
    }


def _environment(name: str, number: int, releases: int) -> Iterator[tuple[str, bytes]]:
    chance = random.Random(number)
    conda, pypi = _projects()
    inside = sorted((*conda, *chance.sample(pypi, PACKAGES - len(conda))), key=lambda project: project.name)
    chosen = {project: chance.randrange(max(1, len(project.versions) - 1)) for project in inside}
    spark = chance.choice(("3.3", "3.4", "3.5", "3.5", "4.0"))
    created = _FIRST + timedelta(hours=number)
    digests = []
    for release in range(releases):
        archive = f"{name} {release}\n".encode()
        manifest = _manifest(name, archive, chosen, spark=spark, created=created, chance=chance)
        digests.append((manifest["archive"]["sha256"], manifest["created"]))
        yield from _release(name, archive, manifest)
        for project in chance.sample(inside, 5):
            chosen[project] = min(chosen[project] + 1, len(project.versions) - 1)
        created += timedelta(days=chance.randrange(1, 30), minutes=chance.randrange(600))
    for tag, back in (("latest", 0), ("prod", 2), ("staging", 1)):
        if tag == "latest" or chance.random() < 0.6:
            yield f"{name}/tags/{tag}.json", _tag(digests[: max(1, len(digests) - back)])


def _release(name: str, archive: bytes, manifest: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    folder = f"{name}/{manifest['archive']['sha256'][:16]}"
    yield f"{folder}/{manifest['archive']['file']}", archive
    yield f"{folder}/{name}.lock", b"version: 6\n"
    yield f"{folder}/manifest.json", json.dumps(manifest).encode()
    record = {"schema": 1, "digest": manifest["archive"]["sha256"], "created": manifest["created"]}
    yield f"{name}/builds/{manifest['input_digest']}.json", json.dumps(record).encode()


def _manifest(
    name: str, archive: bytes, chosen: dict[_Project, int], *, spark: str, created: datetime, chance: random.Random
) -> dict[str, Any]:
    digest = hashlib.sha256(archive).hexdigest()
    packages = [_package(project, project.versions[version]) for project, version in chosen.items()]
    wheels = [package["name"] for package in packages if package["source"] == "pypi"]
    size = sum(package["size"] for package in packages)
    return {
        "schema": 1,
        "name": name,
        "archive": {
            "file": f"{name}-{digest[:16]}.tar.gz",
            "format": "tar.gz",
            "size": size,
            "sha256": digest,
            "unpacked_size": 4 * size,
            "members": 9_000,
        },
        "python": next(package["version"] for package in packages if package["name"] == "python"),
        "target": {"platform": "linux-64", "glibc": "2.28", "spark": spark},
        "packages": [
            {**package, "requires": [name for name in wheels[n % 7 : n % 7 + 2] if name > package["name"]]}
            for n, package in enumerate(packages)
        ],
        "requested": wheels[:8],
        "variables": {"SSL_CERT_FILE": "./environment/ssl/cacert.pem"},
        "input_digest": _sha256(f"inputs of {digest}"),
        "created": _iso(created),
        "envpack": "1.0",
        "packer": "11/conda-pack-0.9.2/deflate-0.9.0/zlib-ng-2.2.5",
        "description": f"Python packages for {name.replace('-', ' ')}",
        "owner": "data-platform",
        "verified": "run",
        "warnings": [],
        "provenance": {
            "by": chance.choice(_PEOPLE) if chance.random() < 0.3 else f"Jenkins envs #{chance.randrange(9999)}",
            "repository": "https://git.example.org/data/envs.git",
            "commit": _sha256(f"commit of {digest}")[:40],
            "file": f"envs/{name}.txt",
            "modified": False,
        },
    }


def _tag(moves: list[tuple[str, str]]) -> bytes:
    newest, *older = reversed(moves)
    history = [{"digest": digest, "moved": moved} for digest, moved in older]
    value = {"schema": 1, "digest": newest[0], "moved": newest[1], "history": history}
    return json.dumps(value).encode()


def _iso(when: datetime) -> str:
    return when.isoformat().replace("+00:00", "Z")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
