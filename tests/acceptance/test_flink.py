"""A real YARN runs PyFlink in a real release, submitted with exactly the text that envpack prints."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.cache import cache_directory
from tests.support.command import as_pypi_was, desk_at
from tests.support.flink import HADOOP, PYTHONS, VERSION, flink_on
from tests.support.job import HARD_MODE
from tests.support.wheels import write_wheel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.channel import Channel
    from tests.support.command import Desk
    from tests.support.flink import Flink
    from tests.support.s3 import S3Server
    from tests.support.yarn import Yarn

pytestmark = [
    pytest.mark.yarn,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1], reason="PyPI has no wheel of Flink for this Python"
    ),
]

JOB = """\
import json
import os
import sys
from pathlib import Path

import pandas
from pyflink.common import Types
from pyflink.datastream import StreamExecutionEnvironment

ANSWERS = Path({answers!r})


def seen():
    names = ("JOB_MODE", "JOB_HOME")
    return {{
        "executable": os.path.normpath(os.path.join(os.getcwd(), sys.executable)),
        "inside": os.path.isdir("environment/conda-meta"),
        "pandas": [pandas.__version__, os.path.abspath(pandas.__file__)],
        "variables": {{name: os.environ.get(name) for name in names}},
    }}


def tell(number):
    (ANSWERS / f"worker-{{number}}.json").write_text(json.dumps(seen()))
    return str(number)


if __name__ == "__main__":
    environment = StreamExecutionEnvironment.get_execution_environment()
    numbers = environment.from_collection([1, 2], type_info=Types.INT())
    numbers.map(tell, output_type=Types.STRING()).print()
    environment.execute("job")
    (ANSWERS / "part").write_text(json.dumps(seen()))
    (ANSWERS / "part").rename(ANSWERS / "main.json")
"""


@pytest.fixture(scope="module")
def flink(yarn_of: Callable[[str], Yarn], tmp_path_factory: pytest.TempPathFactory) -> Flink:
    return flink_on(yarn_of(HADOOP), tmp_path_factory.mktemp("flink"))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, full_channel: Channel) -> Desk:
    """A desk whose environment has PyFlink, less Flink's 330 MB of jars, which the cluster has."""
    home = tmp_path_factory.mktemp("flink") / "a desk"
    desk = as_pypi_was(desk_at(home, full_channel, cache_directory() / "envpack"))
    (desk.home / "wheels").mkdir()
    write_wheel(desk.home / "wheels", "apache-flink-libraries", f"{VERSION}+none")
    mode = json.dumps(HARD_MODE)
    lines = ("--find-links wheels", f"apache-flink=={VERSION}")
    desk.write("flow.txt", *lines, f"# envpack: variables: {{JOB_MODE: {mode}, JOB_HOME: ./environment/share}}")
    return desk


def submitted(flink: Flink, desk: Desk, directory: Path, *build: str, **variables: str) -> Any:
    """Submit the job with what envpack prints, and return what its main program and its workers saw."""
    options = ("flow.txt", "--launcher", "flink-yarn", "--no-verify", *build)
    text = desk.run("build", *options, **variables)
    assert text.code == 0, text.err
    directory.mkdir()
    program = directory / "job.py"
    program.write_text(JOB.format(answers=str(directory)))
    command = f"flink run -t yarn-application {text.out.rstrip()} -pyfs {directory} -pym job"
    ran = flink.shell(command, directory)
    assert ran.returncode == 0, f"{ran.stdout[-4000:]}{ran.stderr[-8000:]}"
    main = json.loads(flink.wait(directory / "main.json"))
    return main, [json.loads(path.read_text()) for path in sorted(directory.glob("worker-*.json"))]


def check_inside(main: Any, workers: list[Any]) -> None:
    """Check that the main program and the workers ran in the release, with its variables."""
    assert len(workers) == 2
    for process in (main, *workers):
        assert "/python-archives/environment/bin/python" in process["executable"]
        assert process["inside"]
        assert "/environment/lib/" in process["pandas"][1]
        assert process["variables"] == {"JOB_MODE": HARD_MODE, "JOB_HOME": "./environment/share"}


@pytest.mark.parametrize("archive_format", ["tar.gz", "zip"])
def test_main_program_and_workers_run_in_a_release_of_a_directory(
    archive_format: str, flink: Flink, desk: Desk, tmp_path: Path
) -> None:
    check_inside(*submitted(flink, desk, tmp_path / "job", "--format", archive_format))


def test_they_run_in_a_release_of_s3(flink: Flink, desk: Desk, moto_s3: S3Server, tmp_path: Path) -> None:
    variables = {**moto_s3.variables(), "ENVPACK_STORE": f"s3://{moto_s3.new_bucket()}/releases"}
    check_inside(*submitted(flink, desk, tmp_path / "job", "--format", "tar", **variables))
