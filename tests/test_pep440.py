"""What PEP 440 admits and what the conda spec made of it admits are the same versions."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version
from rattler import MatchSpec, VersionSpec
from rattler import Version as CondaVersion

from envpack.resolve import pep440

NUMBER = st.integers(0, 3).map(str)
EPOCH = st.sampled_from(["", "", "", "1!"])
RELEASE = st.lists(NUMBER, min_size=1, max_size=3).map(".".join)
PRE = st.sampled_from(["", "", "", "a0", "a1", "b1", "rc1", "rc2"])
POST = st.sampled_from(["", "", "", ".post0", ".post1", ".post2"])
DEV = st.sampled_from(["", "", "", ".dev0", ".dev1"])
LOCAL = st.sampled_from(["", "", "", "+cpu", "+cu126", "+1"])


def joined(*parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*parts).map("".join)


PUBLIC = joined(EPOCH, RELEASE, PRE, POST, DEV)
VERSIONS = st.lists(joined(PUBLIC, LOCAL), min_size=1, max_size=12, unique=True)
WRITTEN = st.one_of(
    PUBLIC,
    joined(st.just("v"), PUBLIC),
    joined(RELEASE, st.sampled_from(["-1", "-2", "c1", ".alpha1", "-rc.1", "_post1", ".rev2"])),
)
CLAUSE = st.one_of(
    joined(st.sampled_from(["==", "!=", "<", "<=", ">", ">="]), WRITTEN),
    joined(st.sampled_from(["==", "!="]), EPOCH, RELEASE, st.just(".*")),
    joined(st.just("=="), PUBLIC, st.just("+cpu")),
    joined(st.just("~="), EPOCH, NUMBER, st.just("."), RELEASE, PRE, POST, DEV),
    joined(st.just("==="), PUBLIC),
)
SPECIFIER = st.lists(CLAUSE, max_size=3).map(",".join).map(SpecifierSet)


def of_conda(specifier: SpecifierSet, versions: list[str]) -> set[str]:
    """Return the versions that rattler takes for the spec, after its own parser has read it."""
    spec = pep440.version_spec(specifier, versions)
    parsed = MatchSpec(f"it {spec}" if spec else "it").version
    if parsed is None:
        return set(versions)
    allowed = VersionSpec(str(parsed))
    return {version for version in versions if allowed.matches(CondaVersion(version))}


@settings(max_examples=100, deadline=None)
@given(specifier=SPECIFIER, versions=VERSIONS)
def test_the_conda_spec_admits_what_packaging_admits(specifier: SpecifierSet, versions: list[str]) -> None:
    assert_admitted(specifier, versions)


@pytest.mark.acceptance
@settings(max_examples=2000, deadline=None)
@given(specifier=SPECIFIER, versions=VERSIONS)
def test_many_conda_specs_admit_what_packaging_admits(specifier: SpecifierSet, versions: list[str]) -> None:
    assert_admitted(specifier, versions)


def assert_admitted(specifier: SpecifierSet, versions: list[str]) -> None:
    # The channel's records are told apart by what conda can tell apart.
    distinct = list({CondaVersion(version): version for version in versions}.values())
    assert of_conda(specifier, distinct) == set(specifier.filter(distinct))


@settings(max_examples=100, deadline=None)
@given(specifier=SPECIFIER, versions=VERSIONS)
def test_what_is_admitted_is_told_oldest_first(specifier: SpecifierSet, versions: list[str]) -> None:
    told = pep440.admitted(specifier, versions)
    assert set(told) == set(specifier.filter(versions))
    assert [CondaVersion(version) for version in told] == sorted(CondaVersion(version) for version in told)


@pytest.mark.parametrize(
    ("specifier", "versions", "admitted"),
    [
        ("~=2.2.post2", "2.2 2.2.post2 2.3.1 3.0", "2.2.post2 2.3.1"),
        ("==v1.16.0", "1.15 1.16.0 1.16.1", "1.16.0"),
        ("==1.16", "1.16.0", "1.16.0"),
        ("==2.2-3", "2.2 2.2.3 2.2.post3", "2.2.post3"),
        (">=v2.3,<v3", "2.2 2.3 2.9 3.0", "2.3 2.9"),
        ("<3", "2.9 3.0rc1 3.0.dev1", "2.9"),
        (">1.7", "1.7 1.7.post1 1.7.1 1.8", "1.7.1 1.8"),
        ("!=1.*", "0.9 1.0 1.5.post1 2.0 1!0.1", "0.9 2.0 1!0.1"),
        (">=1", "0.9 1!0.1", "1!0.1"),
        ("~=1!1.2", "1.3 1!1.2 1!1.3 1!2.0 2!1.3", "1!1.2 1!1.3"),
        ("==1.0", "1.0 1.0+cpu 1.0.1", "1.0 1.0+cpu"),
        ("==1.0+cpu", "1.0 1.0+cpu 1.0+cu126", "1.0+cpu"),
        (">=1.0", "1.0 2.0rc1", "1.0"),
        ("", "1.0 2.0rc1", "1.0"),
        (">=1.0", "2.0rc1", "2.0rc1"),
        (">=1.0.dev0", "1.0 2.0rc1", "1.0 2.0rc1"),
        ("===1.0", "1.0 1.0.0", "1.0"),
        (">=1.0", "1.1.1v 1.1.1w 0.9.8e", "1.1.1v 1.1.1w"),
        (">1.7,<1.8", "1.7 1.8", ""),
    ],
)
def test_what_conda_and_pypi_say_differently(specifier: str, versions: str, admitted: str) -> None:
    known = versions.split()
    if admitted != "1.0" or "1.0.0" not in known:  # to conda these two are one version
        assert of_conda(SpecifierSet(specifier), known) == set(admitted.split())
    assert set(pep440.admitted(SpecifierSet(specifier), known)) == set(admitted.split())


def test_a_spec_reads_like_the_specifier_where_the_two_agree() -> None:
    versions = [str(Version(f"{major}.{minor}")) for major in (1, 2, 3) for minor in range(5)]
    for specifier in (">=1.2", "<3", "==2.1", "==2.*", "!=2.*", "<=2.4", ">1.2"):
        said = pep440.version_spec(SpecifierSet(specifier), versions)
        assert said == specifier.replace("==2.*", "2.*")
    assert pep440.version_spec(SpecifierSet("~=1.2"), versions) == ">=1.2,1.*"
    assert pep440.version_spec(SpecifierSet(""), versions) is None
