from __future__ import annotations

import json

import pytest

from tests.support.command import Desk
from tests.support.private import PASSWORD, USER, private_index
from tests.support.repository import new_repository
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


def deny(desk: Desk, *lines: str) -> None:
    with (desk.home / "envpack.yaml").open("a") as file:
        file.write("policy:\n" + "".join(f"  {line}\n" for line in lines))


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


@pytest.mark.parametrize("command", [("build", "--dry-run"), ("build",), ("lock",)])
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


@pytest.mark.parametrize("command", [("build", "--dry-run"), ("build",), ("lock",)])
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


def test_every_entry_that_cannot_be_understood_is_told_at_once(desk: Desk) -> None:
    desk.write("r.txt", "greeter")
    deny(desk, "deny-licenses: [GPL3, 'Apache 2.0', MIT]", "deny-packages: ['!!!']")
    ran = desk.run("build", "r.txt", "--dry-run")
    assert ran.code == 2
    for told in ("'GPL3' is not an SPDX", "did you mean Apache-2.0?", "'!!!'"):
        assert told in ran.err
