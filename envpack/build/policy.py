"""What a site does not allow in its environments, and which such packages a build would include."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from envpack.errors import PolicyViolated, UsageError
from envpack.packages.dependencies import chains
from envpack.packages.licenses import UNKNOWN, denied, expression
from envpack.packages.package import Contained
from envpack.releases.search import matcher
from envpack.resolve.names import Names

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from envpack.config.config import Config
    from envpack.packages.advisories import Advisories, Vulnerability
    from envpack.packages.package import PackedPackage

_GLOB = frozenset("*?[")


@dataclass(frozen=True, kw_only=True)
class Policy:
    """What is denied."""

    licenses: tuple[str, ...] = ()
    """SPDX identifiers, patterns of them, or `unknown`."""
    packages: Mapping[str, Callable[[Contained], bool]] = field(default_factory=dict)
    """Names with versions, as written, and a function that says whether a package matches."""
    hashes: bool = False
    """Whether a wheel that the requirements name by URL needs its hash there too."""

    vulnerabilities: str | None = None
    """The least severity of the known vulnerabilities that are denied."""
    allowed: tuple[str, ...] = ()
    """Names of vulnerabilities that are not denied."""
    advisories: Advisories | None = None
    """The vulnerabilities that are known."""
    names: Names = field(default_factory=Names)
    """Which project a conda package holds."""

    def __bool__(self) -> bool:
        return bool(self.licenses or self.packages or self.hashes or self.vulnerabilities)

    def denied_vulnerabilities(self, package: PackedPackage) -> Iterator[Vulnerability]:
        """Yield the known vulnerabilities of a package that are denied."""
        if self.vulnerabilities and self.advisories:
            for found in self.advisories.of([package], self.names.project):
                if found.reaches(self.vulnerabilities) and not found.known_as(self.allowed):
                    yield found


@dataclass(frozen=True, kw_only=True)
class Violation:
    """One package that is not allowed, and why."""

    package: PackedPackage
    reason: str
    chain: tuple[str, ...] = ()
    """The chain from a requested package to this one, where known."""

    def __str__(self) -> str:
        source = "conda" if self.package.source == "conda" else "PyPI"
        through = f", brought in by {' > '.join(self.chain[:-1])}" if len(self.chain) > 1 else ""
        return f"{self.package.name} {self.package.version} ({source}): {self.reason}{through}"


def configured(config: Config) -> Policy:
    """Return the configured policy.

    Raises UsageError with every entry that cannot be understood, and when there are no advisories to judge
    vulnerabilities by.
    """
    problems: list[str] = []
    packages = {}
    for text in config.policy_deny_packages:
        try:
            packages[text] = matcher(text, Names(config.names))
        except UsageError as error:
            problems.append(f"deny-packages: {error.message}")
    problems += [f"deny-licenses: {problem}" for text in config.policy_deny_licenses if (problem := _problem(text))]
    if problems:
        raise UsageError(problems, hint="correct `policy:` in envpack.yaml")
    return Policy(
        licenses=config.policy_deny_licenses,
        packages=packages,
        hashes=config.policy_require_hashes,
        vulnerabilities=config.policy_deny_vulnerabilities,
        allowed=config.policy_ignore_vulnerabilities,
        advisories=_advisories(config),
        names=Names(config.names),
    )


def _advisories(config: Config) -> Advisories | None:
    if not config.policy_deny_vulnerabilities:
        return None
    if not config.advisories:
        raise UsageError(
            "deny-vulnerabilities needs advisories, and none are configured",
            hint="download OSV's all.zip for PyPI, and set `advisories: PATH` in envpack.yaml",
        )
    from envpack.packages.advisories import read  # noqa: PLC0415 - most builds need no advisories

    return read(Path(config.advisories))


def enforce(
    policy: Policy,
    packages: Sequence[PackedPackage],
    *,
    requested: Sequence[str],
    unhashed: Collection[str] = (),
    installed: bool = True,
) -> None:
    """Raise PolicyViolated with every package that a policy does not allow.

    `unhashed` are wheels that the requirements name by URL and without a hash. Before packages are `installed`,
    wheels' licences are not known, and a missing one is no violation.
    """
    found = [
        Violation(package=package, reason=reason, chain=_chain(packages, requested, package))
        for package in packages
        for reason in _reasons(policy, package, unhashed, installed=installed)
    ]
    if found:
        count = f"{len(found)} violations" if len(found) > 1 else "a violation"
        raise PolicyViolated(
            f"{count} of the policy; nothing was published:\n" + "\n".join(f"  {violation}" for violation in found),
            hint="choose other packages or versions, or change `policy:` in envpack.yaml",
        )


def notes(policy: Policy, packages: Sequence[PackedPackage]) -> tuple[str, ...]:
    """Return notes for the user where a policy on licences could not be applied."""
    if not policy.licenses or UNKNOWN in policy.licenses:
        return ()
    unclear = [f"{package.name} ({package.license or 'none'})" for package in packages if _unclear(package)]
    if not unclear:
        return ()
    return (f"no SPDX licence is known of {', '.join(unclear)}; to deny that, add `{UNKNOWN}` to deny-licenses",)


def _reasons(
    policy: Policy, package: PackedPackage, unhashed: Collection[str], *, installed: bool
) -> Iterator[str]:
    contained = Contained(package.name, package.version, package.source, package.build or "")
    for text, means in policy.packages.items():
        if means(contained):
            yield f"{text} is denied"
    if policy.licenses and (installed or package.source == "conda"):
        for name in denied(expression(package.license), policy.licenses):
            said = f" ({package.license})" if name == UNKNOWN and package.license else ""
            yield f"its licence {name}{said} is denied"
    for found in policy.denied_vulnerabilities(package):
        yield found.text
    if policy.hashes and package.source == "pypi" and package.name in unhashed:
        yield "the requirements name its URL without a hash: add #sha256=DIGITS"


def _chain(packages: Sequence[PackedPackage], requested: Sequence[str], package: PackedPackage) -> tuple[str, ...]:
    return next(iter(chains(packages, requested, package.name, Names().project)), ())


def _unclear(package: PackedPackage) -> bool:
    return expression(package.license) is None


def _problem(text: str) -> str | None:
    """Return what is wrong with a pattern of licences: one without `*` must be an SPDX identifier."""
    if text == UNKNOWN or _GLOB & set(text) or expression(text) == text:
        return None
    meant = expression(text)
    near = [meant] if meant else difflib.get_close_matches(text, (UNKNOWN, "GPL-3.0-only", "AGPL-3.0-only"), n=1)
    question = f"; did you mean {near[0]}?" if near else ""
    return f"{text!r} is not an SPDX identifier, a pattern such as `GPL-*`, or `{UNKNOWN}`{question}"
