"""The text that people paste, for every launcher, pinned to what docs/spark.md says of each."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from jinja2 import Template

from envpack.archive.formats import FORMATS
from envpack.errors import UsageError
from envpack.spark.launchers import DEFAULT, LAUNCHERS
from envpack.spark.render import render
from envpack.spark.settings import settings_for
from envpack.spark.versions import minor
from tests.support.manifests import S3, made, manifest

if TYPE_CHECKING:
    from envpack.archive.formats import FormatName

S3A = S3.replace("s3://", "s3a://")

YARN_CLUSTER = """\
--archives s3a://bucket/envs/pandas-udf/3f2a9c1b4d5e6f70/pandas-udf-3f2a9c1b4d5e6f70.tar.gz#environment \\
--conf spark.pyspark.python=./environment/bin/python \\
--conf spark.yarn.appMasterEnv.PYSPARK_PYTHON=./environment/bin/python"""

CLIENT = """\
--archives s3a://bucket/envs/pandas-udf/3f2a9c1b4d5e6f70/pandas-udf-3f2a9c1b4d5e6f70.tar.gz#environment \\
--conf spark.pyspark.python=./environment/bin/python \\
--conf spark.pyspark.driver.python=python3.11"""

K8S_CLUSTER = """\
--archives s3a://bucket/envs/pandas-udf/3f2a9c1b4d5e6f70/pandas-udf-3f2a9c1b4d5e6f70.tar.gz#environment \\
--conf spark.pyspark.python=./environment/bin/python"""

LOCAL = """\
--conf spark.pyspark.python=/opt/envs/bin/python"""

CONNECT = """\
PYSPARK_PYTHON=../environment/bin/python \\
start-connect-server.sh \\
--archives s3a://bucket/envs/pandas-udf/3f2a9c1b4d5e6f70/pandas-udf-3f2a9c1b4d5e6f70.tar.gz#environment"""

CONNECT_CLIENT = """\
spark.addArtifacts("pandas-udf-3f2a9c1b4d5e6f70.tar.gz#environment", archive=True)
spark.conf.set("spark.sql.execution.pyspark.python", "./environment/bin/python")"""

LIVY_BATCH = """\
{
  "archives": [
    "s3a://bucket/envs/pandas-udf/3f2a9c1b4d5e6f70/pandas-udf-3f2a9c1b4d5e6f70.tar.gz#environment"
  ],
  "conf": {
    "spark.pyspark.python": "./environment/bin/python",
    "spark.yarn.appMasterEnv.PYSPARK_PYTHON": "./environment/bin/python"
  }
}"""

LIVY_SESSION = LIVY_BATCH.replace("{\n", '{\n  "kind": "pyspark",\n', 1)

SPARKMAGIC = f"%%configure -f\n{LIVY_BATCH}"

_DEFAULTS = {"session_configs_defaults": json.loads(LIVY_BATCH), "livy_session_startup_timeout_seconds": 300}
SPARKMAGIC_CONFIG = json.dumps(_DEFAULTS, indent=2)

AIRFLOW = """\
archives="s3a://bucket/envs/pandas-udf/3f2a9c1b4d5e6f70/pandas-udf-3f2a9c1b4d5e6f70.tar.gz#environment",
conf={
    "spark.pyspark.python": "./environment/bin/python",
    "spark.yarn.appMasterEnv.PYSPARK_PYTHON": "./environment/bin/python",
},"""

AIRFLOW_LIVY = re.sub(r'archives=(".*"),', r"archives=[\1],", AIRFLOW)

EMR = YARN_CLUSTER.replace("s3a://", "s3://")

EMR_SERVERLESS = (
    "--conf spark.archives=s3://bucket/envs/pandas-udf/3f2a9c1b4d5e6f70/pandas-udf-3f2a9c1b4d5e6f70.tar.gz#environment"
    " --conf spark.emr-serverless.driverEnv.PYSPARK_DRIVER_PYTHON=./environment/bin/python"
    " --conf spark.emr-serverless.driverEnv.PYSPARK_PYTHON=./environment/bin/python"
    " --conf spark.executorEnv.PYSPARK_PYTHON=./environment/bin/python"
)

