"""Every way to name a release, and what is said of a name that leads nowhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from envpack.config.config import Config
from envpack.errors import UsageError
from envpack.releases import lookup, references, tags
from envpack.releases.references import Reference
from envpack.stores import open_store
from envpack.stores.base import Store
from tests.support.many_releases import fill, fill_directory
from tests.support.releases import all_releases
from tests.support.s3 import S3Server

SHORT = "0123456789abcdef"


@pytest.mark.parametrize(
    ("text", "parts"),
    {
        "udf": Reference(name="udf"),
        "udf:prod": Reference(name="udf", tag="prod"),
        "udf@0123": Reference(name="udf", digest="0123"),
        "udf@sha256:01AB": Reference(name="udf", digest="01ab"),
        f"s3://bucket/a/b/udf/{SHORT}/udf-{SHORT}.tar.gz": Reference(
            name="udf", digest=SHORT, store="s3://bucket/a/b"
        ),
        f"s3a://bucket/udf/{SHORT}/udf-{SHORT}.zip#environment": Reference(
            name="udf", digest=SHORT, store="s3a://bucket"
        ),
        f"file:///srv/a%20store/udf/{SHORT}/manifest.json": Reference(
            name="udf", digest=SHORT, store="file:///srv/a%20store"
        ),
        f"/srv/store/udf/{SHORT}/x.tar.gz": Reference(name="udf", digest=SHORT, store="/srv/store"),
        f"/udf/{SHORT}/x.tar.gz": Reference(name="udf", digest=SHORT, store="/"),
        f"store/udf/{SHORT}/x.tar.gz": Reference(name="udf", digest=SHORT, store="store"),
        f"udf/{SHORT}/x.tar.gz": Reference(name="udf", digest=SHORT, store="."),
    }.items(),
)
def test_a_reference_is_taken_apart(text: str, parts: Reference) -> None:
    assert references.parse(text) == parts


@pytest.mark.parametrize(
    "text",
    ["", "UPPER", "udf:", "udf@", "udf@12", "udf@xyz1", f"udf@{'1' * 65}", "a:b:c", "udf:-x", "s3://bucket/udf"],
)
def test_what_is_no_reference_is_refused_with_the_forms_there_are(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        references.parse(text)
    assert caught.value.hint


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    root = tmp_path_factory.mktemp("a store")
    fill_directory(root, 45)
    return open_store(str(root))


def some_release(store: Store) -> lookup.Release:
    return next(all_releases(store, "fraud-features"))


def test_a_release_is_found_by_tag_digest_and_address(store: Store) -> None:
    release = some_release(store)
    config = Config(store=store.url)
    for text in (
        release.manifest.reference,
        f"fraud-features@{release.manifest.digest[:9]}",
        f"fraud-features@sha256:{release.manifest.digest.upper()}",
    ):
        assert references.find(text, config).release == release
    assert (
        references.find("fraud-features", config).release
        == references.find("fraud-features:latest", config).release
    )


def test_an_address_names_its_own_store(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    release = some_release(store)
    elsewhere = Config(store=str(tmp_path))
    monkeypatch.chdir(store.url)
    short = release.manifest.short_digest
    for text in (
        f"{release.archive_uri}#environment",
        release.manifest_uri,
        f"{store.url}/fraud-features/{short}/{release.manifest.archive.file}",
        f"fraud-features/{short}/{release.manifest.archive.file}",
    ):
        assert references.find(text, elsewhere).release.manifest == release.manifest


def test_an_address_on_s3_is_found_as_hadoop_spells_it(s3_store_url: str, moto_s3: S3Server) -> None:
    store = open_store(s3_store_url)
    fill(store, 2)
    release = next(all_releases(store))
    address = release.archive_uri.replace("s3://", "s3a://") + "#environment"
    assert references.find(address, Config()).release == release


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("froud-features", "did you mean fraud-features"),
        ("zzz", "`envpack list` shows what the store holds"),
        ("fraud-features:latst", "did you mean fraud-features:latest?"),
        ("fraud-features:unheard", "fraud-features has 20 releases and the tags "),
        ("fraud-features@ffff", "; `envpack list fraud-features` shows them"),
    ],
)
def test_an_unknown_reference_offers_the_nearest(store: Store, text: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        references.resolve(store, text)
    assert hint in str(caught.value.hint)


def test_a_mistyped_digest_and_one_given_as_a_tag_offer_the_release(store: Store) -> None:
    release = some_release(store)
    short = release.manifest.short_digest
    mistyped = f"{short[:5]}{'0' if short[5] != '0' else '1'}{short[6:12]}"
    for text in (f"fraud-features@{mistyped}", f"fraud-features:{short[:10]}"):
        with pytest.raises(UsageError) as caught:
            references.resolve(store, text)
        assert f"did you mean {release.manifest.reference}" in str(caught.value.hint)


def test_an_empty_store_says_how_to_begin(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        references.resolve(open_store(str(tmp_path)), "udf")
    assert "publish a release with `envpack build FILE`" in str(caught.value.hint)


def test_a_tag_whose_release_is_gone_is_said_to_lead_nowhere(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    tags.advance(store, "udf", tags.LATEST, "0" * 64, by="jane")
    with pytest.raises(UsageError, match=f"udf:latest points at udf@{'0' * 16}, which is not in") as caught:
        references.resolve(store, "udf:latest")
    assert "run `envpack build FILE`" in str(caught.value.hint)


def test_a_digest_prefix_of_two_releases_is_refused(tmp_path: Path, store: Store) -> None:
    (tmp_path / "udf").mkdir()
    twins = open_store(str(tmp_path))
    for number in ("1", "2"):
        manifest = some_release(store).manifest.to_json()
        manifest["archive"] |= {"sha256": f"abcd{number}{'0' * 59}", "file": f"udf-abcd{number}{'0' * 11}.tar.gz"}
        twins.create(f"udf/abcd{number}{'0' * 11}/manifest.json", json.dumps({**manifest, "name": "udf"}).encode())
    with pytest.raises(UsageError, match="matches 2 releases"):
        references.resolve(twins, "udf@abcd")
    assert references.resolve(twins, "udf@abcd1").manifest.digest.startswith("abcd1")
