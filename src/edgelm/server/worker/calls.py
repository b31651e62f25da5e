"""The server as a worker sees it: calls that are made again while it is away, and a lease that can be lost."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Any

import httpx

from edgelm.errors import BadOption, EdgelmError, InputError
from edgelm.files import canonical_json
from edgelm.rules.base import Rules
from edgelm.rules.stored import parse_rules
from edgelm.submission import FileEntry

_AGAIN = (408, 423, 425, 429, 500, 502, 503, 504)  # answers after which the same call may succeed
_LOST, _UNKNOWN = 409, (401, 403)
_PAUSES = (0.2, 0.5, 1, 2, 5)  # seconds between tries; the last again and again
_SAID = 2  # tries after which it is said: a restart takes less
_LINE = 1000  # characters of a line that are sent: the server refuses much longer ones, and a model may say any


class Lost(EdgelmError):
    """The job is not this worker's any more: whatever it has is dropped."""


class Refusal(EdgelmError):
    """The server does not take a call, which no repetition mends."""


class Away(Refusal):
    """The server could not be reached for too long."""


class BadKey(Refusal, InputError):
    """The server knows no worker by this key: nothing that it is asked would be done."""


@dataclass(frozen=True)
class Job:
    """A leased job.

    Attributes:
        done: parts that are finished or begun, by name: how much is done, of how much, and the digest of what was made.
    """

    id: str
    fence: int
    kind: str
    lease_seconds: int
    part_bytes: int
    submission: str
    track: str
    rules: str
    manifest: str
    done: Mapping[str, tuple[int, int, str | None]] = field(default_factory=dict)


