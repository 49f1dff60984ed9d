from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

from tests.support.command import Desk
from tests.support.private import PASSWORD, USER, private_index
from tests.support.repository import new_repository
from tests.support.schemas import check
from tests.support.wheels import write_wheel

CLASSIFIER = "Classifier: License :: OSI Approved :: {}"


@pytest.fixture
def party(desk: Desk) -> Desk:
    """A desk with a requirement whose needs bring in a wheel under the GPL."""
    shelf = desk.home / "shelf"
    shelf.mkdir()
    write_wheel(shelf, "party", "1", requires=["music"], headers=["License-Expression: MIT"])
    write_wheel(shelf, "music", "2.5", requires=["noise"], headers=["License: LicenseRef-Band"])
    gpl = CLASSIFIER.format("GNU General Public License v3 (GPLv3)")
    write_wheel(shelf, "noise", "3", headers=[gpl])
    desk.write("party.txt", "--no-index", "--find-links ./shelf", "party", "greeter")
    return desk


def configure(desk: Desk, *lines: str) -> None:
    with (desk.home / "envpack.yaml").open("a") as file:
        file.write("".join(f"{line}\n" for line in lines))


def deny(desk: Desk, *lines: str) -> None:
    configure(desk, "policy:", *(f"  {line}" for line in lines))


def test_a_build_tells_every_violation_with_what_brought_it_in_and_publishes_nothing(party: Desk) -> None:
    deny(party, "deny-licenses: ['GPL-*', LicenseRef-Band]")
    ran = party.run("build", "party.txt")
    assert ran.code == 11
    assert "noise 3 (PyPI): its licence GPL-3.0-only is denied, brought in by party > music" in ran.err
    assert "music 2.5 (PyPI): its licence LicenseRef-Band is denied, brought in by party" in ran.err
    assert "pack " not in ran.err
    assert party.releases() == []


def test_a_dry_run_asks_the_wheels_for_their_licences(party: Desk) -> None:
    deny(party, "deny-licenses: ['GPL-*', LicenseRef-Band]")
    ran = party.run("build", "party.txt", "--dry-run")
    assert ran.code == 11
    assert "2 violations" in ran.err
    assert "noise 3 (PyPI): its licence GPL-3.0-only is denied, brought in by party > music" in ran.err
    assert "music 2.5 (PyPI): its licence LicenseRef-Band is denied, brought in by party" in ran.err
    assert "pack " not in ran.err


COMMANDS = [("build", "--dry-run"), ("build",), ("lock",)]
IN_EVERY_COMMAND = pytest.mark.parametrize(
    "command",
    [each if each == ("build",) else pytest.param(each, marks=pytest.mark.acceptance) for each in COMMANDS],
)


@IN_EVERY_COMMAND
def test_denied_packages_and_licences_are_told_at_once(party: Desk, command: tuple[str, ...]) -> None:
    deny(party, "deny-licenses: ['GPL-*', unknown]", "deny-packages: ['music<3']")
    ran = party.run(command[0], "party.txt", *command[1:])
    assert ran.code == 11
    for told in (
        "music 2.5 (PyPI): music<3 is denied",
        "noise 3 (PyPI): its licence GPL",
        "greeter 2.0 (conda): its",
    ):
        assert told in ran.err
    assert party.releases() == []


def test_a_package_without_a_known_licence_can_be_denied(party: Desk) -> None:
    deny(party, "deny-licenses: [unknown]")
    ran = party.run("build", "party.txt", "--dry-run")
    assert ran.code == 11
    assert "greeter 2.0 (conda): its licence unknown is denied" in ran.err


@IN_EVERY_COMMAND
def test_a_denied_package_is_found_before_anything_is_fetched(party: Desk, command: tuple[str, ...]) -> None:
    deny(party, "deny-packages: ['noise<4', 'greeter 2.*', 'music>=3']")
    ran = party.run(command[0], "party.txt", *command[1:])
    assert ran.code == 11
    assert "2 violations" in ran.err
    assert "noise 3 (PyPI): noise<4 is denied" in ran.err
    assert "greeter 2.0 (conda): greeter 2.* is denied" in ran.err
    assert "link " not in ran.err
    assert not (party.home / "party.txt.lock").exists()
    assert party.releases() == []


