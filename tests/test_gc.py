from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import jsonschema
import pytest

import envpack.gc.collect as collecting
from envpack.errors import Conflict, Gone, UsageError
from envpack.gc.rules import RetentionRules
from envpack.releases import keys, last_use, lookup, references, removal_notice, tags
from envpack.releases.manifest import Manifest
from envpack.stores import open_store
from envpack.stores.base import Store
from tests.support.command import Desk, run_script
from tests.support.releases import DAY, age, faults, manifest_of, names_of, publish
from tests.support.s3 import S3Server, Wire, begin_upload

SCHEMA = json.loads((Path(__file__).parent.parent / "docs/gc.schema.json").read_text("utf-8"))

NOW_OR_NEVER = RetentionRules(last=0, history=0, grace=0)
"""Nothing but a tag keeps a release."""

RECORD = {"schema": 1, "digest": "f" * 64, "created": "2025-01-02T00:00:00Z"}
"""A build record that points at nothing."""

DYING = """
import os, signal, sys, threading
import envpack.gc.collect as collecting
from envpack.gc.rules import RetentionRules
from envpack.stores import open_store

class Dying:
    '''A store whose user is killed right before or right after its n-th write.'''

    def __init__(self, store, left, after):
        self._store, self._left, self._after, self._lock = store, left, after, threading.Lock()

    def __getattr__(self, name):
        method = getattr(self._store, name)
        if name not in ("replace", "delete", "abort"):
            return method
        def call(*arguments):
            with self._lock:
                self._left -= 1
                last = self._left == 0
            if last and not self._after:
                os.kill(os.getpid(), signal.SIGKILL)
            answer = method(*arguments)
            if last:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer
        return call

url, left, after = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "after"
store = Dying(open_store(url), left, after)
rules = RetentionRules(last=0, history=0, grace=0)
collecting.apply(store, collecting.plan(store, rules))
"""


PUBLISHER = """
import sys
from envpack.errors import Gone
from envpack.stores.s3.options import S3Options
from envpack.stores import open_store
from tests.support.releases import publish

try:
    publish(open_store(sys.argv[1], S3Options(endpoint=sys.argv[2])), "one", tag="prod")
    print("published")
except Gone:
    print("gone")
"""


def collect(store: Store, rules: RetentionRules = NOW_OR_NEVER) -> collecting.Freed:
    return collecting.apply(store, collecting.plan(store, rules))


def removed(store: Store, rules: RetentionRules) -> set[str]:
    """Return the references of what would go."""
    return {f"{v.folder.name}@{v.folder.digest}" for v in collecting.plan(store, rules).going}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


