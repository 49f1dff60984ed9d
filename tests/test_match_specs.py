"""What conda calls a match spec, read once into a value, and what it does to a solve."""

from __future__ import annotations

from pathlib import Path

import pytest
import rattler
from hypothesis import given
from hypothesis import strategies as st

from envpack.config.target import Target
from envpack.errors import BadRequirements, Unsatisfiable, UsageError
from envpack.files.cache import Cache
from envpack.requirements import read, version_spec
from envpack.requirements.match_spec import parse
from envpack.requirements.text import Refused
from envpack.requirements.version_spec import NotAVersionSpec
from envpack.resolve.match_spec import of_python
from envpack.resolve.request import Request
from envpack.resolve.solve import resolve
from tests.support.replica.records import SUBDIRS, records, repodata
from tests.support.small_channel import PYTHONS, write_channel

# Each with the one text of all that ask for the same. From conda's documentation ("Package match specifications",
# the docstring of MatchSpec), CEP 29 and what `conda env export` writes.
SPECS = {
    "numpy": "numpy",
    "NumPy": "numpy",
    "numpy 1.8*": 'numpy[version="1.8.*"]',
    "numpy 1.8.1": 'numpy[version="==1.8.1"]',
    "numpy >=1.8": 'numpy[version=">=1.8"]',
    "numpy ==1.8.1": 'numpy[version="==1.8.1"]',
    "numpy 1.8|1.8*": 'numpy[version="==1.8|1.8.*"]',
    "numpy >=1.8,<2|1.9": 'numpy[version=">=1.8,<2|==1.9"]',
    "numpy 1.8.1 py27_0": 'numpy[version="==1.8.1", build="py27_0"]',
    "numpy=1.8.1=py27_0": 'numpy[version="==1.8.1", build="py27_0"]',
    "numpy==1.8.1=py27_0": 'numpy[version="==1.8.1", build="py27_0"]',
    "numpy=1.11": 'numpy[version="1.11.*"]',
    "numpy =1.11": 'numpy[version="1.11.*"]',
    "numpy=1.5*": 'numpy[version="1.5.*"]',
    "numpy 2023.*.*": 'numpy[version="2023.*"]',
    "numpy>=2.*.*": 'numpy[version=">=2"]',
    "numpy>=*": "numpy",
    "numpy=1.11.1|1.11.3=py36_0": 'numpy[version="1.11.1.*|==1.11.3", build="py36_0"]',
    "numpy=1.11.2=*nomkl*": 'numpy[version="==1.11.2", build="*nomkl*"]',
    "numpy=1.7.*=py3*_2": 'numpy[version="1.7.*", build="py3*_2"]',
    "numpy >=1.0 , < 2.0 =py34_0": 'numpy[version=">=1.0,<2.0", build="py34_0"]',
    "numpy !=1.10 py38_0": 'numpy[version="!=1.10", build="py38_0"]',
    "numpy=1.10.*,!=1.10.2": 'numpy[version="1.10.*,!=1.10.2"]',
    "numpy ~=1.10.1": 'numpy[version="~=1.10.1"]',
    "numpy!=1.10.*": 'numpy[version="!=1.10.*"]',
    "numpy >=1,*.7.*": 'numpy[version=">=1,*.7.*"]',
    "numpy 1.*.3": 'numpy[version="1.*.3"]',
    "numpy ^1.*3$": 'numpy[version="^1.*3$"]',
    "foo (>=1,<2)|>3": 'foo[version=">=1,<2|>3"]',
    "foo >=1.8,(<2|>=1.7.1)": 'foo[version=">=1.8,(<2|>=1.7.1)"]',
    "foo[version='>=1,<2' build=*_0]": 'foo[version=">=1,<2", build="*_0"]',
    "foo[version=1.5,build=x]": 'foo[version="==1.5", build="x"]',
    'foo=1.8=py27_0 [version="1.9", build_number=3]': 'foo[version="==1.9", build="py27_0", build_number="3"]',
    "tensorflow[name=* version=* md5=253b922ecdb5a30884875948b8904983]": (
        'tensorflow[md5="253b922ecdb5a30884875948b8904983"]'
    ),
    "blas * openblas_0": 'blas[build="openblas_0"]',
    "blas * *": "blas",
    "conda-forge::foo>=1.0": 'foo[version=">=1.0", channel="conda-forge"]',
    "conda-forge/linux-64::foo": 'foo[channel="conda-forge", subdir="linux-64"]',
    "conda-forge:namespace:foo": 'foo[channel="conda-forge"]',
    "*/linux-32::foo": 'foo[subdir="linux-32"]',
    "https://example.com/c/noarch::foo": 'foo[channel="https://example.com/c", subdir="noarch"]',
    "foo[channel=https://example.com/c/osx-64, subdir=linux-64]": (
        'foo[channel="https://example.com/c", subdir="linux-64"]'
    ),
    "conda-forge::foo[build=3](target=blarg,optional)": 'foo[build="3", channel="conda-forge"]',
    "foo (optional)": "foo",
    "foo # with words": "foo",
    "openssl>=1.1.1_,!=1.1.1c": 'openssl[version=">=1.1.1_,!=1.1.1c"]',
    "tzdata 2023c": 'tzdata[version="==2023c"]',
    "x264 1!164.3095": 'x264[version="==1!164.3095"]',
    "torch 2.1+cu118": 'torch[version="==2.1+cu118"]',
    "_libgcc_mutex": "_libgcc_mutex",
    "ruamel.yaml": "ruamel.yaml",
    "package[when=__unix]": 'package[when="__unix"]',
    "package[extras=['a', b]]": 'package[extras="a,b"]',
    "https://example.com/c/linux-64/_x-y-1%212.0-py27_1.tar.bz2#d7c89558ba9fa0495403155b64376d81": (
        '_x-y[version="==1!2.0", build="py27_1", '
        'url="https://example.com/c/linux-64/_x-y-1%212.0-py27_1.tar.bz2", md5="d7c89558ba9fa0495403155b64376d81"]'
    ),
}

