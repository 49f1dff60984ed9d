"""Real records of conda-forge: all are read, and requests solve to what py-rattler alone gives for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rattler import MatchSpec
from rattler.exceptions import SolverError

from envpack.config.target import Target
from envpack.errors import Unsatisfiable
from envpack.files.cache import Cache
from envpack.lock.file import dump, parse
from envpack.requirements import read
from envpack.requirements.names import CondaName
from envpack.resolve.channel_addresses import channel_addresses
from envpack.resolve.conda import Channels, Platform
from envpack.resolve.request import Request
from envpack.resolve.solve import resolve
from tests.support.chosen import quickly
from tests.support.replica import solved
from tests.support.replica.records import SUBDIRS, records, repodata

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from envpack.lock.lock import Lock

ENVIRONMENT_FILES = """\
python=3.12; numpy; pandas; pyarrow
python=3.11; pandas=2.2; pyarrow
python=3.10; pandas<2; pyarrow<15
python=3.13; numpy; scipy
python=3.14; pandas; pyarrow
python=3.9; pandas=1.5
python=3.12; gdal; pyproj; rasterio; geopandas; pandas; pyarrow
python=3.12; pangeo-notebook
python=3.12; pangeo-notebook; pangeo-dask; gdal; rasterio; geopandas; cartopy; zarr; netcdf4; h5netcdf; s3fs
python=3.14; pangeo-dask
jupyterlab
python=3.12; jupyterlab>=4.4; ipywidgets
jupyterlab=3.6.8
python=3.12; scikit-learn; scipy; joblib
python=3.11; scikit-learn<1.9
python=3.12; xarray; zarr; netcdf4; h5netcdf
python=3.12; xarray>=2026; dask; distributed
dask=2022.2.1
python=3.12; matplotlib
python=3.12; matplotlib-base
python=3.12; seaborn; statsmodels
python=3.13; pytorch
python=3.14; pytorch=2.10
python=3.13; pytorch=*=cpu*
python=3.12; numba; llvmlite
python=3.12; bokeh; holoviews; hvplot; panel
python=3.12; xgboost
python=3.12; boto3; s3fs; awscli
python=3.12; openssl=3.5.*
python=3.12; openssl 3.5.4
python=3.12; numpy=2.4.*; pandas[version='>=2,<3']
python=3.12; libblas=*=*mkl
python=3.12; libblas=*=*openblas; numpy
numpy=1.26.4
numpy 1.26.*; python <3.12
python>=3.11,<3.13; fiona; shapely
python=3.12; ffmpeg
python=3.12; qt6-main
python=3.12; git; nodejs
python=3.12; vtk
python=3.12; mamba
python=3.12; sqlalchemy; psycopg2
python=3.12; adlfs; gcsfs
python=3.12; rioxarray; stackstac; odc-stac
python=3.12; metpy
python=3.12; kerchunk; virtualizarr; icechunk
r-base
python=3.12; libgdal-core=3.12.1=hf05ffb4_0
python=3.12; tensorflow
python=3.11; jax
python=3.12; libgdal=3.9.1; gdal=3.12
"""
"""One request a line, as people write `dependencies:`. The last three cannot be fulfilled."""

QUICK = (
    "python=3.12; numpy; pandas; pyarrow",
    "python=3.10; pandas<2; pyarrow<15",
    "jupyterlab=3.6.8",
    "dask=2022.2.1",
    "python=3.13; pytorch=*=cpu*",
    "python=3.12; numpy=2.4.*; pandas[version='>=2,<3']",
    "python=3.12; libblas=*=*mkl",
    "numpy 1.26.*; python <3.12",
    "r-base",
    "python=3.12; libgdal-core=3.12.1=hf05ffb4_0",
    "python=3.11; jax",
)
"""One of each kind of spec, of environment and of end."""

IN_RATTLERS_WORDS = {
    "pytorch=*=cpu*": "pytorch * cpu*",
    "openssl=3.5.*": "openssl 3.5.*",
    "openssl 3.5.4": "openssl ==3.5.4",
    "numpy=2.4.*": "numpy 2.4.*",
    "libblas=*=*mkl": "libblas * *mkl",
    "libblas=*=*openblas": "libblas * *openblas",
    "libgdal-core=3.12.1=hf05ffb4_0": "libgdal-core ==3.12.1 hf05ffb4_0",
}
"""What py-rattler's strict parser does not take as conda does."""

