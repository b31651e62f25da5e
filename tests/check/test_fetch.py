"""Fetching links: addresses that are refused, and servers that give something else; everything on this machine."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from edgelm.check.fetch import Fetcher, Refused, Unreachable, address_problem, is_private, resolve

BODY = b"weights" * 1000
HOME = "https://huggingface.co"


@pytest.mark.parametrize(("url", "problem"), [
    ("http://huggingface.co/a", "https is needed"), ("file:///etc/passwd", "https is needed"), ("", "https is needed"),
    ("https://me@huggingface.co/a", "user's name"), ("https://me:pw@huggingface.co/a", "user's name"),
    ("https://localhost/a", "no public"), ("https://127.0.0.1/a", "no public"), ("https://10.1.2.3/a", "no public"),
    ("https://192.168.0.1/a", "no public"), ("https://169.254.169.254/latest", "no public"),
    ("https://[::1]/a", "no public"), ("https://[fe80::1]/a", "no public"), ("https://[fd00::1]/a", "no public"),
    ("https://server.internal/a", "no public"), ("https:///a", "no public"), ("https://huggingface.co:8443/a", "port"),
    ("https://example.org/a", "none of"), ("https://huggingface.co.evil.org/a", "none of"),
    ("https://evilhuggingface.co/a", "none of"), ("https://8.8.8.8/a", "none of"), ("https://[::1", "no address"),
    ("https://huggingface.co:port/a", "no address"),
])  # fmt: skip
def test_addresses_that_are_refused(url: str, problem: str) -> None:
    assert problem in address_problem(url)
    assert "pw" not in address_problem(url)


@pytest.mark.parametrize("url", [f"{HOME}/a/b", "https://cdn.github.com:443/x", "https://zenodo.org./x"])
def test_addresses_that_are_allowed(url: str) -> None:
    assert address_problem(url) == ""


@pytest.mark.parametrize(("host", "private"), [("1.1.1.1", False), ("100.64.0.1", True), ("0.0.0.0", True),
                                               ("::ffff:127.0.0.1", True), ("2606:4700::1", False)])  # fmt: skip
def test_what_the_public_network_is(host: str, private: bool) -> None:
    assert is_private(host) is private


class Pages(BaseHTTPRequestHandler):
    """What a test's server gives, by path."""

    def do_GET(self) -> None:
        getattr(self, self.path.strip("/").partition("?")[0].replace("-", "_"), self.file)()

    def send(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def file(self) -> None:
        assert self.headers["Accept-Encoding"] == "identity"
        self.send(200, BODY)

    def moved(self) -> None:
        self.send(302, Location="https://cdn-lfs.hf.co/file?signed=1")

    def inside(self) -> None:
        self.send(302, Location="https://169.254.169.254/latest/meta-data")

    def downgrade(self) -> None:
        self.send(302, Location="http://huggingface.co/file")

    def elsewhere(self) -> None:
        self.send(301, Location="https://example.org/file")

    def circle(self) -> None:
        self.send(302, Location="/circle")

    def login(self) -> None:
        self.send(401, b"who are you?")

    def gone(self) -> None:
        self.send(404)

    def busy(self) -> None:
        self.send(503)

    def part(self) -> None:
        self.send(206, BODY[3:], Content_Range=f"bytes 3-{len(BODY) - 1}/{len(BODY)}")

    def rest(self) -> None:
        assert self.headers["Range"] == "bytes=100-"
        self.send(206, BODY[100:], Content_Range=f"bytes 100-{len(BODY) - 1}/{len(BODY)}")

    def page(self) -> None:
        self.send(200, b"\n <!DOCTYPE html><html>log in</html>")

    def bomb(self) -> None:
        self.send(200, b"x" * 10, Content_Encoding="gzip")

    def short(self) -> None:
        self.send(200, BODY[:100], Content_Length=str(len(BODY)))
        self.close_connection = True

    def endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        try:
            while True:
                self.wfile.write(bytes(1 << 16))
        except OSError:
            pass

    def drip(self) -> None:
        self.slowly(b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 1000)

    def trickle(self) -> None:
        self.slowly(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 1000)

    def slowly(self, answer: bytes) -> None:
        """A byte each tenth of a second, for longer than any test lasts."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            for byte in answer[: answer.index(b"x")], *(b"x" for _ in range(60)):
                self.wfile.write(byte)
                time.sleep(0.1)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def fetch() -> Iterator[Callable[..., Fetcher]]:
    """Fetchers for which every host is this machine's test server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def connect(host: str, address: str) -> http.client.HTTPConnection:
        assert address == "203.0.113.7"  # the one that was looked up
        return http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=5)

    yield lambda seconds=60.0: Fetcher(lambda host: "203.0.113.7", connect, seconds)
    server.shutdown()


