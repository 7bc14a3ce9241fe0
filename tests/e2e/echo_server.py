"""A member that speaks TCP and not HTTP."""

from __future__ import annotations

import socketserver
import threading

from tests.support.waiting import PATIENCE


class EchoServer(socketserver.ThreadingTCPServer):
    """A TCP server on a free port of 127.0.0.1 that sends back each line, preceded by the server's name."""

    daemon_threads = True

    def __init__(self, name: str) -> None:
        super().__init__(("127.0.0.1", 0), _Echo)
        self.name = name
        self.port = int(self.server_address[1])
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.shutdown()
        self.server_close()
        self._thread.join()


class _Echo(socketserver.StreamRequestHandler):
    server: EchoServer
    timeout = PATIENCE

    def handle(self) -> None:
        """Answer line by line."""
        for line in self.rfile:
            self.wfile.write(f"{self.server.name}: ".encode() + line)
