from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from envpack.packages.package import PackedPackage
from envpack.releases import sbom
from tests.support.command import Desk
from tests.support.manifests import manifest
from tests.support.wheels import write_wheel

FORGE = "https://conda.anaconda.org/conda-forge/linux-64"


def package(name: str, version: str = "1", **changes: Any) -> PackedPackage:
    known = {"source": "pypi", "sha256": "a" * 64, "url": f"https://files.example.org/{name}-{version}.whl"}
    return PackedPackage(name=name, version=version, **{**known, **changes})


def conda(name: str, url: str, **changes: Any) -> PackedPackage:
    return package(name, "1.26.4", source="conda", build="py311_0", url=url, **changes)


def document(*packages: PackedPackage, **changes: Any) -> Any:
    value = replace(manifest(), packages=packages, envpack="1.0", **changes)
    data = sbom.of(value)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(data.decode()) is None
    return json.loads(data)


@pytest.mark.parametrize(
    ("what", "purl"),
    [
        (package("numpy", "2.1"), "pkg:pypi/numpy@2.1"),
        (
            conda("numpy", f"{FORGE}/numpy-1.26.4-py311_0.conda"),
            "pkg:conda/numpy@1.26.4?build=py311_0&channel=conda-forge&subdir=linux-64&type=conda",
        ),
        (
            conda("numpy", "https://conda.example.org/t/team/main/noarch/numpy-1.26.4-py311_0.tar.bz2"),
            "pkg:conda/numpy@1.26.4?build=py311_0&channel=t/team/main&subdir=noarch&type=tar.bz2",
        ),
        (
            conda("numpy", "file:///linux-64/numpy-1.26.4-py311_0.conda"),
            "pkg:conda/numpy@1.26.4?build=py311_0&subdir=linux-64&type=conda",
        ),
    ],
)
def test_a_package_has_the_url_that_its_type_asks_for(what: PackedPackage, purl: str) -> None:
    assert sbom.purl(what).to_string() == purl


@pytest.mark.acceptance
def test_it_holds_hashes_licences_and_what_needs_what() -> None:
    found = document(
        package("pandas", license="BSD-3-Clause", requires=("numpy", "gone")),
        package("numpy", license="Ask us", requires=()),
        package("old"),
        requested=("pandas",),
    )
    by_name = {component["name"]: component for component in found["components"]}
    assert by_name["pandas"]["licenses"] == [{"expression": "BSD-3-Clause"}]
    assert by_name["numpy"]["licenses"] == [{"license": {"name": "Ask us"}}]
    assert "licenses" not in by_name["old"]
    assert by_name["numpy"]["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    needs = {each["ref"]: each.get("dependsOn", []) for each in found["dependencies"]}
    assert needs["pkg:pypi/pandas@1"] == ["pkg:pypi/numpy@1"]
    assert needs[found["metadata"]["component"]["bom-ref"]] == ["pkg:pypi/old@1", "pkg:pypi/pandas@1"]


def test_it_is_the_same_whenever_it_is_made_and_another_for_another_archive() -> None:
    packages = (package("b"), package("a"))
    one = sbom.of(replace(manifest(), packages=packages, envpack="1.0"))
    again = sbom.of(replace(manifest(), packages=packages[::-1], envpack="1.0", created="2026-01-01T00:00:00Z"))
    other = replace(manifest(), packages=packages, envpack="1.0", name="other")
    assert one == again
    assert json.loads(one)["serialNumber"] != json.loads(sbom.of(other))["serialNumber"]
    assert "timestamp" not in json.loads(one)["metadata"]


def test_a_real_release_carries_one_and_show_prints_the_same(desk: Desk) -> None:
    shelf = desk.home / "shelf"
    shelf.mkdir()
    write_wheel(shelf, "party", "1", requires=["music"], headers=["License: MIT License"])
    write_wheel(shelf, "music", "2")
    desk.write("party.txt", "--no-index", "--find-links ./shelf", "party", "greeter")
    digest = desk.build("party.txt")["digest"]
    (file,) = desk.store.glob("party/*/sbom.cdx.json")
    text = file.read_text("utf-8")
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    found = json.loads(text)
    assert found["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": digest}]
    assert {component["name"] for component in found["components"]} == {"party", "music", "greeter", "python"}
    needs = {each["ref"]: each.get("dependsOn", []) for each in found["dependencies"]}
    assert needs["pkg:pypi/party@1"] == ["pkg:pypi/music@2"]
    assert desk.run("show", "party", "--output", "sbom").out == text