NONE = {
    "": "the name of the package is missing",
    "numpy=": "is not a version",
    "numpy==": "is not a version",
    "numpy=1.8=": "no build follows",
    "numpy =>1": "write '>='",
    "numpy===1.0": "write '=='",
    "numpy <>1": "write '!='",
    "numpy ~=1": "needs two numbers",
    "numpy ==1..0": "'1..0' is not a version",
    "numpy >=1.8 <2": "join versions by `,`",
    "numpy >=1,": "a version is missing",
    "numpy (>=1": "a bracket is not closed",
    "a b c d": "more than a name, a version and a build",
    "numpy[test]": "conda packages have no extras",
    "numpy[version<2]": "write version='<2'",
    "numpy[build_number>=3]": "write build_number='>=3'",
    "numpy[build]": "the key 'build' has no value",
    "ray[default,data] >=2.9": "conda packages have no extras",
    "numpy[versin=2]": "did you mean version?",
    "numpy[build=a, build=b]": "twice",
    "numpy[version=1][build=2]": "more than one pair of brackets",
    "numpy [build=x": "a bracket is not closed",
    "numpy[md5=12]": "does not have 32 hexadecimal digits",
    "numpy[build_number=x]": "is not a number",
    "numpy[when='((']": "not a conda match spec",
    "!xyz 1.3": "the name of the package is missing",
    "'package'": "cannot have",
    "pkg..name": "no two separators",
    "-pkg": "begins with",
    "num*": "write the name of one package",
    "* >=1": "write the name of one package",
    "x" * 65: "no more than 64",
    "./foo-1-0.conda": "absolute path",
    "https://example.com/foo.conda": "NAME-VERSION-BUILD",
    "::numpy": "the channel before",
}


@pytest.mark.parametrize("text", SPECS)
def test_what_conda_calls_a_match_spec_is_read(text: str) -> None:
    spec = parse(text)
    assert str(spec) == SPECS[text]
    assert parse(str(spec)) == spec


@pytest.mark.parametrize("text", SPECS)
def test_rattler_takes_every_spec_that_a_solver_can_hold(text: str) -> None:
    spec = parse(text)
    if not spec.needs_records:
        assert str(rattler.MatchSpec(spec.for_solver(spec.channel)).name.normalized) == spec.name


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_match_spec_is_refused_with_the_reason(text: str) -> None:
    with pytest.raises(Refused) as caught:
        parse(text)
    assert NONE[text] in caught.value.reason


@given(st.text("ab1.*=<>!~,| ()[]_-+:^$#'", max_size=14))
def test_whatever_is_written_is_a_spec_that_rattler_takes_or_is_refused(text: str) -> None:
    try:
        spec = parse(f"n{text}")
    except Refused:
        return
    if not spec.needs_records:
        rattler.MatchSpec(spec.for_solver())


def test_every_spec_of_real_records_means_what_it_means_to_rattler() -> None:
    depends: set[str] = set()
    for record in records({subdir: repodata(subdir) for subdir in SUBDIRS}).values():
        depends |= {*record.json["depends"], *record.json.get("constrains", ())}
        depends.add(f"{record.name}={record.version}={record.json['build']}")
    for text in depends:
        ours, theirs = (
            rattler.MatchSpec(each).to_canonical_string().replace('version="*",', "").replace('[version="*"]', "")
            for each in (parse(text).for_solver(), text)
        )
        assert ours == theirs.replace(',build="*"', "")


