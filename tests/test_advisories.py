"""`envpack audit`: OSV's rules for versions, aliases and ecosystems, on the command line and by themselves."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from envpack.errors import UsageError
from envpack.packages.advisories import affects, base_score, read, severity
from envpack.packages.package import PackedPackage
from envpack.resolve.names import Names
from tests.support.command import Desk
from tests.support.schemas import check


def advisory(name: str, project: str, *events: dict[str, str], **more: Any) -> dict[str, Any]:
    package = {"ecosystem": "PyPI", "name": project}
    affected = {"package": package, "ranges": [{"type": "ECOSYSTEM", "events": list(events)}]}
    return {"id": name, "summary": f"about {project}", "affected": [affected], **more}


TWICE = [{"introduced": "1"}, {"fixed": "2"}, {"introduced": "3"}, {"fixed": "4"}]
WORST = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"


@pytest.mark.parametrize(
    ("events", "inside", "outside"),
    [
        ([{"introduced": "0"}, {"fixed": "2.0"}], ["0.1", "1.9", "2.0rc1"], ["2.0", "2.1"]),
        ([{"introduced": "1.0"}, {"last_affected": "1.5"}], ["1.0", "1.5"], ["0.9", "1.5.1", "1.0rc1"]),
        ([{"introduced": "0"}], ["0.dev0", "99"], []),
        (
            [{"introduced": "1"}, {"fixed": "2"}, {"introduced": "3"}, {"fixed": "4"}],
            ["1.5", "3"],
            ["2", "2.5", "4"],
        ),
        (
            [{"introduced": "3"}, {"fixed": "4"}, {"introduced": "1"}, {"fixed": "2"}],
            ["1.5", "3.9"],
            ["2.1", "4.0.0"],
        ),
        ([{"introduced": "0"}, {"fixed": "1.10"}], ["1.9", "1.2"], ["1.10", "1.11"]),
        ([{"introduced": "0"}, {"limit": "2"}], ["1.9"], ["2", "3"]),
        ([{"introduced": "1!1"}], ["1!1.0"], ["9.0"]),
    ],
)
def test_a_version_is_affected_where_the_events_say(
    events: list[dict[str, str]], inside: list[str], outside: list[str]
) -> None:
    entry = {"ranges": [{"type": "ECOSYSTEM", "events": events}]}
    assert [version for version in inside if not affects(entry, version)] == []
    assert [version for version in outside if affects(entry, version)] == []


def test_listed_versions_count_beside_ranges_and_git_ranges_do_not() -> None:
    assert affects({"versions": ["1.0"]}, "1.0.0")
    assert not affects({"versions": ["1.0"], "ranges": [{"type": "GIT", "events": [{"introduced": "0"}]}]}, "1.1")
    assert affects({"versions": ["2021a-odd"]}, "2021a-odd")


@pytest.mark.parametrize(
    ("vector", "score"),
    [
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", 6.1),
        ("CVSS:3.0/AV:L/AC:L/PR:L/UI:N/S:U/C:H/I:N/A:N", 5.5),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 10.0),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", 0.0),
        ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", 9.3),
        ("AV:N/AC:L/Au:N/C:P/I:P/A:P", 7.5),
        ("CVSS:4.0/AV:N", None),
        ("", None),
    ],
)
def test_base_scores_are_those_of_the_specification(vector: str, score: float | None) -> None:
    assert base_score(vector) == score


def test_a_severity_is_its_databases_word_or_its_score() -> None:
    assert severity({"database_specific": {"severity": "MODERATE"}}, {}) == "moderate"
    assert severity(
        {"severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}]}, {}
    ) == ("critical")
    assert severity({}, {}) is None


def _packed(name: str, version: str, source: Any, **more: Any) -> PackedPackage:
    return PackedPackage(name=name, version=version, source=source, sha256="0" * 64, url="", **more)


def test_a_conda_package_is_looked_up_as_its_project_and_a_file_on_pypi_is_not_it(tmp_path: Path) -> None:
    some = [
        advisory("PYSEC-1", "torch", {"introduced": "0"}),
        advisory("MAL-2026-1", "zlib", {"introduced": "0"}),
        advisory("PYSEC-2", "features", {"introduced": "0"}),
    ]
    for each in some:
        (tmp_path / f"{each['id']}.json").write_text(json.dumps(each))
    packages = [
        _packed("pytorch", "2.0", "conda"),
        _packed("zlib", "1.3", "conda"),
        _packed("features", "1", "pypi", built_from="project sha256:" + "0" * 64),
    ]
    found = read(tmp_path).of(packages, Names().project)
    assert [(each.package.name, each.ids) for each in found] == [("pytorch", ("PYSEC-1",))]
    (stolen,) = read(tmp_path).of([_packed("zlib", "1.3", "pypi")], Names().project)
    assert (stolen.ids, stolen.severity) == (("MAL-2026-1",), "high")


def test_versions_that_fix_it_are_newer_ones(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(advisory("PYSEC-1", "django", *TWICE)))
    (found,) = read(tmp_path).of([_packed("django", "3.5", "pypi")], Names().project)
    assert found.fixed == ("4",)


def test_advisories_are_read_again_when_a_file_has_changed(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps(advisory("PYSEC-1", "django", {"introduced": "0"})))
    assert "django" in read(tmp_path).by_project
    assert read(tmp_path) is read(tmp_path)
    file.write_text(json.dumps(advisory("PYSEC-1", "flask", {"introduced": "0"}, withdrawn="2026-01-01T00:00:00Z")))
    assert not read(tmp_path).by_project


def test_what_is_no_advisory_and_an_empty_place_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="contains no advisories"):
        read(tmp_path)
    (tmp_path / "a.json").write_text('{"no": "id"}')
    with pytest.raises(UsageError, match=r"a\.json is not an advisory in OSV's format"):
        read(tmp_path)


def test_audit_finds_what_a_release_has_once_for_all_its_names(desk: Desk) -> None:
    desk.write("r.txt", "greeter")
    built = desk.build("r.txt", "--no-verify")
    python = next(package["version"] for package in built["packages"] if package["name"] == "python")
    osv = desk.home / "osv"
    osv.mkdir()
    some = [
        advisory("PYSEC-1", "Greeter", {"introduced": "0"}, {"fixed": "9"}, aliases=["CVE-2026-1"]),
        advisory(
            "GHSA-1", "greeter", {"introduced": "0"}, aliases=["CVE-2026-1"], database_specific={"severity": "LOW"}
        ),
        advisory("PYSEC-2", "greeter", {"introduced": "0"}, withdrawn="2026-01-01T00:00:00Z"),
        advisory("PYSEC-3", "greeter", {"introduced": "0"}, {"fixed": "0.1"}),
        {
            **advisory("X-4", "greeter", {"introduced": "0"}),
            "affected": [{"package": {"ecosystem": "npm", "name": "greeter"}}],
        },
        advisory("PYSEC-5", "python", {"introduced": "999"}),
    ]
    for each in some:
        (osv / f"{each['id']}.json").write_text(json.dumps(each))
    assert python
    ran = desk.run("audit", "r", "--advisories", "osv", "--output", "json")
    assert ran.code == 11, ran.err
    (release,) = check(ran.json(), "audit")["releases"]
    (found,) = release["vulnerabilities"]
    assert found["ids"] == ["CVE-2026-1", "GHSA-1", "PYSEC-1"]
    assert (found["severity"], found["fixed"]) == ("low", ["9"])
    text = desk.run("audit", "--tagged", "--advisories", "osv")
    assert (text.code, "CVE-2026-1 (low): about Greeter" in text.out or "about greeter" in text.out) == (11, True)
    for calm in (["--severity", "high"], ["--ignore", "GHSA-1"]):
        assert desk.run("audit", "r", "--advisories", "osv", *calm).code == 0
    with zipfile.ZipFile(desk.home / "all.zip", "w") as archive:
        for path in osv.iterdir():
            archive.write(path, path.name)
    sarif = desk.run("audit", "r", "--advisories", "all.zip", "--output", "sarif")
    assert sarif.code == 11
    (run,) = sarif.json()["runs"]
    assert [result["ruleId"] for result in run["results"]] == ["CVE-2026-1"]
    assert desk.run("audit", "--advisories", "osv").code == 2
    assert "advisories: PATH" in desk.run("audit", "r").err
    with (desk.home / "envpack.yaml").open("a") as file:
        file.write("advisories: osv\n")
    assert desk.run("audit", "r").out == desk.run("audit", "r", "--advisories", "all.zip").out != ""
    assert desk.run("audit", "r", "--advisories", "nosuch").code == 2
