"""What S3 servers, and what stands before them, do wrong, and how envpack's commands end then."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tests.support.s3 import Answer, Asked, Gate

if TYPE_CHECKING:
    from tests.support.s3 import S3Server

Serve = Callable[[Asked], Answer]

ACTS = ("publish", "list", "show", "settings", "pull", "tag", "gc", "catalog")
"""Publishing sends an archive in parts; the others are commands."""

PAGE = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body><p>Welcome<br></p></body></html>"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that goes wrong."""

    what: str
    """For the table."""
    begin: Callable[[Gate], Serve] = lambda gate: gate.forward
    """Takes the gate before the server and returns how it answers."""
    bucket: Callable[[S3Server, str], object] = lambda _server, _bucket: None
    """What is different with the bucket from its beginning."""
    patience: float = 1.0
    """Seconds for which throttled requests are sent again."""
    code: int = 0
    """How commands end."""
    codes: Mapping[str, int | tuple[int, ...]] = field(default_factory=dict)
    """How some end otherwise; several where it depends on the server."""

    def endings(self, act: str) -> tuple[int, ...]:
        """Return the exit codes of which an act ends with one."""
        found = self.codes.get(act, self.code)
        return found if isinstance(found, tuple) else (found,)


def _is_listing(asked: Asked) -> bool:
    return asked.method == "GET" and "list-type=2" in asked.target


def _is_object(asked: Asked) -> bool:
    return asked.method == "GET" and "list-type=2" not in asked.target and "uploads" not in asked.target


def _quarter(code: int, name: str) -> Callable[[Gate], Serve]:
    def begin(gate: Gate) -> Serve:
        chance = random.Random(1)
        return lambda asked: Answer.error(code, name) if chance.random() < 0.25 else gate.forward(asked)

    return begin


def _all(answer: Answer, applies: Callable[[Asked], bool] = lambda _: True) -> Callable[[Gate], Serve]:
    return lambda gate: lambda asked: answer if applies(asked) else gate.forward(asked)


def _changed(change: Callable[[Answer], Answer], applies: Callable[[Asked], bool]) -> Callable[[Gate], Serve]:
    def begin(gate: Gate) -> Serve:
        def serve(asked: Asked) -> Answer:
            answer = gate.forward(asked)
            return change(answer) if applies(asked) and answer.status < 300 else answer

        return serve

    return begin


def _resets(gate: Gate) -> Serve:
    """Hang up in the midst of the first request for each part."""
    seen = set[str]()

    def serve(asked: Asked) -> Answer:
        if "partNumber" in asked.target and asked.target not in seen:
            seen.add(asked.target)
            raise ConnectionResetError
        return gate.forward(asked)

    return serve


def _lost(gate: Gate) -> Serve:
    """Do what the first of each writing request asks for, and hang up before it is answered."""
    seen = set[tuple[str, str]]()

    def serve(asked: Asked) -> Answer:
        answer = gate.forward(asked)
        key = (asked.method, asked.target)
        if asked.method in ("PUT", "POST", "DELETE") and key not in seen:
            seen.add(key)
            raise ConnectionResetError
        return answer

    return serve


def _expires(gate: Gate) -> Serve:
    """Take the keys for good until the first part has arrived."""
    parts = list[str]()

    def serve(asked: Asked) -> Answer:
        if parts or "partNumber" not in asked.target:
            return Answer.error(400, "ExpiredToken") if parts else gate.forward(asked)
        parts.append(asked.target)
        return gate.forward(asked)

    return serve


def _without(header: str) -> Callable[[Gate], Serve]:
    def begin(gate: Gate) -> Serve:
        def serve(asked: Asked) -> Answer:
            headers = {name: value for name, value in asked.headers.items() if name != header}
            return gate.forward(replace(asked, headers=headers))

        return serve

    return begin


def _cut(answer: Answer) -> Answer:
    return replace(answer, body=answer.body[: len(answer.body) // 2], promised=len(answer.body))


def _altered(answer: Answer) -> Answer:
    at = len(answer.body) // 2
    return replace(answer, body=answer.body[:at] + bytes([answer.body[at] ^ 1]) + answer.body[at + 1 :])


def _versioned(server: S3Server, bucket: str) -> Any:
    return server.client().put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})


def _encrypted(server: S3Server, bucket: str) -> Any:
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}}
    return server.client().put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})


_ERROR = b'<?xml version="1.0"?><Error><Code>InternalError</Code><Message>no</Message></Error>'
_XHTML = {"Content-Type": "text/html"}

