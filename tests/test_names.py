"""Names of conda packages and of projects are two kinds, and the mapping turns one into the other."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from importlib.resources import files
from pathlib import Path

import pytest

from envpack.channel_names import expanded, is_directory, name_of
from envpack.errors import UsageError
from envpack.requirements.names import CondaName, ProjectName, problem_of
from envpack.resolve import mapping
from envpack.resolve.conda import channel_addresses
from envpack.resolve.names import Names
from tests.support import conda_forge


def test_a_conda_name_is_compared_as_it_is_and_a_project_by_pep_503() -> None:
    assert CondaName("Ruamel.YAML") == "ruamel.yaml"
    assert ProjectName("Ruamel_.YAML") == "ruamel-yaml"


@conda_forge.needed
def test_every_real_name_is_a_conda_name() -> None:
    assert [name for name in conda_forge.names() if problem_of(CondaName(name)) or CondaName(name) != name] == []


@pytest.mark.parametrize(
    ("project", "conda"),
    [
        ("matplotlib", "matplotlib-base"),
        ("dask", "dask-core"),
        ("astropy", "astropy-base"),
        ("seaborn", "seaborn-base"),
        ("ray", "ray-core"),
        ("h3", "h3-py"),
        ("neo4j", "neo4j-python-driver"),
        ("redis", "redis-py"),
        ("trino", "trino-python-client"),
        ("torch", "pytorch"),
        ("xgboost", "py-xgboost"),
        ("tzdata", "python-tzdata"),
        ("opencv-python-headless", "opencv-python-headless"),
        ("pyarrow", "pyarrow"),  # pyarrow-core has no Parquet
        ("geopandas", "geopandas"),  # geopandas-base reads no files
        ("lxml", "lxml"),  # and not inkscape, which brings one along
        ("numpy", "numpy"),
        ("aspy-refactor-imports", "aspy.refactor-imports"),
    ],
)
def test_a_project_is_the_smallest_package_that_is_the_project(project: str, conda: str) -> None:
    assert Names().conda_candidates(ProjectName(project))[0] == conda


@conda_forge.needed
def test_every_project_that_conda_forge_has_is_found_there() -> None:
    held: defaultdict[ProjectName, set[str]] = defaultdict(set)
    for conda, project in conda_forge.names().items():
        if project:
            held[ProjectName(project)].add(conda)
    names = Names()
    for project, packages in held.items():
        candidates = names.conda_candidates(project)
        there = [name for name in candidates if name in packages]
        assert there, project
        assert names.project(there[0]) == project
    assert len(held) > 20_000


@conda_forge.needed
def test_the_table_is_what_its_maker_makes_of_the_real_names() -> None:
    text = files("envpack.resolve").joinpath(mapping.FILE).read_text("utf-8")
    made = date.fromisoformat(text.partition("\n")[0].rstrip(".")[-10:])
    assert mapping.dump(mapping.differing(conda_forge.names()), made) == text
    assert len(text) < 40_000


def test_a_person_can_say_how_a_project_is_called() -> None:
    names = Names({"Salu_Tation": "greeter"})
    assert names.conda_candidates(ProjectName("salu-tation")) == ("greeter",)
    assert names.project(CondaName("greeter")) == "salu-tation"


def test_a_name_of_either_kind_means_the_project() -> None:
    names, lines = Names(), {ProjectName("torch"), ProjectName("modal")}
    assert names.meant("pytorch", lines) == "torch"
    assert names.meant("Torch", lines) == "torch"
    assert names.meant("redis-py", lines) == "redis"
    # `modal` is a project, and also the conda package of another one.
    assert (names.meant("modal", lines), names.meant("modal", set())) == ("modal", "modal-python")


@pytest.mark.parametrize(
    ("channel", "urls"),
    [
        ("conda-forge", ("https://conda.anaconda.org/conda-forge",)),
        ("conda-forge/label/python_rc", ("https://conda.anaconda.org/conda-forge/label/python_rc",)),
        ("nvidia/label/cuda-12.4.0", ("https://conda.anaconda.org/nvidia/label/cuda-12.4.0",)),
        ("pkgs/main", ("https://repo.anaconda.com/pkgs/main",)),
        ("defaults", ("https://repo.anaconda.com/pkgs/main", "https://repo.anaconda.com/pkgs/r")),
        ("https://example.com/c/", ("https://example.com/c",)),
        ("https://example.com/c/linux-64", ("https://example.com/c",)),
        ("conda-forge/noarch", ("https://conda.anaconda.org/conda-forge",)),
    ],
)
def test_a_channel_is_what_conda_means_by_it(channel: str, urls: tuple[str, ...], tmp_path: Path) -> None:
    assert tuple(each.plain for each in channel_addresses([channel, channel], tmp_path)) == urls


def test_a_directory_is_a_channel_where_it_is_written_as_one_or_holds_one(tmp_path: Path) -> None:
    (tmp_path / "mine/noarch").mkdir(parents=True)
    assert [each.plain for each in channel_addresses(["mine", "./mine"], tmp_path)] == [
        (tmp_path / "mine").as_uri()
    ]
    assert not is_directory("pkgs/main", tmp_path)
    for nowhere in ("./none", "/none", "~/none"):
        with pytest.raises(UsageError, match="no channel in the directory"):
            channel_addresses([nowhere], tmp_path)
    with pytest.raises(UsageError, match="local"):
        channel_addresses(["local"], tmp_path)


def test_a_channel_is_known_by_its_path_without_a_token() -> None:
    assert name_of("https://example.com/t/tk-1/conda-forge/label/rc") == "conda-forge/label/rc"
    assert name_of("file:///srv/mirror/conda-forge") == "conda-forge"
    assert expanded("conda-forge") == ("conda-forge",)
