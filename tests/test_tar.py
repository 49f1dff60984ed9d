"""The headers of a tar: what tarfile reads of them is what was to be said, whatever the names and sizes."""

from __future__ import annotations

import tarfile
from io import BytesIO

from hypothesis import given
from hypothesis import strategies as st

from envpack.archive.members import TIME, Member, mode_of
from envpack.archive.tar import records

LENGTHS = st.one_of(st.integers(1, 300), st.sampled_from([98, 99, 100, 101, 510, 511, 512, 513]))
LETTERS = st.sampled_from(["a", "é", "日", "\udcff"])


def names(letter: str, length: int) -> str:
    return (letter + "x" * length)[:length]


@given(LETTERS, LENGTHS, LENGTHS, st.sampled_from(["file", "link", "directory"]), st.booleans())
def test_a_member_is_read_as_it_was_written(
    letter: str, length: int, target: int, kind: str, executable: bool
) -> None:
    data = b"content" * 99
    member = {
        "file": Member(path=names(letter, length), data=data, size=len(data), executable=executable),
        "link": Member(path=names(letter, length), kind="link", link=names(letter, target)),
        "directory": Member(path=names(letter, length), kind="directory"),
    }[kind]
    written = b"".join(records([member], {}, lambda _: None)) + bytes(2 * tarfile.BLOCKSIZE)
    with tarfile.open(fileobj=BytesIO(written), encoding="utf-8", errors="surrogateescape") as tar:
        (read,) = tar.getmembers()
        assert (read.name, read.linkname, read.size) == (member.path, member.link, member.size)
        assert (read.mode, read.mtime) == (mode_of(member.kind, executable=executable and kind == "file"), TIME)
        assert (read.uid, read.gid, read.uname, read.gname) == (0, 0, "", "")
        if kind == "file":
            content = tar.extractfile(read)
            assert content is not None
            assert content.read() == data
        assert (read.isfile(), read.issym(), read.isdir()) == (kind == "file", kind == "link", kind == "directory")


@given(st.one_of(st.integers(0, 1 << 50), st.sampled_from([8**11 - 1, 8**11])))
def test_any_size_is_read_as_it_was_written(size: int) -> None:
    header = next(records([Member(path="large", size=size, data=b"")], {}, lambda _: None))
    assert tarfile.TarInfo.frombuf(header, "utf-8", "strict").size == size
