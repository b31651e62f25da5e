"""How much faster a compressed model is than its base, on the same engine: llama.cpp and transformers, by turns.

    python benchmarks/compress_speed.py --tokenizer FOLDER [--recipe depth:drop=4 width:ffn=4224] [--rounds 5]
        [--threads 2] [--engines llama.cpp transformers]

The base has random weights and the proportions of Llama-3-8B at half its width and depth: 1.1 B parameters. Each round
reads a prompt and writes an answer with the base, then with what the recipe made of it; printed are medians over the
rounds and their ratio. llama.cpp (package `xllamacpp`) runs F16 files of `edgelm deploy gguf`, transformers float32.
FOLDER holds the `tokenizer.json` of any model.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from compress_memory import random_checkpoint

SHAPE = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "num_hidden_layers": 16, "hidden_size": 2048,
    "intermediate_size": 7168, "num_attention_heads": 16, "num_key_value_heads": 4, "vocab_size": 51_200,
    "max_position_embeddings": 8192, "rope_theta": 500_000.0, "rms_norm_eps": 1e-5,
}  # fmt: skip
PROMPT, ANSWER = 256, 32  # tokens
Timed = Callable[[], tuple[float, float]]  # reads and writes once: milliseconds a token of the prompt, of the answer


def edgelm(*arguments: str | Path) -> None:
    subprocess.run([sys.executable, "-m", "edgelm", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def with_llama_cpp(folder: Path, threads: int) -> Timed:
    import xllamacpp

    edgelm("deploy", folder, "gguf", "-o", folder.with_suffix(".gguf"))
    params = xllamacpp.CommonParams()
    params.model.path = str(next(iter(sorted(folder.with_suffix(".gguf").rglob("*.gguf")))))
    params.n_ctx, params.n_parallel, params.warmup = 512, 1, False
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    server = xllamacpp.Server(params)
    body = {"prompt": prompt(), "n_predict": ANSWER, "ignore_eos": True, "cache_prompt": False, "temperature": 0}

    def once() -> tuple[float, float]:
        head = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{server.listening_address}/completion", json.dumps(body).encode(), head)
        with urllib.request.urlopen(request) as answer:
            timings = json.load(answer)["timings"]
        return timings["prompt_per_token_ms"], timings["predicted_per_token_ms"]

    return once


@torch.no_grad()
def with_transformers(folder: Path, threads: int) -> Timed:
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(threads)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)

    return lambda: read_and_written(model, prompt(), ANSWER)


@torch.no_grad()
def read_and_written(model: Any, ids: list[int], answer: int) -> tuple[float, float]:
    """Milliseconds a token of a prompt, and of so many tokens behind it."""
    began = time.perf_counter()
    made = model(torch.tensor([ids]), use_cache=True, logits_to_keep=1)
    read = time.perf_counter()
    for _ in range(answer):
        next_11 = made.logits[:, -1:].argmax(-1)
        made = model(next_11, past_key_values=made.past_key_values, use_cache=True)
    return 1000 * (read - began) / len(ids), 1000 * (time.perf_counter() - read) / answer


ENGINES: dict[str, Callable[[Path, int], Timed]] = {"llama.cpp": with_llama_cpp, "transformers": with_transformers}


def prompt() -> list[int]:
    draw = torch.Generator().manual_seed(0)
    return torch.randint(300, 20_000, (PROMPT,), generator=draw).tolist()


def compare(engine: str, folders: list[Path], rounds: int, threads: int) -> None:
    models = [ENGINES[engine](folder, threads) for folder in folders]
    for once in models:
        once()  # to warm up
    taken = [[once() for once in models] for _ in range(rounds)]
    for what, place in (("prompt", 0), ("answer", 1)):
        base, result = (median(turn[model][place] for turn in taken) for model in (0, 1))
        print(
            f"{engine:13} {what:7} {base:9.2f} {result:9.2f} ms a token  {base / result:5.2f} times as fast", flush=True
        )


def main() -> None:
    """Make, compress, time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--recipe", nargs="+", default=["depth:drop=4", "width:ffn=4224"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--work", type=Path, help="where the checkpoints are made")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.work) as work:
        folders = [Path(work) / "base", Path(work) / "small"]
        random_checkpoint(folders[0], SHAPE, options.tokenizer, "cpu")
        edgelm("compress", folders[0], *options.recipe, "-o", folders[1], "--offline", "--calib-tokens", "2048")
        said: dict[str, Any] = json.loads((folders[1] / "card.json").read_text())["shape"]
        outside = 2 * SHAPE["vocab_size"] * SHAPE["hidden_size"]
        before, after = (said[key]["parameters"] - outside for key in ("before", "after"))
        print(f"{' '.join(options.recipe)}: {1 - after / before:.1%} of the backbone's {before:,} parameters removed")
        for engine in options.engines:
            compare(engine, folders, options.rounds, options.threads)


if __name__ == "__main__":
    main()
