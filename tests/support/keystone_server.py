"""Keystone as a program: ``python -m tests.support.keystone_server keystone.conf 5000``.

It is the complete Keystone from its package; only the web server in front of it is the standard library's. It is one
process, because importing Keystone takes longer than everything else: the process creates the schema, the keys and the
first administrator if they are missing, then serves.
"""

from __future__ import annotations

import os
import socket
import sys
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from oslo_service import backend

backend.init_backend(backend.BackendType.THREADING)  # otherwise it looks for eventlet when Keystone is imported

# isort: split
import keystone.conf  # noqa: E402
import keystone.server  # noqa: E402
from keystone.cmd.bootstrap import Bootstrapper  # noqa: E402
from keystone.common.fernet_utils import FernetUtils  # noqa: E402
from keystone.common.sql import upgrades  # noqa: E402
from keystone.server.flask import application  # noqa: E402
from keystone.server.flask.core import setup_app_middleware  # noqa: E402


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 128

    def server_bind(self) -> None:
        # The test that started this program reserves the port, so that it is still free for the next start.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()


class _Handler(WSGIRequestHandler):
    def address_string(self) -> str:
        """Return the address unchanged, because looking up its name would use the network."""
        return str(self.client_address[0])


def prepare(url: str, password: str) -> None:
    """Create the schema, the keys, and the first administrator. Repeating this changes nothing."""
    settings = keystone.conf.CONF
    for group in ("fernet_tokens", "fernet_receipts"):
        keys = FernetUtils(settings[group].key_repository, settings[group].max_active_keys, group)
        keys.create_key_directory()
        keys.initialize_key_repository()
    upgrades.offline_sync_database_to_version()
    first = Bootstrapper()
    first.admin_username, first.admin_password = "admin", password
    first.project_name = first.admin_role_name = "admin"
    first.service_name, first.region_id, first.immutable_roles = "keystone", "everywhere", True
    first.public_url = first.internal_url = first.admin_url = url
    first.bootstrap()


def main() -> None:
    """Prepare, then serve until the process is ended."""
    file, port = sys.argv[1], int(sys.argv[2])
    del sys.argv[1:]  # Keystone reads them too
    keystone.server.configure(config_files=[file])
    prepare(f"http://127.0.0.1:{port}/v3", os.environ["KEYSTONE_ADMIN_PASSWORD"])
    app = setup_app_middleware(application.application_factory("public"))
    with _Server(("127.0.0.1", port), _Handler) as server:
        server.set_app(app)
        server.serve_forever()


if __name__ == "__main__":
    main()
