"""Fetching what a stranger's link gives: https to public addresses alone, pinned, within limits; bytes are never run.

A name is resolved once and the connection made to that very address, so that it cannot change in between; the same
holds at every redirect.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import SplitResult, urljoin, urlsplit

from edgelm.files import CHUNK

# Where links may begin, and where those hosts send a reader on to.
HOSTS = ("huggingface.co", "github.com", "zenodo.org", "osf.io", "figshare.com", "modelscope.cn")
ONWARDS = (*HOSTS, "hf.co", "githubusercontent.com", "amazonaws.com", "cloudfront.net", "aliyuncs.com")
REDIRECTS = 5
PAGE = (b"<!doctype html", b"<html")
SECONDS = 3600.0  # for one file
SILENCE = 30.0  # seconds without a byte
TOO_LONG = "it takes too long"
_LATER = (408, 425, 429, 500, 502, 503, 504)  # answers of a host that may give the file another time
Take = Callable[[int, bytes], object]  # told what came, and where in the file that stands


class Refused(Exception):
    """A link that does not give the file, with the finding's code."""

    def __init__(self, code: str, what: str) -> None:
        super().__init__(what)
        self.code = code


class Unreachable(Refused):
    """A link that may be sound: its host could not be asked from here."""

    def __init__(self, what: str) -> None:
        super().__init__("LNK-01", what)


@dataclass(frozen=True)
class Fetched:
    """What came: so many bytes with that digest."""

    size: int
    sha256: str


class Fetch(Protocol):
    """Fetch an address: at most a byte more than `size`."""

    def __call__(self, url: str, size: int) -> Fetched:
        """Raise `Refused` if it gives no file."""


def address_problem(url: str, hosts: tuple[str, ...] | None = HOSTS) -> str:
    """Why an address may not be asked, of these hosts or of any; empty if it may. Its secrets are not repeated."""
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return "this is no address"
    if parts.scheme != "https":
        return f"the address begins with {parts.scheme or 'nothing'!r}, https is needed"
    if parts.username is not None or parts.password is not None:
        return "the address holds a user's name or password"
    if is_private(host):
        return f"{host} is no public address"
    if port not in (None, 443):
        return f"port {port} is not that of https"
    if hosts is not None and not any(host == known or host.endswith(f".{known}") for known in hosts):
        return f"host {host[:80]} is none of {', '.join(hosts)}"
    return ""


def is_private(host: str) -> bool:
    """Whether a host is this machine, or an address that is not of the public network."""
    try:
        return not ipaddress.ip_address(host.strip("[]")).is_global
    except ValueError:
        return host in ("", "localhost") or host.endswith((".localhost", ".local", ".internal"))


def resolve(host: str) -> str:
    """The one address of a host that will be connected to.

    Raises:
        Refused: it has one that is not public.
        Unreachable: none is found.
    """
    try:
        found = [str(entry[4][0]) for entry in socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)]
    except OSError as error:
        raise Unreachable(f"{host} cannot be found from here: {error}") from None
    if private := [address for address in found if is_private(address)]:
        raise Refused("LNK-01", f"{host} is at {private[0]}, which is no public address")
    return found[0]


def connect(host: str, address: str) -> http.client.HTTPConnection:
    """A connection to a host at an address that was looked up before; its certificate must be the host's."""

    class Pinned(http.client.HTTPSConnection):
        def connect(self) -> None:
            self.sock = socket.create_connection((address, 443), SILENCE)  # can be broken off from now on
            self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=host)

    return Pinned(host, timeout=SILENCE)


