"""A participant's side: send what the server lacks of a package, go on after any break, hand it in, watch it."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256 as new_sha256
from ipaddress import ip_address
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import quote, urlsplit

import httpx

from edgelm.errors import BadFile, BadOption, InputError, MissingInput, Offline
from edgelm.links import read_links
from edgelm.server.possession import Range, proof
from edgelm.submission import MANIFEST, Submission

SCORED, SMOKE, MATERIAL = "/submissions", "/smoke", "/stage2/{track}/material"  # calls that take packages
Progress = Callable[[str, int, int], object]  # told a label, bytes done and of how many
WAITS = (0.5, 1, 2, 4, 8, 15, 30, 30, 30)  # seconds before each further try that brings nothing
_STRANGE = 4  # tries to connect to an address that has never answered: it may be another's, or misspelt
_AGAIN = (408, 423, 429, 502, 503, 504)  # what may be otherwise the next time
_PART_AGAIN = (*_AGAIN, 409, 460)  # for a part also: the file ends elsewhere, the part was damaged on its way
_UNKNOWN = 401
_TOKEN = "give one that is valid, by --token-file or in EDGELM_TOKEN: you make it at /account, to read and to submit"
_KEPT = "run the command again later: what was uploaded is kept"
_LONGEST_WAIT = 120  # seconds, however long the server says
_PROOFS = 1000  # in one call
_SHOWN = 4  # waits for a result to be shown
_JSON = {"Content-Type": "application/json"}
_TIMES = httpx.Timeout(60, read=600, pool=None)  # seconds; the digest of a large file takes minutes


class Rejected(InputError):
    """The server does not do it. `code` is a finding's, where the checker knows the case."""

    def __init__(self, what: str, *, why: str = "", mend: str = "", code: str = "", status: int = 0) -> None:
        super().__init__(f"{code}: {what}" if code else what, why=why, mend=mend)
        self.code, self.status = code, status


class _Broken(Exception):
    """It did not work this time; the next try may, after at least so many seconds. `met`: something has answered."""

    def __init__(self, why: str, wait: float = 0, *, met: bool = True) -> None:
        super().__init__(why)
        self.wait, self.met = wait, met


class HandedIn(NamedTuple):
    """What became of a package."""

    submission: dict[str, Any]
    findings: list[dict[str, Any]]
    sent: int  # bytes, those that were sent twice included
    spared: int  # bytes that the server had already