@pytest.mark.acceptance
def test_a_release_that_is_there_is_not_used_against_a_newer_policy(party: Desk) -> None:
    party.build("party.txt")
    assert party.build("party.txt", "--tag", "one")["reused"]
    deny(party, "deny-licenses: ['GPL-3.0-*']")
    ran = party.run("build", "party.txt", "--tag", "two")
    assert ran.code == 11
    assert "brought in by party > music" in ran.err
    assert not (party.store / "party" / "tags" / "two.json").exists()


def test_what_a_policy_allows_is_built_and_what_it_cannot_judge_is_told(party: Desk) -> None:
    deny(party, "deny-licenses: ['AGPL-*']", "deny-packages: [torch]", "require-hashes: true")
    (note,) = [note for note in party.build("party.txt")["notes"] if "SPDX" in note]
    assert "greeter (none)" in note
    assert "noise" not in note
    (manifest,) = party.releases()
    licences = {p["name"]: p.get("license") for p in json.loads(manifest.read_text())["packages"]}
    assert (licences["party"], licences["noise"], licences["music"]) == (
        "MIT",
        "GPL-3.0-only",
        "LicenseRef-Band",
    )


def test_a_wheel_that_is_named_by_url_needs_its_hash_if_that_is_required(
    desk: Desk,
) -> None:
    shelf = desk.home / "shelf"
    shelf.mkdir()
    sha256 = write_wheel(shelf, "party", "1")
    with private_index(shelf) as host:
        url = f"http://{USER}:{PASSWORD}@{host}/files/party-1-py3-none-any.whl"
        desk.write("with.txt", "--no-index", f"party @ {url}#sha256={sha256}")
        desk.write("without.txt", "--no-index", f"party @ {url}")
        deny(desk, "require-hashes: true")
        assert desk.run("lock", "with.txt").code == 0
        ran = desk.run("lock", "without.txt")
    assert ran.code == 11
    assert "party 1 (PyPI): the requirements name its URL without a hash" in ran.err


def test_ci_reports_a_violation_and_builds_the_rest(party: Desk) -> None:
    party.write("plain.txt", "greeter")
    new_repository(party.home).commit()
    deny(party, "deny-packages: [noise]")
    ran = party.run("ci", "*.txt", "--all", "--output", "json")
    assert ran.code == 11
    outcomes = {each["name"]: each for each in ran.json()["environments"]}
    assert outcomes["plain"]["status"] == "published"
    assert outcomes["party"]["failure"]["code"] == 11
    assert "noise is denied" in (party.home / "envpack-report" / "summary.md").read_text()


def mirror(desk: Desk, *advisories: dict[str, Any]) -> None:
    """Make what the site mirrors consist of these advisories."""
    shutil.rmtree(desk.home / "osv", ignore_errors=True)
    (desk.home / "osv").mkdir()
    for each in advisories:
        desk.write(f"osv/{each['id']}.json", json.dumps(each))


def about(project: str, name: str, severity: str, **more: Any) -> dict[str, Any]:
    """Return an advisory on all versions of a project, with the fields that GitHub's have."""
    vectors = {
        "HIGH": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N",
        "LOW": "CVSS:3.1/AV:L/AC:H/PR:L/UI:R/S:U/C:L/I:N/A:N",
    }
    return {
        "schema_version": "1.4.0",
        "id": name,
        "modified": "2026-01-11T15:20:48Z",
        "published": "2026-01-11T15:20:48Z",
        "aliases": [name.replace("GHSA", "CVE")],
        "summary": f"{project} accepts\nanything",
        "details": "It does.",
        "severity": [{"type": "CVSS_V3", "score": vectors[severity]}],
        "affected": [
            {
                "package": {"ecosystem": "PyPI", "name": project},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99"}]}],
            }
        ],
        "references": [{"type": "WEB", "url": f"https://example.com/{name}"}],
        "database_specific": {"cwe_ids": ["CWE-79"], "severity": severity, "github_reviewed": True},
        **more,
    }


NOISE, MUSIC, GREETER = (
    about("Noise", "GHSA-1", "HIGH"),
    about("music", "GHSA-2", "LOW"),
    about("greeter", "GHSA-3", "HIGH"),
)