def test_a_python_that_is_none_is_refused_with_who_said_it() -> None:
    assert [of_python(text) for text in ("3", "3.11", "3.11.7", ">=3.11,<3.13", "3.14.0rc2")] == [
        "python 3.*",
        "python 3.11.*",
        "python ==3.11.7",
        "python >=3.11,<3.13",
        "python ==3.14.0rc2",
    ]
    for text in ("abc", "3.x", "", ">=", "3.11 3.12", "=>3.11"):
        with pytest.raises(UsageError, match=r"ENVPACK_PYTHON: .* is not a version of Python"):
            of_python(text, "ENVPACK_PYTHON")


def test_a_version_spec_nested_without_end_is_refused() -> None:
    with pytest.raises(NotAVersionSpec, match="nested too deeply"):
        version_spec.parse("(" * 400 + "1" + ")" * 400)


# In a solve


@pytest.fixture
def channels(tmp_path: Path) -> Path:
    write_channel(
        tmp_path / "one", {"six 1.2.3": ["python"], "six 1.3.3": ["python"], "six 1.3.4": ["python"], "low 1": []}
    )
    write_channel(tmp_path / "two", {"six 9.9.9": ["python"], "low 2": [], "only-two 1": []})
    return tmp_path


def solve(channels: Path, *specs: str, names: tuple[str, ...] = ("one", "two")) -> dict[str, tuple[str, str]]:
    """Return version and channel of each package that the specs bring in."""
    file = channels / "env.yml"
    file.write_text("dependencies:\n" + "".join(f"- {spec!r}\n" for spec in specs), "utf-8")
    request = Request(
        requirements=read(file), target=Target(), channels=tuple(str(channels / name) for name in names)
    )
    cache = Cache(channels / "cache")
    with cache.scratch() as scratch:
        lock = resolve(request, cache=cache, scratch=scratch).lock
    return {package.name: (package.version, package.url.split("/")[-3]) for package in lock.packages}


@pytest.mark.parametrize(
    ("spec", "version"),
    [
        ("six 1.*.3", "1.3.3"),
        ("six ^1[.]2.*$", "1.2.3"),
        ("six >1.3,*.3.*", "1.3.4"),
        ("six[fn=six-1.2.3-0.conda]", "1.2.3"),
        ("six[subdir=noarch, version='<1.3']", "1.2.3"),
        ("six=1.2.3=0", "1.2.3"),
        ("six 1.3.3 0", "1.3.3"),
    ],
)
def test_a_spec_means_the_same_to_the_solver(channels: Path, spec: str, version: str) -> None:
    assert solve(channels, spec)["six"] == (version, "one")


def test_a_spec_that_only_the_records_can_fulfil_is_unsatisfiable_where_none_does(channels: Path) -> None:
    with pytest.raises(
        Unsatisfiable, match=r"env\.yml:2: no channel has a package that fits 'six\[subdir=osx-64\]'"
    ):
        solve(channels, "six[subdir=osx-64]")


def test_the_channel_that_is_listed_first_wins_whatever_its_versions(channels: Path) -> None:
    assert solve(channels, "six", "only-two") == {
        "python": (PYTHONS[-1], "one"),
        "six": ("1.3.4", "one"),
        "only-two": ("1", "two"),
    }
    assert solve(channels, "six", names=("two", "one"))["six"] == ("9.9.9", "two")


def test_a_channel_that_a_spec_names_is_asked_alone(channels: Path) -> None:
    assert solve(channels, "two::six", "low")["six"] == ("9.9.9", "two")
    assert solve(channels, f"{(channels / 'two').as_uri()}::six", "low")["six"] == ("9.9.9", "two")


def test_a_channel_that_a_spec_names_has_to_be_listed(channels: Path) -> None:
    with pytest.raises(BadRequirements) as caught:
        solve(channels, "low", "bioconda::six", "two::six", names=("one",))
    assert [problem.line for problem in caught.value.problems] == [3, 4]
    assert "six must come from the channel bioconda, which is not listed" in str(caught.value)
    assert "channels:" in str(caught.value.hint)


def test_a_package_with_an_underscore_keeps_its_name(channels: Path) -> None:
    write_channel(channels / "odd", {"under_score 1": [], "dot.ted 1": ["python"], "dot-ted 2": ["python"]})
    found = solve(channels, "under_score", "dot.ted", names=("odd",))
    assert found.keys() == {"python", "under_score", "dot.ted"}


def test_one_package_can_be_named_by_its_address(channels: Path) -> None:
    url = (channels / "two/noarch/six-9.9.9-0.conda").as_uri()
    assert solve(channels, url, names=("one",))["six"] == ("9.9.9", "two")