@pytest.mark.parametrize("path", ["file", "moved"])
def test_a_file_is_hashed(fetch: Callable[..., Fetcher], path: str) -> None:
    found = fetch()(f"{HOME}/{path}", len(BODY))
    assert (found.size, found.sha256) == (len(BODY), hashlib.sha256(BODY).hexdigest())


@pytest.mark.parametrize(("path", "code", "what"), [
    ("inside", "LNK-01", "no public"), ("downgrade", "LNK-01", "https is needed"), ("elsewhere", "LNK-01", "none of"),
    ("circle", "LNK-01", "more than 5 times"), ("login", "LNK-01", "a login is needed"), ("gone", "LNK-03", "404"),
    ("part", "LNK-03", "206"),
    ("page", "LNK-02", "a page came"), ("bomb", "LNK-03", "compressed"),
])  # fmt: skip
def test_what_gives_no_file_is_refused(fetch: Callable[..., Fetcher], path: str, code: str, what: str) -> None:
    with pytest.raises(Refused, match=what) as refused:
        fetch()(f"{HOME}/{path}", len(BODY))
    assert refused.value.code == code


def test_a_host_that_cannot_give_it_now_is_not_found_wanting(fetch: Callable[..., Fetcher]) -> None:
    with pytest.raises(Unreachable, match="503"):
        fetch()(f"{HOME}/busy", len(BODY))


@pytest.mark.parametrize(("path", "first"), [("rest", 100), ("file", 0)])
def test_the_rest_is_asked_for_and_the_whole_taken_if_there_is_only_that(
    fetch: Callable[..., Fetcher], path: str, first: int
) -> None:
    came: dict[int, bytes] = {}
    assert fetch().read(f"{HOME}/{path}", len(BODY), came.__setitem__, 100) == len(BODY)
    assert min(came) == first and b"".join(came[at] for at in sorted(came)) == BODY[first:]


def test_another_part_than_was_asked_for_is_not_put_in_its_place(fetch: Callable[..., Fetcher]) -> None:
    came: dict[int, bytes] = {}
    with pytest.raises(Refused, match="206"):
        fetch().read(f"{HOME}/part", len(BODY), came.__setitem__, 100)
    assert not came


def test_no_more_is_read_than_one_byte_beyond_what_is_listed(fetch: Callable[..., Fetcher]) -> None:
    assert fetch()(f"{HOME}/endless", 1000).size == 1001


def test_a_file_that_is_cut_short_is_as_long_as_it_is(fetch: Callable[..., Fetcher]) -> None:
    assert fetch()(f"{HOME}/short", len(BODY)).size == 100


def test_what_takes_too_long_is_given_up(fetch: Callable[..., Fetcher]) -> None:
    with pytest.raises(Refused, match="too long"):
        fetch(0.0)(f"{HOME}/file", len(BODY))


def test_a_name_that_leads_inside_is_not_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [[(2, 1, 6, "", ("1.1.1.1", 443)), (2, 1, 6, "", ("10.0.0.1", 443))]]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: answers[0])
    with pytest.raises(Refused, match=r"10\.0\.0\.1"):
        resolve("huggingface.co")
    answers[0] = answers[0][:1]
    assert resolve("huggingface.co") == "1.1.1.1"


def test_a_host_that_cannot_be_asked_is_not_found_wanting(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(host: str, address: str) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", 1, timeout=5)  # nobody listens there

    with pytest.raises(Unreachable, match="cannot be reached from here"):
        Fetcher(lambda host: "203.0.113.7", unreachable)(f"{HOME}/file", 1)

    def no_names(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr("socket.getaddrinfo", no_names)
    with pytest.raises(Unreachable, match=r"huggingface\.co cannot be found from here"):
        Fetcher()(f"{HOME}/file", 1)


def test_headers_that_drip_are_given_up_at_the_deadline(fetch: Callable[..., Fetcher]) -> None:
    for path in ("drip", "trickle"):
        started = time.monotonic()
        with pytest.raises(Refused, match="too long"):
            fetch(0.5)(f"{HOME}/{path}", len(BODY))
        assert time.monotonic() - started < 5
