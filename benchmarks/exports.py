"""What takes a compressed model as it is: families and changes by programs, as foretold and as the programs do.

    scripts/llama-cpp                       # llama.cpp's source, for its converter
    pip install xllamacpp                   # llama.cpp itself
    python benchmarks/exports.py --phi FOLDER --qwen FILE > matrix.md

Models are tiny and random, with tokenizers that the converter knows: Phi-2's, whose `tokenizer.json` is in FOLDER, for
Qwen2 that of Qwen-7B, whose tokens are the same (FILE is its `qwen.tiktoken`). Each row compresses one; where
`edgelm compress` refuses the shape, a model of that shape is made instead. "yes" means that the file is made, loads,
cuts text and answers as transformers does: token for token, near ties aside. MLC-LLM cannot be had from the Python
index, whose `mlc-llm-cpu` is an empty placeholder: what stands there is foretold from its source, and not run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from edgelm.checkpoint import Checkpoint
from edgelm.compress.run import compress
from edgelm.compress.stream.qwen_tokenizer import tokenizer_json
from edgelm.deploy.accepts import Exports, exports
from edgelm.deploy.base import deploy
from edgelm.errors import InputError
from edgelm.plugins import parse
from edgelm.stock import load_model, load_tokenizer

SOURCE = Path(__file__).resolve().parents[1] / ".venv" / "llama.cpp"  # where scripts/llama-cpp puts it
COUNT = 8  # tokens of an answer
NEAR = 1e-3  # logits nearer than this may change places by rounding
PROMPTS = ("The quick brown fox", "In 2024, it's 3.5 times as much:\n", "守株待兔是一个成语")

# family, change, recipe; or settings of the configuration, where no recipe makes it
Plan = tuple[str, str, str | dict[str, Any]]
_HALF = {"hidden_size": 32}
PLANS: list[Plan] = [
    ("llama", "none", ""),
    ("llama", "depth", "depth:drop=1,force=1"),
    ("llama", "vocab", "vocab:keep=4096"),
    ("llama", "ffn", "width:ffn=96"),
    ("llama", "heads", "width:heads=2"),
    ("llama", "kv", "kv:heads=1"),
    ("llama", "hidden, D′ ≠ H·K", "width:hidden=48"),
    ("llama", "biases in attention and feed-forward", {"attention_bias": True, "mlp_bias": True}),
    ("llama", "tied, hidden", {"hidden_size": 48, "tie_word_embeddings": True}),
    ("qwen2", "none", ""),
    ("qwen2", "depth", "depth:drop=1,force=1"),
    ("qwen2", "vocab", "vocab:keep=4096"),
    ("qwen2", "ffn and kv", "width:ffn=96 kv:heads=1"),
    ("qwen2", "hidden with H′ = D′/K", "width:hidden=32,heads=2"),
    ("qwen2", "hidden alone", _HALF),
    ("qwen3", "none", ""),
    ("qwen3", "vocab", "vocab:keep=4096"),
    ("qwen3", "ffn, heads, kv", "width:ffn=96 width:heads=2 kv:heads=1,merge=mean"),
    ("qwen3", "hidden, H divides D′", "width:hidden=48"),
    ("qwen3", "hidden, H does not divide D′", {"hidden_size": 50}),
    ("phi", "none", ""),
    ("phi", "depth", "depth:drop=1,force=1"),
    ("phi", "vocab", "vocab:keep=4096"),
    ("phi", "ffn ≠ 4·D", "width:ffn=128"),
    ("phi", "kv", "kv:heads=2"),
    ("phi", "hidden with H′ = D′/K and F′ = 4·D′", "width:ffn=192 width:hidden=48,heads=3"),
    ("phi", "hidden alone", {**_HALF, "intermediate_size": 128}),
    ("phi", "tied", {"tie_word_embeddings": True}),
    ("gpt2", "depth", "depth:drop=1,force=1"),
    ("gpt2", "vocab", "vocab:keep=4096"),
    ("gpt2", "ffn", "width:ffn=128"),
]


@dataclass(frozen=True)
class Tokenizers:
    """Where two tokenizers lie that the converter knows."""

    phi: Path  # a folder with Phi-2's tokenizer.json
    qwen: Path  # Qwen-7B's list of ranks


@dataclass(frozen=True)
class Row:
    """A model, and what takes it."""

    family: str
    change: str
    foretold: Exports
    script: str  # what the programs do: "yes", or what went wrong
    runtime: str


def llama_cpp(jobs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What llama.cpp answers; see `exports_llama_cpp.py`."""
    run = subprocess.run([sys.executable, Path(__file__).with_name("exports_llama_cpp.py")], input=json.dumps(jobs),
                         capture_output=True, text=True, check=True)  # fmt: skip
    found: list[dict[str, Any]] = json.loads(run.stdout)
    return found


