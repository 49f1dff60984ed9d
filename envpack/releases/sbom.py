"""The bill of materials of a release: CycloneDX, made only from its manifest, with the same bytes every time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import NAMESPACE_URL, uuid5

from envpack.packages.licenses import expression
from envpack.releases import keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component
    from packageurl import PackageURL

    from envpack.packages.package import PackedPackage
    from envpack.releases.manifest import Manifest

FILE = keys.SBOM
"""Its name beside the manifest."""


_PUBLIC = ("http:", "https:", "git+http:", "git+https:", "git+ssh:")
"""Prefixes of addresses that others can reach."""


def of(manifest: Manifest) -> bytes:
    """Return the bill of materials of a release: its packages with hashes, licences and what each needs.

    It is a CycloneDX 1.6 document. Its serial number comes from the release's name and digest, and it has no
    time, so that it is always the same.
    """
    from cyclonedx.output.json import JsonV1Dot6

    value: dict[str, Any] = json.loads(JsonV1Dot6(_bom(manifest)).output_as_string())
    del value["metadata"]["timestamp"]
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def purl(package: PackedPackage) -> PackageURL:
    """Return a package's URL: `pkg:conda/...`, `pkg:pypi/...`, or `pkg:generic/...` for the team's own project.

    The latter is no project of PyPI, although one there may have its name. Source: types `conda`, `pypi` and
    `generic`, and the qualifier `vcs_url`, of the purl specification.
    """
    from packageurl import PackageURL

    if package.source == "pypi":
        commit = (package.built_from or "").partition("git commit ")[2].partition(" ")[0]
        where = {"vcs_url": f"{package.url}@{commit}"} if package.url.startswith("git+") else {}
        carrier = "generic" if package.own else "pypi"
        return PackageURL(type=carrier, name=package.name, version=package.version, qualifiers=where)
    channel, subdir, file = _conda_address(package.url)
    kind = next((suffix for suffix in ("conda", "tar.bz2") if file.endswith(f".{suffix}")), None)
    known = {"build": package.build, "channel": channel, "subdir": subdir, "type": kind}
    qualifiers = {name: value for name, value in known.items() if value}
    return PackageURL(type="conda", name=package.name, version=package.version, qualifiers=qualifiers)


def _conda_address(url: str) -> tuple[str | None, str | None, str]:
    """Return channel, subdir and file of a conda package's address; a local channel has no name."""
    parts = urlsplit(url)
    *channel, subdir, file = ["", "", *parts.path.split("/")]
    name = "/".join(part for part in channel if part)
    return (name or None) if parts.scheme != "file" else None, subdir or None, file


def _bom(manifest: Manifest) -> Bom:
    from cyclonedx.model import HashAlgorithm, HashType
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.tool import ToolRepository

    root = Component(
        type=ComponentType.APPLICATION,
        name=manifest.name,
        version=manifest.short_digest,
        bom_ref=manifest.reference,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=manifest.digest)],
    )
    tool = Component(type=ComponentType.APPLICATION, name="envpack", version=manifest.envpack)
    components = {package.name: _component(package) for package in manifest.packages}
    bom = Bom(
        serial_number=uuid5(NAMESPACE_URL, f"envpack:{manifest.name}@{manifest.digest}"),
        metadata=BomMetaData(component=root, tools=ToolRepository(components=[tool])),
        components=components.values(),
    )
    bom.register_dependency(root, [components[name] for name in _roots(manifest)])
    for package in manifest.packages:
        if package.requires is not None:
            needs = [components[name] for name in package.requires if name in components]
            bom.register_dependency(components[package.name], needs)
    return bom


def _roots(manifest: Manifest) -> Iterator[str]:
    """Yield the packages that no other needs, and those that were asked for."""
    needed = {name for package in manifest.packages for name in package.requires or ()}
    for package in manifest.packages:
        if package.name in manifest.requested or package.name not in needed:
            yield package.name


def _component(package: PackedPackage) -> Component:
    from cyclonedx.model import (
        ExternalReference,
        ExternalReferenceType,
        HashAlgorithm,
        HashType,
        Property,
        XsUri,
    )
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.license import DisjunctiveLicense, LicenseExpression

    built = [Property(name="envpack:built-from", value=package.built_from)] if package.built_from else []
    spdx = expression(package.license)
    licenses = [LicenseExpression(spdx)] if spdx else [DisjunctiveLicense(name=package.license or "unknown")]
    kind = ExternalReferenceType.VCS if package.url.startswith("git+") else ExternalReferenceType.DISTRIBUTION
    where = [ExternalReference(type=kind, url=XsUri(package.url))]
    found = purl(package)
    return Component(
        type=ComponentType.LIBRARY,
        name=package.name,
        version=package.version,
        bom_ref=found.to_string(),
        purl=found,
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=package.sha256)],
        licenses=licenses if package.license else (),
        properties=built,
        external_references=where if package.url.startswith(_PUBLIC) else (),
    )