class Calls:
    """A worker's calls.

    Args:
        http: with the server's address and the worker's key.
        patience: seconds for which a call is made again while the server is away.
        say: told when it is.
    """

    def __init__(
        self, http: httpx.Client, patience: float = 50.0, say: Callable[[str], object] = lambda text: None
    ) -> None:
        self._http, self._patience, self._say = http, patience, say
        self._question = token_hex(16)  # for a job, until it is answered

    def signature(self, data: bytes) -> str:
        """A code of bytes under the sha256 of the worker's key, which the server has: HMAC-SHA256, in hexadecimal."""
        key = self._http.headers.get("Authorization", "").removeprefix("Bearer ")
        return hmac.digest(sha256(key.encode()).hexdigest().encode(), data, "sha256").hex()

    def rules(self) -> Rules:
        """The rules in force.

        Raises:
            Away: the server is away for too long.
            BadOption: what answers is none of ours.
        """
        try:
            told = self._call("GET", "/rules").json()
            found = canonical_json(told[0]["rules"])
        except Away:
            raise
        except (Refusal, ValueError, LookupError, TypeError):
            raise BadOption(f"{self._http.base_url} is no server of edgelm", mend="check --server") from None
        return parse_rules(found, "the server's rules")

    def lease(self, tags: Sequence[str]) -> Job | None:
        """The next job; None if none waits. One whose answer was lost is had at the next question."""
        answer = self._call("POST", "/jobs/lease", json={"tags": list(tags), "request": self._question})
        self._question = token_hex(16)
        if answer.status_code == 204:
            return None
        told = answer.json()
        names = ("id", "fence", "kind", "lease_seconds", "part_bytes", "submission", "track", "rules", "manifest")
        done = {each["part"]: (each["done"], each["of"], each["blob"]) for each in told["done"]}
        return Job(**{name: told[name] for name in names}, done=done)

    def heartbeat(self, job: Job) -> None:
        """The worker is alive.

        Raises:
            Lost: the job is another's, or was cancelled. So do all calls below.
        """
        self._call("POST", f"/jobs/{job.id}/heartbeat", json={"fence": job.fence})

    def progress(
        self, job: Job, *, stage: str | None = None, lines: Sequence[str] = (),
        part: str = "", done: int = 0, of: int = 0, blob: str | None = None,
    ) -> None:  # fmt: skip
        """What the worker is at."""
        parts = [{"part": part, "done": done, "of": of, "blob": blob}] if part else []
        body = {"fence": job.fence, "stage": stage, "parts": parts, "lines": [line[:_LINE] for line in lines]}
        self._call("POST", f"/jobs/{job.id}/progress", json=body)

    def fetch(self, job: Job, digest: str, target: Path, hold: Callable[[], object] = lambda: None) -> None:
        """A file by its digest, added to what `target` has of it already; after a break it goes on where it ended.

        `hold` raises once the lease is lost.
        """
        url, at = f"/jobs/{job.id}/blobs/{digest}", {"fence": job.fence}
        patience = _Patience(self._patience, self._say)
        while True:
            begun = target.stat().st_size if target.exists() else 0
            headers = {"Range": f"bytes={begun}-"} if begun else {}
            try:
                with self._http.stream("GET", url, params=at, headers=headers) as answer:
                    if answer.status_code == 416:  # it is whole, or longer than the file
                        return
                    if answer.is_success:
                        with target.open("ab" if answer.status_code == 206 else "wb") as file:
                            for chunk in answer.iter_bytes():
                                hold()
                                file.write(chunk)
                        return
                    answer.read()
                    why = _passing(answer, f"GET {url}")
            except httpx.TransportError as error:
                why = f"GET {url}: {error}"
            if target.exists() and target.stat().st_size > begun:
                patience = _Patience(self._patience, self._say)
            patience.wait(why)

    def lacking(self, job: Job) -> tuple[list[FileEntry], list[str]]:
        """The files that the package only links and that the server has not, and the hosts that may be asked."""
        told = self._call("GET", f"/jobs/{job.id}/lacking", params={"fence": job.fence}).json()
        return [FileEntry(**each) for each in told["files"]], told["hosts"]

    def put(self, job: Job, data: bytes) -> str:
        """Store bytes on the server; their digest."""
        digest = sha256(data).hexdigest()
        self._put(job, digest, len(data), lambda at, most: data[at : at + most])
        return digest

    def put_file(self, job: Job, digest: str, path: Path, hold: Callable[[], object]) -> None:
        """Store a file that a link of the package gave on the server; `hold` raises once the lease is lost."""
        with path.open("rb") as file:

            def read(at: int, most: int) -> bytes:
                hold()
                file.seek(at)
                return file.read(most)

            self._put(job, digest, path.stat().st_size, read, linked=True)

    def _put(
        self, job: Job, digest: str, size: int, read: Callable[[int, int], bytes], *, linked: bool = False
    ) -> None:
        at, url = 0, f"/jobs/{job.id}/blobs/{digest}"
        while True:
            params = {"fence": job.fence, "offset": at, "size": size, "linked": linked}
            at = self._call("PUT", url, params=params, content=read(at, job.part_bytes)).json()["size"]
            if at >= size:
                return

    def journal(self, job: Job, name: str) -> bytes:
        """All lines of a journal."""
        lines = b""
        while True:
            params = {"fence": job.fence, "offset": len(lines)}
            more = self._call("GET", f"/jobs/{job.id}/journals/{name}", params=params).content
            if not more:
                return lines
            lines += more

    def add(self, job: Job, name: str, offset: int, lines: bytes) -> int:
        """Add lines at a journal's end; where it ends then."""
        params = {"fence": job.fence, "offset": offset}
        answer = self._call("PATCH", f"/jobs/{job.id}/journals/{name}", params=params, content=lines)
        end: int = answer.json()["size"]
        return end

    def result(self, job: Job, **body: Any) -> None:
        """The job is done: `findings` of a check, or the digest of a `result`."""
        self._call("POST", f"/jobs/{job.id}/result", json={"fence": job.fence, **body})

    def release(
        self, job: Job, fault: str = "", code: str = "", sentence: str = "", *, away: bool = False
    ) -> None:  # fmt: skip
        """The job ends without a result, or waits for another worker if nobody is at fault.

        Where a host is `away`, it waits for a while.
        """
        body = {"fence": job.fence, "fault": fault, "code": code[:40], "sentence": sentence[:1000], "away": away}
        self._call("POST", f"/jobs/{job.id}/release", json=body)

    def _call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Make a call, again while the server is away.

        Raises:
            Lost: the lease does not hold.
            Refusal: anything else that no repetition mends, or the server is away for too long (`Away`).
        """
        patience = _Patience(self._patience, self._say)
        while True:
            try:
                answer = self._http.request(method, path, **options)
                if answer.is_success:
                    return answer
                why = _passing(answer, f"{method} {path}")
            except httpx.TransportError as error:
                why = f"{method} {path}: {error}"
            patience.wait(why)


class _Patience:
    """Pauses between tries, for so many seconds in all."""

    def __init__(self, seconds: float, say: Callable[[str], object]) -> None:
        self._until, self._tried, self._say = time.monotonic() + seconds, 0, say

    def wait(self, why: str) -> None:
        """Pause before the next try.

        Raises:
            Away: it was tried for long enough.
        """
        pause = _PAUSES[min(self._tried, len(_PAUSES) - 1)]
        if time.monotonic() + pause > self._until:
            raise Away("the server cannot be reached", why=why, mend="check --server, and that it runs")
        if self._tried == _SAID:
            self._say(f"the server is away, and asked again: {why}")
        time.sleep(pause)
        self._tried += 1


def _passing(answer: httpx.Response, call: str) -> str:
    """Why a call failed that may succeed the next time.

    Raises:
        Lost, Refusal: it will not.
    """
    if answer.status_code not in _AGAIN:
        _refuse(answer)
    return f"{call} gave {answer.status_code}"


def _refuse(answer: httpx.Response) -> None:
    try:
        told = answer.json()
        what, why, mend = told["what"], told["why"], told["mend"]
    except (ValueError, KeyError, TypeError):
        told, what, why, mend = None, f"the server answered {answer.status_code}", answer.text[:500], ""
    if told and answer.status_code in _UNKNOWN:
        raise BadKey(what, why=why, mend="give, by --key-file, the key that an administrator made for this worker")
    raise (Lost if answer.status_code == _LOST else Refusal)(what, why=why, mend=mend)
