"""What `envpack audit` prints for code hosts is valid by their own schema."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from envpack.packages.package import PackedPackage
from envpack.releases.publish import publish
from envpack.stores import open_store
from tests.support.cache import kept
from tests.support.missing import missing
from tests.support.releases import manifest_of

if TYPE_CHECKING:
    from tests.support.command import Desk

pytestmark = pytest.mark.acceptance

_PACKAGE = "@microsoft/jest-sarif@1.0.0-beta.0"
"""A package of npm that has OASIS's schema of SARIF 2.1.0."""

SEVERITIES = ("LOW", "MODERATE", "HIGH", "CRITICAL", None)


def _fetch(directory: Path) -> None:
    if not shutil.which("npm"):
        missing("no schema of SARIF: there is no npm on PATH")
    subprocess.run(["npm", "pack", "--silent", _PACKAGE], cwd=directory, check=True, timeout=200)
    (packed,) = directory.glob("*.tgz")
    subprocess.run(["tar", "-xzf", packed, "-C", directory], check=True)


@pytest.fixture(scope="module")
def schema() -> Any:
    return json.loads((kept("npm-sarif-schema", _fetch) / "package/lib/schemas/sarif-2.1.0-rtm.5.json").read_text())


def test_sarif_is_valid_whatever_was_found(desk: Desk, schema: Any) -> None:
    packages = [
        PackedPackage(name=f"p{number}", version="1", source="pypi", sha256="0" * 64, url="")
        for number in range(len(SEVERITIES))
    ]
    (desk.home / "archive").write_text("udf")
    publish(
        open_store(str(desk.store)),
        replace(manifest_of("udf"), packages=tuple(packages)),
        desk.home / "archive",
        {},
    )
    (desk.home / "osv").mkdir()
    for package, severity in zip(packages, SEVERITIES, strict=True):
        ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}]
        advisory = {
            "id": f"PYSEC-{package.name}",
            "affected": [{"package": {"ecosystem": "PyPI", "name": package.name}, "ranges": ranges}],
            **({"database_specific": {"severity": severity}, "summary": "about it"} if severity else {}),
        }
        desk.write(f"osv/{package.name}.json", json.dumps(advisory))
    for ignored in ([], [word for each in packages for word in ("--ignore", f"PYSEC-{each.name}")]):
        ran = desk.run("audit", manifest_of("udf").reference, "--advisories", "osv", "--output", "sarif", *ignored)
        report = ran.json()
        jsonschema.Draft4Validator(schema).validate(report)
        assert len(report["runs"][0]["results"]) == (0 if ignored else len(packages)), ran.err
