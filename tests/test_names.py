"""Names of conda packages and of projects are two kinds, and the mapping turns one into the other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from envpack.build.pipeline import Options, lock
from envpack.channel_names import expanded, is_directory, name_of
from envpack.config.config import load
from envpack.errors import UsageError
from envpack.requirements.names import CondaName, ProjectName, problem_of
from envpack.resolve import mapping
from envpack.resolve.channel_addresses import channel_addresses
from envpack.resolve.names import Names, checked_names
from tests.support.chosen import quickly
from tests.support.replica.records import projects
from tests.support.small_channel import write_channel
from tests.support.wheels import write_wheel


def test_a_conda_name_is_compared_as_it_is_and_a_project_by_pep_503() -> None:
    assert CondaName("Ruamel.YAML") == "ruamel.yaml"
    assert ProjectName("Ruamel_.YAML") == "ruamel-yaml"


def test_every_real_name_is_a_conda_name() -> None:
    assert [name for name in projects() if problem_of(CondaName(name)) or CondaName(name) != name] == []


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


def test_every_project_that_conda_forge_has_is_found_there() -> None:
    held: defaultdict[ProjectName, set[str]] = defaultdict(set)
    for conda, project in projects().items():
        if project:
            held[ProjectName(project)].add(conda)
    names = Names()
    for project, packages in held.items():
        candidates = names.conda_candidates(project)
        there = [name for name in candidates if name in packages]
        assert there, project
        assert names.project(there[0]) == project
    assert len(held) > 20_000


def test_the_table_is_what_its_maker_makes_of_the_real_names() -> None:
    text = files("envpack.resolve").joinpath(mapping.FILE).read_text("utf-8")
    made = date.fromisoformat(text.partition("\n")[0].rstrip(".")[-10:])
    assert mapping.dump(mapping.differing(projects()), made) == text
    assert len(text) < 40_000


def test_a_person_can_say_how_a_project_is_called() -> None:
    names = Names({"Salu_Tation": "greeter"})
    assert names.conda_candidates(ProjectName("salu-tation")) == ("greeter",)
    assert names.project(CondaName("greeter")) == "salu-tation"


def test_a_table_of_a_persons_own_names_conda_packages() -> None:
    with pytest.raises(UsageError) as caught:
        checked_names({"torch": "py torch", "six": "s..x", "redis": "redis-py"}, "envpack.yaml")
    assert len(str(caught.value).splitlines()) == 2


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
        with pytest.raises(UsageError, match="is not a conda channel"):
            channel_addresses([nowhere], tmp_path)
    with pytest.raises(UsageError, match="local"):
        channel_addresses(["local"], tmp_path)


def test_a_channel_is_known_by_its_path_without_a_token() -> None:
    assert name_of("https://example.com/t/tk-1/conda-forge/label/rc") == "conda-forge/label/rc"
    assert name_of("file:///srv/mirror/conda-forge") == "conda-forge"
    assert expanded("conda-forge") == ("conda-forge",)


# In a solve


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., tuple[dict[str, str], tuple[str, ...]]]:
    """Lock a file's text on the command line's own way; return each package's source, and the notes."""
    write_channel(
        tmp_path / "channel",
        {
            "matplotlib 3.9": ["matplotlib-base 3.9", "qt 6", "python"],
            "matplotlib-base 3.9": ["python"],
            "matplotlib 2.2": ["python"],
            "qt 6": ["x1", "x2", "x3"],
            **{f"x{number} 1": [] for number in (1, 2, 3)},
            "redis-py 5": ["python"],
            "zlib 1": [],
        },
    )
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    for name in ("redis", "matplotlib", "zlib"):
        write_wheel(shelf, name, "9")

    def run(text: str, suffix: str = ".txt", **choices: object) -> tuple[dict[str, str], tuple[str, ...]]:
        file = tmp_path / f"env{suffix}"
        file.write_text(text.replace("SHELF", str(shelf)), "utf-8")
        flags = {"channels": (str(tmp_path / "channel"),), "cache_dir": str(tmp_path / "cache"), **choices}
        locked = lock(file, config=load(flags, {}, tmp_path), options=Options(upgrade=True))
        found = {
            **{str(p.name): "conda" for p in locked.lock.packages},
            **{str(w.name): "pypi" for w in locked.lock.wheels},
        }
        return {name: source for name, source in found.items() if name != "python"}, locked.notes

    return run


OFFLINE = "--no-index\n--find-links SHELF\n"


def test_a_line_is_taken_as_the_smallest_package_of_its_project(ask: Callable[..., Any]) -> None:
    assert ask("matplotlib\n") == ({"matplotlib-base": "conda"}, ())
    # Only the other package has that version.
    assert ask("matplotlib<3\n") == ({"matplotlib": "conda"}, ())


def test_a_package_that_a_match_spec_names_is_kept_and_its_cost_told_once(ask: Callable[..., Any]) -> None:
    found, notes = ask("dependencies: [matplotlib]\n", ".yml")
    assert {"matplotlib", "matplotlib-base", "qt"} <= found.keys()
    (note,) = notes
    assert note.startswith("matplotlib brings 4 packages (qt, x1, x2, ..., ")
    assert note.endswith(") that matplotlib-base does without")
    assert ask("dependencies: [matplotlib, qt]\n", ".yml")[1] == ()
    assert ask("dependencies: [matplotlib-base]\n", ".yml")[1] == ()


@pytest.mark.parametrize("name", quickly(["redis", "Redis", "redis-py"], "redis-py"))
def test_a_source_is_forced_by_a_name_of_either_kind(ask: Callable[..., Any], name: str) -> None:
    assert ask("redis\n")[0] == {"redis-py": "conda"}
    assert ask(f"{OFFLINE}redis\n", from_pypi=(name,))[0] == {"redis": "pypi"}
    assert ask(f"{OFFLINE}redis[hiredis]\n")[0] == {"redis": "pypi"}
    pip = "dependencies:\n- pip: ['--no-index', '--find-links SHELF', redis]\n"
    assert ask(pip, ".yml")[0] == {"redis": "pypi"}
    assert ask(pip, ".yml", from_conda=(name,))[0] == {"redis-py": "conda"}


def test_a_library_of_a_projects_name_is_taken_only_when_that_is_said(ask: Callable[..., Any]) -> None:
    assert ask(f"{OFFLINE}zlib\n")[0] == {"zlib": "pypi"}
    assert ask(f"{OFFLINE}zlib\n", from_conda=("zlib",))[0] == {"zlib": "conda"}


def test_a_forced_name_that_no_line_has_is_told(ask: Callable[..., Any]) -> None:
    (note,) = ask("redis\n", from_pypi=("torch",))[1]
    assert note.startswith("--from-pypi torch has no effect: no line of ")