LINES = {
    "pandas>=2,<3\npyarrow": ["pandas >=2,<3", "pyarrow"],
    "scikit-learn~=1.8\njoblib": ["scikit-learn >=1.8,1.*", "joblib"],
    "torch": ["pytorch"],
    "numpy!=2.5.1\nscipy": ["numpy !=2.5.1", "scipy"],
    "matplotlib\npandas": ["matplotlib-base", "pandas"],
    "dask\nxarray": ["dask-core", "xarray"],
    "msgpack\nlz4": ["msgpack-python", "lz4"],
    'pyyaml\ntomli; python_version < "3.11"': ["pyyaml"],
    "requests==2.*\nbrotli": ["requests 2.*", "brotli-python"],
}
"""Lines of a `.txt`, all of them projects that the sample carries, and the specs that say the same."""

Found = set[tuple[str, str, str, str]]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return Cache(tmp_path_factory.mktemp("cache"))


def lock_of(text: str, suffix: str, channel: Path, cache: Cache, directory: Path) -> Lock:
    file = directory / f"requirements{suffix}"
    file.write_text(text, "utf-8")
    with cache.scratch() as scratch:
        request = Request(requirements=read(file), target=Target(), channels=(channel.as_uri(),))
        return resolve(request, cache=cache, scratch=scratch).lock


def packages_of(lock: Lock) -> Found:
    return {(package.name, package.version, package.build, package.subdir) for package in lock.packages}


def by_rattler(specs: Iterable[str], channel: Path) -> Found:
    words = [IN_RATTLERS_WORDS.get(spec, spec) for spec in specs]
    answer = solved(channel.as_uri(), ["python", *words])
    return {(r.name.normalized, str(r.version), str(r.build), r.subdir) for r in answer}


def environment_file(specs: Sequence[str]) -> str:
    return "dependencies:\n" + "".join(f'- "{spec}"\n' for spec in specs)


@pytest.mark.parametrize("subdir", SUBDIRS)
def test_every_record_is_read(subdir: str, conda_forge: Path, tmp_path: Path) -> None:
    index = records({subdir: repodata(subdir)})
    addresses = channel_addresses([conda_forge.as_uri()], tmp_path)
    channels = Channels(addresses, Platform.of_target(Target()), tmp_path / "repodata")
    assert len(index) > 1500
    versions: dict[str, set[str]] = {}
    for record in index.values():
        versions.setdefault(record.name, set()).add(record.version)
        for spec in (*record.json["depends"], *record.json.get("constrains", ())):
            assert str(MatchSpec(spec)).split()[0] == spec.split()[0]
    carried = channels.carried(map(CondaName, versions))
    assert {name: set(carried[CondaName(name)].versions) >= versions[name] for name in versions} == dict.fromkeys(
        versions, True
    )


@pytest.mark.parametrize("line", quickly(ENVIRONMENT_FILES.splitlines(), *QUICK))
def test_an_environment_file_solves_to_what_rattler_alone_gives(
    line: str, conda_forge: Path, cache: Cache, tmp_path: Path
) -> None:
    specs = line.split("; ")
    try:
        expected = by_rattler(specs, conda_forge)
    except SolverError:
        with pytest.raises(Unsatisfiable):
            lock_of(environment_file(specs), ".yml", conda_forge, cache, tmp_path)
        return
    lock = lock_of(environment_file(specs), ".yml", conda_forge, cache, tmp_path)
    assert packages_of(lock) == expected
    assert not lock.wheels
    assert parse(dump(lock), "the lock") == lock


@pytest.mark.parametrize("text", LINES, ids=lambda text: text.replace("\n", "; "))
def test_lines_solve_to_what_rattler_alone_gives_for_the_specs_that_say_the_same(
    text: str, conda_forge: Path, cache: Cache, tmp_path: Path
) -> None:
    lock = lock_of(f"{text}\n", ".txt", conda_forge, cache, tmp_path)
    assert packages_of(lock) == by_rattler(LINES[text], conda_forge)
    assert not lock.wheels


def test_what_conda_env_export_writes_solves_to_the_very_same_packages(
    conda_forge: Path, cache: Cache, tmp_path: Path
) -> None:
    specs = ["python=3.12", "pangeo-notebook", "gdal", "geopandas"]
    lock = lock_of(environment_file(specs), ".yml", conda_forge, cache, tmp_path)
    exported = [f"{package.name}={package.version}={package.build}" for package in lock.packages]
    assert packages_of(lock_of(environment_file(exported), ".yml", conda_forge, cache, tmp_path)) == packages_of(
        lock
    )
