"""Nodes that have much configured for their own Python run a real release all the same, on real Sparks and YARN."""

from __future__ import annotations

import shlex
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pytest

from envpack.archive import guard
from tests.support.cache import cache_directory
from tests.support.command import desk_at
from tests.support.job import SPARK_3, SPARK_4, check_python
from tests.support.s3a import jars_of_nodes, reading
from tests.support.spark import LOCAL_CLUSTER

if TYPE_CHECKING:
    from collections.abc import Callable

    from envpack.archive.formats import FormatName
    from tests.support.channel import Channel
    from tests.support.job import JobDesk
    from tests.support.s3 import S3Server
    from tests.support.spark import Spark


NUMPY = "raise SystemExit('this is the numpy of the node')\n"


@pytest.fixture
def node(tmp_path: Path, spark_job: JobDesk) -> dict[str, str]:
    """What a node has set: packages of its user, and a Python of its own with packages and time zones."""
    minor = ".".join(spark_job.desk.channel.python.split(".")[:2])
    home, base, theirs = tmp_path / "home", tmp_path / "base", tmp_path / "theirs"
    for packages in (
        home / f".local/lib/python{minor}/site-packages",
        base / f"lib/python{minor}/site-packages",
        theirs,
    ):
        packages.mkdir(parents=True)
        (packages / "numpy.py").write_text(NUMPY)
    (tmp_path / "stale/encodings").mkdir(parents=True)
    (tmp_path / "stale/encodings/__init__.py").write_text("raise SystemExit('another standard library')\n")
    (tmp_path / "zones").mkdir()
    return {
        "HOME": str(home),
        "PYTHONUSERBASE": str(base),
        "PYTHONPATH": f"{theirs}:{tmp_path / 'stale'}",
        "PYTHONHOME": "/nowhere",
        "PYTHONPLATLIBDIR": "lib64",
        "PYTHONEXECUTABLE": "/usr/bin/python3",
        "PYTHONTZPATH": str(tmp_path / "zones"),
    }


def as_of(prefix: str, variables: dict[str, str]) -> str:
    return shlex.join([word for name, value in variables.items() for word in ("--conf", f"{prefix}{name}={value}")])


def unguarded(archive: Path, out: Path) -> Path:
    """Write an archive again as it would be without what keeps the node's configuration away."""
    added = (guard.PYVENV, f"/{guard.FIRST}", f"/{guard.LAST}", f"/{guard.MODULE}.py")
    with tarfile.open(archive) as source, tarfile.open(out, "w:gz", compresslevel=1) as target:
        for member in source:
            if member.name.endswith(added):
                continue
            if member.name in guard.LAUNCHERS:
                member.type, member.size = tarfile.SYMTYPE, 0
                member.linkname = f"python{'.'.join(_python_of(archive))}"
            target.addfile(member, source.extractfile(member) if member.isreg() else None)
    return out


def _python_of(archive: Path) -> tuple[str, str]:
    with tarfile.open(archive) as source:
        name = next(member.name for member in source if member.name.startswith("bin/python3."))
    major, minor = name.removeprefix("bin/python").split(".")[:2]
    return major, minor


def archive_of(built: Any) -> Path:
    return Path(unquote(urlsplit(built["archive"]["uri"]).path))


@pytest.mark.acceptance
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("version", "archive_format"), [(SPARK_3, "tar.gz"), (SPARK_4, "tar.gz"), (SPARK_4, "zip")]
)
def test_executors_import_the_archives_packages(
    *,
    version: str,
    archive_format: FormatName,
    spark_job: JobDesk,
    spark_of: Callable[[str], Spark],
    node: dict[str, str],
    tmp_path: Path,
) -> None:
    spark = spark_of(version)
    built = spark_job.build(version, "standalone", archive_format)
    text = spark_job.printed("settings", built["reference"], "--launcher", "standalone", "--spark", version)
    check = spark_job.desk.run("settings", built["reference"], "--check").out
    spark_job.write_job(*check.splitlines(), name="hostile.py")
    submit = f"spark-submit --master {LOCAL_CLUSTER} {as_of('spark.executorEnv.', node)} \\\n"
    done = spark.shell(f"{submit}{text} \\\nhostile.py", spark_job.home)
    assert done.returncode == 0, done.stderr[-5000:]
    assert f"0 of 5 differ from {built['reference']}" in done.stdout
    for process in spark_job.answer().executors:
        check_python(process, built)
        assert process.variables["PYTHONTZPATH"].endswith("/tzdata/zoneinfo")

    if archive_format == "zip":
        return
    bare = unguarded(archive_of(built), tmp_path / f"bare-{archive_of(built).name}")
    for alone in ("PYTHONPATH", "PYTHONHOME") if version == SPARK_3 else ("HOME",):
        one = as_of("spark.executorEnv.", {alone: node[alone]})
        command = f"spark-submit --master {LOCAL_CLUSTER} {one} --conf spark.task.maxFailures=1 \\\n"
        changed = text.replace(text.split()[1], f"{bare}#environment")
        assert spark.shell(f"{command}{changed} \\\njob.py", spark_job.home).returncode != 0, alone


