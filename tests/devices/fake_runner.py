"""A program that speaks the runner's protocol with known delays and no model; its settings are JSON in FAKE_RUNNER.

Times are computed, not waited for, so that what is measured is known to the nanosecond.
"""

import json
import os
import signal
import sys
import time

SETTINGS = {"first_ns": 100_000_000, "token_ns": 10_000_000, "drift_ns": 0, "vocab": 320, "die": "", "tokens": None}


def main() -> None:
    settings = SETTINGS | json.loads(os.environ.get("FAKE_RUNNER", "{}"))
    words = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=False))
    sys.stderr.write("a word on stderr\n")
    if settings["die"] == "option":
        say(
            {
                "error": {
                    "kind": "memory",
                    "what": "weights need 9 bytes, the limit is 8",
                    "mend": "raise --memory-limit",
                }
            }
        )
        sys.exit(3)
    context = -(-int(words["--context"]) // 256) * 256
    say({"ready": {
        "runner": "1", "llama.cpp": "fake", "arch": "llama", "parameters": 1, "vocab": settings["vocab"],
        "context": context, "trained": 4096, "bos": None, "eos": [1], "threads": int(words.get("--threads", 3)),
        "load_ns": 5, "memory": memory(),
    }})  # fmt: skip
    asked = 0
    for line in sys.stdin:
        question = json.loads(line)
        asked += question["op"] == "generate"
        if settings["die"] == "killed" and asked == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        if settings["die"] == "abort" and asked == 2:
            os.abort()
        if settings["die"] == "abort after repeats" and asked == 4 and question["op"] == "memory":
            os.abort()
        if settings["die"] == "sleep" and asked == 2:
            time.sleep(60)
        say(answer(question, settings, asked))


def answer(question: dict, settings: dict, asked: int) -> dict:
    if question["op"] == "tokenize":
        return {"ids": [byte % settings["vocab"] for byte in question["text"].encode()]}
    if question["op"] == "memory":
        return {"memory": memory()}
    if question["op"] == "rates":
        if settings["die"] == "killed at rates":
            os.kill(os.getpid(), signal.SIGKILL)
        if settings["die"] == "sleep at rates":
            time.sleep(60)
        if settings["die"] == "rates":
            return {"error": {"kind": "memory", "what": "no room for the rates", "mend": ""}}
        return {"rates": {"copy_bytes_per_second": 1e10, "read_bytes_per_second": 1.2e10,
                          "matrix_operations_per_second": 1e11}}  # fmt: skip
    count = settings["tokens"] or question["max_tokens"]
    first, gap = settings["first_ns"], settings["token_ns"] + settings["drift_ns"] * asked
    arrived = [first + gap * number for number in range(count)]
    return {"done": {"ids": [7] * count, "text": "", "prompt_tokens": len(question["ids"]), "arrived_ns": arrived,
                     "finish": "length", "memory": memory()}}  # fmt: skip


def memory() -> dict:
    return {"VmHWM": 123_456_789, "VmRSS": 100_000_000, "Pss": 90_000_000}


def say(value: dict) -> None:
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    main()
