"""The settings of every launcher, pinned to what Spark's sources say and what real Sparks did.

The facts behind them stand in docs/spark.md.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest

from envpack.errors import UsageError
from envpack.spark.driver import choose_driver_python, find_driver_python
from envpack.spark.launchers import LAUNCHERS
from envpack.spark.render import render
from envpack.spark.settings import PYTHON, settings_for
from envpack.spark.versions import LINES, dotted
from tests.support.manifests import S3, made, manifest

if TYPE_CHECKING:
    from envpack.spark.launcher import Launcher

BUCKETS_ONLY = [name for name, launcher in LAUNCHERS.items() if launcher.local_refused]
MINOR = "{}.{}".format(*sys.version_info)
"""The version of the Python that runs the tests."""


# --- what every launcher is given ----------------------------------------------------------------------------


def test_json_holds_arguments_conf_and_env() -> None:
    value = json.loads(render(made("yarn-client", variables={"MODE": "fast"}), "json"))
    assert value["launcher"] == "yarn-client"
    assert value["arguments"] == ["--archives", S3.replace("s3://", "s3a://") + "#environment"]
    assert value["conf"] == {
        "spark.pyspark.python": PYTHON,
        "spark.pyspark.driver.python": "python3.11",
        "spark.executorEnv.MODE": "fast",
    }
    assert value["env"] == {"MODE": "fast"}


def test_no_launcher_names_what_selects_nothing_or_breaks_the_driver() -> None:
    """executorEnv.PYSPARK_PYTHON selects nothing, a driver Python breaks cluster mode.

    EMR Serverless and Dataproc Serverless document sets of their own, which have both.
    """
    for launcher in LAUNCHERS.values():
        if launcher.name.endswith("-serverless"):
            continue
        conf = made(launcher.name).conf
        assert "spark.executorEnv.PYSPARK_PYTHON" not in conf
        assert launcher.driver == "client" or not [name for name in conf if "DRIVER_PYTHON" in name.upper()]
        assert not ({"spark.archives", "spark.yarn.dist.archives"} & conf.keys())


# --- client modes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("launcher", ["yarn-client", "standalone"])
def test_client_modes_offer_the_environment_form_whole(launcher: str) -> None:
    """Both variables, and neither property beside them."""
    settings = made(launcher, variables={"MODE": "fast"})
    (form,) = settings.alternatives
    assert form.arguments == settings.arguments
    assert form.env == {"PYSPARK_PYTHON": PYTHON, "PYSPARK_DRIVER_PYTHON": "python3.11", "MODE": "fast"}
    assert form.conf == {"spark.executorEnv.MODE": "fast"}


def test_cluster_mode_has_one_form_only() -> None:
    settings = made("yarn-cluster", driver_python="/opt/python3.11")
    assert settings.alternatives == ()
    assert "/opt/python3.11" not in render(settings, "json")


@pytest.mark.parametrize("launcher", ["yarn-client", "standalone"])
def test_client_modes_use_the_driver_python_that_was_named_and_say_which_version_it_must_be(launcher: str) -> None:
    settings = made(launcher, driver_python="/opt/py/bin/python3.11")
    assert settings.conf["spark.pyspark.driver.python"] == "/opt/py/bin/python3.11"
    assert any("/opt/py/bin/python3.11" in note and "must be Python 3.11" in note for note in settings.notes)


def test_the_driver_python_is_the_command_of_the_packed_version() -> None:
    assert made("standalone", python="3.10.13").conf["spark.pyspark.driver.python"] == "python3.10"


def test_client_modes_say_what_spark_4_runs_on_the_driver() -> None:
    """An unknown Spark is taken for the newest."""

    def said(spark: str | None) -> bool:
        return any("data sources" in note for note in made("yarn-client", spark=spark).notes)

    assert said("4.0")
    assert said(None)
    assert not said("3.5")


@pytest.mark.parametrize("launcher", LAUNCHERS.values())
def test_the_first_note_says_how_to_use_the_text(launcher: Launcher) -> None:
    assert made(launcher.name).notes[0] == launcher.submit


# --- variables -----------------------------------------------------------------------------------------------

VARIABLES = {"SSL_CERT_FILE": "./environment/ssl/cacert.pem", "MODE": "fast"}


def test_variables_reach_the_driver_and_the_executors_of_yarn_cluster() -> None:
    assert made("yarn-cluster", variables=VARIABLES).conf == {
        "spark.pyspark.python": PYTHON,
        "spark.yarn.appMasterEnv.PYSPARK_PYTHON": PYTHON,
        "spark.yarn.appMasterEnv.MODE": "fast",
        "spark.yarn.appMasterEnv.SSL_CERT_FILE": "./environment/ssl/cacert.pem",
        "spark.executorEnv.MODE": "fast",
        "spark.executorEnv.SSL_CERT_FILE": "./environment/ssl/cacert.pem",
    }


@pytest.mark.parametrize("launcher", ["yarn-client", "standalone"])
def test_a_local_driver_is_not_told_of_files_that_are_not_there(launcher: str) -> None:
    """In client modes nothing is unpacked in the driver's working directory."""
    settings = made(launcher, variables=VARIABLES)
    assert settings.conf["spark.executorEnv.SSL_CERT_FILE"] == "./environment/ssl/cacert.pem"
    assert settings.env == {"MODE": "fast"}
    assert any(note.endswith("where you start it: MODE=fast") for note in settings.notes)
    assert not [name for name in settings.conf if "appMasterEnv" in name]


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_an_environment_cannot_choose_another_python(launcher: str) -> None:
    settings = made(launcher, variables={"PYSPARK_PYTHON": "python3", "PYSPARK_DRIVER_PYTHON": "jupyter"})
    plain = made(launcher)
    assert (settings.conf, settings.env, settings.alternatives) == (plain.conf, plain.env, plain.alternatives)
    left_out = [warning.split()[3] for warning in settings.warnings if "is left out" in warning]
    assert left_out == ["PYSPARK_DRIVER_PYTHON", "PYSPARK_PYTHON"]