@dataclass(frozen=True)
class Fetcher:
    """Fetches over the network; `resolve` and `connect` are how, `hosts` where links lead on to beside the known."""

    resolve: Callable[[str], str] = resolve
    connect: Callable[[str, str], http.client.HTTPConnection] = connect
    seconds: float = SECONDS
    hosts: tuple[str, ...] = ()

    def __call__(self, url: str, size: int) -> Fetched:
        """The size and digest of what an address gives, read to at most one byte more than `size`.

        Raises:
            Refused: it leads elsewhere, asks for a login, gives a page, or takes too long.
            Unreachable: it cannot be asked.
        """
        digest = hashlib.sha256()
        came = self.read(url, size, lambda _, chunk: digest.update(chunk))
        return Fetched(came, digest.hexdigest())

    def read(self, url: str, size: int, take: Take, begun: int = 0) -> int:
        """Read what an address gives, from a byte on, or from the first if its host has it only whole.

        Args:
            url: the address.
            size: bytes that are expected; at most one more is read.
            take: what is done with the bytes.
            begun: bytes that are here already.

        Returns:
            Where what came ends.

        Raises:
            Refused, Unreachable: as above. What was taken before is sound as far as it goes.
        """
        until = time.monotonic() + self.seconds
        for _ in range(REDIRECTS + 1):
            parts = urlsplit(url)
            host = parts.hostname or ""
            connection = self.connect(host, self.resolve(host))
            try:
                with broken_off(connection, until):
                    answer = _asked(connection, parts, begun)
                    if answer.status not in (301, 302, 303, 307, 308):
                        return _taken(answer, host, size, until, take, begun)
                    url = urljoin(url, answer.headers.get("Location", ""))
            except (OSError, http.client.HTTPException) as error:
                if time.monotonic() > until:
                    raise Refused("LNK-03", TOO_LONG) from None
                if isinstance(error, OSError):
                    raise Unreachable(f"{host} cannot be reached from here: {error}") from None
                raise Refused("LNK-01", f"{host} does not answer as it should: {error}") from None
            finally:
                connection.close()
            if problem := address_problem(url, (*ONWARDS, *self.hosts)):
                raise Refused("LNK-01", f"it leads on, but {problem}")
        raise Refused("LNK-01", f"it leads on more than {REDIRECTS} times")


@contextlib.contextmanager
def broken_off(connection: http.client.HTTPConnection, until: float) -> Iterator[None]:
    """Connect, and end the connection at a time, whatever is waited for then: limits of silence a drip never meets."""
    held: list[socket.socket] = []

    def end() -> None:
        for sock in (connection.sock, *held):
            with contextlib.suppress(OSError):
                if sock is not None:
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)

    timer = threading.Timer(max(0.0, until - time.monotonic()), end)
    timer.daemon = True
    timer.start()
    try:
        connection.connect()
        held.append(connection.sock)  # which the connection forgets once the answer begins
        yield
    finally:
        timer.cancel()


def _asked(connection: http.client.HTTPConnection, parts: SplitResult, begun: int) -> http.client.HTTPResponse:
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    headers = {"Accept-Encoding": "identity", "User-Agent": "edgelm"}
    connection.request("GET", path, headers=headers | ({"Range": f"bytes={begun}-"} if begun else {}))
    return connection.getresponse()


def _taken(
    answer: http.client.HTTPResponse, host: str, size: int, until: float, take: Take, begun: int
) -> int:  # fmt: skip
    at = begun if answer.status == 206 else 0
    if answer.status in (401, 403, 407):
        raise Refused("LNK-01", f"a login is needed (status {answer.status})")
    if answer.status in _LATER:
        raise Unreachable(f"{host} cannot give it now (status {answer.status})")
    if answer.status != 200 and not (at and answer.headers.get("Content-Range", "").startswith(f"bytes {at}-")):
        raise Refused("LNK-03", f"nothing came (status {answer.status})")
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        raise Refused("LNK-03", "the file came compressed, which was not asked for")
    while at <= size and (chunk := answer.read1(min(CHUNK, size + 1 - at))):
        if at == 0 and chunk[:64].lstrip().lower().startswith(PAGE):
            raise Refused("LNK-02", "a page came instead of the file")
        if time.monotonic() > until:
            raise Refused("LNK-03", TOO_LONG)
        take(at, chunk)
        at += len(chunk)
    if time.monotonic() > until:  # the end of what came was ours
        raise Refused("LNK-03", TOO_LONG)
    return at
