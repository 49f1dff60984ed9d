"""Keys of a store: where each object is, and what a key says of its object.

<store>/<name>/<digest 16>/<name>-<digest 16>.tar.gz   the archive (digest 16: its first 16 hex digits)
<store>/<name>/<digest 16>/manifest.json               written last: a release exists when its manifest does
<store>/<name>/<digest 16>/<name>.lock                 the lock
<store>/<name>/<digest 16>/<wheel>.whl                 a wheel with compiled parts that was built for it
<store>/<name>/<digest 16>/pieces.json                 where each package is in the archive
<store>/<name>/<digest 16>/piece-facts.json.gz         what a build must know to use those pieces
<store>/<name>/<digest 16>/verification.json.gz        what its verification found out that holds for others
<store>/<name>/<digest 16>/files.json.gz               the archive's files
<store>/<name>/<digest 16>/sbom.cdx.json               its bill of materials
<store>/<name>/<digest 16>/verified.json               that it was verified after it was published
<store>/<name>/<digest 16>/asked.json                  the record of a later build with the same bytes
<store>/<name>/builds/<input digest>.json              what was built from these inputs
<store>/<name>/tags/<tag>.json                         the only thing of a release that changes
<store>/<name>/used/<digest 16>.json                   when it was last used
<store>/<name>/index.json.gz                           a summary of the name's manifests and tags
<store>/<name>/jobs/<time>-<id>-<digest 16>-<code 16>.json   a job that was submitted in a release
<store>/_code/<digest>.zip                             the code of jobs
<store>/_code/run-<digest 16>.py                       what runs a module of such a zip
<store>/.gc.json                                       what is being removed
<store>/_catalog/...                                   the catalog's pages; catalog.json says which are current
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from envpack import digest
from envpack.errors import UsageError

if TYPE_CHECKING:
    from envpack.releases.manifest import Manifest
    from envpack.stores.base import Store

BUILDS, TAGS, USED, JOBS = "builds", "tags", "used", "jobs"
"""What is under a name besides the folders of its releases."""

MANIFEST = "manifest.json"
PIECES = "pieces.json"
PIECE_FACTS = "piece-facts.json.gz"
VERIFICATION = "verification.json.gz"
FILES = "files.json.gz"
SBOM = "sbom.cdx.json"
VERIFIED = "verified.json"
ASKED = "asked.json"
INDEX = "index.json.gz"

REMOVAL_NOTICE = ".gc.json"
"""No release can have this name."""

CATALOG = "_catalog/"
"""The place of the catalog; no release can have this name."""

CODE = "_code/"
"""The place of the code of jobs; no release can have this name."""

CATALOG_NOTE = "catalog.json"
"""Beside the catalog's pages."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,199}")
_TAG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_FOLDER = re.compile(rf"[0-9a-f]{{{digest.SHORT}}}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MANIFEST_KEY = re.compile(rf"(?P<name>{_NAME.pattern})/(?P<digest>{_FOLDER.pattern})/manifest\.json")
_CODE_KEY = re.compile(rf"{CODE}(?P<digest>{_DIGEST.pattern})\.zip")
_JOB_KEY = re.compile(
    rf"(?P<name>{_NAME.pattern})/{JOBS}/(?P<time>[0-9]{{8}}T[0-9]{{6}}Z)-(?P<id>[0-9a-f]{{12}})"
    rf"-(?P<digest>{_FOLDER.pattern})-(?P<code>{_FOLDER.pattern})\.json"
)
_TAG_KEY = re.compile(rf"(?P<name>{_NAME.pattern})/{TAGS}/(?P<tag>{_TAG.pattern})\.json")


def check_name(name: str, remedy: str = "") -> str:
    """Return a release name that is valid in keys and file names, or raise UsageError.

    `remedy` says in the hint, after the rule, where another name can be given.
    """
    if not is_name(name):
        raise UsageError(
            f"{name!r} is not a valid name of a release",
            hint=f"use lowercase letters, digits, '.', '_' and '-', at most 200{remedy}",
        )
    return name


def is_name(text: str) -> bool:
    """Return whether a text can name a release."""
    return _NAME.fullmatch(text) is not None


def check_tag(tag: str) -> str:
    """Return a tag's name that is valid in keys and references, or raise UsageError."""
    if not _TAG.fullmatch(tag):
        raise UsageError(f"{tag!r} is not a valid tag", hint="use letters, digits, '.', '_' and '-', at most 200")
    return tag


def is_short(text: str) -> bool:
    """Return whether a text can be the name of a release's folder: the first 16 digits of a digest."""
    return _FOLDER.fullmatch(text) is not None


def archive_file(name: str, sha256: str, format: str) -> str:
    """Return an archive's file name; it carries the digest because YARN refuses two resources of one name."""
    return f"{name}-{sha256[: digest.SHORT]}.{format}"


def archive_stem(name: str, sha256: str) -> str:
    """Return the prefix of the key of a release's archive, in any format."""
    return f"{folder(name, sha256)}/{archive_file(name, sha256, '')}"


def archive_key(manifest: Manifest) -> str:
    """Return the key of a release's archive."""
    facts = manifest.archive
    return f"{folder(manifest.name, facts.sha256)}/{archive_file(manifest.name, facts.sha256, facts.format)}"


def archive_uri(store: Store, name: str, sha256: str, format: str) -> str:
    """Return the address of a release's archive."""
    return store.uri(f"{folder(name, sha256)}/{archive_file(name, sha256, format)}")


def manifest(name: str, sha256: str) -> str:
    """Return the key of a manifest."""
    return f"{folder(name, sha256)}/{MANIFEST}"


def manifest_uri(store: Store, name: str, sha256: str) -> str:
    """Return the address of a release's manifest."""
    return store.uri(manifest(name, sha256))


def digest_of_key(key: str) -> str | None:
    """Return the first 16 digits of the digest of the release whose manifest has this key, or None."""
    match = _MANIFEST_KEY.fullmatch(key)
    return match["digest"] if match else None


def folder(name: str, sha256: str) -> str:
    """Return the folder of a release: `<name>/<digest 16>`. Raises UsageError for an invalid digest.

    `sha256` are all 64 digits or the first 16.
    """
    short = sha256[: digest.SHORT]
    if not is_short(short):
        raise UsageError(f"{sha256!r} is not a digest", hint="use its 64 hex digits, or the first 16")
    return f"{check_name(name)}/{short}"


def lock_file(name: str) -> str:
    """Return the name of the lock beside a manifest."""
    return f"{name}.lock"


def verified(manifest: Manifest) -> str:
    """Return the key of the note that a release was verified after it was published."""
    return f"{folder(manifest.name, manifest.digest)}/{VERIFIED}"


def newest_record(manifest: Manifest) -> str:
    """Return the key of the record of the newest build that produced an earlier build's release."""
    return f"{folder(manifest.name, manifest.digest)}/{ASKED}"


def build_record(name: str, input_digest: str) -> str:
    """Return the key of the record of what was built from these inputs."""
    if not _DIGEST.fullmatch(input_digest):
        raise UsageError(f"{input_digest!r} is not a digest", hint="use its 64 hex digits")
    return f"{check_name(name)}/{BUILDS}/{input_digest}.json"


def tag(name: str, tag: str) -> str:
    """Return the key of a tag."""
    return f"{check_name(name)}/{TAGS}/{check_tag(tag)}.json"


def tags_of(name: str) -> str:
    """Return the prefix of the keys of all tags of a name."""
    return f"{check_name(name)}/{TAGS}/"


def tag_of_key(key: str) -> tuple[str, str] | None:
    """Return name and tag of a tag's key, or None for another key."""
    match = _TAG_KEY.fullmatch(key)
    return (match["name"], match["tag"]) if match else None


def last_use(manifest: Manifest) -> str:
    """Return the key of the record of when a release was last used."""
    return f"{check_name(manifest.name)}/{USED}/{manifest.short_digest}.json"


def code(sha256: str) -> str:
    """Return the key of a code base. Raises UsageError for an invalid digest."""
    if not _DIGEST.fullmatch(sha256):
        raise UsageError(f"{sha256!r} is not a digest", hint="use its 64 hex digits")
    return f"{CODE}{sha256}.zip"


def code_folder(sha256: str) -> str:
    """Return a code base's name in a removal notice, in the form of a release's folder."""
    return f"code/{sha256[: digest.SHORT]}"


def digest_of_code(key: str) -> str | None:
    """Return the digest of the code base with this key, or None for another key."""
    match = _CODE_KEY.fullmatch(key)
    return match["digest"] if match else None


def runner(sha256: str) -> str:
    """Return the key of the program that runs a module of a code base."""
    return f"{CODE}run-{sha256[: digest.SHORT]}.py"


def job_record(name: str, time: str, own: str, release: str, code: str) -> str:
    """Return the key of the record of a job that was submitted; it says which release and which code it used.

    `time` is as `20260131T101500Z`, `own` are 12 hex digits.
    """
    return f"{jobs_of(name)}{time}-{own}-{release[: digest.SHORT]}-{code[: digest.SHORT]}.json"


def jobs_of(name: str) -> str:
    """Return the prefix of the keys of all records of jobs in releases of a name."""
    return f"{check_name(name)}/{JOBS}/"


def used_by_job(key: str) -> tuple[str, str] | None:
    """Return the first digits of the digests of release and code that a job used, by its record's key; or None."""
    match = _JOB_KEY.fullmatch(key)
    return (match["digest"], match["code"]) if match else None


def index(name: str) -> str:
    """Return the key of a name's index."""
    return f"{check_name(name)}/{INDEX}"