# --- quoting -------------------------------------------------------------------------------------------------

AWKWARD = {
    "A": "two words",
    "B": "it's $HOME",
    "C": "*",
    "D": "#x;&|",
    "E": "",
    "F": "a\\b",
    "G": "a\nb",
    "H": "~=ü",
}


def words_after(shell_text: str) -> list[str]:
    """Return the words that a shell makes of a text, as the program behind it would get them."""
    script = f"printf '%s\\0' {shell_text}"
    answer = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    return answer.stdout.split("\0")[:-1]


def test_a_shell_gives_spark_submit_every_value_as_it_is() -> None:
    settings = made("yarn-cluster", variables=AWKWARD)
    words = words_after(render(settings, "text"))
    assert words[:2] == list(settings.arguments)
    assert [word for before, word in pairwise(words) if before == "--conf"] == [
        f"{name}={value}" for name, value in settings.conf.items()
    ]


YARN_WOULD_CHANGE = {
    "HOME_OF": "$HOME/x",
    "SAYS": 'say "x"',
    "NOW": "`date` \\n",
    "MARKS": "{{PWD}} <LOG_DIR> {{{{",
}


def test_values_pass_through_the_shell_of_yarn_and_come_out_as_they_are() -> None:
    """Hadoop's ContainerLaunch fills marks in and then writes `export NAME="VALUE"`, escaping nothing."""
    conf = made("yarn-cluster", variables=YARN_WOULD_CHANGE).conf
    for name, value in YARN_WOULD_CHANGE.items():
        written = conf[f"spark.yarn.appMasterEnv.{name}"]
        assert not re.search(r"\{\{|\}\}|<LOG_DIR>", written)
        script = f'export {name}="{written}"\nprintf %s "${name}"'
        answer = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
        assert answer.stdout == value
        assert conf[f"spark.executorEnv.{name}"] == value


