"""The settings of every launcher, pinned to what Spark's sources say and what real Sparks did.

The facts behind them stand in docs/spark.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from envpack.errors import UsageError
from envpack.manifest import ArchiveFacts, Format, Manifest, PackedPackage
from envpack.spark.driver import choose_driver_python, find_driver_python
from envpack.spark.launchers import DEFAULT, LAUNCHERS
from envpack.spark.settings import PYTHON, Settings, settings_for
from envpack.spark.text import render
from envpack.spark.versions import LINES, dotted, minor
from envpack.target import Target

if TYPE_CHECKING:
    from collections.abc import Sequence

S3 = "s3://bucket/envs/pandas-udf/3f2a9c1b4d5e6f70/pandas-udf-3f2a9c1b4d5e6f70.tar.gz"
MINOR = "{}.{}".format(*sys.version_info)
"""The version of the Python that runs the tests."""


def manifest(
    *,
    python: str = "3.11.7",
    archive_format: Format = "tar.gz",
    spark: str | None = None,
    variables: dict[str, str] | None = None,
    packages: Sequence[str] = (),
) -> Manifest:
    return Manifest(
        name="pandas-udf",
        archive=ArchiveFacts(
            file="pandas-udf-3f2a9c1b4d5e6f70." + archive_format,
            format=archive_format,
            size=123_400_000,
            sha256="3f2a9c1b4d5e6f70" * 4,
            unpacked_size=400_000_000,
            members=9_000,
        ),
        python=python,
        target=Target(spark=spark),
        packages=tuple(
            PackedPackage(name=name, version="1", source="pypi", sha256="0" * 64, url="") for name in packages
        ),
        variables=variables or {},
    )


def made(launcher: str, uri: str = S3, driver_python: str | None = None, **changes: Any) -> Settings:
    """Return the settings for a release; `changes` are the manifest's."""
    return settings_for(manifest(**changes), uri, launcher=launcher, driver_python=driver_python)


# --- the text of each launcher -------------------------------------------------------------------------------

YARN_CLUSTER = """\
--archives s3a://bucket/envs/pandas-udf/3f2a9c1b4d5e6f70/pandas-udf-3f2a9c1b4d5e6f70.tar.gz#environment \\
--conf spark.pyspark.python=./environment/bin/python \\
--conf spark.yarn.appMasterEnv.PYSPARK_PYTHON=./environment/bin/python"""

CLIENT = """\
--archives s3a://bucket/envs/pandas-udf/3f2a9c1b4d5e6f70/pandas-udf-3f2a9c1b4d5e6f70.tar.gz#environment \\
--conf spark.pyspark.python=./environment/bin/python \\
--conf spark.pyspark.driver.python=python3.11"""


def zipped(text: str) -> str:
    return text.replace(".tar.gz", ".zip")


@pytest.mark.parametrize(
    ("launcher", "archive_format", "spark", "text"),
    [
        # Every Spark, both formats.
        ("yarn-cluster", "tar.gz", None, YARN_CLUSTER),
        ("yarn-cluster", "tar.gz", "3.0", YARN_CLUSTER),
        ("yarn-cluster", "tar.gz", "3.5.6", YARN_CLUSTER),
        ("yarn-cluster", "tar.gz", "4.1", YARN_CLUSTER),
        ("yarn-cluster", "zip", None, zipped(YARN_CLUSTER)),
        ("yarn-cluster", "zip", "3.5", zipped(YARN_CLUSTER)),
        # Every Spark, both formats, with a driver beside the cluster.
        ("yarn-client", "tar.gz", None, CLIENT),
        ("yarn-client", "tar.gz", "3.0", CLIENT),
        ("yarn-client", "tar.gz", "4.0", CLIENT),
        ("yarn-client", "zip", "3.5", zipped(CLIENT)),
        # Archives since 3.1, zip since 4.0.
        ("standalone", "tar.gz", None, CLIENT),
        ("standalone", "tar.gz", "3.1", CLIENT),
        ("standalone", "tar.gz", "3.5.6", CLIENT),
        ("standalone", "tar.gz", "4.2", CLIENT),
        ("standalone", "zip", None, zipped(CLIENT)),
        ("standalone", "zip", "4.0", zipped(CLIENT)),
    ],
)
def test_the_text_is_what_the_launcher_needs(
    launcher: str, archive_format: Format, spark: str | None, text: str
) -> None:
    python = "3.10.13" if spark and minor(spark) < (3, 4) else "3.11.7"
    settings = made(
        launcher,
        zipped(S3) if archive_format == "zip" else S3,
        archive_format=archive_format,
        spark=spark,
        python=python,
    )
    assert render(settings, "text") == text.replace("python3.11", f"python{python.rpartition('.')[0]}")