_CONVERT = """
import json, runpy, sys, traceback
script = sys.argv[1] + "/source/convert_hf_to_gguf.py"
sys.path[:0] = [sys.argv[1] + "/source", sys.argv[1] + "/packages"]
for folder, out in json.load(sys.stdin):
    sys.argv = [script, folder, "--outfile", out, "--outtype", "f32"]
    try:
        runpy.run_path(script, run_name="__main__")
        said = ""
    except (Exception, SystemExit) as error:
        said = "" if getattr(error, "code", 1) in (None, 0) else f"{type(error).__name__}: {error}"
    open(out + ".said", "w").write(said)
"""


def convert(pairs: Sequence[tuple[Path, Path]], source: Path = SOURCE) -> list[str]:
    """Run llama.cpp's converter as published, from folder to file; for each what it fails with, or nothing."""
    ask = json.dumps([[str(folder), str(out)] for folder, out in pairs])
    subprocess.run([sys.executable, "-c", _CONVERT, source], input=ask, capture_output=True, text=True, check=True)
    return [Path(f"{out}.said").read_text() for _, out in pairs]


def strays(model: Any, prompt: Sequence[int], answer: dict[str, Any]) -> float:
    """How far under transformers' best logit llama.cpp's tokens lie, given each the ones before; 0 where all are best.

    An answer that is shorter than asked for and does not end the text strays infinitely far.
    """
    tokens = answer["tokens"]
    if not tokens or (len(tokens) < COUNT and not answer["ended"]):
        return float("inf")
    with torch.no_grad():
        logits_TV = model(torch.tensor([[*prompt, *tokens[:-1]]])).logits[0, len(prompt) - 1 :]
    taken_T = logits_TV.gather(1, torch.tensor(tokens)[:, None])[:, 0]
    return float((logits_TV.max(1).values - taken_T).max())


def matrix(plans: Sequence[Plan], tokenizers: Tokenizers, work: Path, source: Path = SOURCE) -> Iterator[Row]:
    """A row for each plan; models and files go into the folder `work`."""
    folders = [made(plan, work / str(number), tokenizers) for number, plan in enumerate(plans)]
    scripts = [folder.with_suffix(".gguf") for folder in folders]
    said = convert(list(zip(folders, scripts, strict=True)), source)
    refusals = [_deploy(folder, folder.with_suffix(".bundle")) for folder in folders]
    files = [*scripts, *(folder.with_suffix(".bundle") / "model.gguf" for folder in folders)]
    jobs = [_job(folder, file) for folder, file in zip(folders * 2, files, strict=True)]
    answers = llama_cpp(jobs)
    for number, (family, change, how) in enumerate(plans):
        checkpoint, other = Checkpoint(folders[number]), number + len(plans)
        yield Row(
            family, change, exports(checkpoint.shape, trimmed=isinstance(how, str) and "vocab" in how),
            script=said[number] or _verdict(checkpoint, jobs[number], answers[number]),
            runtime=refusals[number] or _verdict(checkpoint, jobs[other], answers[other]),
        )  # fmt: skip