@pytest.mark.parametrize("value", ["it's", '"x"', "$HOME", "~", "#x", "a;b", "ü", ""])
def test_one_line_passes_through_a_command_substitution(value: str, tmp_path: Path) -> None:
    settings = made("standalone", variables={"A": value})
    (tmp_path / "line").write_text(render(settings, "oneline"))
    words = words_after(f"$(cat '{tmp_path / 'line'}')")
    assert words[-1] == f"spark.executorEnv.A={value}"


@pytest.mark.parametrize("value", ["two words", "*.txt", "a\tb", "a\nb", "[ab]", "a?", "a\\b"])
def test_one_line_refuses_what_the_shell_would_take_apart(value: str) -> None:
    with pytest.raises(UsageError, match="cannot be printed with --output oneline") as refusal:
        render(made("standalone", variables={"A": value}), "oneline")
    assert "--output" in str(refusal.value.hint)


@pytest.mark.parametrize(
    ("value", "written"),
    [("two words", "two words"), ("a\\b", "a\\\\b"), ("a\nb\tc", "a\\nb\\tc"), ("=:#!", "=:#!"), ("", "")],
)
def test_a_properties_file_escapes_what_java_would_change(value: str, written: str) -> None:
    last = render(made("standalone", variables={"A": value}), "conf").splitlines()[-1]
    assert last == f"spark.executorEnv.A={written}"


@pytest.mark.parametrize("value", [" a", "a "])
def test_a_properties_file_cannot_hold_blanks_at_the_ends(value: str) -> None:
    with pytest.raises(UsageError, match="begins or ends with a space"):
        render(made("standalone", variables={"A": value}), "conf")


# --- addresses -----------------------------------------------------------------------------------------------


LOCAL = "file:///my%20store/pandas-udf-3f2a9c1b4d5e6f70.tar.gz"
"""A blank is fine when it is encoded, as `Path.as_uri` does it (seen in Spark 3.5.6)."""


@pytest.mark.parametrize("launcher", [launcher for launcher in LAUNCHERS.values() if not launcher.local_refused])
def test_a_local_archive_keeps_its_address(launcher: Launcher) -> None:
    settings = made(launcher.name, LOCAL)
    if launcher.archives:
        expected = unquote(LOCAL) if launcher.flink else LOCAL
        assert settings.archive == f"{expected}#environment"
    if launcher.option:
        assert settings.arguments == ("--archives", f"{LOCAL}#environment")


@pytest.mark.parametrize("launcher", BUCKETS_ONLY)
def test_a_service_that_reads_buckets_only_is_not_given_a_local_archive(launcher: str) -> None:
    with pytest.raises(UsageError, match="but this archive is at file:///my%20store/") as refusal:
        made(launcher, LOCAL)
    assert "--store s3://" in str(refusal.value.hint)


@pytest.mark.parametrize(
    ("launcher", "said"),
    [
        ("livy-session", "livy.file.local-dir-whitelist"),
        ("livy-batch", "livy.file.local-dir-whitelist"),
        ("sparkmagic", "livy.file.local-dir-whitelist"),
        ("sparkmagic-config", "livy.file.local-dir-whitelist"),
        ("airflow-livy", "livy.file.local-dir-whitelist"),
        ("airflow", "every worker of Airflow"),
        ("k8s-cluster", "spark.kubernetes.file.upload.path"),
        ("kyuubi", "Kyuubi server's own disk"),
        ("zeppelin", "Zeppelin server's own disk"),
    ],
)
def test_a_local_archive_is_warned_of_where_another_machine_reads_it(launcher: str, said: str) -> None:
    assert any(said in warning for warning in made(launcher, LOCAL).warnings)
    assert not any(said in warning for warning in made(launcher).warnings)


@pytest.mark.parametrize("bad", ["a b", "a#b", "a,b", "a%2Cb", "a[b]", "a%5Bb", "{a}", "a*"])
def test_an_address_that_spark_would_take_apart_is_refused(bad: str) -> None:
    """Spark 3.5.6 splits at an encoded comma and fails on encoded brackets, too."""
    with pytest.raises(UsageError, match="Spark cannot read an archive whose URL contains"):
        made("yarn-cluster", f"s3://bucket/{bad}/x.tar.gz")


