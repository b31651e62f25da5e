"""What llama.cpp makes of GGUF files: tokens of texts and greedy answers. A program of its own, as llama.cpp may abort.

    python benchmarks/exports_llama_cpp.py < jobs.json > answers.json

A job is `{"model": path, "texts": […], "prompts": [[ids], …], "count": n}`, to which may be added `"kv": "F16"`, how
keys and values are kept (else as F32), and `"ignore_end": true`; its answer is `{"tokens": [[ids], …],
"answers": [{"tokens": [ids], "ended": whether by a token that ends a text}, …]}`, or `{"refused": why}` where the model
is not loaded. llama.cpp comes with the package `xllamacpp`, which builds it from its own sources.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_CONTEXT = 512


def load(model: str, kv: str) -> Any:
    """A server of one model, on a free port of this machine, that keeps keys and values as `kv` says: "F16" or "F32".

    Raises:
        RuntimeError: llama.cpp does not load it.
    """
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = model
    params.n_ctx, params.n_parallel, params.warmup = _CONTEXT, 1, False
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.cache_type_k = params.cache_type_v = getattr(xllamacpp.ggml_type, f"GGML_TYPE_{kv}")
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    return xllamacpp.Server(params)


def ask(server: Any, what: str, body: dict[str, Any]) -> Any:
    head = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{server.listening_address}/{what}", json.dumps(body).encode(), head)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def answer(job: dict[str, Any], log: Path) -> dict[str, Any]:
    start = log.stat().st_size
    try:
        server = load(job["model"], job.get("kv", "F32"))
    except RuntimeError:
        said = log.read_bytes()[start:].decode(errors="replace").splitlines()
        errors = [line for line in said if "error loading model" in line]
        return {"refused": (errors or said or ["nothing was said"])[0]}
    tokens = [
        ask(server, "tokenize", {"content": text, "add_special": True, "parse_special": True})["tokens"]
        for text in job["texts"]
    ]
    greedy = {"n_predict": job["count"], "temperature": 0, "return_tokens": True, "cache_prompt": False,
              "ignore_eos": job.get("ignore_end", False)}  # fmt: skip
    made = ask(server, "completion", {"prompt": job["prompts"], **greedy}) if job["prompts"] else []
    return {"tokens": tokens, "answers": [_read(one) for one in (made if isinstance(made, list) else [made])]}


def _read(made: dict[str, Any]) -> dict[str, Any]:
    return {"tokens": made["tokens"], "ended": made["stop_type"] == "eos"}


@contextmanager
def logged() -> Iterator[Path]:
    """Send what is written to the error stream, by C++ too, into a file."""
    with tempfile.NamedTemporaryFile() as file:
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield Path(file.name)
        finally:
            os.dup2(kept, 2)


if __name__ == "__main__":
    with logged() as log:
        answers = [answer(job, log) for job in json.load(sys.stdin)]
    json.dump(answers, sys.stdout)
