from __future__ import annotations

import pytest

from envpack.redact import redact


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("https://me:secret@example.com/simple", "https://example.com/simple"),
        ("https://secret@example.com/simple", "https://example.com/simple"),
        ("https://example.com/t/to-ken-1/channel/noarch/x.conda", "https://example.com/channel/noarch/x.conda"),
        ("https://example.com/x.whl?token=secret&a=1", "https://example.com/x.whl?token=***&a=***"),
        ("https://example.com/x?X-Amz-Signature=secret", "https://example.com/x?X-Amz-Signature=***"),
        ("cannot read 'https://a:b@example.com/x' now", "cannot read 'https://example.com/x' now"),
    ],
)
def test_credentials_are_taken_out_of_urls(text: str, clean: str) -> None:
    assert redact(text) == clean


@pytest.mark.parametrize("text", ["file:///home/t/channel/x", "s3://bucket/t/x", "mail me@example.com", "a @ b"])
def test_what_holds_no_credentials_stays_as_it_is(text: str) -> None:
    assert redact(text) == text