DATAPROC = """\
--archives=gs://bucket/envs/pandas-udf/3f2a9c1b4d5e6f70/pandas-udf-3f2a9c1b4d5e6f70.tar.gz#environment \\
--properties=spark.submit.deployMode=cluster,spark.pyspark.python=./environment/bin/python,\
spark.yarn.appMasterEnv.PYSPARK_PYTHON=./environment/bin/python"""

OPERATOR = """\
spec:
  deps:
    archives:
    - "s3a://bucket/envs/pandas-udf/3f2a9c1b4d5e6f70/pandas-udf-3f2a9c1b4d5e6f70.tar.gz#environment"
  sparkConf:
    "spark.pyspark.python": "./environment/bin/python\""""

KYUUBI = """\
{
  "batchType": "PYSPARK",
  "conf": {
    "spark.yarn.dist.archives": "ADDRESS",
    "spark.pyspark.python": "./environment/bin/python",
    "spark.yarn.appMasterEnv.PYSPARK_PYTHON": "./environment/bin/python"
  }
}""".replace("ADDRESS", f"{S3A}#environment")

ZEPPELIN = f"""\
%spark.conf
spark.yarn.dist.archives {S3A}#environment
spark.submit.deployMode cluster
spark.pyspark.python ./environment/bin/python
spark.yarn.appMasterEnv.PYSPARK_PYTHON ./environment/bin/python"""

EMR_EKS = f"--conf spark.archives={S3}#environment --conf spark.pyspark.python=./environment/bin/python"

DATAPROC_SERVERLESS = """\
--archives=gs://bucket/envs/pandas-udf/3f2a9c1b4d5e6f70/pandas-udf-3f2a9c1b4d5e6f70.tar.gz#environment \\
--properties=spark.dataproc.driverEnv.PYSPARK_PYTHON=./environment/bin/python,\
spark.executorEnv.PYSPARK_PYTHON=./environment/bin/python"""

FLINK = f"""\
-pyarch {S3}#environment \\
-pyexec ./environment/bin/python \\
-pyclientexec ./environment/bin/python"""

TEXTS = {
    "yarn-cluster": YARN_CLUSTER,
    "yarn-client": CLIENT,
    "k8s-cluster": K8S_CLUSTER,
    "spark-operator": OPERATOR,
    "k8s-client": CLIENT,
    "standalone": CLIENT,
    "local": LOCAL,
    "connect": CONNECT,
    "connect-client": CONNECT_CLIENT,
    "livy-session": LIVY_SESSION,
    "livy-batch": LIVY_BATCH,
    "kyuubi": KYUUBI,
    "synapse": LIVY_BATCH,
    "zeppelin": ZEPPELIN,
    "sparkmagic": SPARKMAGIC,
    "sparkmagic-config": SPARKMAGIC_CONFIG,
    "airflow": AIRFLOW,
    "airflow-livy": AIRFLOW_LIVY,
    "emr": EMR,
    "emr-serverless": EMR_SERVERLESS,
    "emr-eks": EMR_EKS,
    "dataproc-serverless": DATAPROC_SERVERLESS,
    "dataproc": DATAPROC,
    "flink-yarn": FLINK,
}

OLDEST_WITH_ZIP = {
    "yarn-cluster": "2.4",
    "yarn-client": "2.4",
    "k8s-cluster": "4.0",
    "spark-operator": "4.0",
    "k8s-client": "4.0",
    "standalone": "4.0",
    "local": "2.4",
    "connect": "4.0",
    "connect-client": "4.0",
    "livy-session": "2.4",
    "livy-batch": "2.4",
    "kyuubi": "2.4",
    "synapse": "2.4",
    "zeppelin": "2.4",
    "sparkmagic": "2.4",
    "sparkmagic-config": "2.4",
    "airflow": "2.4",
    "airflow-livy": "2.4",
    "emr": "2.4",
    "emr-serverless": "4.0",
    "emr-eks": "4.0",
    "dataproc-serverless": "4.0",
    "dataproc": "2.4",
    "flink-yarn": "2.4",
}
UNPACKED_BY_SPARK = [name for name, oldest in OLDEST_WITH_ZIP.items() if oldest == "4.0"]
OLDEST = {**OLDEST_WITH_ZIP, "k8s-cluster": "3.1", "k8s-client": "3.1", "standalone": "3.1"}
OLDEST |= {"connect": "3.5", "connect-client": "3.5", "emr-serverless": "3.2"}
OLDEST |= {"spark-operator": "3.1", "emr-eks": "3.1", "dataproc-serverless": "3.3"}

