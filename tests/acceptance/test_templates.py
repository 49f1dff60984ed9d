"""The templates solve for the Spark that they name; those whose parts are on PyPI are built and run."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.cache import cache_directory
from tests.support.channel import Channel
from tests.support.command import Desk, as_pypi_was, desk_at
from tests.test_templates import TEMPLATES, header

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]

NOT_HERE = {"geospatial.yml": "its packages are conda-forge's, and no conda channel but the starter is reached"}
"""Templates that cannot even be solved where there is only PyPI; `test_conda_environments` builds and runs them."""

LACKING = {
    "nlp.txt": (("--from-pypi", "rapidfuzz"), "conda-forge's sample has rapidfuzz for Python 3.10 and 3.14 only"),
}
"""What a template needs beside its own command on the sample of conda-forge's records, and why."""

JOBS = {
    "pandas-udf.txt": (
        "import pandas, pyarrow; print(pyarrow.Table.from_pandas(pandas.DataFrame({'a': [1]})).num_rows)"
    ),
    "sklearn-inference.txt": (
        "import io, joblib; from sklearn.linear_model import LinearRegression as L; f = io.BytesIO(); "
        "joblib.dump(L().fit([[0], [1]], [0, 1]), f); f.seek(0); print(round(joblib.load(f).predict([[1]])[0]))"
    ),
    "xgboost-training.txt": (
        "import xgboost, numpy; x = numpy.arange(200.0).reshape(-1, 1); "
        "m = xgboost.XGBClassifier(n_estimators=2, n_jobs=1).fit(x, x[:, 0] > 100); "
        "print(int(m.predict([[199.0]])[0]))"
    ),
    "nlp.txt": (
        "import spacy, rapidfuzz; print(len(spacy.blank('en')('one')), rapidfuzz.fuzz.ratio('a', 'a') == 100)"
    ),
    "plotting.txt": (
        "import io, matplotlib; matplotlib.use('Agg'); import seaborn, matplotlib.pyplot as p; "
        "seaborn.lineplot(x=[1, 2], y=[1, 2]); f = io.BytesIO(); p.savefig(f); print(int(f.tell() > 1000))"
    ),
    "tensorflow-inference.txt": (
        "import keras, numpy; m = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)]); "
        "print(len(m.predict(numpy.ones((1, 1)), verbose=0)))"
    ),
    "environment.yml": "import duckdb, yaml; print(duckdb.sql('select 1').fetchall()[0][0])",
}
"""What each environment is tried with; each prints a 1 first. PyTorch's CPU build is on no index here."""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, full_channel: Channel) -> Desk:
    home = tmp_path_factory.mktemp("templates") / "a desk"
    desk = as_pypi_was(desk_at(home, full_channel, cache_directory() / "envpack"))
    for template in TEMPLATES:
        # The starter channel has the tests' own Python and no other.
        text = template.read_text("utf-8").replace(
            "python=3.11", f"python={full_channel.python.rpartition('.')[0]}"
        )
        (desk.home / template.name).write_text(text)
    return desk


def asked(template: Path, full_channel: Channel) -> tuple[str, ...]:
    return (template.name, "--spark", header(template)["Spark"].split(" ")[0], "--channel", full_channel.url)


@pytest.mark.parametrize(
    "template", [t for t in TEMPLATES if t.name not in (*NOT_HERE, *JOBS)], ids=lambda template: template.name
)
def test_a_template_that_is_too_large_to_build_solves(template: Path, desk: Desk, full_channel: Channel) -> None:
    ran = desk.run("build", *asked(template, full_channel), "--dry-run")
    assert ran.code == 0, ran.err


@pytest.mark.parametrize("template", [t for t in TEMPLATES if t.name in JOBS], ids=lambda template: template.name)
def test_a_template_is_built_and_does_its_job(
    template: Path, desk: Desk, full_channel: Channel, tmp_path: Path
) -> None:
    built = desk.build(*asked(template, full_channel), "--no-verify")
    node = tmp_path / "environment"
    node.mkdir()
    archive = built["archive"]["uri"].removeprefix("file://").replace("%20", " ")
    subprocess.run(["tar", "-xzf", archive, "-C", node], check=True)
    variables = {"PATH": os.defpath, "MPLCONFIGDIR": str(tmp_path), "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        ["./environment/bin/python", "-I", "-c", JOBS[template.name]],
        cwd=tmp_path,
        env=variables,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout.split()[0] == "1"
    shutil.rmtree(node)
    shutil.rmtree(Path(archive).parent)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.name)
def test_every_template_solves_on_real_records_with_the_command_in_its_header(
    template: Path, conda_forge: Path, channel: Channel, tmp_path: Path
) -> None:
    desk = desk_at(tmp_path / "a desk", channel, cache_directory() / "envpack")
    shutil.copy(template, desk.home)
    _, command, *arguments = shlex.split(header(template)["Use"])
    place = arguments.index("--store")
    del arguments[place : place + 2]
    lacking, _ = LACKING.get(template.name, ((), ""))
    ran = desk.run(command, *arguments, *lacking, "--channel", conda_forge.as_uri(), "--dry-run")
    assert ran.code == 0, ran.err
    assert re.search(r"from conda .*\bpython 3\.1\d", ran.out.replace("\n", " "))


def test_what_cannot_be_had_here_is_said(desk: Desk, full_channel: Channel) -> None:
    for name in NOT_HERE:
        ran = desk.run("build", name, "--channel", full_channel.url, "--dry-run")
        assert ran.code == 4
        assert "no channel has" in ran.err
