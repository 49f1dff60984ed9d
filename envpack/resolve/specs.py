"""The user's match specs for py-rattler: channels as URLs; keys that it does not compare are looked up."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from rattler import Version, VersionSpec

from envpack.errors import BadRequirements, Problem, Unsatisfiable
from envpack.redact import public
from envpack.requirements import version_spec
from envpack.requirements.match_spec import MatchSpec, any_of
from envpack.requirements.version_spec import Both, Clause

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rattler import RepoDataRecord

    from envpack.requirements import CondaSpec
    from envpack.resolve.conda import Channels

_EXACT_BUILDS = ("subdir", "fn", "license", "license_family", "track_features", "features")


def for_solver(specs: Iterable[CondaSpec], channels: Channels) -> list[str]:
    """Return the specs as py-rattler parses them to the same meaning.

    Raises BadRequirements with every spec whose channel is not listed. Raises Unsatisfiable with every spec that
    needs the channels' records and that no package fulfils.
    """
    unlisted, unfulfilled, found = [], [], []
    for each in specs:
        spec = _with_digest(each.spec, channels)
        urls: tuple[str, ...] = ()
        if spec.channel:
            urls = channels.listed(spec.channel)
        if spec.channel and not urls:
            channel = public(spec.channel) if "://" in spec.channel else spec.channel
            reason = f"{spec.name} must come from the channel {channel}, which is not listed"
            unlisted.append(Problem(each.origin.file, each.origin.line, reason))
            continue
        if not spec.needs_records and len(urls) < 2:
            found.append(spec.for_solver(*urls))
            continue
        fitting = [
            (url, record)
            for url, record in channels.records(spec.name)
            if (not urls or url in urls) and matches(spec, record)
        ]
        if fitting:
            found.append(_narrowed(spec, fitting, bound=bool(urls)))
        else:
            unfulfilled.append(f"{each.origin}: no channel has a package that fits {each.text!r}")
    if unlisted:
        raise BadRequirements(unlisted, hint="list the channel under `channels:`, or give it with --channel")
    if unfulfilled:
        raise Unsatisfiable(unfulfilled)
    return found


def _with_digest(spec: MatchSpec, channels: Channels) -> MatchSpec:
    """Return a spec of one package's address, with the SHA-256 that a lock needs."""
    url = spec.keys.get("url")
    if url is None or "sha256" in spec.keys:
        return spec
    found, failures = channels.packages_at([url])
    if url not in found:
        unknown = Unsatisfiable(
            f"no channel's index has the package at {public(url)}",
            hint="correct the URL, or add the SHA-256 of the package after `#`",
        )
        raise (*failures, unknown)[0]
    return replace(spec, keys={**spec.keys, "sha256": found[url].sha256})


def matches(spec: MatchSpec, record: RepoDataRecord) -> bool:
    """Return whether a record matches a spec, except for its channel, digests and address."""
    texts = {
        "subdir": record.subdir,
        "fn": record.file_name,
        "license": record.license or "",
        "license_family": record.license_family or "",
    }
    features = {"track_features": set(record.track_features), "features": set((record.features or "").split())}
    return (
        (spec.version is None or admits(spec.version, str(record.version)))
        and (spec.build is None or fits(str(record.build), spec.build))
        and all(fits(text.lower(), spec.keys[key].lower()) for key, text in texts.items() if key in spec.keys)
        and all(
            set(re.split(r"[,\s]+", spec.keys[key])) <= has for key, has in features.items() if key in spec.keys
        )
    )


def _narrowed(spec: MatchSpec, fitting: Sequence[tuple[str, RepoDataRecord]], *, bound: bool) -> str:
    """Return the spec of the matching packages; of the first channel only, if it names one."""
    url = fitting[0][0]
    records = [record for where, record in fitting if where == url or not bound]
    versions = any_of(sorted({str(record.version) for record in records}))
    build = spec.build
    if any(key in spec.keys for key in _EXACT_BUILDS):
        build = f"^(?:{'|'.join(sorted({re.escape(str(record.build)) for record in records}))})$"
    return replace(spec, version=versions, build=build).for_solver(url if bound else None)


def admits(spec: version_spec.VersionSpec, version: str) -> bool:
    """Return whether a version spec admits a version."""
    if not isinstance(spec, Clause):
        parts = (admits(part, version) for part in spec.parts)
        return all(parts) if isinstance(spec, Both) else any(parts)
    if spec.is_textual:
        return version_spec.admits_text(spec, version)
    return VersionSpec(str(spec)).matches(Version(version))


def fits(text: str, wanted: str) -> bool:
    """Return whether a text is the wanted one, or matches its `*` or regular expression from `^` to `$`."""
    if wanted.startswith("^") and wanted.endswith("$"):
        return re.match(wanted, text) is not None
    if "*" in wanted:
        return re.fullmatch(fnmatch.translate(wanted.replace("[", "[[]").replace("?", "[?]")), text) is not None
    return text == wanted