@IN_EVERY_COMMAND
def test_known_vulnerabilities_are_denied_with_all_else_before_anything_is_fetched(
    party: Desk, command: tuple[str, ...]
) -> None:
    mirror(party, NOISE, MUSIC, GREETER, about("party", "GHSA-4", "HIGH", withdrawn="2026-02-01T00:00:00Z"))
    configure(party, "advisories: osv")
    deny(party, "deny-vulnerabilities: high", "deny-packages: ['music<3']")
    ran = party.run(command[0], "party.txt", *command[1:])
    assert ran.code == 11
    assert "3 violations" in ran.err
    assert "noise 3 (PyPI): CVE-1 (high): Noise accepts anything; fixed in 99" in ran.err
    assert "greeter 2.0 (conda): CVE-3 (high)" in ran.err
    assert "music 2.5 (PyPI): music<3 is denied" in ran.err
    assert "link " not in ran.err
    assert party.releases() == []


def test_a_vulnerability_may_be_allowed_by_any_of_its_names(party: Desk) -> None:
    mirror(party, NOISE, MUSIC)
    configure(party, "advisories: osv")
    deny(party, "deny-vulnerabilities: low", "ignore-vulnerabilities: [CVE-1]")
    ran = party.run("build", "party.txt", "--dry-run")
    assert (ran.code, "GHSA-1" in ran.err, "a violation" in ran.err) == (11, False, True)
    assert party.run("build", "party.txt", "--dry-run", ENVPACK_POLICY_DENY_VULNERABILITIES="moderate").code == 0


def test_a_policy_on_vulnerabilities_needs_advisories_that_can_be_read(party: Desk) -> None:
    deny(party, "deny-vulnerabilities: high")
    ran = party.run("build", "party.txt", "--dry-run")
    assert (ran.code, "set `advisories: PATH`" in ran.err) == (2, True)
    assert "deny-vulnerabilities needs advisories" in party.run("doctor").out
    configure(party, "advisories: nosuch")
    ran = party.run("build", "party.txt", "--dry-run")
    assert (ran.code, "nosuch cannot be read" in ran.err) == (2, True)
    ran = party.run("build", "party.txt", ENVPACK_POLICY_DENY_VULNERABILITIES="hihg")
    assert (ran.code, "did you mean high?" in ran.err) == (2, True)


def test_ci_reports_the_vulnerabilities_that_the_release_before_did_not_have(party: Desk) -> None:
    configure(party, "advisories: osv")
    new_repository(party.home).commit()
    mirror(party, GREETER, MUSIC)
    party.write("party.txt", "--no-index", "--find-links ./shelf", "greeter")
    assert party.run("ci", "party.txt", "--all").code == 0
    party.write("party.txt", "--no-index", "--find-links ./shelf", "party", "greeter")
    ran = party.run("ci", "party.txt", "--all", "--dry-run")
    report = json.loads((party.home / "envpack-report" / "report.json").read_text())
    (outcome,) = check(report, "report")["environments"]
    found = outcome["vulnerabilities"]
    assert (found["count"], found["gone"]) == (2, [])
    assert [(each["package"]["name"], each["ids"]) for each in found["new"]] == [("music", ["CVE-2", "GHSA-2"])]
    assert "warning: new vulnerability: music 2.5: CVE-2 (low)" in ran.err
    summary = (party.home / "envpack-report" / "summary.md").read_text()
    assert "- warning: new vulnerability: music 2.5: CVE-2 (low)" in summary
    assert "CVE-3" not in summary
    shutil.rmtree(party.home / "osv")
    ran = party.run("ci", "party.txt", "--all", "--dry-run")
    assert (ran.code, "osv cannot be read" in ran.err, "party" in ran.out) == (2, True, False)


def test_every_entry_that_cannot_be_understood_is_told_at_once(desk: Desk) -> None:
    desk.write("r.txt", "greeter")
    deny(desk, "deny-licenses: [GPL3, 'Apache 2.0', MIT]", "deny-packages: ['!!!']")
    ran = desk.run("build", "r.txt", "--dry-run")
    assert ran.code == 2
    for told in ("'GPL3' is not an SPDX", "did you mean Apache-2.0?", "'!!!'"):
        assert told in ran.err