PYTHON_OF = {"2.4": "3.7.17", "3.0": "3.8.18", "3.1": "3.9.19", "3.2": "3.9.19", "3.3": "3.10.13"}


def text(launcher: str, spark: str | None, archive_format: FormatName, path: Path) -> str:
    """Return what is printed for a release whose Python that Spark loads."""
    settings = made(
        launcher,
        S3.replace("tar.gz", archive_format),
        archive_format=archive_format,
        spark=spark,
        python=PYTHON_OF.get(spark or "", "3.11.7"),
        directory=path,
    )
    return render(settings, "text")


def test_every_launcher_is_pinned_here() -> None:
    assert TEXTS.keys() == OLDEST.keys() == LAUNCHERS.keys()


def test_the_page_says_of_each_launcher_what_it_prints_and_how_that_was_proven() -> None:
    page = (Path(__file__).parent.parent / "docs/spark.md").read_text("utf-8")
    row = r"^\| `([a-z0-9-]+)` \| (.*) \| (run|read in source|vendor's [a-z]+)\b.* \|$"
    rows = re.findall(row, page, re.MULTILINE)
    assert [name for name, *_ in rows] == list(LAUNCHERS)
    for name, settings, _ in rows:
        for said in set(re.findall(r"`([^`]+)`", settings)) - {*LAUNCHERS}:
            assert said.removesuffix("*") in TEXTS[name], f"{name}: {said}"
        for other in re.findall(r"as `([a-z0-9-]+)`", settings):
            assert set(re.findall(r"--conf (\S+)=", TEXTS[other])) <= set(re.findall(r"[\w.]+", TEXTS[name]))


def test_yarn_in_cluster_mode_is_the_default() -> None:
    assert settings_for(manifest(), S3).launcher == "yarn-cluster" == DEFAULT


@pytest.mark.parametrize(
    ("launcher", "archive_format"),
    [(name, kind) for name in TEXTS for kind in FORMATS if kind != "tar" or name not in UNPACKED_BY_SPARK],
)
def test_the_text_is_the_same_for_every_spark_that_can_run_it_and_others_are_refused(
    launcher: str, archive_format: FormatName, tmp_path: Path
) -> None:
    oldest = minor((OLDEST_WITH_ZIP if archive_format == "zip" else OLDEST)[launcher])
    for spark in (None, "2.4", "3.0", "3.1", "3.2", "3.3", "3.4", "3.5", "4.0", "4.1", "4.2"):
        if spark and minor(spark) < oldest:
            with pytest.raises(UsageError, match=rf"Spark {spark}"):
                text(launcher, spark, archive_format, tmp_path)
            continue
        expected = TEXTS[launcher].replace("/opt/envs", str(tmp_path)).replace("tar.gz", archive_format)
        python = PYTHON_OF.get(spark or "", "3.11.7").rpartition(".")[0]
        assert text(launcher, spark, archive_format, tmp_path) == expected.replace("python3.11", f"python{python}")


@pytest.mark.parametrize("launcher", UNPACKED_BY_SPARK)
@pytest.mark.parametrize("spark", [None, "3.5", "4.0", "4.2"])
def test_a_tar_is_refused_where_spark_itself_unpacks_it(launcher: str, spark: str | None, tmp_path: Path) -> None:
    """Its Java code loses permissions since 3.2 (SPARK-38631), and breaks links."""
    with pytest.raises(
        UsageError, match=f"with {launcher}, Spark.* loses a tar's permissions and links"
    ) as refusal:
        text(launcher, spark, "tar", tmp_path)
    assert refusal.value.hint == "build with --format tar.gz"


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_json_holds_the_text_that_is_printed(launcher: str) -> None:
    settings = made(launcher, variables={"MODE": "fast"})
    assert json.loads(render(settings, "json"))["text"] == render(settings, "text")