class TestThePlan:
    def test_without_a_rule_every_release_stays(self, store: Store) -> None:
        publish(store, "one", days=900)
        assert removed(store, RetentionRules(grace=0)) == set()

    def test_the_newest_of_each_name_stay(self, store: Store) -> None:
        old, _, _ = (publish(store, f"{n}", days=30 - n) for n in range(3))
        other = publish(store, "other", "other", days=900)
        assert removed(store, RetentionRules(last=2)) == {old.reference}
        assert removed(store, RetentionRules(last=0)) > {other.reference}

    def test_what_a_tag_points_at_stays_and_so_does_what_it_pointed_at_before(self, store: Store) -> None:
        first, second, third = (publish(store, f"{n}", tag="prod", days=30) for n in range(3))
        assert removed(store, RetentionRules(last=0, history=0)) == {first.reference, second.reference}
        assert removed(store, RetentionRules(last=0, history=1)) == {first.reference}
        assert removed(store, RetentionRules(last=0, history=2)) == set()
        verdicts = collecting.plan(store, RetentionRules(last=0)).verdicts
        (kept,) = (v for v in verdicts if v.folder.digest == third.short_digest)
        assert kept.kept_by == ("tagged prod",)

    def test_what_was_published_or_used_lately_stays(self, store: Store) -> None:
        old, used, long_used, new = (
            publish(store, content, days=days) for content, days in zip("abcd", (60, 60, 60, 20), strict=True)
        )
        for manifest in (used, long_used):
            last_use.note_use(store, manifest)
        age(store, f"udf/used/{long_used.short_digest}", 50)
        rules = RetentionRules(newer=30 * DAY, used=40 * DAY)
        assert removed(store, rules) == {old.reference, long_used.reference}
        assert new.reference not in removed(store, rules)

    def test_what_is_younger_than_the_grace_period_stays_whatever_the_rules_say(self, store: Store) -> None:
        publish(store, "young", days=0.9)
        old = publish(store, "old", days=1.1)
        assert removed(store, RetentionRules(last=0)) == {old.reference}

    def test_one_name_can_be_looked_at_alone(self, store: Store) -> None:
        publish(store, "one", "one", days=30)
        other = publish(store, "other", "other", days=30)
        plan = collecting.plan(store, RetentionRules(last=0), "other")
        assert [v.folder.digest for v in plan.verdicts] == [other.short_digest]

    def test_nothing_is_changed_by_planning(self, store: Store) -> None:
        publish(store, "one", days=30)
        before = {(entry.key, entry.modified) for entry in store.list()}
        collecting.plan(store, NOW_OR_NEVER)
        assert {(entry.key, entry.modified) for entry in store.list()} == before

    def test_what_killed_builds_left_is_found_once_it_is_old(self, store: Store) -> None:
        manifest = manifest_of("never finished")
        archive = f"udf/{manifest.short_digest}/{manifest.archive.file}"
        store.create(archive, b"never finished")
        store.create(f"udf/builds/{'1' * 64}.json", json.dumps(RECORD).encode())
        draft = Path(store.url, "udf", ".envpack-draft-0123")
        draft.write_text("half a file")
        assert collecting.plan(store, RetentionRules()).leftovers == ()
        age(store, "udf/", 2)
        found = {(left.kind, left.key) for left in collecting.plan(store, RetentionRules()).leftovers}
        assert found == {
            ("orphan", f"udf/{manifest.short_digest}"),
            ("record", f"udf/builds/{'1' * 64}.json"),
            ("upload", "udf/.envpack-draft-0123"),
        }
        collect(store, RetentionRules())
        assert [entry.key for entry in store.list()] == [removal_notice.KEY]
        assert not draft.exists()

    def test_a_tag_that_points_at_nothing_and_a_rule_without_records_are_warned_of(self, store: Store) -> None:
        publish(store, "one")
        tags.advance(store, "udf", "lost", "e" * 64, by="jane")
        told = "\n".join(collecting.plan(store, RetentionRules(used=DAY)).warnings)
        assert "udf:lost points at eeeeeeeeeeeeeeee" in told
        assert "record-use" in told

    def test_a_tag_that_cannot_be_read_stops_everything(self, store: Store) -> None:
        publish(store, "one", days=30)
        store.create("udf/tags/prod.json", b"{}")
        with pytest.raises(UsageError, match=r"tags/prod\.json"):
            collecting.plan(store, NOW_OR_NEVER)