# --- refusals ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spark", ["3.1", "3.3.4", "3.5", "3.5.6"])
def test_zip_outside_yarn_before_spark_4_is_refused(spark: str) -> None:
    """The Hadoop of Spark 3 ignores a zip's permissions (seen in 3.5.6: error=13)."""
    with pytest.raises(UsageError, match=r"with standalone, Spark .* loses a zip's permissions") as refusal:
        made("standalone", archive_format="zip", spark=spark, python="3.10.1")
    assert refusal.value.hint == "build with --format tar.gz"


def test_on_yarn_the_settings_say_from_which_bandwidth_a_tar_pays() -> None:
    """400 MB less 123 MB are fetched more; unpacking 366 MB took 2.29 s less."""
    (note,) = (note for note in made("yarn-cluster").notes if "--format tar" in note)
    assert "2.5 s of unpacking" in note
    assert "adds 276.6 MB" in note
    assert "more than 0.9 Gbit/s" in note


@pytest.mark.parametrize(
    ("launcher", "changes"),
    [
        ("standalone", {}),
        ("yarn-cluster", {"archive_format": "tar"}),
        ("yarn-cluster", {"unpacked_size": 1_000_000}),
    ],
)
def test_nothing_is_said_of_a_tar_where_it_does_not_pay(launcher: str, changes: dict[str, Any]) -> None:
    assert not [note for note in made(launcher, **changes).notes if "--format tar" in note]


def test_archives_outside_yarn_before_spark_3_1_are_refused() -> None:
    """They are dropped without a word."""
    with pytest.raises(UsageError, match=r"with standalone, Spark 3\.0 ignores archives"):
        made("standalone", spark="3.0", python="3.8.18")


@pytest.mark.parametrize(
    ("spark", "python"),
    # The edges of the table were run with pyspark's own import and cloudpickle.
    [
        ("2.4", "3.8"),
        ("3.0", "3.11"),
        ("3.1", "3.11"),
        ("3.2", "3.12"),
        ("3.3", "3.11"),
        ("3.3.4", "3.13"),
        ("3.4", "3.13"),
        ("4.0", "3.8"),
        ("4.1", "3.9"),
        ("4.2", "3.9"),
        ("9.9", "3.9"),
    ],
)
def test_a_python_that_this_spark_cannot_load_is_refused_with_the_reason(spark: str, python: str) -> None:
    with pytest.raises(
        UsageError, match=r"does not run with Python .*: .*(fails|ends) with|does not run with Python .* fails: "
    ) as refusal:
        made("yarn-cluster", spark=spark, python=f"{python}.1")
    assert f"Python {python}" in refusal.value.message
    assert "build with --python" in str(refusal.value.hint)


@pytest.mark.parametrize(
    ("spark", "python"),
    [
        ("2.4", "3.7"),
        ("3.0", "3.10"),
        ("3.3", "3.10"),
        ("3.4", "3.12"),
        ("3.5", "3.13"),
        ("4.0", "3.9"),
        ("4.2", "3.14"),
    ],
)
def test_the_newest_and_oldest_python_that_a_spark_loads_are_accepted(spark: str, python: str) -> None:
    assert made("yarn-cluster", spark=spark, python=f"{python}.1").conf["spark.pyspark.python"] == PYTHON


def test_a_spark_older_than_the_table_is_refused() -> None:
    with pytest.raises(UsageError, match=r"the oldest is 2\.4"):
        made("yarn-cluster", spark="2.3", python="3.6.1")


@pytest.mark.parametrize("spark", ["3", "three", "3.5.6.1", "v3.5"])
def test_a_spark_that_is_not_a_version_is_refused(spark: str) -> None:
    with pytest.raises(UsageError, match="is not a version"):
        settings_for(manifest(), S3, spark=spark)


