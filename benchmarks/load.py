"""The server under load: readers of the board, while packages are uploaded and teams watch their submissions.

    python benchmarks/load.py [--teams 200] [--readers 200] [--uploads 50] [--watchers 50]
                              [--seconds 60] [--database URL]

A competition is entered as if it had been evaluated (random scores, no model), `edgelm serve` is started on it, and
readers load a page, wait a while as people do, and load the next. What an evaluation is at changes every few seconds:
its news are timed from the change until they have come to who watches. Clients and server share this machine's
processors, so that figures are worse than those of a server of its own. Afterwards the board is made anew, as after a
change.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import itertools
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import httpx
import psutil
from sqlalchemy import update

from edgelm.files import canonical_json
from edgelm.report import Report, Speed, TaskScore, Workload
from edgelm.rules.base import Rules
from edgelm.score.collect import slot_model
from edgelm.server import boards, competition
from edgelm.server.audit import SYSTEM
from edgelm.server.clock import DAY, utc_now
from edgelm.server.entries import Reading
from edgelm.server.keys import TOKEN, digest, new_key
from edgelm.server.settings import Settings
from edgelm.server.start import start
from edgelm.server.state import Server
from edgelm.server.tables import Blob, Job, Kept, Member, Phase, Submission, Team, Token, User
from score import ROWS

PAUSE = 5.0  # seconds that a reader looks at a page, on average
RATE = 2 << 20  # bytes a second of each upload: fifty fill a line of a gigabit
CHANGE = 5.0  # seconds between two news of an evaluation
PIECE = 64 << 10  # bytes that are sent at once
MIB = 2**20


def report(rules: Rules, drawn: random.Random) -> Report:
    """What a model may have reached."""
    tasks = {
        task: TaskScore(
            protocol=rules.protocol(task) or f"{rules.suite}/{task}",
            score=Fraction(100 * drawn.randint(0, ROWS[task]), ROWS[task]),
            samples=ROWS[task], of=ROWS[task], prompting="base", engine={},
        )
        for task in rules.tasks
        if task != "holdout"
    }  # fmt: skip
    workload = Workload(prompt_tokens=rules.prompt_tokens, generated_tokens=rules.generated_tokens)
    times = [drawn.randint(10**10, 10**12)] * rules.repeats
    speed = Speed(workload=workload, device="none", repeats_ns=times, first_token_ns=[each // 2 for each in times],
                  prefill=1.0, decode=1.0, spread=0.0)  # fmt: skip
    peak = drawn.randint(10**9, rules.memory_limit - 1)
    return Report(checkpoint=f"{drawn.getrandbits(256):064x}", name="model", parameters=10**9, bytes=2 * 10**9,
                  dtypes={"F16": 300}, tasks=tasks, speed=speed, memory={rules.memory_meter: peak})  # fmt: skip


def enter(server: Server, teams: int, submissions: int, drawn: random.Random) -> list[str]:
    """A competition in which every team has so many scored submissions in each track; a token of each team."""
    now, keys = server.clock(), []
    with server.database.write() as session:
        session.add(Phase(name="autumn", kind="scored", opens=now - DAY, closes=now + 30 * DAY))
        competition.announce(session, SYSTEM, "Welcome", "The first packages are in.", now)
        for number in range(teams):
            user = User(id=f"user{number:04}", email=f"{number}@example.org", name=f"Member {number}", password="",
                        role="participant", created=now)  # fmt: skip
            session.add(user)
            tracks = [track.name for track in server.rules.tracks]
            session.add(
                Team(id=f"team{number:04}", name=f"Team {number}", key=f"team {number}", tracks=tracks, created=now)
            )
            session.flush()
            session.add(Member(user_id=user.id, team_id=f"team{number:04}", captain=True, joined=now))
            keys.append(new_key(TOKEN))
            session.add(Token(sha256=digest(keys[-1]), user_id=user.id, name="", scopes=["read", "submit"], created=now,
                              expires=now + 30 * DAY))  # fmt: skip
        for number, track in itertools.product(range(teams * submissions), server.rules.tracks):
            slots = {slot: report(server.rules, drawn) for slot in track.slots}
            _scored(session, server, f"team{number % teams:04}", number, track.name, slots, now)
    return keys


def _scored(
    session: Any, server: Server, team: str, number: int, track: str, slots: dict[str, Report], now: int
) -> None:
    """One submission that was evaluated, and whose answers were held against its reports: there are none here."""
    put = server.storage.put
    digests = {slot: put(canonical_json(each.model_dump(mode="json"))) for slot, each in slots.items()}
    models = {slot: slot_model(server.rules, each) for slot, each in slots.items()}
    reached = put(canonical_json(Reading(rules=server.rules.digest, models=models).model_dump(mode="json")))
    manifest = hashlib.sha256(f"{track}{number}".encode()).hexdigest()
    one = Submission(team_id=team, user_id=team.replace("team", "user"), track=track, phase="autumn", manifest=manifest,
                     title=f"attempt {number}", received=now - number, state="scored", changed=now)  # fmt: skip
    session.add(one)
    session.flush()
    body = {"format": 1, "submission": one.id, "manifest": manifest, "rules": server.rules.digest,
            "box": {"box": "bubblewrap"}, "eligible": True,
            "models": {slot: {"report": sha256, "answers": {}} for slot, sha256 in digests.items()}}  # fmt: skip
    result = put(canonical_json(body))
    job = Job(key=f"evaluate/{one.id}/1", submission_id=one.id, kind="evaluate", tags=[], state="done", attempt=1,
              fence=1, created=now, ended=now, result=result, reached=reached)  # fmt: skip
    session.add(job)
    session.flush()
    for sha256 in {*digests.values(), result, reached}:
        session.merge(Blob(sha256=sha256, size=server.storage.size(sha256), created=now))
        session.add(Kept(job_id=job.id, sha256=sha256))


def begin(server: Server, number: int) -> list[str]:
    """So many evaluations that are under way, of a team each; their submissions."""
    now = server.clock()
    with server.database.write() as session:
        running = [
            Submission(team_id=f"team{each:04}", user_id=f"user{each:04}", track="compression", phase="autumn",
                       manifest=f"{each:064x}", title="now", received=now, state="running", changed=now)
            for each in range(number)
        ]  # fmt: skip
        session.add_all(running)
        session.flush()
        return [each.id for each in running]


def go_on(server: Server, submissions: Sequence[str], over: threading.Event) -> None:
    """Write down what evaluations are at, which is the time, until they are over."""
    while not over.wait(CHANGE):
        with server.database.write() as session:
            session.execute(update(Submission).where(Submission.id.in_(submissions)).values(stage=str(time.time())))


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[tuple[str, psutil.Process]]:
    """`edgelm serve` on a folder, ready."""
    words = [sys.executable, "-m", "edgelm", "serve", str(folder), "--port", "0"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        for line in process.stderr:
            if "http://127.0.0.1" in line and "administrator" not in line:
                break
        url = "http" + line.rpartition("http")[2].strip()
        rest = subprocess.Popen(
            ["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL
        )  # a pipe that is full stops it
        while process.poll() is None:
            with contextlib.suppress(httpx.HTTPError):
                httpx.get(url + "/ready").raise_for_status()
                break
            time.sleep(0.05)
        else:
            raise SystemExit("the server has not started")
        try:
            yield url, psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait()
            rest.wait()


class Clients:
    """Clients of one kind, until the time is over: what each request took, by what it was for, and what failed."""

    def __init__(self, url: str, seconds: float) -> None:
        self.url, self.until = url, time.monotonic() + seconds
        self.took: dict[str, list[float]] = defaultdict(list)
        self.failed: Counter[str] = Counter()
        self.sent = 0  # bytes

    async def read(self, paths: Sequence[str], drawn: random.Random) -> None:
        """One reader."""
        async with httpx.AsyncClient(base_url=self.url, timeout=60, verify=False) as http:
            await asyncio.sleep(drawn.uniform(0, PAUSE))
            while time.monotonic() < self.until:
                await self._one("page", http, "GET", drawn.choice(paths))
                await asyncio.sleep(drawn.expovariate(1 / PAUSE))

    async def upload(self, wait: float, token: str, manifest: bytes, data: bytes) -> None:
        """One member who, after so many seconds, uploads a package, gives it up and begins anew."""
        headers = {"Authorization": f"Bearer {token}"}
        place = f"/blobs/{hashlib.sha256(data).hexdigest()}"
        async with httpx.AsyncClient(base_url=self.url, timeout=60, headers=headers, verify=False) as http:
            await asyncio.sleep(wait)
            while time.monotonic() < self.until:
                begun = await self._one("begin", http, "POST", "/uploads", content=manifest)
                if begun is None:
                    return
                told = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream"}
                await self._one("file", http, "PATCH", place, content=self._slowly(data), headers=told)
                await self._one("give up", http, "DELETE", f"/uploads/{begun.json()['id']}")

    async def watch(self, token: str, submission: str) -> None:
        """One member who watches an evaluation."""
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            httpx.AsyncClient(base_url=self.url, timeout=60, headers=headers, verify=False) as http,
            http.stream("GET", f"/submissions/{submission}/events") as answer,
        ):
            if not answer.is_success:
                self.failed[f"news: {answer.status_code}"] += 1
                return
            first = True
            async for line in answer.aiter_lines():
                if line.startswith("data:"):
                    if not first:
                        self.took["news"].append(time.time() - float(json.loads(line[5:])["stage"]))
                    first = False
                if time.monotonic() > self.until:
                    return

    async def _slowly(self, data: bytes) -> AsyncIterator[bytes]:
        """The bytes, as a line of RATE brings them."""
        began = time.monotonic()
        for offset in range(0, len(data), PIECE):
            await asyncio.sleep(began + offset / RATE - time.monotonic())
            yield data[offset : offset + PIECE]
            self.sent += PIECE

    async def _one(self, kind: str, http: httpx.AsyncClient, method: str, path: str, **options: Any) -> Any:
        began = time.perf_counter()
        try:
            answer = await http.request(method, path, **options)
        except httpx.HTTPError as error:
            self.failed[f"{kind}: {type(error).__name__}"] += 1
            return None
        self.took[kind].append(time.perf_counter() - began)
        if not answer.is_success:
            self.failed[f"{kind}: {answer.status_code} {answer.text[:100]}"] += 1
            return None
        return answer


def readers(url: str, seconds: float, number: int, paths: Sequence[str]) -> Clients:
    """So many readers."""
    clients = Clients(url, seconds)

    async def all_at_once() -> None:
        async with asyncio.TaskGroup() as group:
            for seed in range(number):
                group.create_task(clients.read(paths, random.Random(seed)))

    asyncio.run(all_at_once())
    return clients


def watchers(url: str, seconds: float, tokens: Sequence[str], submissions: Sequence[str]) -> Clients:
    """A member for each evaluation."""
    clients = Clients(url, seconds)

    async def all_at_once() -> None:
        async with asyncio.TaskGroup() as group:
            for token, submission in zip(tokens, submissions, strict=True):
                group.create_task(clients.watch(token, submission))

    asyncio.run(all_at_once())
    return clients


def uploaders(url: str, seconds: float, tokens: Sequence[str], manifest: dict[str, Any], size: int) -> Clients:
    """One member a token, each with a file of its own of so many bytes."""
    rest, brought = random.Random(0).randbytes(size - 32), []
    for token in tokens:
        data = hashlib.sha256(token.encode()).digest() + rest
        entry = {"path": manifest["claims"], "size": size, "sha256": hashlib.sha256(data).hexdigest()}
        brought.append((token, json.dumps({**manifest, "files": [entry]}).encode(), data))
    clients = Clients(url, seconds)

    async def all_at_once() -> None:
        async with asyncio.TaskGroup() as group:
            for number, each in enumerate(brought):
                group.create_task(clients.upload(PAUSE * number / len(brought), *each))

    asyncio.run(all_at_once())
    return clients


def _boards(url: str, rules: Rules) -> Iterator[dict[str, Any]]:
    """What the server says of every board."""
    return (httpx.get(f"{url}/boards/{track.name}", timeout=60).json() for track in rules.tracks)


def _follow(server: Server) -> float:
    """The seconds in which boards follow results that came in a moment ago."""
    drawn, now = random.Random(1), server.clock()
    boards.follow(server)  # reads what a server that runs has read
    with server.database.write() as session:
        for track in server.rules.tracks:
            slots = {slot: report(server.rules, drawn) for slot in track.slots}
            _scored(session, server, "team0000", 10**6, track.name, slots, now)
    began = time.perf_counter()
    boards.follow(server)
    seconds = time.perf_counter() - began
    server.database.close()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--teams", type=int, default=200)
    parser.add_argument("--submissions", type=int, default=3, help="of each team in each track")
    parser.add_argument("--readers", type=int, default=200)
    parser.add_argument("--uploads", type=int, default=50)
    parser.add_argument("--watchers", type=int, default=50)
    parser.add_argument("--upload-mib", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--database", default="", help="of PostgreSQL; SQLite without")
    parser.add_argument("--pages", nargs="+", default=["/", "/board/compression", "/board/from-scratch", "/dates"])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        os.environ["EDGELM_SERVER_DATABASE"] = asked.database
        server = start(Settings(folder=folder, database=asked.database), utc_now)
        began = time.perf_counter()
        tokens = enter(server, asked.teams, asked.submissions, random.Random(0))
        running = begin(server, asked.watchers)
        print(f"entered in {time.perf_counter() - began:.1f} s", flush=True)
        manifest = {"format": 1, "team": "x", "track": "compression", "rules": server.rules.digest, "title": "x",
                         "method": "x", "contact": "x@example.org", "models": {},
                    "claims": "source/data.bin", "made_by": "benchmark"}  # fmt: skip
        server.database.close()
        with serving(folder) as (url, process):
            began = time.perf_counter()
            while any(board.get("teams") != asked.teams for board in _boards(url, server.rules)):
                time.sleep(0.2)
            print(f"boards of all results: {time.perf_counter() - began:.1f} s after the start", flush=True)
            for page in asked.pages:
                began = time.perf_counter()
                httpx.get(url + page, timeout=60).raise_for_status()
                print(f"first {page}: {time.perf_counter() - began:.2f} s")
            over = threading.Event()
            going = threading.Thread(target=go_on, args=(server, running, over))
            going.start()
            with ProcessPoolExecutor(3) as pool:  # so that what one kind of clients does is no delay of the other
                size = asked.upload_mib * MIB
                kinds = (
                    pool.submit(readers, url, asked.seconds, asked.readers, asked.pages),
                    pool.submit(uploaders, url, asked.seconds, tokens[: asked.uploads], manifest, size),
                    pool.submit(watchers, url, asked.seconds, tokens[: asked.watchers], running),
                )
                ended = [each.result() for each in kinds]
            over.set()
            going.join()
            for clients in ended:
                for kind, took in clients.took.items():
                    cut = statistics.quantiles([1000 * each for each in (*took, took[-1])], n=100)
                    figures = f"median {cut[49]:.0f} ms, 95 % within {cut[94]:.0f} ms, 99 % within {cut[98]:.0f} ms"
                    print(f"{kind}: {len(took)}, {figures}; failed: {dict(clients.failed) or 'none'}")
            print(f"uploaded {sum(each.sent for each in ended) / asked.seconds / MIB:.0f} MiB/s")
            print(f"memory of the server: {process.memory_info().rss // MIB} MiB")
        print(f"both boards anew, with one result more each: {_follow(server):.2f} s")


if __name__ == "__main__":
    main()
