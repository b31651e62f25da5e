"""The server as a worker sees it: calls that are made again while it is away, and a lease that can be lost."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx

from edgelm.errors import EdgelmError
from edgelm.files import CHUNK

_AGAIN = (408, 423, 425, 429, 500, 502, 503, 504)  # answers after which the same call may succeed
_LOST = 409
_PAUSES = (0.2, 0.5, 1, 2, 5)  # seconds between tries; the last again and again


class Lost(EdgelmError):
    """The job is not this worker's any more: whatever it has is dropped."""


class Refusal(EdgelmError):
    """The server does not take a call, which no repetition mends."""


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
    """

    def __init__(self, http: httpx.Client, patience: float = 50.0) -> None:
        self._http, self._patience = http, patience

    def lease(self, tags: Sequence[str]) -> Job | None:
        """The next job; None if none waits."""
        answer = self._call("POST", "/jobs/lease", json={"tags": list(tags)})
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
        body = {"fence": job.fence, "stage": stage, "parts": parts, "lines": list(lines)}
        self._call("POST", f"/jobs/{job.id}/progress", json=body)

    def fetch(self, job: Job, digest: str, target: Path) -> None:
        """A file by its digest, added to what `target` has of it already."""
        begun = target.stat().st_size if target.exists() else 0
        headers = {"Range": f"bytes={begun}-"} if begun else {}
        url, at = f"/jobs/{job.id}/blobs/{digest}", {"fence": job.fence}
        try:
            with self._http.stream("GET", url, params=at, headers=headers) as answer:
                if answer.status_code == 416:  # it is whole, or longer than the file
                    return
                if answer.is_error:
                    answer.read()
                    _refuse(answer)
                with target.open("ab" if answer.status_code == 206 else "wb") as file:
                    for chunk in answer.iter_bytes(CHUNK):
                        file.write(chunk)
        except httpx.TransportError as error:
            raise Refusal("the server went away while a file was fetched", why=str(error)) from None

    def put(self, job: Job, data: bytes) -> str:
        """Store bytes on the server; their digest."""
        digest, at = sha256(data).hexdigest(), 0
        while True:
            params = {"fence": job.fence, "offset": at, "size": len(data)}
            part = data[at : at + job.part_bytes]
            at = self._call("PUT", f"/jobs/{job.id}/blobs/{digest}", params=params, content=part).json()["size"]
            if at >= len(data):
                return digest

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

    def release(self, job: Job, fault: str = "", code: str = "", sentence: str = "") -> None:
        """The job ends without a result, or waits for another worker if nobody is at fault."""
        body = {"fence": job.fence, "fault": fault, "code": code[:40], "sentence": sentence[:1000]}
        self._call("POST", f"/jobs/{job.id}/release", json=body)

    def _call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Make a call, again while the server is away.

        Raises:
            Lost: the lease does not hold.
            Refusal: anything else that no repetition mends, or the server is away for too long.
        """
        began, tried = time.monotonic(), 0
        while True:
            try:
                answer = self._http.request(method, path, **options)
                if answer.is_success:
                    return answer
                why = f"{method} {path} gave {answer.status_code}"
                if answer.status_code not in _AGAIN:
                    _refuse(answer)
            except httpx.TransportError as error:
                why = f"{method} {path}: {error}"
            pause = _PAUSES[min(tried, len(_PAUSES) - 1)]
            if time.monotonic() - began + pause > self._patience:
                raise Refusal("the server cannot be reached", why=why, mend="see whether it runs")
            time.sleep(pause)
            tried += 1


def _refuse(answer: httpx.Response) -> None:
    try:
        told = answer.json()
        what, why, mend = told["what"], told["why"], told["mend"]
    except (ValueError, KeyError, TypeError):
        what, why, mend = f"the server answered {answer.status_code}", answer.text[:500], ""
    raise (Lost if answer.status_code == _LOST else Refusal)(what, why=why, mend=mend)