def made(plan: Plan, folder: Path, tokenizers: Tokenizers) -> Path:
    family, _, how = plan
    if not isinstance(how, str) or not how:
        _random(family, folder, tokenizers, how or {})
        return folder
    base = folder.with_suffix(".base")
    _random(family, base, tokenizers, {})
    steps = [parse("compress", step) for step in how.split()]
    compress(Checkpoint(base), steps, folder, tokens=300, sequence=64, dtype="float32")
    shutil.rmtree(base)
    return folder


def _random(family: str, folder: Path, tokenizers: Tokenizers, changes: dict[str, Any]) -> None:
    """A stock model with random weights, saved by transformers."""
    folder.mkdir()
    if family == "qwen2":  # transformers cuts text for it by its own pattern, whatever the tokenizer's file says
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer_json(tokenizers.qwen)))
    else:
        shutil.copyfile(tokenizers.phi / "tokenizer.json", folder / "tokenizer.json")
    ends = {"eos_token": "<|endoftext|>", "tokenizer_class": "PreTrainedTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(ends))
    own = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
    settings = {
        "vocab_size": -(-len(own) // 64) * 64, "hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 4 if family == "phi" else 2, "head_dim": 16,
        "max_position_embeddings": 256, "tie_word_embeddings": False, "initializer_range": 0.2,
        "bos_token_id": own.eos_token_id, "eos_token_id": own.eos_token_id,
    } | changes  # fmt: skip
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(family, **settings))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:  # biases and norms away from their plain starting values
                parameter.add_(torch.randn_like(parameter) * 0.1)
    model.float().save_pretrained(folder)


def _deploy(folder: Path, out: Path) -> str:
    """Export as `edgelm deploy gguf` does; why it refuses, or nothing."""
    try:
        deploy(Checkpoint(folder), parse("deploy", "gguf:dtype=F32"), out)
    except InputError as error:
        return f"refuses: {error.why or error.what}"
    return ""


def _job(folder: Path, model: Path) -> dict[str, Any]:
    tokenizer = load_tokenizer(Checkpoint(folder))
    ids = [tokenizer(text)["input_ids"] for text in PROMPTS]
    return {"model": str(model), "texts": list(PROMPTS), "prompts": ids, "count": COUNT}


def _verdict(checkpoint: Checkpoint, job: dict[str, Any], found: dict[str, Any]) -> str:
    if "refused" in found:
        return f"does not load: {found['refused'].partition('error loading model: ')[2] or found['refused']}"
    if found["tokens"] != job["prompts"]:
        return "loads, and cuts text otherwise"
    model = load_model(checkpoint, torch.float32)
    far = max(strays(model, *pair) for pair in zip(job["prompts"], found["answers"], strict=True))
    return "yes" if far < NEAR else f"loads, and answers otherwise (logits apart by {far:.2g})"


def agrees(foretold: str, did: str) -> bool:
    """Whether a program takes what it was said to take, and nothing else."""
    return (did == "yes") == (not foretold)


def _cell(foretold: str, did: str) -> str:
    mark = "" if agrees(foretold, did) else "**not as foretold** "
    return f"{mark}{did.replace(chr(10), ' ').replace('|', '/')[:150]}"


def main() -> None:
    """Print the matrix as markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phi", type=Path, required=True)
    parser.add_argument("--qwen", type=Path, required=True)
    parser.add_argument("--source", type=Path, default=SOURCE)
    parser.add_argument("--family", help="these rows alone")
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    print("| family | change | foretold: script, deploy, MLC | llama.cpp's script | `edgelm deploy gguf` |")
    print("| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as work:
        plans = [plan for plan in PLANS if options.family in (None, plan[0])]
        for row in matrix(plans, Tokenizers(options.phi, options.qwen), Path(work), options.source):
            told = row.foretold
            short = ", ".join("no" if why else "yes" for why in (told.script, told.runtime, told.mlc))
            print(f"| {row.family} | {row.change} | {short} | {_cell(told.script, row.script)} "
                  f"| {_cell(told.runtime, row.runtime)} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
