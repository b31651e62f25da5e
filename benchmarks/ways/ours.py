"""One way: an engine of edgelm. `python ours.py FOLDER generate|weigh ENGINE RESULT [FIRST]`, for the first rows."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from clock import Clock

from edgelm.chat import ask
from edgelm.checkpoint import Checkpoint
from edgelm.engines.base import Request
from edgelm.plugins import parse

folder, job, engine, result = Path(sys.argv[1]), *sys.argv[2:5]
name = "questions" if job == "generate" else "choices"
rows = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
rows = rows[: int(sys.argv[5])] if len(sys.argv) > 5 else rows
with parse("engines", engine).open(Checkpoint(folder / "model"), "base") as session, Clock() as clock:
    if job == "generate":
        requests = [Request(str(n), n, ask(row["prompt"]), row["max_tokens"]) for n, row in enumerate(rows)]
        replies = {reply.key: reply for group in session.answer(requests) for reply in group}
        answers = [replies[request.key].text for request in requests]
        tokens = sum(reply.tokens for reply in replies.values())
    else:
        answers = session.loglikelihood([(row["context"], row["continuation"]) for row in rows])
        tokens = 0
Path(result).write_text(json.dumps({**clock.seconds, "answers": answers, "tokens": tokens}))
