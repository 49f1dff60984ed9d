from __future__ import annotations

from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from envpack.packages.licenses import UNKNOWN, denied, expression, of_metadata, with_licenses
from envpack.packages.package import PackedPackage


def metadata(*lines: str) -> Any:
    message = Message()
    for line in lines:
        name, _, value = line.partition(": ")
        message[name] = value
    return message


@pytest.mark.parametrize(
    ("said", "means"),
    [
        ("MIT", "MIT"),
        ("apache-2.0", "Apache-2.0"),
        ("Apache License, Version 2.0", "Apache-2.0"),
        ("BSD 3-Clause", "BSD-3-Clause"),
        ("LGPL-2.1+", "LGPL-2.1-or-later"),
        ("BSD-3-Clause AND (MIT OR GPL-2.0-only)", "BSD-3-Clause AND (MIT OR GPL-2.0-only)"),
        ("GPL-3.0-only WITH GCC-exception-3.1", "GPL-3.0-only WITH GCC-exception-3.1"),
        ("GNU General Public License v3 or later (GPLv3+)", "GPL-3.0-or-later"),
        ("GNU General Public License (GPL)", "GPL-1.0-or-later"),
        ("Python Software Foundation License", "PSF-2.0"),
        ("LicenseRef-Ours", "LicenseRef-Ours"),
        ("BSD", "LicenseRef-BSD"),
        ("Dual License", None),
        ("see LICENSE.txt", None),
        ("", None),
        (None, None),
    ],
)
def test_what_people_write_becomes_an_spdx_expression_or_is_not_known(said: str | None, means: str | None) -> None:
    assert expression(said) == means


def test_a_distributions_expression_wins_over_its_licence_and_that_over_classifiers() -> None:
    classifier = "Classifier: License :: OSI Approved :: MIT License"
    assert of_metadata(metadata("License-Expression: ISC", "License: MIT", classifier)) == "ISC"
    assert of_metadata(metadata("License: BSD-2-Clause", classifier)) == "BSD-2-Clause"
    assert of_metadata(metadata("License: see the file", classifier)) == "MIT"
    assert of_metadata(metadata("License: UNKNOWN", classifier, "Classifier: License :: OSI Approved")) == "MIT"


def test_several_classifiers_hold_together_and_a_whole_text_is_no_name() -> None:
    both = metadata(
        "Classifier: License :: OSI Approved :: MIT License",
        "Classifier: License :: OSI Approved :: Apache Software License",
    )
    assert of_metadata(both) == "Apache-2.0 AND MIT"
    assert of_metadata(metadata("License: " + "Permission is hereby granted " * 20)) is None
    assert of_metadata(metadata("License: Our own terms")) == "Our own terms"
    assert of_metadata(metadata()) is None


def test_the_licences_of_wheels_come_from_the_prefix(tmp_path: Path) -> None:
    folder = tmp_path / "lib/python3.11/site-packages/Some_Thing-1.0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: Some.Thing\nVersion: 1.0\nLicense: Apache 2.0\n")
    packages = [
        PackedPackage(name="some-thing", version="1.0", source="pypi", sha256="0", url=""),
        PackedPackage(name="zlib", version="1", source="conda", sha256="0", url="", license="zlib"),
        PackedPackage(name="odd", version="1", source="conda", sha256="0", url="", license="Ask us"),
    ]
    assert [package.license for package in with_licenses(packages, tmp_path)] == ["Apache-2.0", "Zlib", "Ask us"]


@pytest.mark.parametrize(
    ("licence", "patterns", "names"),
    [
        ("GPL-3.0-only", ["GPL-*"], ("GPL-3.0-only",)),
        ("LGPL-3.0-only", ["GPL-*"], ()),
        ("MIT OR GPL-3.0-only", ["GPL-*"], ()),
        ("AGPL-3.0-only OR GPL-3.0-only", ["*GPL-*"], ("AGPL-3.0-only", "GPL-3.0-only")),
        ("MIT AND GPL-3.0-only", ["gpl-3.0-ONLY"], ("GPL-3.0-only",)),
        ("MIT AND (ISC OR (GPL-2.0-only AND MIT))", ["GPL-*"], ()),
        ("GPL-3.0-only WITH GCC-exception-3.1", ["GPL-*"], ()),
        ("GPL-3.0-only WITH GCC-exception-3.1", ["GPL-* WITH *"], ("GPL-3.0-only WITH GCC-exception-3.1",)),
        ("Ask us", ["GPL-*"], ()),
        ("Ask us", [UNKNOWN], (UNKNOWN,)),
        (None, [UNKNOWN], (UNKNOWN,)),
        ("MIT", [UNKNOWN], ()),
    ],
)
def test_a_licence_is_denied_when_one_cannot_choose_to_do_without_it(
    licence: str | None, patterns: list[str], names: tuple[str, ...]
) -> None:
    assert denied(licence, patterns) == names