class Client:
    """One user's access to a server.

    Args:
        url: of the server.
        token: of the user, with the scope to submit.
        waits: seconds before each further try of what brings nothing; the last failure is raised.
        insecure: whether the token may go to another machine unencrypted.
        say: told of each further try.
        transport: another way to the server than the network, for tests.

    Raises:
        BadOption: it would, and may not.
    """

    def __init__(
        self, url: str, token: str, *, waits: Sequence[float] = WAITS, insecure: bool = False,
        say: Callable[[str], object] = lambda text: None, transport: httpx.BaseTransport | None = None,
    ) -> None:  # fmt: skip
        if not insecure and is_open(url):
            raise BadOption(f"{url} is not encrypted", why="whoever is on the way could read your token",
                            mend="give an address with https://, or, on a network of your own, --insecure")  # fmt: skip
        headers = {"Authorization": f"Bearer {token}"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=_TIMES, transport=transport)
        self._url, self._waits, self._say, self._sent, self._met = url, waits, say, 0, False

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def submit(self, package: Path, progress: Progress = lambda label, done, total: None, to: str = SCORED) -> HandedIn:
        """Hand a package in.

        Args:
            package: a folder or archive that `pack` wrote.
            progress: told how far it is.
            to: the call that takes it: `SCORED`, `SMOKE` or `MATERIAL`.

        Raises:
            MissingInput: it is not there, or a file of it that does not lie elsewhere.
            BadFile: it is damaged, or a file was changed since it was packed.
            Rejected: the server does not take it, and says why.
            Offline: the server cannot be reached.
        """
        with Submission(package) as submission:
            place = to.format(track=quote(submission.manifest.track, safe=""))
            entries = {entry.sha256: entry for entry in submission.manifest.files}
            linked = {link.path for link in read_links(submission.path)}
            for entry in submission.manifest.files:
                _require_size(submission.path / entry.path, entry.size)
            begun = _told(self._asked("POST", "/uploads", content=submission.read(MANIFEST), headers=_JSON))
            begun = self._proved(begun, {sha256: submission.path / entry.path for sha256, entry in entries.items()})
            missing = [each for each in begun["missing"] if entries[each["sha256"]].path not in linked]
            total = sum(entry.size for entry in entries.values() if entry.path not in linked)
            spared = here = total - sum(each["size"] - each["offset"] for each in missing)
            self._sent = 0
            for each in missing:
                before = here - each["offset"]
                path = submission.path / entries[each["sha256"]].path
                for offset in self._send(path, each["sha256"], each["size"], each["offset"], begun["part"]):
                    here = before + offset
                    progress("upload", here, total)
        key = {"Idempotency-Key": f"hand-in-{begun['id']}"}  # the answer may be lost on its way
        made = _told(self._asked("POST", place, json={"upload": begun["id"]}, headers=key))
        found = _told(self._asked("GET", f"/submissions/{made['id']}/findings"))["findings"]
        return HandedIn(made, found, self._sent, spared)

    def watch(self, submission: str) -> Iterator[dict[str, Any]]:
        """A submission as it is, and again each time that something of it changes, until it has ended.

        Raises:
            Rejected, Offline: see `submit`.
        """
        one = _told(self._asked("GET", f"/submissions/{submission}"))
        while True:
            try:
                with self._http.stream("GET", f"/submissions/{submission}/events") as response:
                    if response.is_success:
                        for line in response.iter_lines():
                            if line.startswith("data: "):
                                one = json.loads(line.removeprefix("data: "))
                                yield one
            except httpx.TransportError:
                pass
            if one["over"]:
                return
            time.sleep(self._waits[0])
            one = _told(self._asked("GET", f"/submissions/{submission}"))  # raises if nothing is to be waited for

    def result(self, submission: str) -> dict[str, Any] | None:
        """What a scored submission reached, which boards take in a moment later; None if it is not shown, or not yet.

        Raises:
            Rejected, Offline: see `submit`.
        """
        for wait in (*self._waits[:_SHOWN], 0):
            try:
                return _told(self._asked("GET", f"/results/{submission}"))
            except Rejected as error:
                if error.status != 404:
                    raise
            time.sleep(wait)
        return None

    def _proved(self, begun: dict[str, Any], paths: dict[str, Path]) -> dict[str, Any]:
        """An upload after it was shown which files are here that the server has of others."""
        asked = {each["sha256"]: [Range(*range) for range in each["proof"]]
                 for each in begun["missing"] if each["proof"] and paths[each["sha256"]].is_file()}  # fmt: skip
        digests = list(asked)
        for start in range(0, len(digests), _PROOFS):
            some = digests[start : start + _PROOFS]
            proofs = {sha256: proof(begun["nonce"], paths[sha256], asked[sha256]) for sha256 in some}
            begun = _told(self._asked("POST", f"/uploads/{begun['id']}/proofs", json={"proofs": proofs}))
        return begun

    def _send(self, path: Path, sha256: str, size: int, offset: int, part: int) -> Iterator[int]:
        """Send the rest of a file, part by part, going on after a break where the server says that the file ends.

        Yields:
            Where it ends after each part.
        """
        try:
            file = path.open("rb")
        except FileNotFoundError:
            raise MissingInput(f"there is no file {path}", mend="run edgelm pack again") from None
        with file:
            tries = 0
            while offset < size:
                try:
                    offset = self._part(file, sha256, offset, min(part, size - offset))
                    tries = 0
                except _Broken as broken:
                    if tries == len(self._waits):
                        raise self._unreachable(broken) from None
                    self._pause(broken, self._waits[tries])
                    ends = int(self._asked("HEAD", f"/blobs/{sha256}").headers["Upload-Offset"])
                    tries = 0 if ends > offset else tries + 1
                    offset = ends
                yield offset

    def _part(self, file: IO[bytes], sha256: str, offset: int, length: int) -> int:
        """Send one part; where the file ends then."""
        file.seek(offset)
        data = file.read(length)
        if len(data) < length:
            raise BadFile(f"{file.name} is shorter than when it was packed", mend="run edgelm pack again")
        checksum = base64.b64encode(new_sha256(data).digest()).decode()
        headers = {"Upload-Offset": str(offset), "Upload-Checksum": f"sha256 {checksum}",
                   "Content-Type": "application/offset+octet-stream"}  # fmt: skip
        self._sent += length
        sent = self._once("PATCH", f"/blobs/{sha256}", _PART_AGAIN, content=data, headers=headers)
        return int(sent.headers["Upload-Offset"])

    def _asked(self, method: str, path: str, **options: Any) -> httpx.Response:
        """The answer to a request, sent again as often as it may help."""
        for tried, wait in enumerate((*self._waits, None), start=1):
            try:
                return self._once(method, path, **options)
            except _Broken as broken:
                if wait is None or (tried == _STRANGE and not broken.met):
                    raise self._unreachable(broken) from None
                self._pause(broken, wait)
        raise AssertionError

    def _pause(self, broken: _Broken, wait: float) -> None:
        seconds = max(broken.wait, wait)
        self._say(f"{self._url} does not take it now ({broken}): the next try is in {seconds:g} s")
        time.sleep(seconds)

    def _once(self, method: str, path: str, again: Sequence[int] = _AGAIN, **options: Any) -> httpx.Response:
        """The answer to a request that is sent once.

        Raises:
            _Broken: there is none, or one that may be another next time.
            Rejected: there will be no other.
        """
        try:
            response = self._http.request(method, path, **options)
        except httpx.TransportError as error:
            self._met |= not isinstance(error, httpx.ConnectError)
            raise _Broken(str(error) or type(error).__name__, met=self._met) from None
        self._met = True
        if response.is_success:
            return response
        said = _error(response)
        if response.status_code in again and not said.code:
            told = response.headers.get("Retry-After", "")
            raise _Broken(said.what, min(int(told), _LONGEST_WAIT) if told.isdecimal() else 0)
        raise said

    def _unreachable(self, broken: _Broken) -> Offline:
        if not broken.met:
            return Offline(f"nothing answers at {self._url}", why=str(broken),
                           mend=f"check the address; if it is right, {_KEPT}")  # fmt: skip
        return Offline(f"{self._url} does not take it now", why=str(broken), mend=_KEPT)


