"""Whether four ways give the same greedy answers: transformers, llama.cpp, our runner here, our runner emulated.

    pip install xllamacpp
    python benchmarks/greedy.py --phi FOLDER --qwen FILE --stories FOLDER [--dtypes F16 F32] [--prompts 64] [--count 16]

The models are those of `exports.py` that all four take, whole, tied, trimmed and pruned, and the checkpoint in the
folder of `--stories`. Each is asked prompts of 2 to 40 random ids. A row gives, for each way, how many of its answers
are those of transformers in FP32, token for token, and the furthest that a token lies under transformers' best logit,
as a share of the logits' spread: where the best two are nearer than rounding, either may come first. For F16 files the
weights of all four are those halves; llama.cpp rounds what it multiplies them with to halves, too.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from exports import PLANS, Tokenizers, llama_cpp, made

from edgelm.checkpoint import Checkpoint
from edgelm.deploy.base import deploy
from edgelm.native.build import built
from edgelm.native.runner import command, started
from edgelm.plugins import parse
from edgelm.stock import load_model

TAKEN_BY_ALL = {
    ("llama", "none"), ("llama", "vocab"), ("llama", "depth"), ("llama", "ffn"), ("llama", "kv"), ("llama", "heads"),
    ("llama", "tied, hidden"), ("qwen2", "none"), ("qwen2", "vocab"), ("qwen2", "ffn and kv"), ("qwen3", "none"),
    ("qwen3", "ffn, heads, kv"), ("phi", "none"), ("phi", "vocab"), ("phi", "ffn ≠ 4·D"), ("phi", "kv"),
}  # fmt: skip
WAYS = ("llama.cpp", "runner", "emulated")
Answers = list[list[int]]


def checkpoints(options: argparse.Namespace, work: Path) -> Iterator[tuple[str, Path]]:
    tokenizers = Tokenizers(options.phi, options.qwen)
    for number, plan in enumerate(PLANS):
        name = f"{plan[0]}, {plan[1]}"
        if plan[:2] in TAKEN_BY_ALL and (not options.models or name in options.models):
            yield name, made(plan, work / str(number), tokenizers)
    if not options.models or "stories260K" in options.models:
        yield "stories260K", options.stories


def in_halves(folder: Path, out: Path) -> Path:
    """The checkpoint with weights that halves hold exactly."""
    shutil.copytree(folder, out)
    load_model(Checkpoint(folder), torch.float16).save_pretrained(out)
    return out


def prompts(count: int, vocabulary: int) -> Answers:
    draw = torch.Generator().manual_seed(7)
    lengths = torch.randint(2, 40, (count,), generator=draw).tolist()
    return [torch.randint(5, min(vocabulary, 4000), (length,), generator=draw).tolist() for length in lengths]


def of_transformers(model: Any, asked: Answers, count: int) -> Answers:
    found = []
    for prompt in asked:
        made = model.generate(torch.tensor([prompt]), max_new_tokens=count, min_new_tokens=count, do_sample=False,
                              pad_token_id=0)  # fmt: skip
        found.append(made[0, len(prompt) :].tolist())
    return found


def of_runner(words: list[str], asked: Answers, count: int) -> Answers:
    with started(words) as runner:
        return [runner.generate(prompt, count, ignore_end=True).ids for prompt in asked]


def of_llama_cpp(model: Path, asked: Answers, count: int, dtype: str) -> Answers:
    job = {"model": str(model), "texts": [], "prompts": asked, "count": count, "kv": dtype, "ignore_end": True}
    return [answer["tokens"] for answer in llama_cpp([job])[0]["answers"]]


def strays(model: Any, prompt: list[int], answer: list[int]) -> float:
    """How far a token lies under the best logit at the most, given each the ones before, as a share of their spread."""
    with torch.no_grad():
        logits_TV = model(torch.tensor([[*prompt, *answer[:-1]]])).logits[0, len(prompt) - 1 :]
    taken_T = logits_TV.gather(1, torch.tensor(answer)[:, None])[:, 0]
    return float((logits_TV.max(1).values - taken_T).max() / (logits_TV.max() - logits_TV.min()))


def main() -> None:
    """Make, export, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phi", type=Path, required=True)
    parser.add_argument("--qwen", type=Path, required=True)
    parser.add_argument("--stories", type=Path, required=True)
    parser.add_argument("--models", nargs="+", help='these rows alone, such as "phi, none"')
    parser.add_argument("--dtypes", nargs="+", choices=["F16", "F32"], default=["F16", "F32"])
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--count", type=int, default=16)
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    torch.set_num_threads(1)
    print("| model | file | " + " | ".join(f"{way}, equal | strays" for way in WAYS) + " |")
    with tempfile.TemporaryDirectory() as made_in:
        work = Path(made_in)
        for name, folder in checkpoints(options, work):
            halves = in_halves(folder, work / "halves")
            for dtype in options.dtypes:
                row(name, halves if dtype == "F16" else folder, dtype, options)
            shutil.rmtree(halves)


def row(name: str, folder: Path, dtype: str, options: argparse.Namespace) -> None:
    checkpoint = Checkpoint(folder)
    model = load_model(checkpoint, torch.float32)
    asked = prompts(options.prompts, checkpoint.shape.vocab)
    expected = of_transformers(model, asked, options.count)
    with tempfile.TemporaryDirectory() as made_in:
        deploy(checkpoint, parse("deploy", f"gguf:dtype={dtype}"), Path(made_in) / "bundle")
        file = Path(made_in) / "bundle" / "model.gguf"
        words = command(str(built("host")), str(file), context=128, threads=1)
        emulated = command(str(built("aarch64")), str(file), context=128, threads=1)
        answers = (
            of_llama_cpp(file, asked, options.count, dtype),
            of_runner(words, asked, options.count),
            of_runner(["qemu-aarch64-static", *emulated], asked, options.count),
        )
    cells = []
    for found in answers:
        equal = sum(one == other for one, other in zip(found, expected, strict=True))
        far = max(strays(model, prompt, answer) for prompt, answer in zip(asked, found, strict=True))
        cells.append(f"{equal} of {len(asked)} | {far:.1e}")
    print(f"| {name} | {dtype} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
