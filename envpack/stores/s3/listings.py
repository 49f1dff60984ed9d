"""The entries of a listing, read from S3's answer here: botocore's own parser takes most of a listing's time."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Any
from xml.etree import ElementTree as ET

from botocore.utils import parse_timestamp

_NEEDED = {"Key", "Size", "LastModified", "ETag"}
"""The fields of an entry that are used here."""


def take_entries(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object) -> None:
    """Read the entries of an answer to ListObjectsV2, and leave the rest of the answer to botocore.

    An answer that is not S3's is left to botocore whole, which says what is wrong with it. botocore calls this
    before it reads an answer (event `before-parse`), and takes over what is put into `customized_response_dict`.
    """
    if response_dict["status_code"] >= 300:
        return
    try:
        root = ET.fromstring(response_dict["body"])  # noqa: S314
        entries = [_entry(each) for each in root if _name(each) == "Contents"]
    except (ET.ParseError, ValueError):
        return
    if entries:
        customized_response_dict["Contents"] = entries
        root[:] = [each for each in root if _name(each) != "Contents"]
        response_dict["body"] = ET.tostring(root)


def _entry(element: ET.Element) -> dict[str, Any]:
    fields = [(name, each.text or "") for each in element if (name := _name(each)) in _NEEDED]
    found: dict[str, Any] = dict(fields)
    if len(found) < len(fields):
        raise ValueError("a field is there twice")
    if "Size" in found:
        found["Size"] = int(found["Size"])
    if "LastModified" in found:
        found["LastModified"] = time_of(found["LastModified"])
    return found


def _name(element: ET.Element) -> str:
    """Return a tag without its namespace, as botocore does."""
    return element.tag.rpartition("}")[2]


def time_of(text: Any) -> datetime:  # noqa: ANN401 - whatever stands for a time in an answer
    """Read a time in an answer: fast if it is in S3's form (2024-01-31T12:00:00.000Z)."""
    if isinstance(text, str) and text.endswith("Z"):
        with suppress(ValueError):
            return datetime.fromisoformat(f"{text[:-1]}+00:00")
    parsed: datetime = parse_timestamp(text)
    return parsed
