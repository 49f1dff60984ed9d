"""Other archives beside the environment's, what executors need to fetch one, and C libraries of hosted Sparks."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from envpack.errors import UsageError
from envpack.redact import redact
from envpack.spark.launchers import LAUNCHERS
from envpack.spark.render import render
from envpack.spark.services import RELEASES
from envpack.spark.settings import settings_for
from tests.support.manifests import S3, manifest

if TYPE_CHECKING:
    from pathlib import Path

    from envpack.spark.settings import Settings
    from tests.support.command import Desk

OWN = "pandas-udf-3f2a9c1b4d5e6f70.tar.gz#environment"
MODELS = "s3://other/models.zip#models"

BUCKETS_ONLY = [name for name, launcher in LAUNCHERS.items() if launcher.local_refused]
WITH_ARCHIVES = [name for name, launcher in LAUNCHERS.items() if launcher.archives]
FETCHING = ["k8s-cluster", "spark-operator", "k8s-client", "standalone", "connect"]


def made(launcher: str, *also: str, uri: str = S3, glibc: str = "2.28", **given: Any) -> Settings:
    release = manifest(python="3.10.13")
    release = replace(release, target=replace(release.target, glibc=glibc))
    return settings_for(release, uri, launcher=launcher, also_archives=also, **given)


def list_of(settings: Settings) -> list[str]:  # noqa: PLR0911 - a form each
    """Return the archives that the text of a launcher names, as its reader takes them apart."""
    text = render(settings, "text")
    match LAUNCHERS[settings.launcher].text:
        case "livy" | "livy-session" | "sparkmagic" | "sparkmagic-config" | "synapse":
            body = json.loads(text[text.index("{") :])
            return list(body.get("session_configs_defaults", body)["archives"])
        case "kyuubi":
            return str(json.loads(text)["conf"]["spark.yarn.dist.archives"]).split(",")
        case "operator":
            return list(yaml.safe_load(text)["spec"]["deps"]["archives"])
        case "zeppelin":
            return text.splitlines()[1].partition(" ")[2].split(",")
        case "airflow":
            return str(eval(f"dict({text})")["archives"]).split(",")  # noqa: S307
        case "airflow-livy":
            return list(eval(f"dict({text})")["archives"])  # noqa: S307
        case "flink":
            words = shlex.split(text.replace("\\\n", " "))
            return words[words.index("-pyarch") + 1].split(",")
        case "gcloud":
            words = shlex.split(text.replace("\\\n", " "))
            return next(word for word in words if word.startswith("--archives=")).partition("=")[2].split(",")
        case "parameters":
            words = shlex.split(text)
            return next(word for word in words if word.startswith("spark.archives=")).partition("=")[2].split(",")
        case _:
            words = shlex.split(text.replace("\\\n", " "))
            return words[words.index("--archives") + 1].split(",")


@pytest.mark.parametrize("launcher", WITH_ARCHIVES)
def test_other_archives_are_joined_as_the_launcher_takes_them(launcher: str) -> None:
    scheme = LAUNCHERS[launcher].scheme
    own, models, data = list_of(made(launcher, MODELS, "hdfs:/dir/data.tgz#data"))
    assert own.endswith(OWN)
    assert (models, data) == (f"{scheme}://other/models.zip#models", "hdfs:///dir/data.tgz#data")


@pytest.mark.parametrize("launcher", WITH_ARCHIVES)
def test_the_filter_of_secrets_leaves_the_list_as_it_is(launcher: str) -> None:
    local = () if LAUNCHERS[launcher].local_refused else ("models.zip#models",)
    settings = made(launcher, "hdfs:/dir/data.tgz#more-data", "s3://b/a.tar.gz#a", *local)
    for output in ("text", "conf", "json"):
        text = render(settings, output)
        assert redact(text) == text


@pytest.mark.parametrize("launcher", WITH_ARCHIVES)
def test_a_properties_file_and_json_name_all_archives(launcher: str) -> None:
    settings = made(launcher, MODELS)
    value = json.loads(render(settings, "json"))
    assert [value["archive"], *value["also_archives"]] == list_of(settings)
    name, listed = LAUNCHERS[launcher].archives, ",".join(list_of(settings))
    line = f'{name}: "{listed}"' if LAUNCHERS[launcher].flink else f"{name}={listed}"
    assert line in render(settings, "conf").splitlines()


def test_a_client_of_a_server_sends_other_files_of_its_own_machine() -> None:
    text = render(made("connect-client", "models.zip#models"), "text")
    assert f'addArtifacts("{OWN}", "models.zip#models", archive=True)' in text
    with pytest.raises(UsageError, match="files on its own machine"):
        made("connect-client", MODELS)


def test_where_nothing_is_unpacked_other_archives_are_refused() -> None:
    with pytest.raises(UsageError, match="unpacks no archives"):
        made("local", "models.zip#models")


@pytest.mark.parametrize(
    ("also", "reason"),
    [
        (["models.zip#environment"], "'environment' is already the directory of the environment"),
        (["a.zip#m", "b.zip#m"], "'m' is already the directory of a.zip#m"),
        (["s3://one/a.zip#a", "s3://two/a.zip#b"], "YARN cannot take two files of one name"),
        ([f"s3://other/{OWN.partition('#')[0]}#x"], "YARN cannot take two files of one name"),
        (["a.zip,b.zip#a"], "contains ','"),
        (["s3://b/my models.zip#m"], "contains ' '"),
        (["models.zip"], "add #DIRECTORY"),
        (["models.zip#Models2"], "add #DIRECTORY"),
        (["models*.zip#m"], "contains '[*]'"),
        (["models.csv"], "cannot unpack"),
        ([""], "cannot unpack"),
        (["models.zip#../up"], "add #DIRECTORY"),
        (["models.zip#.."], "add #DIRECTORY"),
        (["models.zip#"], "add #DIRECTORY"),
        (["models.zip#a#b"], "add #DIRECTORY"),
    ],
)
def test_what_cannot_be_joined_is_refused(also: list[str], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        made("yarn-cluster", *also)


def test_every_reason_is_said_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        made("yarn-cluster", "models.csv", "a.zip#environment", "b.zip#x/y")
    assert len(caught.value.message.splitlines()) == 3


def test_off_yarn_files_of_one_name_are_no_clash() -> None:
    assert len(made("standalone", "s3://one/a.zip#a", "s3://two/a.zip#b").archives) == 3


@pytest.mark.parametrize("launcher", BUCKETS_ONLY)
def test_a_service_that_reads_buckets_only_gets_no_file_of_this_machine(launcher: str) -> None:
    with pytest.raises(UsageError, match="reads archives from"):
        made(launcher, "models.zip#models")


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_whoever_is_given_archives_is_told_that_a_second_list_replaces_them(launcher: str) -> None:
    told = [note for note in made(launcher).notes if "--also-archives" in note]
    assert len(told) == (launcher in WITH_ARCHIVES)
    assert all(f"pass {LAUNCHERS[launcher].archives_field} only once" in note for note in told)


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_where_executors_fetch_from_s3_by_themselves_it_is_said_what_they_need(launcher: str) -> None:
    def said(**given: Any) -> list[str]:
        return [note for note in made(launcher, **given).notes if "--packages" in note]

    assert len(said()) == (launcher in FETCHING)
    assert all("spark.executor.extraClassPath" in note for note in said())
    if launcher not in BUCKETS_ONLY:
        assert said(uri="file:///srv/envs/pandas-udf-3f2a9c1b4d5e6f70.tar.gz") == []


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_the_line_for_what_reads_s3_is_printed_where_it_has_an_effect(launcher: str) -> None:
    settings = made(launcher, s3a_jars="/opt/s3a/*")
    forms = (settings, *settings.alternatives)
    wanted = {"spark.driver.extraClassPath": "/opt/s3a/*", "spark.executor.extraClassPath": "/opt/s3a/*"}
    for form in forms:
        assert {name: value for name, value in form.conf.items() if "extraClassPath" in name} == (
            wanted if launcher in FETCHING else {}
        )


@pytest.mark.parametrize(
    ("launcher", "spark", "glibc", "warned"),
    [
        ("emr", "3.4", "2.26", []),
        ("emr", "3.4", "2.28", ["2.26"]),
        ("emr", "3.5", "2.34", []),
        ("emr", "3.5.1", "2.35", ["2.34"]),
        ("emr-serverless", "3.3", "2.28", ["2.26"]),
        ("emr-eks", "3.3", "2.28", ["2.26"]),
        ("emr-serverless", "4.0", "2.28", []),
        ("emr-serverless", None, "2.28", ["2.26"]),
        ("emr-serverless", None, "2.39", ["2.26", "2.34"]),
        ("emr", None, "2.17", []),
        ("dataproc", "3.3", "2.31", ["2.28"]),
        ("dataproc", "3.5", "2.31", []),
        ("yarn-cluster", "3.4", "2.39", []),
        ("k8s-cluster", None, "2.39", []),
    ],
)
def test_a_newer_c_library_than_the_services_nodes_have_is_warned_of(
    launcher: str, spark: str | None, glibc: str, warned: list[str]
) -> None:
    warnings = made(launcher, glibc=glibc, spark=spark, driver_python=None).warnings
    said = [text for text in warnings if "glibc" in text]
    assert [text.rpartition("--glibc ")[2][:4] for text in said] == warned
    assert all(f"built for glibc {glibc}" in text for text in said)


def test_every_row_of_a_service_has_a_source() -> None:
    for rows in RELEASES.values():
        assert all(row.source and row.system for row in rows)
        assert [row.first for row in rows] == sorted(row.first for row in rows)


@pytest.mark.parametrize(
    ("requirements", "said"),
    [
        ("udf.txt", "udf.txt with the comment line `# envpack: variables: {NUMBA_CACHE_DIR: ./.cache}`"),
        ("udf.yml", "NUMBA_CACHE_DIR: ./.cache under `variables:` of udf.yml"),
        ("pixi.lock", "where the job is started, as pixi.lock has no place for variables"),
        (None, "`variables:` of an environment file, or with the comment line"),
    ],
)
def test_how_a_cache_is_moved_is_said_for_the_file_that_the_person_has(requirements: str | None, said: str) -> None:
    settings = settings_for(manifest(packages=["numba"]), S3, requirements=requirements)
    (warning,) = (text for text in settings.warnings if "HOME is /home/" in text)
    assert said in warning


def test_archives_and_jars_may_stand_in_envpack_yaml(desk: Desk, tmp_path: Path) -> None:
    desk.write("e.yml", "name: e", "dependencies: [greeter]")
    with (desk.home / "envpack.yaml").open("a") as file:
        file.write("also-archives: [models.zip#models]\ns3a-jars: /opt/s3a/*\n")
    built = desk.build("e.yml", "--no-verify")
    assert built["settings"]["also_archives"] == [f"{desk.home.as_uri()}/models.zip#models"]
    shown = desk.run("settings", "e", "--also-archives", "s3://b/data.zip#data", "--output", "json").json()
    assert shown["settings"]["arguments"][1].endswith(",s3a://b/data.zip#data")
    refused = desk.run("settings", "e", "--also-archives", "data.zip#environment")
    assert refused.code == 2
    assert "data.zip#environment" in refused.err
