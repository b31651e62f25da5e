"""Whether what `--fit 12GB` or a ready recipe plans does fit: the peak of llama.cpp at 2,048 tokens of context.

    python benchmarks/compress_fit.py --tokenizer FOLDER [--recipes recipes/compress/llama-3-8b.txt ...]

Of each recipe the plan is made for its base's exact shape; a checkpoint of the planned shape with random weights is
written, turned into an F16 GGUF, and run by llama.cpp (package `xllamacpp`) in a process of its own, weights read into
memory rather than mapped, which answers a short prompt: cache and buffers are made for the whole context at once.
FOLDER holds the `tokenizer.json` of any model of at most 51,200 tokens.
Printed are the plan's forecast for a phone, and the peak resident memory that the system has counted.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from compress_memory import BASES, random_checkpoint
from peak import run

from edgelm.checkpoint import Checkpoint, write_config
from edgelm.compress.costs.phone import CONTEXT
from edgelm.compress.recipe import plan
from edgelm.compress.search.limits import PHONES
from edgelm.plugins import parse
from edgelm.recipe import steps_of

RECIPES = ["recipes/compress/llama-3-8b.txt", "recipes/compress/qwen2-7b.txt", "recipes/compress/phi-2.txt"]


def planned(base: str, recipe: str, work: Path) -> tuple[dict[str, Any], int]:
    """The configuration that a recipe makes of a base, and the bytes that its plan expects on a phone."""
    folder = work / "plan"
    folder.mkdir(exist_ok=True)
    write_config(folder / "config.json", {**BASES[base], "tie_word_embeddings": False})
    steps = [parse("compress", spec) for spec in steps_of([recipe], "compress")]
    rows = plan(Checkpoint(folder), steps)
    answer = subprocess.run(
        [sys.executable, "-m", "edgelm", "compress", str(folder), recipe, "--plan", "--json"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return rows[-1].config, json.loads(answer.stdout)["forecast"]["phone"]


def peak(gguf: Path) -> int:
    """Bytes of memory at the most of llama.cpp with this model."""
    return run([sys.executable, __file__, "--run", str(gguf)]).peak


def answer(gguf: str) -> None:
    """Answer a prompt at full context; a process of its own."""
    import urllib.request

    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = gguf
    params.n_ctx, params.n_parallel, params.warmup = CONTEXT, 1, False
    params.load_mode = xllamacpp.llama_load_mode.LLAMA_LOAD_MODE_NONE
    server = xllamacpp.Server(params)
    body = {"prompt": list(range(300, 364)), "n_predict": 4, "ignore_eos": True}
    head = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{server.listening_address}/completion", json.dumps(body).encode(), head)
    with urllib.request.urlopen(request) as answer:
        json.load(answer)


def main() -> None:
    """Plan, write, run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", type=Path)
    parser.add_argument("--recipes", nargs="+", default=RECIPES)
    parser.add_argument("--work", type=Path, help="where the checkpoints are made")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run:
        answer(options.run)
        return
    print(f"{'recipe':28} {'forecast GB':>11} {'peak GB':>8} {'ceiling GB':>10}")
    for recipe in options.recipes:
        base = next(name for name in BASES if Path(recipe).stem.startswith(name))
        with tempfile.TemporaryDirectory(dir=options.work) as name:
            work = Path(name)
            config, forecast = planned(base, recipe, work)
            random_checkpoint(work / "model", config, options.tokenizer, "cpu")
            subprocess.run([sys.executable, "-m", "edgelm", "deploy", str(work / "model"), "gguf", "-o",
                            str(work / "gguf")], check=True, stdout=subprocess.DEVNULL)  # fmt: skip
            [gguf] = (work / "gguf").rglob("*.gguf")
            print(f"{Path(recipe).stem:28} {forecast / 1e9:11.2f} {peak(gguf) / 1e9:8.2f} {PHONES['12GB'] / 1e9:10.2f}",
                  flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