# --- one line ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("launcher", [name for name, launcher in LAUNCHERS.items() if launcher.text == "submit"])
def test_one_line_says_the_same_as_the_text(launcher: str) -> None:
    settings = made(launcher, directory=Path("/nodes/environment"))  # one line has no room for a path with a blank
    assert render(settings, "oneline") == render(settings, "text").replace("\\\n", "")


@pytest.mark.parametrize("launcher", ["livy-session", "livy-batch", "kyuubi"])
def test_one_line_of_livy_is_its_body(launcher: str) -> None:
    line = render(made(launcher), "oneline")
    assert "\n" not in line
    assert json.loads(line) == json.loads(TEXTS[launcher])


@pytest.mark.parametrize("launcher", ["sparkmagic", "airflow", "dataproc", "connect-client", "zeppelin"])
def test_what_cannot_be_said_in_one_line_is_refused(launcher: str) -> None:
    with pytest.raises(UsageError, match="cannot be printed with --output oneline"):
        render(made(launcher), "oneline")


def test_one_line_of_flink_says_the_same_as_the_text() -> None:
    settings = made("flink-yarn", variables={"MODE": "fast"})
    assert render(settings, "oneline") == render(settings, "text").replace("\\\n", "")
    assert render(settings, "oneline").endswith("-Dcontainerized.taskmanager.env.MODE=fast")


def test_flink_reads_the_path_of_a_file_as_it_is() -> None:
    text = render(made("flink-yarn", "file:///a%20store/e.tar.gz"), "text")
    assert "-pyarch 'file:///a store/e.tar.gz#environment'" in text


@pytest.mark.parametrize(("packages", "said"), [(("pandas",), 1), (("pandas", "apache-flink"), 0)])
def test_an_environment_without_flinks_python_is_told_of(packages: tuple[str, ...], said: int) -> None:
    warnings = made("flink-yarn", packages=packages).warnings
    assert len([text for text in warnings if "apache-flink" in text]) == said
    assert not any("spark." in text for text in warnings)


# --- a properties file ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("launcher", [launcher for launcher in LAUNCHERS.values() if launcher.archives])
def test_a_properties_file_names_the_archive_as_the_launcher_reads_it(launcher: Any) -> None:
    """On YARN `spark.archives` would be unpacked a second time by every executor."""
    settings = made(launcher.name)
    first, *others = render(settings, "conf").splitlines()
    expected = "spark.yarn.dist.archives" if launcher.yarn else "spark.archives"
    if launcher.flink:  # its config.yaml
        lines = yaml.safe_load(render(settings, "conf"))
        assert lines == {"python.archives": f"{S3}#environment", **settings.conf}
        return
    assert first == f"{expected}={launcher.scheme}{S3.removeprefix('s3')}#environment"
    assert others == [f"{name}={value}" for name, value in settings.conf.items()]


def test_a_properties_file_of_one_machine_names_its_python_alone(tmp_path: Path) -> None:
    settings = made("local", directory=tmp_path)
    assert render(settings, "conf") == f"spark.pyspark.python={tmp_path}/bin/python"


def test_no_properties_file_serves_a_sessions_client() -> None:
    with pytest.raises(UsageError, match="--output conf does not work for connect-client"):
        render(made("connect-client"), "conf")


# --- the environment of whoever starts the driver ------------------------------------------------------------


def seen_by_a_program(exports: str, *names: str) -> list[str]:
    """Return what a program started from a shell with these lines sees in its environment."""
    script = f"{exports}\nfor name in {' '.join(names)}; do printf '%s\\0' \"${{!name}}\"; done"
    answer = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    return answer.stdout.split("\0")[:-1]


