"""Look things up in a store of many releases: list, search, diff, gc's plan, the catalog; how they grow with it.

Usage: python -m bench.store [directory|versitygw]... [--counts 100 1000 10000] [--rounds N]

The releases are those of tests/support/many_releases.py: 20 of each name, 60 packages each. Their archives are
holes of the size that their manifests say.
`cpu` is the processor time of envpack, which other work on the machine disturbs less than the wall time; `requests`
are those that versitygw has answered. The catalog's pages are published where there are few enough releases.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from bench import places, results
from bench.measure import Rival, compare
from envpack.releases import index
from envpack.stores import open_store
from envpack.stores.s3.options import S3Options
from tests.support import s3
from tests.support.many_releases import fill_bucket, fill_directory, lengthen, names

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.results import Row

KINDS = ("directory", "versitygw")
BUCKET = "bench"
_SECONDS = 30
_MOST_PAGES = 1_000
"""The catalog writes a page for each release."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the stores that are named, or both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kinds", nargs="*", metavar="KIND", default=KINDS)
    parser.add_argument("--counts", nargs="+", type=int, default=[100, 1_000, 10_000])
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args(arguments)
    rows: list[Row] = []
    for kind in given.kinds:
        for count in given.counts:
            rows += measure(kind, count, given.rounds)
    results.save("store", rows)
    for kind in given.kinds:
        _print_growth([row for row in rows if row["case"].startswith(f"{kind} ")])


def measure(kind: str, count: int, rounds: int) -> list[Row]:
    """Return the rows of one store."""
    print(f"{kind}: {count:,} releases", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=places.home()) as folder, _store(kind, count, Path(folder)) as variables:
        taken = compare(list(_questions(Path(folder), variables, count)), rounds=rounds)
    return results.rows(f"{kind} {count}", taken, releases=count)


def _questions(folder: Path, variables: dict[str, str], count: int) -> Iterator[Rival]:
    """Yield each question, asked by a fresh process; those of a new machine first forget what this one knows."""
    cache = folder / "cache"
    known = {**variables, "ENVPACK_CACHE_DIR": str(cache)}
    name = names(count)[0]

    log = folder / "log"
    used, asked = 0.0, 0

    def ask(title: str, *words: str, new_machine: bool = False, once: bool = False, changed: bool = False) -> Rival:
        command: list[str | Path] = [places.ENVPACK, *words]

        def before() -> None:
            nonlocal used, asked
            if new_machine:
                shutil.rmtree(cache, ignore_errors=True)
            if changed:
                tag: list[str | Path] = [places.ENVPACK, "tag", f"{name}:latest", f"at-{time.time_ns()}"]
                subprocess.run(tag, env=known, check=True, stdout=subprocess.DEVNULL)
            used, asked = _processor_time(), _requests(log)

        def after() -> dict[str, float]:
            requests = {"requests": _requests(log) - asked} if log.exists() else {}
            return {"cpu": round(_processor_time() - used, 2), **requests}

        once_only = 1 if once else None
        return Rival(name=title, commands=[command], variables=known, before=before, after=after, only=once_only)

    yield ask("list, new machine", "list", new_machine=True)
    yield ask("list", "list")
    yield ask("list of one name", "list", name)
    yield ask("search", "search", "numpy<2")
    yield ask("diff", "diff", f"{name}:latest", f"{name}:latest")
    yield ask("show", "show", f"{name}:latest", "--why", "openssl")
    yield ask("gc plan", "gc", "--keep-last", "5", once=True)
    if count <= _MOST_PAGES:
        yield ask("catalog", "catalog", str(folder / "catalog"), once=True)
        yield ask("catalog --publish, first", "catalog", "--publish", once=True)
        yield ask("catalog --publish, one change", "catalog", "--publish", changed=True)
    yield ask("list, no index", "list", "--rebuild-index", once=True)


@contextmanager
def _store(kind: str, count: int, folder: Path) -> Iterator[dict[str, str]]:
    """Give the variables by which envpack finds a store with `count` releases and their indexes."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("ENVPACK_", "AWS_"))}
    if kind == "directory":
        fill_directory(folder / "store", count)
        lengthen(folder / "store")
        index.rebuild(open_store(str(folder / "store")))
        yield {**plain, "ENVPACK_STORE": str(folder / "store")}
        return
    with _server(folder) as server:
        config = Config(s3={"addressing_style": "path"}, max_pool_connections=16)
        session = boto3.Session(s3.ACCESS_KEY, s3.SECRET_KEY, region_name=s3.REGION)
        client = session.client("s3", endpoint_url=server.endpoint, config=config)
        client.create_bucket(Bucket=BUCKET)
        fill_bucket(client, BUCKET, "envs", count)
        lengthen(folder / "data" / BUCKET / "envs")
        os.environ.update(server.variables())
        index.rebuild(open_store(f"s3://{BUCKET}/envs", S3Options(addressing="path")))
        yield {
            **plain,
            **server.variables(),
            "ENVPACK_STORE": f"s3://{BUCKET}/envs",
            "ENVPACK_S3_ADDRESSING": "path",
        }


@contextmanager
def _server(folder: Path) -> Iterator[s3.S3Server]:
    port = s3.free_port()
    for name in ("data", "metadata"):
        (folder / name).mkdir()
    keys = ["--access", s3.ACCESS_KEY, "--secret", s3.SECRET_KEY]
    directories = ["posix", "--sidecar", str(folder / "metadata"), str(folder / "data")]
    command = [str(s3.versitygw()), "--port", f"127.0.0.1:{port}", *keys, *directories]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        s3.wait_for(port, process, folder / "log")
        time.sleep(0.5)
        yield s3.S3Server(endpoint=f"http://127.0.0.1:{port}", owner=s3.ACCESS_KEY)
    finally:
        process.terminate()
        process.wait(_SECONDS)


def _requests(log: Path) -> int:
    """Return how many requests versitygw has answered; 0 for another store."""
    return log.read_text("utf-8", "replace").count(" | vgw | ") if log.exists() else 0


def _processor_time() -> float:
    """Return the seconds that ended children of this process have computed."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _print_growth(rows: Sequence[Row]) -> None:
    """Print how many times longer each question takes in the larger stores than in the smallest."""
    for rival in dict.fromkeys(row["rival"] for row in rows):
        own = [row for row in rows if row["rival"] == rival]
        first = own[0]
        steps = (
            f"{row['releases']:,}: {row['median']:.2f} s (x{row['median'] / first['median']:.1f})" for row in own
        )
        print(f"{first['case'].split()[0]}, {rival}: {', '.join(steps)}")


if __name__ == "__main__":
    main()
