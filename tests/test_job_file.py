"""A job file is read as the configuration is: every mistake with its line and the nearest key."""

from __future__ import annotations

import ast
import json
import re
from typing import TYPE_CHECKING

import jsonschema
import pytest
import yaml

from envpack.cli.submit import submit_command
from envpack.errors import BadConfiguration, Conflict, UsageError
from envpack.jobs import job_file, starter
from tests.support.write_schemas import JOB, job_schema

if TYPE_CHECKING:
    from pathlib import Path

GOOD = """\
name: daily-churn
code: .
entrypoint: main.py
parameters: {rows: 10, date: }
arguments: [--verbose, "a, b"]
environment: pandas-udf:prod
launcher: standalone
master: spark://host:7077
conf: {spark.sql.shuffle.partitions: 200}
env: {STAGE: test}
timeout: 2h
resources: {driver-memory: 2g, executors: 3, queue: a.b}
kubernetes: {namespace: jobs}
"""


def written(folder: Path, text: str) -> Path:
    """Write a job file beside a `main.py`."""
    (folder / "main.py").write_text("")
    path = folder / "job.yaml"
    path.write_text(text)
    return path


def problems(folder: Path, text: str) -> list[str]:
    """Return what is wrong with a job file, without the file's directory."""
    with pytest.raises(BadConfiguration) as refusal:
        job_file.read(written(folder, text))
    return [problem.replace(f"{folder}/", "") for problem in refusal.value.problems]


def test_a_job_file_is_read_with_its_texts_as_they_are_written(tmp_path: Path) -> None:
    job = job_file.read(written(tmp_path, GOOD))
    assert (job.name, job.launcher, job.resources_driver_memory) == ("daily-churn", "standalone", "2g")
    assert job.arguments == ("--verbose", "a, b")
    assert job.conf == {"spark.sql.shuffle.partitions": "200"}
    assert job.parameters == {"rows": "10", "date": None}
    assert job.where("timeout") == f"{tmp_path}/job.yaml:11"


def test_a_launcher_and_a_parameter_of_another_shape_are_said_with_what_was_meant(tmp_path: Path) -> None:
    text = GOOD.replace("launcher: standalone", "launcher: yarn-clutser").replace("rows: 10", "rows: [1, 2]")
    assert problems(tmp_path, text) == [
        "job.yaml:4: parameters: rows must be one value, not a list",
        "job.yaml:7: unknown launcher 'yarn-clutser'; did you mean yarn-cluster or yarn-client?",
    ]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("jobs.yaml", "did you mean {}/job.yaml?"),
        (".", "did you mean {}/job.yaml?"),
        ("x.txt", "`envpack job new`"),
    ],
)
def test_a_job_file_that_is_not_there_has_the_nearest_one_in_its_hint(name: str, hint: str, tmp_path: Path) -> None:
    written(tmp_path, GOOD)
    with pytest.raises(UsageError) as refusal:
        job_file.read(tmp_path / name)
    assert (refusal.value.hint or "").startswith(hint.format(tmp_path))


@pytest.mark.parametrize(
    "data",
    [b"- a\n", b"\xff\xfe\xfa", b"a: [", b"a\0: 1", b"[" * 5000],
    ids=["a list", "binary", "cut off", "a zero", "deep"],
)
def test_a_job_file_of_another_shape_is_said_with_how_to_get_one(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_bytes(data)
    with pytest.raises(BadConfiguration) as refusal:
        job_file.read(path)
    assert "envpack job new" in (refusal.value.hint or "")


def test_every_mistake_is_said_at_once_with_its_line_and_the_nearest_word(tmp_path: Path) -> None:
    text = GOOD.replace("timeout: 2h", "timeout: soon").replace("launcher: standalone", "luncher: standalone")
    text = text.replace("executors: 3", "executers: 3").replace("driver-memory: 2g", "driver-memory: lots")
    assert problems(tmp_path, text) == [
        "job.yaml:7: unknown setting luncher; did you mean launcher?",
        "job.yaml:12: unknown setting resources: executers; did you mean resources: executors?",
        "job.yaml:11: must be a time such as 90s, 30m or 2h, not 'soon'",
        "job.yaml:12: 'lots' is not an amount of memory: write it as 2g or 512m",
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("name: Daily Churn", "is not a job's name"),
        ("code: nowhere", "nowhere does not exist"),
        ("code: job.yaml", "is not a Python file"),
        ("entrypoint: mian.py", "did you mean main.py?"),
        ("entrypoint: ../main.py", "neither a file such as main.py nor a module"),
        ("parameters: {a b: 1}", "is not a parameter"),
        ("environment: 'a b'", "is not a valid name of a release"),
        ("environment: udf.txt", "the requirements file udf.txt does not exist"),
        ("launcher: yarn-cloud", "unknown launcher 'yarn-cloud'"),
        ("master: here", "is not a master of Spark"),
        ("server: livy", "is not a server's URL"),
        ("conf: {sql.shuffle: 1}", "each begins with `spark.`"),
        ("conf: {spark.archives: x}", "spark.archives is set by envpack"),
        ("env: {PYSPARK_PYTHON: x}", "PYSPARK_PYTHON is set by envpack"),
        ('parameters: {text: "a\\0b"}', "the character U+0000"),
        ('arguments: ["a\\0b"]', "the character U+0000"),
        ("arguments: [a, {b: c}]", "each entry must be one value, not a mapping"),
        ("timeout: 0s", "must be at least 1s"),
        ("env: {PROMPT_COMMAND: x}", "is a shell's own variable"),
    ],
)
def test_each_key_has_its_rule(line: str, said: str, tmp_path: Path) -> None:
    key = line.partition(":")[0]
    kept = [each for each in GOOD.splitlines() if not each.startswith(f"{key}:")]
    (problem,) = problems(tmp_path, "\n".join([*kept, line]))
    assert said in problem
    assert problem.startswith(f"job.yaml:{len(kept) + 1}: ")