@pytest.mark.parametrize("launcher", ["yarn-client", "k8s-client", "standalone"])
def test_variables_of_a_client_name_both_pythons_and_pass_the_rest_to_pyspark(launcher: str) -> None:
    exports = render(made(launcher, variables={"MODE": "it's on", "DATA": "./environment/share"}), "env")
    names = ("PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON", "MODE", "PYSPARK_SUBMIT_ARGS")
    python, driver, mode, arguments = seen_by_a_program(exports, *names)
    assert (python, driver, mode) == ("./environment/bin/python", "python3.11", "it's on")
    words = seen_by_a_program(f"set -- {arguments}\n" + "A=$1 B=$2 D=$4 E=$6 F=$7", "A", "B", "D", "E", "F")
    assert words == [
        "--archives",
        f"{S3A}#environment",
        "spark.executorEnv.DATA=./environment/share",
        "spark.executorEnv.MODE=it's on",
        "pyspark-shell",
    ]
    assert "spark.pyspark" not in exports


def test_variables_of_one_machine_name_its_python(tmp_path: Path) -> None:
    exports = render(made("local", directory=tmp_path / "it's"), "env")
    assert seen_by_a_program(exports, "PYSPARK_PYTHON", "PYSPARK_DRIVER_PYTHON") == [
        f"{tmp_path}/it's/bin/python",
        "",
    ]


def test_variables_of_a_connect_server_name_the_python_of_its_sessions() -> None:
    assert render(made("connect"), "env") == "export PYSPARK_PYTHON=../environment/bin/python"


def test_no_variables_are_printed_where_none_reach_the_driver() -> None:
    for launcher in LAUNCHERS.values():
        if launcher.driver in ("cluster", "session"):
            with pytest.raises(UsageError, match="cannot pass variables of this shell"):
                render(made(launcher.name), "env")


# --- what is run first ---------------------------------------------------------------------------------------


def test_one_machine_unpacks_a_local_archive_first(tmp_path: Path) -> None:
    store, directory = tmp_path / "a store", tmp_path / "it's here"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").write_text("packed")
    store.mkdir()
    archive = store / "pandas-udf-3f2a9c1b4d5e6f70.tar.gz"
    subprocess.run(["tar", "-czf", archive, "-C", tmp_path, "bin"], check=True)
    settings = made("local", archive.as_uri(), directory=directory)
    subprocess.run(["bash", "-ec", "\n".join(settings.prepare)], check=True)
    assert (directory / "bin" / "python").read_text() == "packed"
    assert settings.conf["spark.pyspark.python"] == f"{directory}/bin/python"


def test_one_machine_fetches_from_s3_first(tmp_path: Path) -> None:
    settings = made("local", directory=tmp_path)
    assert settings.prepare == (
        f"mkdir -p {tmp_path}",
        f"aws s3 cp --only-show-errors {S3} - | tar -xzf - -C {tmp_path}",
    )
    zipped = S3.replace("tar.gz", "zip")
    name = zipped.rsplit("/", 1)[1]
    assert made("local", zipped, archive_format="zip", directory=tmp_path).prepare == (
        f"aws s3 cp --only-show-errors {zipped} {name}",
        f"mkdir -p {tmp_path}",
        f"unzip -q -o {name} -d {tmp_path}",
    )


