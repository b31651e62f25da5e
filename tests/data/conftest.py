"""A web server on this host that behaves and misbehaves as upstream's do."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


class Upstream(ThreadingHTTPServer):
    """Serves `content`; tests set how.

    Attributes:
        content: the bytes of every path.
        ranges: whether a Range is honoured.
        breaks: bytes after which a connection is cut, one entry for each request to come; None for none.
        status: an error that is sent instead.
        extra: further headers with their values.
        slow: seconds between pieces of 1,000 bytes.
        asked: the Range of each GET so far, or None.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.extra = ()
        self.content, self.ranges, self.breaks, self.status, self.slow, self.asked = b"", True, [], None, 0, []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request, client_address):
        """A client that left is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: Upstream

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self._head(200, len(self.server.content))

    def _head(self, status, length, extra=()):
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        for name, value in (*extra, *self.server.extra):
            self.send_header(name, value)
        self.end_headers()

    def do_GET(self):
        server, wanted = self.server, self.headers.get("Range")
        server.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and server.ranges else 0
        body = server.content[start:]
        if server.status:
            self._head(server.status, 0)
            return
        if start and start >= len(server.content):
            self._head(416, 0, [("Content-Range", f"bytes */{len(server.content)}")])
            return
        place = f"bytes {start}-{len(server.content) - 1}/{len(server.content)}"
        self._head(206 if start else 200, len(body), [("Content-Range", place)] if start else ())
        end = server.breaks.pop(0) if server.breaks else None
        for at in range(0, len(body[:end]), 1000):
            self.wfile.write(body[:end][at : at + 1000])
            time.sleep(server.slow)
        self.close_connection = True


@pytest.fixture
def web():
    """A running `Upstream`."""
    server = Upstream()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
