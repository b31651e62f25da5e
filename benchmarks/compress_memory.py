"""How much memory and time a compression takes, on random weights with the exact shapes of the three bases.

    python benchmarks/compress_memory.py --tokenizers FOLDER [--base llama-3-8b] [--layers 2 4] [--tokens 2048]
        [--device cuda] [--recipe width:ffn=8192 depth:drop=1 | --fit 12GB]

Peak memory must not depend on the number of layers, so that a few layers stand for all of them; `--layers 0` makes them
all. The checkpoint is made in a temporary folder (`--work`), a layer a file: 3 GB for two layers of 8B, 16 GB for all.
`edgelm compress` runs as a process of its own, whose peak resident memory the system has counted. Below FOLDER lies for
each base a folder of its name, with the `tokenizer.json` of any model of at most as many tokens.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from peak import run
from safetensors.torch import save_file

from edgelm.shapes import shape_of

BASES: dict[str, dict[str, Any]] = {
    "llama-3-8b": {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "num_hidden_layers": 32,
        "hidden_size": 4096, "intermediate_size": 14336,
        "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128_256, "max_position_embeddings": 8192,
        "rope_theta": 500_000.0, "rms_norm_eps": 1e-5,
    },
    "qwen2-7b": {
        "model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "num_hidden_layers": 28,
        "hidden_size": 3584, "intermediate_size": 18944,
        "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152_064, "max_position_embeddings": 32768,
        "rope_theta": 1_000_000.0, "rms_norm_eps": 1e-6,
    },
    "phi-2": {
        "model_type": "phi", "architectures": ["PhiForCausalLM"], "num_hidden_layers": 32,
        "hidden_size": 2560, "intermediate_size": 10240,
        "num_attention_heads": 32, "num_key_value_heads": 32, "vocab_size": 51_200, "max_position_embeddings": 2048,
        "partial_rotary_factor": 0.4, "layer_norm_eps": 1e-5,
    },
}  # fmt: skip
RECIPES = {
    "llama-3-8b": ["vocab:keep=65536", "depth:drop=4", "width:ffn=9216"],
    "qwen2-7b": ["vocab:keep=76032", "depth:drop=4", "width:ffn=9472"],
    "phi-2": ["vocab:keep=32768", "depth:drop=4", "width:ffn=8192"],
}
_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


def random_checkpoint(
    folder: Path, config: dict[str, Any], tokenizer: Path, device: str, dtype: str = "bfloat16"
) -> None:
    """Write random weights of a shape, a file for each layer and one for the rest."""
    config = {**config, "tie_word_embeddings": False, "dtype": dtype}
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    for name in _FILES:
        if (tokenizer / name).is_file():
            shutil.copyfile(tokenizer / name, folder / name)
    files: dict[str, list[str]] = {}
    shapes = shape_of(config).tensors
    for name in shapes:
        part = name.split(".")[2] if name.startswith("model.layers.") else "outside"
        files.setdefault(f"model-{part}.safetensors", []).append(name)
    draw = torch.Generator(device).manual_seed(0)
    for file, names in files.items():
        made = {name: _random(name, shapes[name], draw).to(getattr(torch, dtype)).cpu() for name in names}
        save_file(made, folder / file, metadata={"format": "pt"})
    places = {name: file for file, names in files.items() for name in names}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


def _random(name: str, shape: tuple[int, ...], draw: torch.Generator) -> torch.Tensor:
    if "norm" in name:
        return torch.full(shape, float(name.endswith("weight")))
    return 0.02 * torch.randn(shape, generator=draw, device=draw.device)


def told(card: dict[str, Any]) -> str:
    """What a card says of time and memory, as the end of a row."""
    steps = ", ".join(f"{step['step'].partition(':')[0]} {step['seconds']:.0f} s" for step in card["steps"])
    device = card["memory"].get("device")
    said = f"{card['forecast']['memory'] / 1e9:12.2f} {device / 1e9 if device else float('nan'):7.2f}"
    return f"{said} {card['shape']['after']['parameters']:14,}  {steps}  {' '.join(card['recipe'])}"


def main() -> None:
    """Make, compress, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizers", type=Path, required=True)
    parser.add_argument("--base", choices=BASES, nargs="+", default=list(BASES))
    parser.add_argument("--layers", type=int, nargs="+", default=[3, 6])
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--seq", type=int, default=512)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--recipe", nargs="+")
    parser.add_argument("--fit", help="search the recipe instead")
    parser.add_argument(
        "--data", type=Path, help="folder with C4 and Alpaca; without, the built-in text, which is short"
    )
    parser.add_argument("--work", type=Path, help="where the checkpoints are made")
    options = parser.parse_args()
    common = ["--calib-tokens", str(options.tokens), "--seq", str(options.seq), "--device", options.device, "--offline"]
    common += ["--data", str(options.data)] if options.data else []
    print(
        f"{'base':10} {'layers':>6} {'seconds':>8} {'peak GB':>8} {'forecast GB':>12} {'GPU GB':>7} {'parameters':>14}"
    )
    for base in options.base:
        recipe = ["--fit", options.fit] if options.fit else options.recipe or RECIPES[base]
        for layers in options.layers:
            config = {**BASES[base], "num_hidden_layers": layers or BASES[base]["num_hidden_layers"]}
            with tempfile.TemporaryDirectory(dir=options.work) as work:
                folder, out = Path(work) / "base", Path(work) / "out"
                random_checkpoint(folder, config, options.tokenizers / base, options.device)
                words = [sys.executable, "-m", "edgelm", "compress", str(folder), *recipe, *common, "-o", str(out)]
                seconds, peak = run(words)
                print(f"{base:10} {config['num_hidden_layers']:6} {seconds:8.1f} {peak / 1e9:8.2f} "
                      f"{told(json.loads((out / 'card.json').read_text()))}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