def test_yarn_in_cluster_mode_is_the_default() -> None:
    assert settings_for(manifest(), S3).launcher == "yarn-cluster" == DEFAULT


def test_one_line_says_the_same_as_the_text() -> None:
    settings = made("standalone")
    assert render(settings, "oneline") == render(settings, "text").replace("\\\n", "")


@pytest.mark.parametrize(
    ("launcher", "archives"),
    # On YARN `spark.archives` would be unpacked a second time by every executor.
    [
        ("yarn-cluster", "spark.yarn.dist.archives"),
        ("yarn-client", "spark.yarn.dist.archives"),
        ("standalone", "spark.archives"),
    ],
)
def test_a_properties_file_names_the_archive_as_the_launcher_reads_it(launcher: str, archives: str) -> None:
    settings = made(launcher)
    first, *others = render(settings, "conf").splitlines()
    assert first == f"{archives}={settings.arguments[1]}"
    assert others == [f"{name}={value}" for name, value in settings.conf.items()]


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
    """executorEnv.PYSPARK_PYTHON selects nothing, a driver Python breaks cluster mode."""
    for launcher in LAUNCHERS:
        assert "spark.executorEnv.PYSPARK_PYTHON" not in made(launcher).conf
    assert not [name for name in made("yarn-cluster").conf if "DRIVER" in name.upper()]


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


@pytest.mark.parametrize(
    ("launcher", "submit"),
    [
        ("yarn-cluster", "--master yarn --deploy-mode cluster"),
        ("yarn-client", "--master yarn --deploy-mode client"),
        ("standalone", "no cluster mode for Python"),
    ],
)
def test_the_first_note_says_how_to_submit(launcher: str, submit: str) -> None:
    assert submit in made(launcher).notes[0]


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
    assert [warning.split()[3] for warning in settings.warnings[:2]] == ["PYSPARK_DRIVER_PYTHON", "PYSPARK_PYTHON"]


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


@pytest.mark.parametrize("value", ["it's", '"x"', "$HOME", "~", "#x", "a;b", "ü", ""])
def test_one_line_passes_through_a_command_substitution(value: str, tmp_path: Path) -> None:
    settings = made("standalone", variables={"A": value})
    (tmp_path / "line").write_text(render(settings, "oneline"))
    words = words_after(f"$(cat '{tmp_path / 'line'}')")
    assert words[-1] == f"spark.executorEnv.A={value}"


@pytest.mark.parametrize("value", ["two words", "*.txt", "a\tb", "a\nb", "[ab]", "a?", "a\\b"])
def test_one_line_refuses_what_the_shell_would_take_apart(value: str) -> None:
    with pytest.raises(UsageError, match="cannot be printed in one line") as refusal:
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
    with pytest.raises(UsageError, match="begins or ends with a blank"):
        render(made("standalone", variables={"A": value}), "conf")


# --- addresses -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_a_local_archive_keeps_its_address(launcher: str) -> None:
    """A blank is fine when it is encoded, as `Path.as_uri` does it (seen in Spark 3.5.6)."""
    uri = "file:///my%20store/pandas-udf-3f2a9c1b4d5e6f70.tar.gz"
    assert made(launcher, uri).arguments == ("--archives", f"{uri}#environment")


@pytest.mark.parametrize("bad", ["a b", "a#b", "a,b", "a%2Cb", "a[b]", "a%5Bb", "{a}", "a*"])
def test_an_address_that_spark_would_take_apart_is_refused(bad: str) -> None:
    """Spark 3.5.6 splits at an encoded comma and fails on encoded brackets, too."""
    with pytest.raises(UsageError, match="Spark cannot read an archive whose address has"):
        made("yarn-cluster", f"s3://bucket/{bad}/x.tar.gz")


