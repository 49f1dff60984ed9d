"""A Kubernetes API server that knows the kind SparkApplication alone: enough for a dry run of kubectl."""

from __future__ import annotations

import json
import shutil
import threading
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from tests.support.missing import missing

if TYPE_CHECKING:
    from collections.abc import Iterator

_GROUP, _VERSION = "sparkoperator.k8s.io", "v1beta2"
_NAMED = {"groupVersion": f"{_GROUP}/{_VERSION}", "version": _VERSION}

_ANSWERS = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": []},
    "/apis": {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [{"name": _GROUP, "versions": [_NAMED], "preferredVersion": _NAMED}],
    },
    f"/apis/{_GROUP}/{_VERSION}": {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": _NAMED["groupVersion"],
        "resources": [
            {
                "name": "sparkapplications",
                "singularName": "sparkapplication",
                "namespaced": True,
                "kind": "SparkApplication",
                "verbs": ["create", "get", "delete", "patch"],
            }
        ],
    },
}
"""What kubectl asks to learn which kinds there are. Source: Kubernetes' API concepts, discovery."""


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found = _ANSWERS.get(self.path.partition("?")[0])
        data = json.dumps(found or {"kind": "Status", "code": HTTPStatus.NOT_FOUND}).encode()
        self.send_response(HTTPStatus.OK if found else HTTPStatus.NOT_FOUND)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def knowing_spark_applications() -> Iterator[str]:
    """Give the address of the server."""
    if not shutil.which("kubectl"):
        missing("no real kubectl: there is none on PATH")
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
