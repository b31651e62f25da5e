"""A runner on a phone that answers as ours does, by no model; what it is to do wrong stands in `fake.json` beside it.

It is a file of the bundle, so that it needs nothing of the tests' environment:

- `bad`: the model is refused at the start as damaged
- `large`: the model is refused at the start as too large
- `check`: the model is refused if its sha256 is not this
- `die`: the signal that ends it at a question for an answer
- `hang`: seconds before it answers such a question
- `last`: the signal that ends it at the question for rates
"""

import hashlib
import json
import os
import sys
import time
from pathlib import Path

VOCAB = 320


def say(value):
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def fail(kind, what, code):
    say({"error": {"kind": kind, "what": what, "mend": "mend it"}})
    sys.exit(code)


def main():
    told = Path(sys.argv[0]).parent / "fake.json"
    faults = json.loads(told.read_text()) if told.exists() else {}
    given = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=False))
    digest = hashlib.sha256(Path(given["--model"]).read_bytes()).hexdigest()
    if faults.get("bad") or faults.get("check", digest) != digest:
        fail("file", "the model is damaged", 2)
    if faults.get("large") or int(given.get("--memory-limit", 10**12)) < 10**6:
        fail("memory", "the model needs more memory", 3)
    print("a word of the runner", file=sys.stderr, flush=True)
    context = int(given["--context"])
    memory = {"VmHWM": 10 * 2**20, "VmRSS": 9 * 2**20, "Pss": 8 * 2**20}
    say({"ready": {"runner": "1", "llama.cpp": "b0", "arch": "llama", "parameters": 7, "vocab": VOCAB,
                   "context": context, "trained": context, "bos": None, "eos": [1], "load_ns": 5, "memory": memory,
                   "threads": int(given.get("--threads", 1))}})  # fmt: skip
    for row in sys.stdin:
        say(answer(json.loads(row), faults, memory))


def answer(asked, faults, memory):
    if asked["op"] == "tokenize":
        return {"ids": list(asked["text"].encode())}
    if asked["op"] == "memory":
        return {"memory": memory}
    if asked["op"] == "rates":
        if "last" in faults:
            os.kill(os.getpid(), faults["last"])
        names = ("copy_bytes_per_second", "read_bytes_per_second", "matrix_operations_per_second")
        return {"rates": dict.fromkeys(names, 1e9)}
    assert asked["op"] == "generate", asked
    if "die" in faults:
        os.kill(os.getpid(), faults["die"])
    time.sleep(faults.get("hang", 0))
    count = asked["max_tokens"]
    return {"done": {"ids": [7] * count, "text": "g" * count, "prompt_tokens": len(asked["ids"]), "finish": "length",
                     "arrived_ns": [1000 * (number + 1) for number in range(count)], "memory": memory}}  # fmt: skip


if __name__ == "__main__":
    main()