def test_what_every_job_needs_is_asked_for(tmp_path: Path) -> None:
    first, second = problems(tmp_path, "name: churn\n")
    assert first.startswith("job.yaml: `code` is missing")
    assert second.startswith("job.yaml: `environment` is missing")
    (third,) = problems(tmp_path, "code: .\nenvironment: udf\n")
    assert third.startswith("job.yaml: `entrypoint` is missing")


def test_parameters_are_set_by_name_and_one_without_a_value_must_be(tmp_path: Path) -> None:
    job = job_file.read(written(tmp_path, GOOD))
    assert job_file.parameters(job, {"date": "2026-01-31"}) == {"rows": "10", "date": "2026-01-31"}
    with pytest.raises(BadConfiguration) as refusal:
        job_file.parameters(job, {"row": "1"})
    first, second = refusal.value.problems
    assert first.endswith("job.yaml has no parameter row; did you mean rows?")
    assert second == f"{tmp_path}/job.yaml:4: the parameter date has no value: give it with --set date=VALUE"


@pytest.mark.parametrize(("written_as", "value"), [("''", ""), ('"null"', "null"), ("~", None), ("null", None)])
def test_an_empty_text_is_the_value_of_a_parameter_and_nothing_is_none(
    written_as: str, value: str | None, tmp_path: Path
) -> None:
    job = job_file.read(written(tmp_path, GOOD.replace("rows: 10, date: ", f"prefix: {written_as}")))
    assert job.parameters == {"prefix": value}
    given = {} if value is not None else {"prefix": ""}
    assert job_file.parameters(job, given) == {"prefix": value or ""}


def test_a_directory_that_cannot_be_run_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "churn").mkdir()
    (problem,) = problems(tmp_path, GOOD.replace("entrypoint: main.py", "entrypoint: churn"))
    assert problem == "job.yaml:3: churn is a directory without __main__.py: name a file of it"


@pytest.mark.parametrize(
    ("layout", "code", "entry"),
    [
        (("app.py",), "app.py", ""),
        (("churn/__init__.py", "churn/__main__.py"), "churn", ""),
        (("churn/__init__.py", "churn/daily.py"), "churn", "churn.daily"),
        (("src/churn/daily.py",), "src", "churn.daily"),
        (("src/jobs/daily.py",), "src", "jobs/daily.py"),
    ],
)
def test_code_is_a_file_a_package_or_a_directory(
    layout: tuple[str, ...], code: str, entry: str, tmp_path: Path
) -> None:
    for name in layout:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    text = f"code: {code}\nenvironment: udf\n" + (f"entrypoint: {entry}\n" if entry else "")
    path = tmp_path / "job.yaml"
    path.write_text(text)
    assert job_file.read(path).entrypoint == entry


def test_the_starter_is_a_job_file_in_which_every_key_can_be_uncommented(tmp_path: Path) -> None:
    path = tmp_path / "daily" / "job.yaml"
    path.parent.mkdir()
    (path.parent / "load.py").write_text("")
    assert starter.write(path, name="daily", environment="udf:prod") == "load.py"
    job = job_file.read(path)
    assert (job.name, job.entrypoint, job.environment) == ("daily", "load.py", "udf:prod")
    text = path.read_text()
    path.write_text(re.sub(r"(?m)^# (?=[a-z]+: *|  [a-z.-]+: )", "", text))
    whole = job_file.read(path)
    assert (whole.resources_queue, whole.kubernetes_namespace, whole.env) == ("default", "jobs", {"STAGE": "test"})
    for name in job_file.kinds():
        section, _, rest = name.partition("_")
        key = rest.replace("_", "-") if section in job_file.SECTIONS else name
        assert f"{key}:" in text or key in ("spark", "driver-cores"), key
    jsonschema.validate(yaml.safe_load(text), json.loads(JOB.read_text("utf-8")))
    with pytest.raises(Conflict):
        starter.write(path, name="daily", environment="udf:prod")


def test_the_schema_of_job_files_is_made_from_what_is_read(tmp_path: Path) -> None:
    assert JOB.read_text("utf-8") == job_schema(), "run `make schemas`"
    schema = json.loads(job_schema())
    jsonschema.validate(yaml.safe_load(GOOD), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(GOOD.replace("executors", "executers")), schema)


def test_the_page_has_every_key_of_a_job_file_and_its_example_is_one(tmp_path: Path) -> None:
    page = (JOB.parent / "jobs.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| (.*) \|$", page, re.MULTILINE))
    for name in job_file.kinds():
        section, _, rest = name.partition("_")
        if section in job_file.SECTIONS:
            assert f"`{rest.replace('_', '-')}`" in rows[section]
        else:
            assert name in rows
    example = page[page.index("```yaml\n") + 8 : page.index("```\n\n## The job file")]
    job = job_file.read(written(tmp_path, example))
    assert (job.name, job.parameters) == ("daily-churn", {"date": "2026-01-31", "rows": "1000"})


def test_every_option_of_the_recipes_is_one_that_submit_takes() -> None:
    page = (JOB.parent / "jobs.md").read_text("utf-8")
    recipes = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(recipes) == 2
    for recipe in recipes:
        ast.parse(recipe)
        (words,) = re.findall(r"^SUBMIT = (\[.*?^\])$", recipe, re.MULTILINE | re.DOTALL)
        submit_command.make_context("submit", [*ast.literal_eval(words)[2:], "--set", "date=1"])