def test_one_machine_unpacks_every_release_into_a_directory_of_its_own(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    python = made("local").conf["spark.pyspark.python"]
    assert python == f"{tmp_path}/pandas-udf-3f2a9c1b4d5e6f70/bin/python"


def test_a_client_sends_a_file_of_its_own_machine() -> None:
    """Spark's artifact.py takes nothing but local files."""
    settings = made("connect-client", "file:///my%20store/pandas-udf-3f2a9c1b4d5e6f70.tar.gz")
    assert settings.archive == "/my store/pandas-udf-3f2a9c1b4d5e6f70.tar.gz#environment"
    assert settings.prepare == ()
    fetched = made("connect-client")
    assert fetched.prepare == (f"aws s3 cp --only-show-errors {S3} pandas-udf-3f2a9c1b4d5e6f70.tar.gz",)


# --- variables -----------------------------------------------------------------------------------------------

VARIABLES = {"PROJ_DATA": "./environment/share/proj", "BOTH": "./environment/a:./environment/b", "MODE": "../x"}


@pytest.mark.parametrize(
    ("launcher", "prefix", "root"),
    [
        ("yarn-cluster", "spark.yarn.appMasterEnv.", "./environment"),
        ("livy-session", "spark.yarn.appMasterEnv.", "./environment"),
        ("airflow", "spark.yarn.appMasterEnv.", "./environment"),
        ("dataproc", "spark.yarn.appMasterEnv.", "./environment"),
        ("k8s-cluster", "spark.kubernetes.driverEnv.", "./environment"),
        ("emr-serverless", "spark.emr-serverless.driverEnv.", "./environment"),
        ("yarn-client", None, "./environment"),
        ("connect", None, "../environment"),
        ("local", None, "/opt/envs"),
    ],
)
def test_variables_hold_where_the_workers_run(launcher: str, prefix: str | None, root: str, tmp_path: Path) -> None:
    root = root.replace("/opt/envs", str(tmp_path))
    conf = made(launcher, variables=VARIABLES, directory=tmp_path).conf
    expected = {"BOTH": f"{root}/a:{root}/b", "MODE": "../x", "PROJ_DATA": f"{root}/share/proj"}
    for before in (prefix, "spark.executorEnv."):
        if before:
            given = {name.removeprefix(before): value for name, value in conf.items() if name.startswith(before)}
            given = {name: value for name, value in given.items() if "PYTHON" not in name}
            assert given == expected


def test_a_client_of_a_server_cannot_set_variables_and_says_so() -> None:
    settings = made("connect-client", variables=VARIABLES)
    assert list(settings.conf) == ["spark.sql.execution.pyspark.python"]
    assert [w for w in settings.warnings if "a client cannot set variables: BOTH, MODE, PROJ_DATA" in w]


def keywords(text: str) -> dict[str, Any]:
    """Return what an operator gets whose call has this text in its parentheses."""
    call = ast.parse(f"operator({text})", mode="eval").body
    assert isinstance(call, ast.Call)
    return {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}


def test_what_airflow_would_take_for_a_template_is_kept_from_it() -> None:
    """`conf` is a template field of both operators; Jinja itself gives the value back."""
    value = "{{ ds }} {% x %} it's"
    arguments = keywords(render(made("airflow", variables={"A": value}), "text"))
    assert Template(arguments["conf"]["spark.executorEnv.A"]).render() == value


def test_keyword_arguments_are_python() -> None:
    awkward = {"A": 'it\'s "x" \\ \n ü \u2028 😀', "B": ""}
    for launcher in ("airflow", "airflow-livy"):
        settings = made(launcher, variables=awkward)
        arguments = keywords(render(settings, "text"))
        assert arguments["conf"] == settings.conf
        assert arguments["archives"] in (settings.archive, [settings.archive])


def test_lines_for_a_client_are_python() -> None:
    awkward = 'file:///it%27s%20"x"/pandas-udf-3f2a9c1b4d5e6f70.tar.gz'
    settings = made("connect-client", awkward)
    sent: list[Any] = []

    class Session:
        """Takes the calls of the lines."""

        conf: Any

        def addArtifacts(self, *files: str, archive: bool) -> None:  # noqa: N802 - Spark's name
            sent.append((files, archive))

        def set(self, name: str, value: str) -> None:
            sent.append((name, value))

    session = Session()
    session.conf = session
    exec(render(settings, "text"), {"spark": session})  # noqa: S102 - as a person runs what is printed
    assert sent == [
        (('/it\'s "x"/pandas-udf-3f2a9c1b4d5e6f70.tar.gz#environment',), True),
        ("spark.sql.execution.pyspark.python", "./environment/bin/python"),
    ]


def test_gcloud_gets_values_with_commas_by_another_separator() -> None:
    conf = made("dataproc", variables={"A": "x,y", "B": "a;b"}).conf
    line = render(made("dataproc", variables={"A": "x,y", "B": "a;b"}), "text").splitlines()[1]
    script = f"printf %s {line}"
    properties = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True).stdout
    head, _, rest = properties.removeprefix("--properties=^").partition("^")
    assert dict(pair.split("=", 1) for pair in rest.split(head)) == conf