@pytest.mark.acceptance
@pytest.mark.timeout(900)
@pytest.mark.parametrize("version", [SPARK_3, SPARK_4])
def test_workers_of_a_standalone_cluster_that_fetch_from_s3_import_the_archives_packages(
    *,
    version: str,
    spark_job: JobDesk,
    spark_of: Callable[[str], Spark],
    real_s3: S3Server,
    node: dict[str, str],
    tmp_path: Path,
) -> None:
    """The node is the worker's own environment, which its executors inherit."""
    spark = spark_of(version)
    built = spark_job.build(version, "standalone")
    desk = spark_job.on_s3(real_s3)
    jars = jars_of_nodes(tmp_path / "s3a", version)
    text = desk.printed("settings", built["reference"], "--launcher", "standalone", "--s3a-jars", f"{jars}/*")
    bare = unguarded(archive_of(built), tmp_path / f"bare-{archive_of(built).name}")
    real_s3.client().upload_file(str(bare), desk.bucket, bare.name)
    changed = text.replace(text.split()[1], f"s3a://{desk.bucket}/{bare.name}#environment")
    with spark.standalone(tmp_path, node) as master:
        submit = f"spark-submit --master {master} --conf spark.task.maxFailures=1 {reading(real_s3)}"
        for process in desk.run(spark, f"{submit} \\\n{text}").executors:
            check_python(process, built)
        assert spark.shell(f"{submit} \\\n{changed} \\\njob.py", desk.home).returncode != 0


@pytest.mark.yarn
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("version", "mode", "archive_format", "alone"),
    [
        (SPARK_3, "cluster", "tar.gz", "PYTHONPATH"),
        (SPARK_3, "client", "tar.gz", "PYTHONHOME"),
        (SPARK_3, "cluster", "zip", None),
        (SPARK_4, "cluster", "tar.gz", "HOME"),
        (SPARK_4, "client", "tar.gz", "PYTHONPLATLIBDIR"),
    ],
)
def test_containers_of_yarn_import_the_archives_packages(
    *,
    version: str,
    mode: str,
    archive_format: FormatName,
    alone: str | None,
    yarn_job: JobDesk,
    spark_on_yarn: Callable[[str], Spark],
    node: dict[str, str],
    tmp_path: Path,
) -> None:
    """All variables at once change nothing; without what keeps it away, one of them `alone` ends the job."""
    launcher = f"yarn-{mode}"
    built = yarn_job.build(None, launcher, archive_format)
    text = yarn_job.built_text(None, launcher, archive_format)

    def submit(theirs: dict[str, str]) -> str:
        configured = f"{as_of('spark.executorEnv.', theirs)} {as_of('spark.yarn.appMasterEnv.', theirs)}"
        return f"spark-submit --master yarn --deploy-mode {mode} {configured}"

    answer = yarn_job.run(spark_on_yarn(version), f"{submit(node)} \\\n{text}")
    for process in (*answer.executors, *([answer.driver] if mode == "cluster" else ())):
        check_python(process, built)
    if alone:
        bare = unguarded(archive_of(built), tmp_path / f"bare-{archive_of(built).name}")
        once = "--conf spark.task.maxFailures=1 --conf spark.yarn.maxAppAttempts=1"
        changed = text.replace(text.split()[1], f"{bare}#environment")
        command = f"{submit({alone: node[alone]})} {once} \\\n{changed} \\\njob.py"
        done = spark_on_yarn(version).shell(command, yarn_job.home)
        assert done.returncode != 0, alone


GEO = """
import fiona.crs, numpy, pandas, pyarrow, pytz, rasterio.crs
epsg = rasterio.crs.CRS.from_epsg(4326).to_epsg(), fiona.crs.CRS.from_epsg(4326).to_epsg()
print(*epsg, pytz.timezone("Europe/Berlin"))
print(*{line.split()[-1] for line in open("/proc/self/maps") if "libstdc++" in line})
"""


@pytest.mark.acceptance
@pytest.mark.timeout(900)
def test_wheels_take_neither_data_nor_libraries_of_the_node(full_channel: Channel, tmp_path: Path) -> None:
    desk = desk_at(tmp_path / "a desk", full_channel, cache_directory() / "envpack")
    desk.write("geo.txt", "rasterio", "fiona", "pytz", "pandas", "pyarrow")
    there = tmp_path / "there"
    built = desk.build("geo.txt", "--no-verify")
    assert desk.run("pull", built["reference"], str(there)).code == 0
    bad = tmp_path / "bad"
    bad.mkdir()
    for name in ("proj.db", "libstdc++.so.6"):
        (bad / name).write_text("not what it is called")
    names = ("PROJ_LIB", "PROJ_DATA", "PYTZ_TZDATADIR", "LD_LIBRARY_PATH")

    def run(*configured: str) -> subprocess.CompletedProcess[str]:
        environ = {"PATH": "/usr/bin:/bin", **dict.fromkeys(configured, str(bad))}
        return subprocess.run([there / "bin/python", "-c", GEO], env=environ, capture_output=True, text=True)

    said = run(*names)
    assert said.stdout.splitlines()[:1] == ["4326 4326 Europe/Berlin"], said.stderr
    if (there / "lib/cxx/libstdc++.so.6").exists():
        assert said.stdout.splitlines()[1] == str(there / "lib/cxx/libstdc++.so.6")
    for path in there.glob("lib/python3*/site-packages/*-envpack.pth"):
        path.unlink()
    assert {name for name in names if run(name).returncode} >= {"PROJ_LIB", "PROJ_DATA", "PYTZ_TZDATADIR"}