def test_a_launcher_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(UsageError, match="unknown launcher 'mesos'") as refusal:
        made("mesos")
    assert ", ".join(LAUNCHERS) in str(refusal.value.hint)


def test_the_spark_that_is_asked_for_wins_over_the_one_built_for() -> None:
    built_for_4 = manifest(spark="4.0", archive_format="zip")
    settings_for(built_for_4, S3, launcher="standalone")
    with pytest.raises(UsageError, match=r"Spark 3\.5"):
        settings_for(built_for_4, S3, launcher="standalone", spark="3.5")


def test_every_spark_line_has_a_source_and_a_reason_for_what_it_refuses() -> None:
    for line in LINES:
        assert line.source
        assert (line.newest is None) == (line.too_new == ""), dotted(line.version)
        assert line.oldest <= line.declared[1]
    assert [line.version for line in LINES] == sorted(line.version for line in LINES)


# --- warnings ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("launcher", ["yarn-cluster", "yarn-client"])
def test_yarn_warns_once_of_the_copy_through_the_staging_directory(launcher: str) -> None:
    """Every submission would copy it through the submitter."""
    (warning,) = made(launcher).warnings
    assert "unless spark.yarn.stagingDir is in s3a://bucket/" in warning
    assert "123 MB" in warning


def test_yarn_copies_a_local_archive_whatever_the_staging_directory_is() -> None:
    (warning,) = made("yarn-cluster", "file:///store/x.tar.gz").warnings
    assert warning.startswith("YARN copies this local archive (123 MB) for each submission")


@pytest.mark.parametrize("launcher", [launcher.name for launcher in LAUNCHERS.values() if not launcher.yarn])
def test_nothing_is_said_of_staging_where_there_is_none(launcher: str) -> None:
    assert not any("staging" in warning for warning in made(launcher).warnings)


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_very_many_files_are_warned_of(launcher: str) -> None:
    def said(members: int) -> bool:
        return any("files and directories" in warning for warning in made(launcher, members=members).warnings)

    assert said(50_001)
    assert not said(50_000)


def test_a_size_that_fills_a_nodes_cache_is_warned_of_on_yarn() -> None:
    def said(launcher: str, size: int) -> bool:
        warnings = made(launcher, unpacked_size=size).warnings
        return any("yarn.nodemanager.localizer.cache.target-size-mb" in warning for warning in warnings)

    assert said("yarn-cluster", 6_000_000_000)
    assert said("sparkmagic", 12_000_000_000)
    assert not said("yarn-cluster", 5_000_000_000)
    assert not said("standalone", 12_000_000_000)


def test_elsewhere_every_executor_unpacks_for_itself_and_a_large_archive_is_warned_of() -> None:
    def said(launcher: str, size: int) -> bool:
        return any("every executor unpacks" in warning for warning in made(launcher, unpacked_size=size).warnings)

    assert said("k8s-cluster", 2_100_000_000)
    assert not said("k8s-cluster", 2_000_000_000)
    assert not said("yarn-cluster", 2_100_000_000)
    assert not said("local", 2_100_000_000)


def test_packages_that_keep_files_at_home_are_warned_of_on_yarn() -> None:
    """Containers start with HOME=/home/ (Hadoop's ContainerLaunch; seen on 3.3.4 and 3.4.1)."""

    def said(launcher: str, **variables: str) -> list[str]:
        warnings = made(launcher, packages=["matplotlib", "numba", "pandas"], variables=variables).warnings
        return [warning for warning in warnings if "HOME" in warning]

    (warning,) = said("yarn-cluster")
    assert "matplotlib and numba keep files there: set MPLCONFIGDIR: ./.cache, NUMBA_CACHE_DIR: ./.cache" in warning
    (less,) = said("yarn-client", MPLCONFIGDIR="./.cache")
    assert "matplotlib" not in less
    assert "numba keeps files there: set NUMBA_CACHE_DIR" in less
    assert said("yarn-cluster", MPLCONFIGDIR="/var/a", NUMBA_CACHE_DIR="/var/b") == []
    assert said("standalone") == []


