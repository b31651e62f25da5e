"""How fast our runner is beside llama-bench and transformers, by turns, on one model.

    python benchmarks/deploy_speed.py --tokenizer FOLDER --llama-bench FILE [--rounds 7] [--threads 2]

The model has random weights: 12 layers of 1024, 151 M parameters, F16 for llama.cpp, float32 for transformers. Each
round gives each program a prompt of 256 tokens and lets it write 64, all at the end of that prompt; printed are medians
over the rounds, the median of each round's ratio to llama-bench, and what share of the bandwidth each reached that the
runner measures itself just before and behind it, while nothing else runs: of copying (bytes read and written), which is
the roofline of `edgelm measure`, and of reading alone. FILE is llama-bench of the same source, built with llama.cpp's
own settings:

    cmake -G Ninja -B b -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF && ninja -C b llama-bench
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
from compress_memory import random_checkpoint
from compress_speed import read_and_written

from edgelm.checkpoint import Checkpoint
from edgelm.deploy.base import deploy
from edgelm.deploy.gguf import GGUF
from edgelm.native.build import built
from edgelm.native.runner import Rates, Runner, command, started

SHAPE = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "num_hidden_layers": 12, "hidden_size": 1024,
    "intermediate_size": 2816, "num_attention_heads": 16, "num_key_value_heads": 4, "vocab_size": 16_384,
    "max_position_embeddings": 2048, "rope_theta": 10_000.0, "rms_norm_eps": 1e-5,
}  # fmt: skip
PROMPT, ANSWER = 256, 64  # tokens
RATES_SECONDS = 0.5
Once = Callable[[], tuple[float, float]]  # tokens a second: of the prompt, of the answer


def prompt() -> list[int]:
    draw = torch.Generator().manual_seed(0)
    return torch.randint(300, 16_000, (PROMPT,), generator=draw).tolist()


def ours(runner: Runner) -> tuple[float, float]:
    done = runner.generate(prompt(), ANSWER + 1, ignore_end=True)
    first, last = done.arrived_ns[0] / 1e9, done.arrived_ns[-1] / 1e9
    return PROMPT / first, ANSWER / (last - first)


def llama_bench(program: Path, model: Path, threads: int) -> tuple[float, float]:
    """Its answer begins at the depth of the prompt, as ours does."""
    said = subprocess.run(
        [program, "-m", model, "-t", str(threads), "-p", str(PROMPT), "-n", "0", "-r", "1", "-o", "json"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    behind = subprocess.run(
        [program, "-m", model, "-t", str(threads), "-p", "0", "-n", str(ANSWER), "-d", str(PROMPT), "-r", "1",
         "-o", "json"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    return json.loads(said)[0]["avg_ts"], json.loads(behind)[0]["avg_ts"]


def transformers(folder: Path, threads: int) -> Once:
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(threads)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)

    def once() -> tuple[float, float]:
        read, written = read_and_written(model, prompt(), ANSWER)
        return 1000 / read, 1000 / written

    return once


def main() -> None:
    """Make, run by turns, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--llama-bench", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        folder, bundle = Path(work) / "model", Path(work) / "bundle"
        random_checkpoint(folder, SHAPE, options.tokenizer, "cpu")
        checkpoint = Checkpoint(folder)
        deploy(checkpoint, GGUF(), bundle)
        model = bundle / "model.gguf"
        print(f"{checkpoint.parameters:,} parameters, {options.threads} threads, load {os.getloadavg()[0]:.1f}")
        words = command(str(built("host")), str(model), context=512, threads=options.threads)
        with started(words) as runner:
            turns: dict[str, Once] = {
                "runner": lambda: ours(runner),
                "llama-bench": lambda: llama_bench(options.llama_bench, model, options.threads),
                "transformers": transformers(folder, options.threads),
            }
            for once in turns.values():
                once()  # to warm up
            rounds = []
            for _ in range(options.rounds):
                rates = [runner.rates(RATES_SECONDS)]
                speeds = {}
                for name, once in turns.items():
                    speeds[name] = once()
                    rates.append(runner.rates(RATES_SECONDS))
                rounds.append((speeds, rates))
        show(rounds, 2 * (checkpoint.parameters - checkpoint.shape.head_parameters))


def show(rounds: list[tuple[dict[str, tuple[float, float]], list[Rates]]], read: int) -> None:
    """Medians over the rounds; `read` is what a token reads, in bytes."""
    names = list(rounds[0][0])
    for what, place in (("prompt", 0), ("answer", 1)):
        for name in names:
            speed = median(speeds[name][place] for speeds, _ in rounds)
            ratio = median(speeds[name][place] / speeds["llama-bench"][place] for speeds, _ in rounds)
            print(f"{what:7} {name:13} {speed:9.1f} tokens/s  {ratio:6.2f} of llama-bench")
    for field in ("copy_bytes_per_second", "read_bytes_per_second"):
        found = [[getattr(one, field) for one in rates] for _, rates in rounds]
        print(f"{field}: {median(rate for rates in found for rate in rates) / 1e9:.1f}e9")
        for at, name in enumerate(names[:2]):
            shares = [speeds[name][1] * read * 2 / (rates[at] + rates[at + 1])
                      for (speeds, _), rates in zip(rounds, found, strict=True)]  # fmt: skip
            print(f"answer  {name:13} {median(shares):9.0%} of it")


if __name__ == "__main__":
    main()