FAULTS: dict[str, Fault] = {
    "storm": Fault(what="SlowDown to a quarter of the requests", begin=_quarter(503, "SlowDown"), patience=60.0),
    "endless storm": Fault(what="SlowDown to every request", begin=_all(Answer.error(503, "SlowDown")), code=9),
    "errors": Fault(what="500 to every request", begin=_all(Answer.error(500, "InternalError")), code=9),
    "resets": Fault(what="the connection is reset inside each part", begin=_resets),
    "lost answers": Fault(what="the answer to each first write is lost, and its retry gets 412", begin=_lost),
    "truncated": Fault(
        what="response bodies are cut to half of their length", begin=_changed(_cut, _is_object), code=9
    ),
    "truncated listings": Fault(
        what="listings are cut to half of their length",
        begin=_changed(_cut, _is_listing),
        code=9,
        codes=dict.fromkeys(("publish", "settings", "tag"), 0),
    ),
    "altered": Fault(
        what="one bit of each object is flipped in transit",
        begin=_changed(_altered, _is_object),
        code=9,
        codes={
            "list": (0, 9),
            "catalog": (2, 9, 10),
            "publish": (0, 2, 9),  # the bit may be one of a name whose value is the default
            "pull": (2, 7, 9),
            **dict.fromkeys(("show", "settings", "tag", "gc"), (2, 9)),
        },
    ),
    "200 with an error": Fault(
        what="200 with an error document as its body",
        begin=_all(Answer(status=200, body=_ERROR, headers={"Content-Type": "application/xml"})),
        code=8,
        codes=dict.fromkeys(ACTS, (8, 9)),
    ),
    "expiry": Fault(what="the token expires after the first part", begin=_expires, codes={"publish": 8}),
    "clock": Fault(
        what="this machine's clock is 20 minutes off", begin=_all(Answer.error(403, "RequestTimeTooSkewed")), code=8
    ),
    "another region": Fault(
        what="301: the bucket is in another region", begin=_all(Answer.error(301, "PermanentRedirect")), code=8
    ),
    "redirect": Fault(
        what="307: a redirect to a login page",
        begin=_all(Answer(status=307, headers={"Location": "https://login.example.com/"})),
        code=8,
    ),
    "no If-None-Match": Fault(what="If-None-Match is ignored", begin=_without("if-none-match")),
    "no Range": Fault(what="Range is ignored", begin=_without("range"), codes={"pull": 7}),
    "versioned": Fault(what="a versioned bucket", bucket=_versioned),
    "KMS": Fault(what="a bucket that encrypts with KMS by default", bucket=_encrypted),
    "no deleting": Fault(
        what="DELETE is denied",
        begin=_all(Answer.error(403, "AccessDenied"), lambda asked: asked.method == "DELETE"),
        codes={"gc": 8},
    ),
    "page": Fault(
        what="a web page with 200 in place of XML",
        begin=_all(Answer(status=200, body=PAGE, headers=_XHTML)),
        code=8,
        codes=dict.fromkeys(ACTS, (8, 9)),
    ),
    "page of refusal": Fault(
        what="a web page with 403 in place of XML",
        begin=_all(Answer(status=403, body=PAGE, headers=_XHTML)),
        code=8,
    ),
    "page of trouble": Fault(
        what="a proxy's page with 502", begin=_all(Answer(status=502, body=PAGE, headers=_XHTML)), code=9
    ),
    "HEAD denied": Fault(
        what="HEAD is denied",
        begin=_all(Answer(status=403), lambda asked: asked.method == "HEAD"),
        code=8,
        codes={"list": 0, "show": 0},
    ),
    "listing denied": Fault(
        what="listing is denied",
        begin=_all(Answer.error(403, "AccessDenied"), _is_listing),
        codes=dict.fromkeys(("list", "show", "pull", "gc", "catalog"), 8),
    ),
    "no bucket": Fault(what="there is no such bucket", begin=_all(Answer.error(404, "NoSuchBucket")), code=8),
}
"""Each with what must come of it."""


def table() -> str:
    """Return the faults, and the exit code of each act under each, as Markdown."""
    lines = [f"| what S3 does | {' | '.join(f'`{act}`' for act in ACTS)} |", "|---" * (len(ACTS) + 1) + "|"]
    lines += [
        f"| {each.what} | {' | '.join(' or '.join(map(str, each.endings(act))) for act in ACTS)} |"
        for each in FAULTS.values()
    ]
    return "\n".join(lines) + "\n"