def test_a_python_that_spark_does_not_declare_is_warned_of() -> None:
    (warning,) = made("standalone", spark="3.4", python="3.12.1", packages=["setuptools"]).warnings
    assert warning == "Spark 3.4 declares Python 3.7 to 3.11; the environment has 3.12"


def test_a_python_without_distutils_is_warned_of_unless_setuptools_brings_it() -> None:
    """SPARK-44120, fixed in Spark 4."""

    def warned(spark: str, *packages: str) -> bool:
        settings = made("standalone", spark=spark, python="3.12.1", packages=packages)
        return any("add setuptools" in warning for warning in settings.warnings)

    assert warned("3.5", "pandas")
    assert not warned("3.5", "pandas", "setuptools")
    assert not warned("3.5")
    assert not warned("4.0", "pandas")


def test_an_unknown_spark_is_taken_for_the_newest_without_a_word() -> None:
    assert made("standalone", python="3.14.0").warnings == ()


def test_a_variable_that_kubernetes_would_change_is_warned_of() -> None:
    """The kubelet fills `$(NAME)` in and makes `$` of `$$`."""
    variables = {"A": "$(HOME)/x", "B": "$$", "C": "$HOME"}
    warned = [w for w in made("k8s-cluster", variables=variables).warnings if w.startswith("Kubernetes changes")]
    assert [warning.split("variable ")[1][0] for warning in warned] == ["A", "B"]
    assert made("k8s-client", variables=variables).warnings == ()


# --- the driver's Python -------------------------------------------------------------------------------------


def stand_in(directory: Path, name: str, says: str) -> Path:
    """Make a program that answers every question with one line, as a Python of that version would."""
    program = directory / name
    program.write_text(f"#!/bin/sh\necho {says}\n")
    program.chmod(0o755)
    return program


def test_auto_finds_a_python_of_the_packed_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    found = choose_driver_python("auto", MINOR)
    assert found is not None
    answer = subprocess.run([found, "--version"], capture_output=True, text=True, check=True)
    assert answer.stdout.startswith(f"Python {MINOR}")


def test_auto_passes_over_a_python_of_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, "python3.9", "3.8")
    stand_in(tmp_path, "python3", "3.12")
    right = stand_in(tmp_path, "python", "3.9")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin")
    assert find_driver_python("3.9") == right


def test_auto_says_when_there_is_no_such_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match=r"no Python 3\.9 for the driver is on PATH"):
        choose_driver_python("auto", "3.9")


def test_a_driver_python_of_another_version_is_refused() -> None:
    with pytest.raises(UsageError, match=rf"is Python {MINOR}, but the archive has Python 3\.6"):
        choose_driver_python(sys.executable, "3.6")


def test_a_driver_python_that_is_no_python_is_refused() -> None:
    with pytest.raises(UsageError, match="is not a Python"):
        choose_driver_python("/bin/false", "3.11")


def test_a_right_driver_python_is_named_by_its_absolute_path(monkeypatch: pytest.MonkeyPatch) -> None:
    python = Path(sys.executable)
    monkeypatch.chdir(python.parent)
    found = Path(str(choose_driver_python(f"./{python.name}", MINOR)))
    assert found.is_absolute()
    assert found.samefile(python)


@pytest.mark.parametrize("choice", ["/no/such/python3.9", "no-such-python", "./python"])
def test_a_driver_python_that_is_not_here_is_refused(choice: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=f"--driver-python: {choice} does not exist on this machine"):
        choose_driver_python(choice, "3.9")


def test_no_driver_python_needs_none() -> None:
    assert choose_driver_python(None, "3.9") is None


# --- what it costs -------------------------------------------------------------------------------------------


def test_the_names_of_launchers_and_outputs_come_without_heavy_imports() -> None:
    script = (
        "import sys, envpack.spark.launchers, envpack.spark.render\n"
        "print([name for name in ('boto3', 'rattler', 'click', 'rich', 'conda_pack') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