# --- refusals ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spark", ["3.1", "3.3.4", "3.5", "3.5.6"])
def test_zip_outside_yarn_before_spark_4_is_refused(spark: str) -> None:
    """The Hadoop of Spark 3 ignores a zip's permissions (seen in 3.5.6: error=13)."""
    with pytest.raises(UsageError, match="loses a zip's permissions under standalone") as refusal:
        made("standalone", archive_format="zip", spark=spark, python="3.10.1")
    assert refusal.value.hint == "build with --format tar.gz"


def test_archives_outside_yarn_before_spark_3_1_are_refused() -> None:
    """They are dropped without a word."""
    with pytest.raises(UsageError, match=r"Spark 3\.0 ignores archives under standalone"):
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
        UsageError, match=r"cannot load Python .*: .*(fails|ends) with|cannot load Python .* fails: "
    ) as refusal:
        made("yarn-cluster", spark=spark, python=f"{python}.1")
    assert f"Python {python}" in refusal.value.message
    assert "build with Python" in str(refusal.value.hint)


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
    with pytest.raises(UsageError, match=r"no Spark older than 2\.4"):
        made("yarn-cluster", spark="2.3", python="3.6.1")


@pytest.mark.parametrize("spark", ["3", "three", "3.5.6.1", "v3.5"])
def test_a_spark_that_is_not_a_version_is_refused(spark: str) -> None:
    with pytest.raises(UsageError, match="is not a version"):
        settings_for(manifest(), S3, spark=spark)


def test_a_launcher_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(UsageError, match="no launcher 'mesos'") as refusal:
        made("mesos")
    assert "yarn-cluster, yarn-client, standalone" in str(refusal.value.hint)


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
    assert "unless spark.yarn.stagingDir lies in s3a://bucket/" in warning
    assert "123 MB" in warning


def test_nothing_is_said_of_staging_where_none_is_needed() -> None:
    assert made("standalone").warnings == ()
    assert made("yarn-cluster", "file:///store/x.tar.gz").warnings == ()


def test_a_python_that_spark_does_not_declare_is_warned_of() -> None:
    (warning,) = made("standalone", spark="3.4", python="3.12.1", packages=["setuptools"]).warnings
    assert warning == "Spark 3.4 declares Python 3.7 to 3.11; the environment has 3.12"


def test_a_python_without_distutils_is_warned_of_unless_setuptools_brings_it() -> None:
    """SPARK-44120, fixed in Spark 4."""

    def warned(spark: str, *packages: str) -> bool:
        settings = made("standalone", spark=spark, python="3.12.1", packages=packages)
        return any("add setuptools" in warning for warning in settings.warnings)

    assert warned("3.5")
    assert not warned("3.5", "setuptools")
    assert not warned("4.0")


def test_an_unknown_spark_is_taken_for_the_newest_without_a_word() -> None:
    assert made("standalone", python="3.14.0").warnings == ()


@pytest.mark.parametrize("value", ["$HOME/x", 'say "x"', "`date`", "a\\b"])
def test_a_variable_that_yarn_would_change_is_warned_of(value: str) -> None:
    """Hadoop's ContainerLaunch writes `export NAME="VALUE"` and escapes nothing."""
    for launcher, expected in (("yarn-cluster", 1), ("yarn-client", 1), ("standalone", 0)):
        warnings = made(launcher, variables={"A": value, "B": "it's; plain"}).warnings
        assert sum("YARN's shell changes the variable A" in warning for warning in warnings) == expected
        assert not any("variable B" in warning for warning in warnings)


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
    with pytest.raises(UsageError, match=r"no Python 3\.9 on PATH"):
        choose_driver_python("auto", "3.9")


def test_a_driver_python_of_another_version_is_refused() -> None:
    with pytest.raises(UsageError, match=rf"is Python {MINOR}, but the archive holds Python 3\.6"):
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


def test_a_driver_python_of_another_machine_is_taken_as_it_is() -> None:
    assert choose_driver_python("/no/such/python3.9", "3.9") == "/no/such/python3.9"
    assert choose_driver_python(None, "3.9") is None


# --- what it costs -------------------------------------------------------------------------------------------


def test_the_names_of_launchers_and_outputs_come_without_heavy_imports() -> None:
    script = (
        "import sys, envpack.spark.launchers, envpack.spark.text\n"
        "print([name for name in ('boto3', 'rattler', 'click', 'rich', 'conda_pack') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