def _require_size(path: Path, size: int) -> None:
    """A file that is here is as long as the manifest says: what is changed otherwise is found by its digest."""
    if path.is_file() and path.stat().st_size != size:
        raise BadFile(f"{path} has {path.stat().st_size:,} bytes", why=f"it had {size:,} when it was packed",
                      mend="run edgelm pack again")  # fmt: skip


def is_open(url: str) -> bool:
    """Whether what goes to an address can be read on its way."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        here = ip_address(host).is_loopback
    except ValueError:
        here = host == "localhost"
    return parts.scheme != "https" and not here


def _told(response: httpx.Response) -> dict[str, Any]:
    """What a server of ours answers."""
    try:
        told = response.json()
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise Rejected(f"{response.request.url} is no server of edgelm", mend="check the address")
    return told


def _error(response: httpx.Response) -> Rejected:
    """What a server says, in its own words if it is one of ours."""
    try:
        body = response.json()
        mend = _TOKEN if response.status_code == _UNKNOWN else body["mend"]
        return Rejected(body["what"], why=body["why"], mend=mend, code=body["code"], status=response.status_code)
    except (ValueError, KeyError, TypeError):
        return Rejected(f"{response.request.url} answers {response.status_code} {response.reason_phrase}",
                        mend="check the address", status=response.status_code)  # fmt: skip