class TestRemoval:
    def test_a_release_goes_with_all_that_belongs_to_it_and_nothing_else_does(self, store: Store) -> None:
        gone, kept = publish(store, "gone"), publish(store, "kept", tag="prod")
        last_use.note_use(store, gone)
        strangers = [
            "README.txt",
            "udf/notes.txt",
            "udf/other/file",
            "udf/index.json.gz",
            "_pages/0123456789abcdef/udf",
        ]
        for key in strangers:
            store.create(key, b"somebody's")
        freed = collect(store)
        assert freed.removed == [f"udf/{gone.short_digest}"]
        assert (freed.objects, freed.hidden) == (4, 0)
        left = {entry.key for entry in store.list()}
        assert not [key for key in left if gone.short_digest in key and "used" not in key]
        assert left >= set(strangers)
        assert names_of(store) == {kept.reference}
        assert faults(store) == []
        assert not Path(store.url, "udf", gone.short_digest).exists()

    def test_the_record_of_its_use_is_an_orphan_then_and_goes_as_such(self, store: Store) -> None:
        gone = publish(store, "gone")
        last_use.note_use(store, gone)
        collect(store)
        assert collect(store).removed == [f"udf/used/{gone.short_digest}.json"]

    def test_the_same_inputs_are_built_anew_after_it(self, store: Store) -> None:
        gone = publish(store, "gone")
        collect(store)
        assert lookup.find_build(store, "udf", gone.input_digest) is None
        assert publish(store, "gone").digest == gone.digest
        assert lookup.find_build(store, "udf", gone.input_digest) is not None

    def test_a_tag_that_was_moved_after_the_plan_keeps_its_release(self, store: Store) -> None:
        one, two = publish(store, "one"), publish(store, "two")
        plan = collecting.plan(store, NOW_OR_NEVER)
        tags.advance(store, "udf", "prod", one.digest, by="jane")
        freed = collecting.apply(store, plan)
        assert freed.spared == [f"udf/{one.short_digest}"]
        assert freed.removed == [f"udf/{two.short_digest}"]
        assert faults(store) == []

    def test_an_orphan_that_has_become_a_release_after_the_plan_stays(self, store: Store) -> None:
        manifest = manifest_of("one")
        store.create(f"udf/{manifest.short_digest}/{manifest.archive.file}", b"one")
        plan = collecting.plan(store, NOW_OR_NEVER)
        assert [left.kind for left in plan.leftovers] == ["orphan"]
        publish(store, "one", tag="prod")
        collecting.apply(store, plan)
        assert names_of(store) == {manifest.reference}
        assert faults(store) == []

    def test_a_clock_that_is_wrong_removes_nothing(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        publish(store, "one")
        real = time.time
        monkeypatch.setattr(time, "time", lambda: real() + 3600)
        with pytest.raises(UsageError, match=r"clock is 36\d\d s ahead"):
            collect(store)
        assert len(names_of(store)) == 1


class TestTwoAtOnce:
    def test_a_second_gc_is_refused_while_one_gets_on(self, store: Store) -> None:
        publish(store, "one")
        with removal_notice.collecting(store) as first:
            second: list[BaseException] = []

            def begin() -> None:
                try:
                    collect(store)
                except Conflict as conflict:
                    second.append(conflict)

            thread = threading.Thread(target=begin)
            thread.start()
            while thread.is_alive():
                time.sleep(0.1)
                first.post([])
            assert "another `envpack gc`" in str(second[0])

    def test_one_that_was_taken_over_deletes_nothing_more(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with removal_notice.collecting(store) as first:
            post(store, removal_notice.Notice(collector="other"))
            monkeypatch.setattr(removal_notice, "WINDOW", -1.0)
            with pytest.raises(Conflict, match="took over"):
                first.may_delete()

    def test_a_notice_of_another_machine_is_waited_for_and_then_taken_for_dead(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(removal_notice, "PATIENCE", 1.0)
        manifest = manifest_of("one")
        post(store, removal_notice.Notice(collector="c", host="far", folders=(f"udf/{manifest.short_digest}",)))
        start = time.monotonic()
        publish(store, "one", tag="prod")
        assert time.monotonic() - start > 1
        post(store, removal_notice.Notice(collector="c", host="far"))
        assert collect(store).removed == []


def post(store: Store, value: removal_notice.Notice) -> None:
    found = store.read(removal_notice.KEY)
    assert store.replace(removal_notice.KEY, value.dumps(), found.version if found else None)


class AnyStore:
    """What must be true in every kind of store; a subclass says where."""

    seconds = 0.5
    """How long to shake it."""
    stride = 1
    """How many writes lie between two deaths."""

    @pytest.fixture
    def url(self) -> str:
        raise NotImplementedError

    @pytest.mark.acceptance
    def test_whenever_it_is_killed_nothing_that_is_kept_is_lost_and_the_next_one_does_the_rest(
        self, url: str, tmp_path: Path
    ) -> None:
        store = open_store(url)
        kept = publish(store, "kept", tag="prod")
        dying = tmp_path / "dying.py"
        dying.write_text(DYING)
        for when in ("before", "after"):
            for left in range(1, 50, self.stride):
                gone = [publish(store, f"gone {number}") for number in range(2)]
                ended = run_script(dying, url, str(left), when, cwd=tmp_path, environment=os.environ)
                assert ended.code in (0, -signal.SIGKILL), ended.err
                assert faults(store) == [], (left, when)
                assert kept.reference in names_of(store)
                again = publish(store, "gone 0")  # a build meets what the dead one left
                assert again.reference in names_of(store)
                assert faults(store) == [], (left, when)
                collect(store)
                assert names_of(store) == {kept.reference}, (left, when)
                assert not [
                    entry.key for entry in store.list("udf/") for m in gone if f"/{m.short_digest}/" in entry.key
                ]
                if ended.code == 0:
                    break
            else:
                pytest.fail("it never came to its end")
            assert left > 8

    def test_beside_builders_and_movers_no_tag_ever_points_at_nothing_for_good(self, url: str) -> None:
        """Builders publish the same few releases again and again, while gc takes all it may."""
        store = open_store(url)
        end = time.monotonic() + self.seconds
        done: dict[str, int] = {"published": 0, "gone": 0, "removed": 0}

        def goes_on() -> bool:
            """Go on until the time is over, and until both have happened, however slow the machine is."""
            now = time.monotonic()
            return now < end or (now < end + 60 and not (done["published"] and done["removed"]))

        def build(number: int) -> None:
            mine, chance = open_store(url), random.Random(number)
            while goes_on():
                content = f"content {chance.randrange(3)}"
                try:
                    publish(mine, content, tag=f"tag-{number}")
                    done["published"] += 1
                except Gone:
                    done["gone"] += 1
                except Conflict as error:
                    if "keep moving the tag" not in str(error):
                        raise

        def sweep() -> None:
            mine = open_store(url)
            while goes_on():
                done["removed"] += len(collect(mine).removed)

        with ThreadPoolExecutor() as pool:
            jobs = [pool.submit(build, 0), pool.submit(build, 1), pool.submit(sweep)]
        for job in jobs:
            job.result()
        assert done["published"] > 0
        assert done["removed"] > 0
        assert faults(store) == [], done


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
class TestInADirectory(AnyStore):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return str(tmp_path / "store")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
class TestOnMoto(AnyStore):
    stride = 9

    @pytest.fixture
    def url(self, s3_store_url: str) -> str:
        return s3_store_url

    def test_in_a_versioned_bucket_it_says_that_nothing_is_freed(self, url: str, moto_s3: S3Server) -> None:
        versioned = {"Status": "Enabled"}
        moto_s3.client().put_bucket_versioning(Bucket=url.split("/")[2], VersioningConfiguration=versioned)
        store = open_store(url)
        publish(store, "one")
        freed = collect(store)
        assert freed.hidden == freed.size > 0
        assert names_of(store) == set()
        publish(store, "one", tag="prod")
        assert faults(store) == []

    def test_an_upload_that_was_begun_long_ago_is_aborted(self, url: str, moto_s3: S3Server) -> None:
        # moto says of every upload that it was begun in 2010
        upload_id, parts = begin_upload(url, moto_s3)
        store = open_store(url)
        (left,) = collecting.plan(store, RetentionRules()).leftovers
        assert (left.kind, left.key, left.size) == ("upload", "udf/0123456789abcdef/udf.tar.gz", len(parts))
        assert left.upload is not None
        assert left.upload.token == upload_id
        freed = collect(store, RetentionRules())
        assert freed.size == len(parts)
        assert list(store.unfinished()) == []


@pytest.fixture
def wire(moto_s3: S3Server) -> Iterator[Wire]:
    wire = Wire(moto_s3)
    yield wire
    wire.close()


BEFORE = ("nothing", "an orphan", "a release")
REQUESTS = (
    "HEAD .*gz ",
    "HEAD .*lock ",
    "HEAD .*/manifest.json ",
    "HEAD .*/builds/",
    "PUT .*/tags/",
    "GET .*/.gc.json ",
)
"""Before which a publisher is held; `make acceptance` tries each with each beginning, the quick tests three."""


class TestBesideABuild:
    """A process that publishes is held before one of its requests, gc runs from end to end, and it goes on."""

    @pytest.mark.parametrize(
        ("before", "request_"),
        [
            pytest.param(before, request, marks=[] if (turn + place) % 6 == 0 else [pytest.mark.acceptance])
            for turn, before in enumerate(BEFORE)
            for place, request in enumerate(REQUESTS)
        ],
    )
    def test_what_is_published_is_whole_or_the_publisher_knows(
        self, s3_store_url: str, wire: Wire, before: str, request_: str
    ) -> None:
        store = open_store(s3_store_url)
        if before != "nothing":
            manifest = publish(store, "one")
            if before == "an orphan":
                store.delete(f"udf/{manifest.short_digest}/manifest.json")
        wire.hold_at = request_.encode()
        command = [sys.executable, "-c", PUBLISHER, s3_store_url, wire.endpoint]
        ended = self.beside(command, dict(os.environ), store, wire)
        assert faults(store) == []
        if ended == "published":
            assert references.resolve(store, "udf:prod").manifest.name == "udf"
        else:
            assert ended == "gone"
            assert tags.read(store, "udf", "prod") is None

    @pytest.mark.acceptance
    def test_a_build_that_finds_its_release_makes_it_again_when_it_goes(
        self, desk: Desk, moto_s3: S3Server, s3_store_url: str, wire: Wire, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = open_store(s3_store_url)
        straight = {**desk.environment, **moto_s3.variables(), "ENVPACK_STORE": s3_store_url}
        (desk.home / "udf.txt").write_text("greeter\n")
        reference = replace(desk, environment=straight).build("udf.txt", "--no-latest")["reference"]
        wire.hold_at = b"PUT .*/tags/latest.json "
        monkeypatch.chdir(desk.home)
        through = {**straight, "AWS_ENDPOINT_URL_S3": wire.endpoint}
        self.beside(desk.command("build", "udf.txt"), through, store, wire)
        assert faults(store) == []
        assert references.resolve(store, "udf").manifest.reference == reference

    def beside(self, command: list[str], environment: dict[str, str], store: Store, wire: Wire) -> str:
        """Return the last line of the process, in the midst of which gc ran."""
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
            try:
                held = wire.held.wait(60)
                collect(store)
            finally:
                wire.cut.clear()
                out, _ = process.communicate(timeout=120)
        assert held, out
        assert process.returncode == 0
        return out.strip()


def test_a_tag_that_points_at_what_is_being_removed_is_no_success(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two builders reuse one old release while gc removes it: the first has moved the tag and will put it back."""
    monkeypatch.setattr(removal_notice, "PATIENCE", 0.5)
    manifest = publish(store, "old", tag="latest")
    folder = f"udf/{manifest.short_digest}"
    post(store, removal_notice.Notice(collector="c", host="far", folders=(folder,)))
    store.delete(f"{folder}/manifest.json")
    with pytest.raises(Gone):
        tags.advance(store, "udf", "latest", manifest.digest, by="jane")


class Meddled:
    """A store in which something happens when a tag is written to point at a digest."""

    def __init__(self, store: Store, meddle: Callable[[str], None]) -> None:
        self._store, self._meddle = store, meddle

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def replace(self, key: str, data: bytes, version: str | None) -> bool:
        written = self._store.replace(key, data, version)
        if written and keys.tag_of_key(key):
            self._meddle(tags.Tag.loads(data, key).digest)
        return written


@pytest.mark.parametrize("before", [(), ("older",), ("oldest", "older")])
@pytest.mark.parametrize("goes_late", [True, False])
def test_a_tag_is_put_back_to_the_newest_release_that_is_still_there(
    store: Store, before: tuple[str, ...], goes_late: bool
) -> None:
    """While a tag points at what was removed, nothing keeps what it pointed at before from the next gc."""
    target = publish(store, "new")
    earlier = [publish(store, content, tag="prod") for content in before]
    store.replace(removal_notice.KEY, removal_notice.Notice(ended="x").dumps(), None)

    def remove(manifest: Manifest) -> None:
        for entry in list(store.list(f"udf/{manifest.short_digest}/")):
            store.delete(entry.key)

    def meddle(written: str) -> None:
        """Remove what the tag points at now, and what it has pointed at since the oldest."""
        if written == target.digest:
            remove(target)
        if written == target.digest if not goes_late else written in {one.digest for one in earlier[1:]}:
            for one in earlier[1:]:
                remove(one)
            posted = store.read(removal_notice.KEY)
            assert posted
            store.replace(removal_notice.KEY, removal_notice.Notice(ended="y").dumps(), posted.version)

    with pytest.raises(Gone):
        tags.advance(cast("Store", Meddled(store, meddle)), "udf", "prod", target.digest, by="jane")
    found = tags.read(store, "udf", "prod")
    assert (found.digest if found else None) == (earlier[0].digest if earlier else None)
    assert faults(store) == []


class TestTheCommand:
    def test_it_plans_first_and_removes_what_it_said(self, desk: Desk) -> None:
        store = open_store(str(desk.store))
        gone, kept = publish(store, "gone", days=60), publish(store, "kept", days=60, tag="prod")
        plan = desk.run("gc", "--keep-newer", "30d")
        assert plan.code == 0, plan.err
        assert gone.reference.replace("@", "/") not in plan.err
        assert plan.out.startswith("remove ")
        assert gone.reference in plan.out
        assert "do it with --apply" in plan.err
        assert names_of(store) == {gone.reference, kept.reference}
        assert desk.run("gc", "--keep-newer", "30d", "--apply").code == 0
        assert names_of(store) == {kept.reference}

    def test_json_follows_its_schema_before_and_after(self, desk: Desk) -> None:
        store = open_store(str(desk.store))
        publish(store, "gone", days=60)
        publish(store, "kept", tag="prod")
        store.create(f"udf/builds/{'1' * 64}.json", json.dumps(RECORD).encode())
        age(store, "udf/builds/1", 3)
        for arguments in ([], ["--apply"]):
            ran = desk.run("gc", "--keep-last", "0", "--output", "json", *arguments)
            assert ran.code == 0, ran.err
            jsonschema.validate(ran.json(), SCHEMA)
            assert [release["action"] for release in ran.json()["releases"]] == ["keep", "remove"]
            assert [left["kind"] for left in ran.json()["leftovers"]] == ["record"]
            assert ran.json()["applied"] is bool(arguments)
        assert ran.json()["freed"]["objects"] == 5

    def test_rules_come_from_the_configuration_and_flags_win(self, desk: Desk) -> None:
        store = open_store(str(desk.store))
        publish(store, "old", days=60)
        publish(store, "older", days=90)
        with (desk.home / "envpack.yaml").open("a") as file:
            file.write("gc:\n  keep-last: 1\n")
        assert len(desk.run("gc").out.splitlines()) == 1
        assert len(desk.run("gc", "--keep-last", "0").out.splitlines()) == 2

    def test_every_value_that_cannot_be_read_is_told_at_once(self, desk: Desk) -> None:
        ran = desk.run("gc", "--keep-last", "few", "--keep-newer", "30", ENVPACK_GC_GRACE="soon")
        assert ran.code == 2
        for told in (
            "--keep-last: must be a whole number such as 5, not 'few'",
            "--keep-newer: must be a time",
            "ENVPACK_GC_GRACE: must be a time",
        ):
            assert told in ran.err

    def test_a_use_is_noted_where_that_is_wanted(self, desk: Desk) -> None:
        store = open_store(str(desk.store))
        manifest = publish(store, "one", tag="latest", days=60)
        assert desk.run("settings", "udf").code == 0
        assert list(store.list("udf/used/")) == []
        assert desk.run("settings", "udf", ENVPACK_RECORD_USE="true").code == 0
        (noted,) = store.list("udf/used/")
        assert noted.key == f"udf/used/{manifest.short_digest}.json"
        assert removed(store, RetentionRules(used=DAY)) == set()
        assert not last_use.note_use(store, manifest), "once in a while is enough"

    def test_a_store_that_takes_no_record_of_use_is_no_reason_to_fail(self, desk: Desk) -> None:
        publish(open_store(str(desk.store)), "one", tag="latest")
        (desk.store / "udf" / "used").write_text("a file, so that nothing can be written below it")
        ran = desk.run("settings", "udf", ENVPACK_RECORD_USE="true")
        assert (ran.code, "error" in ran.err) == (0, False)


def submission(store: Store, release: str, code: str, days: float = 0.0) -> str:
    """Record that a job used a release and a code base, some days ago; return the record's key."""
    key = keys.job_record("udf", "20260131T101500Z", os.urandom(6).hex(), release, code)
    store.create(key, b"{}")
    age(store, key, days)
    return key


def test_what_a_job_used_lately_stays_and_goes_with_the_last_job(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    used, idle = publish(store, "used", days=100), publish(store, "idle", days=100)
    publish(store, "now", tag="latest", days=100)
    for code in ("a", "b"):
        store.create(keys.code(code * 64), code.encode())
    age(store, keys.CODE, 100)
    key = submission(store, used.digest, "a" * 64, days=10)
    freed = collect(store)
    assert sorted(freed.removed) == [keys.code("b" * 64), f"udf/{idle.short_digest}"]
    age(store, key, 40)
    freed = collect(store)
    assert sorted(freed.removed) == [keys.code("a" * 64), f"udf/{used.short_digest}"]
    assert collect(store).removed == [key]


def test_code_that_was_sent_just_now_stays_though_no_job_is_recorded(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    store.create(keys.code("a" * 64), b"a")
    store.create(keys.runner("b" * 64), b"b")
    age(store, keys.runner("b" * 64), 1000)
    assert collect(store).removed == []


def test_code_that_a_job_uses_while_gc_is_at_it_stays(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    manifest = publish(store, "one", tag="latest")
    store.create(keys.code("a" * 64), b"a")
    age(store, keys.CODE, 100)
    planned = collecting.plan(store, NOW_OR_NEVER)
    assert [left.kind for left in planned.leftovers] == ["code"]
    submission(store, manifest.digest, "a" * 64)
    assert collecting.apply(store, planned).removed == []
    assert store.size(keys.code("a" * 64)) == 1
