"""Check that an answer is one of S3: it must have what a later step reads from it."""

from __future__ import annotations

from typing import Any

from botocore.parsers import ResponseParserError

_NEEDED = {
    "GetObject": ("Body", "ContentLength", "ETag"),
    "HeadObject": ("ContentLength", "ETag"),
    "PutObject": ("ETag",),
    "CreateMultipartUpload": ("UploadId",),
    "UploadPart": ("ETag",),
    "UploadPartCopy": ("CopyPartResult",),
    "ListObjectsV2": ("Name",),
    "ListMultipartUploads": ("Bucket",),
    "ListParts": ("UploadId",),
}
"""The fields of an answer that are used here, by S3's API reference."""

_ENTRIES = {
    ("ListObjectsV2", "Contents"): ("Key", "Size", "LastModified", "ETag"),
    ("ListObjectsV2", "CommonPrefixes"): ("Prefix",),
    ("ListMultipartUploads", "Uploads"): ("Key", "UploadId", "Initiated"),
    ("ListParts", "Parts"): ("Size",),
}


def check(parsed: dict[str, Any], http_response: Any, model: Any, **_: object) -> None:  # noqa: ANN401
    """Raise ResponseParserError for an answer that reports success and lacks what S3's answer has.

    A captive portal, a proxy or a wrong endpoint answers 200 to everything. botocore calls it after each request
    ("Extensibility guide", event `after-call`).
    """
    if http_response.status_code >= 300:
        return
    missing = [name for name in _NEEDED.get(model.name, ()) if parsed.get(name) in (None, "", {})]
    for (operation, group), names in _ENTRIES.items():
        if operation == model.name:
            missing += [f"{group}.{name}" for name in names for entry in parsed.get(group, ()) if name not in entry]
    if missing:
        if body := parsed.get("Body"):
            body.close()  # nothing else closes it
        raise ResponseParserError(f"the answer to {model.name} has no {', '.join(sorted(set(missing)))}")
