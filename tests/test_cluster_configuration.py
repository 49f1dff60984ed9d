"""What an administrator has configured of Python and archives, and what `doctor` says of it for each launcher."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from envpack.config.config import Config
from envpack.doctor import cluster
from envpack.spark import configuration

if TYPE_CHECKING:
    from pathlib import Path

    from envpack.doctor.finding import Finding
    from tests.support.command import Desk

ON_YARN = ["yarn-cluster", "yarn-client", "emr", "airflow"]
BY_LIVY = ["livy-session", "livy-batch", "sparkmagic", "sparkmagic-config", "airflow-livy"]
ELSEWHERE = ["standalone", "k8s-client", "k8s-cluster", "connect"]


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that is SPARK_CONF_DIR and HADOOP_CONF_DIR."""
    monkeypatch.setenv("SPARK_CONF_DIR", str(tmp_path))
    monkeypatch.setenv("HADOOP_CONF_DIR", str(tmp_path))
    return tmp_path


def looked(launcher: str, **choices: object) -> list[Finding]:
    """Return what is found beside that files were read; a warning or a problem always says what to do."""
    found = [each for each in cluster.look(Config(launcher=launcher, **choices)) if each.level != "ok"]  # type: ignore[arg-type]
    assert all(each.hint for each in found if each.level in ("warning", "problem"))
    return found


def levels(launcher: str, **choices: object) -> list[str]:
    return [each.level for each in looked(launcher, **choices)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("spark.a b", {"spark.a": ("b", 1)}),
        ("# x\n\n! y\nspark.a=b\nspark.c:d", {"spark.a": ("b", 4), "spark.c": ("d", 5)}),
        ("  spark.e \t f g ", {"spark.e": ("f g", 1)}),
        ("spark.a one,\\\n   two\nspark.b x", {"spark.a": ("one,two", 1), "spark.b": ("x", 3)}),
        ("spark.a C\\:\\\\x\\u0041", {"spark.a": ("C:\\xA", 1)}),
        ("spark.a 1\nspark.a 2", {"spark.a": ("2", 2)}),
        ("spark.a", {"spark.a": ("", 1)}),
    ],
)
def test_defaults_are_read_as_java_reads_properties(
    tmp_path: Path, text: str, expected: dict[str, tuple[str, int]]
) -> None:
    (tmp_path / "spark-defaults.conf").write_text(text)
    read = configuration.defaults(tmp_path)
    assert {name: (each.value, each.line) for name, each in read.items()} == expected


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("PYSPARK_PYTHON=/usr/bin/python3", "/usr/bin/python3"),
        ("export PYSPARK_PYTHON='/usr/bin/python3'  # ours", "/usr/bin/python3"),
        ('if true; then export PYSPARK_PYTHON="/opt/a b"; fi', "/opt/a b"),
        ("A=1; PYSPARK_PYTHON=x", "x"),
        ("export A=1 PYSPARK_PYTHON=x B=2", "x"),
        ("declare -x PYSPARK_PYTHON=x", "x"),
        ("[ -x /opt/python ] && PYSPARK_PYTHON=/opt/python", "/opt/python"),
        ("PYSPARK_PYTHON=x spark-submit app.py", "x"),
        ("# export PYSPARK_PYTHON=x", None),
        ("MY_PYSPARK_PYTHON=x", None),
        ("echo PYSPARK_PYTHON=x", None),
    ],
)
def test_assignments_of_spark_env_are_found_with_their_lines(tmp_path: Path, line: str, value: str | None) -> None:
    (tmp_path / "spark-env.sh").write_text(f"#!/bin/bash\n{line}\n")
    found = configuration.environment(tmp_path).get("PYSPARK_PYTHON")
    assert (found and (found.value, found.line)) == (value and (value, 2))


@pytest.mark.parametrize(
    ("launcher", "level"),
    [
        ("connect", "problem"),
        *(
            (launcher, "warning")
            for launcher in ("yarn-client", "standalone", "k8s-client", "k8s-cluster", "local")
        ),
        *((launcher, "note") for launcher in ("yarn-cluster", "livy-batch", "airflow", "emr")),
    ],
)
def test_a_python_of_spark_env_is_said_with_what_it_does_to_the_launcher(
    conf: Path, launcher: str, level: str
) -> None:
    (conf / "spark-env.sh").write_text("\nexport PYSPARK_PYTHON=/usr/bin/python3\n")
    (found,) = looked(launcher)
    assert found.level == level
    assert f"{conf}/spark-env.sh:2" in found.text


@pytest.mark.parametrize(
    "value", ["${PYSPARK_PYTHON:-python3}", '"${PYSPARK_PYTHON-/usr/bin/python3}"', "$PYSPARK_PYTHON"]
)
def test_a_line_that_keeps_what_is_set_is_no_matter(conf: Path, value: str) -> None:  # fmt: skip
    (conf / "spark-env.sh").write_text(f"export PYSPARK_PYTHON={value}\n")
    assert looked("connect") == []


@pytest.mark.parametrize("launcher", ["yarn-cluster", "k8s-cluster", "livy-session", "airflow", "emr", "local"])
def test_a_drivers_python_in_the_defaults_wins_where_the_settings_name_none(conf: Path, launcher: str) -> None:
    (conf / "spark-defaults.conf").write_text("spark.pyspark.driver.python /usr/bin/python3\n")
    (found,) = looked(launcher)
    assert found.level == "problem"
    assert "--conf spark.pyspark.driver.python=" in (found.hint or "")


