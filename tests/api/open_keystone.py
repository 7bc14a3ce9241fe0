"""An identity service that accepts everybody, for stock clients that need one, in front of an API without
authentication. It answers the two requests of a login, with a catalog in which every service is this one API, and the
requests for the only project."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PROJECT = "p1"


@contextmanager
def open_keystone(api: str) -> Iterator[str]:
    """Serve until the end of the block, and give the ``auth_url``."""
    catalog = [_service(kind, api) for kind in ("load-balancer", "network")]
    domain = {"id": "default", "name": "Default"}
    token = {
        "user": {"id": "u1", "name": "tester", "domain": domain},
        "project": {"id": PROJECT, "name": PROJECT, "domain": domain},
        "roles": [{"id": "r1", "name": "admin"}],
        "catalog": catalog,
        "methods": ["password"],
        "issued_at": "2026-01-01T00:00:00.000000Z",
        "expires_at": "2126-01-01T00:00:00.000000Z",
    }

    class Handler(BaseHTTPRequestHandler):
        """Answers the requests."""

        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            """Answer with version 3, or with the project."""
            url = f"http://{self.headers['Host']}/v3/"
            version = {"id": "v3.14", "status": "stable", "links": [{"rel": "self", "href": url}]}
            project = {"id": PROJECT, "name": PROJECT, "domain_id": "default", "enabled": True}
            if self.path == f"/v3/projects/{PROJECT}":
                self._answer(200, {"project": project})
            elif self.path.startswith("/v3/projects"):
                self._answer(200, {"projects": [project]})
            else:
                self._answer(200, {"version": version})

        def do_POST(self) -> None:
            """Answer with a token, whoever asks."""
            self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(201, {"token": token})

        def _answer(self, status: int, body: Any) -> None:
            raw = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.send_header("X-Subject-Token", "anybody")
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        catalog.append(_service("identity", f"http://127.0.0.1:{server.server_port}/v3"))
        try:
            yield f"http://127.0.0.1:{server.server_port}/v3"
        finally:
            server.shutdown()
            thread.join()


def _service(kind: str, url: str) -> dict[str, Any]:
    endpoints = [
        {"id": f"{kind}-{interface}", "interface": interface, "region": "here", "region_id": "here", "url": url}
        for interface in ("public", "internal", "admin")
    ]
    return {"id": kind, "type": kind, "name": kind, "endpoints": endpoints}