@pytest.mark.parametrize("launcher", ["yarn-client", "standalone", "k8s-client"])
def test_in_client_modes_a_python_of_the_defaults_wins_over_variables_alone(conf: Path, launcher: str) -> None:
    (conf / "spark-defaults.conf").write_text("spark.pyspark.python python3\nspark.pyspark.driver.python python3\n")
    assert levels(launcher) == ["warning", "warning"]


def test_variables_of_the_application_master_lose_and_are_noted(conf: Path) -> None:
    (conf / "spark-defaults.conf").write_text(
        "spark.yarn.appMasterEnv.PYSPARK_PYTHON x\nspark.yarn.appMasterEnv.PYSPARK_DRIVER_PYTHON x\n"
    )
    assert levels("yarn-cluster") == ["note", "note"]
    assert levels("standalone") == []


@pytest.mark.parametrize(
    ("name", "launchers", "level"),
    [
        ("spark.yarn.dist.archives", ON_YARN, "note"),
        ("spark.yarn.dist.archives", BY_LIVY, "warning"),
        ("spark.archives", ON_YARN, "note"),
        ("spark.archives", ELSEWHERE, "warning"),
    ],
)
def test_archives_of_the_defaults_are_said_with_what_becomes_of_them(
    conf: Path, name: str, launchers: list[str], level: str
) -> None:
    (conf / "spark-defaults.conf").write_text(f"{name} hdfs:/models.zip#models\n")
    for launcher in launchers:
        assert levels(launcher) == [level], launcher
    if level == "warning":
        assert levels(launchers[0], also_archives=("hdfs:/models.zip#models",)) == []
        (found,) = looked(launchers[0])
        assert "--also-archives hdfs:/models.zip#models" in (found.hint or "")


def test_archives_of_yarn_are_no_matter_elsewhere(conf: Path) -> None:
    (conf / "spark-defaults.conf").write_text("spark.yarn.dist.archives hdfs:/models.zip#environment\n")
    assert looked("standalone") == looked("local") == []


@pytest.mark.parametrize(
    ("name", "level"), [("spark.yarn.dist.archives", "warning"), ("spark.archives", "problem")]
)
@pytest.mark.parametrize("launcher", ON_YARN)
def test_an_archive_of_the_defaults_in_the_environments_place_is_said(
    conf: Path, launcher: str, name: str, level: str
) -> None:
    (conf / "spark-defaults.conf").write_text(f"{name} a.zip#a,b.zip#environment\n")
    assert levels(launcher) == [level]


def test_a_class_path_of_the_defaults_that_s3a_jars_replace_is_said(conf: Path) -> None:
    (conf / "spark-defaults.conf").write_text("spark.executor.extraClassPath /opt/x.jar\n")
    (found,) = looked("standalone", s3a_jars="/opt/s3a/*")
    assert "--s3a-jars '/opt/s3a/*:/opt/x.jar'" in (found.hint or "")
    assert looked("standalone") == looked("yarn-cluster", s3a_jars="/opt/s3a/*") == []


def test_pythons_that_yarn_gives_to_every_container_are_said(conf: Path) -> None:
    value = "<name>yarn.nodemanager.admin-env</name><value>A=1,PYSPARK_PYTHON=/usr/bin/python3</value>"
    (conf / "yarn-site.xml").write_text(f"<configuration><property>{value}</property></configuration>")
    assert levels("yarn-cluster") == ["warning"]
    assert levels("standalone") == []
    (conf / "yarn-site.xml").write_text("<configuration>")
    assert levels("yarn-cluster") == ["note"]


def test_nothing_is_said_where_there_is_no_configuration(conf: Path) -> None:
    assert list(cluster.look(Config())) == []


def test_the_configuration_of_the_spark_on_path_is_found_where_no_variable_says_it(tmp_path: Path) -> None:
    for folder in ("spark/bin", "spark/conf", "bin"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "spark/bin/spark-submit").touch(0o755)
    (tmp_path / "bin/spark-submit").symlink_to(tmp_path / "spark/bin/spark-submit")
    spark, _ = configuration.directories({"PATH": str(tmp_path / "bin")})
    assert spark == tmp_path / "spark/conf"
    spark, yarn = configuration.directories(
        {"PATH": str(tmp_path / "bin"), "SPARK_HOME": "/x", "YARN_CONF_DIR": "/y"}
    )
    assert (str(spark), str(yarn)) == ("/x/conf", "/y")


def test_doctor_reads_the_configuration_of_spark_home(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/spark-defaults.conf").write_text("spark.pyspark.driver.python /usr/bin/python3\n")
    ran = desk.run("doctor", "--output", "json", SPARK_HOME=str(tmp_path), SPARK_CONF_DIR="")
    found = [each for each in ran.json()["findings"] if each["check"] == "cluster"]
    assert [each["level"] for each in found] == ["ok", "problem"]
    assert ran.code == 12


def test_doctor_warns_of_a_newer_c_library_than_the_services_nodes_have(desk: Desk) -> None:
    found = desk.run("doctor", "--launcher", "emr", "--spark", "3.4", "--glibc", "2.28", "--output", "json").json()
    warned = [each["text"] for each in found["findings"] if (each["check"], each["level"]) == ("target", "warning")]
    assert len([text for text in warned if "Amazon Linux 2" in text]) == 1
