"""How much memory and time a compression takes, on random weights with the exact shapes of the three bases.

    python benchmarks/compress_memory.py --tokenizer FOLDER [--base llama-3-8b] [--layers 2 4] [--tokens 2048]
        [--recipe width:ffn=8192 depth:drop=1]

Peak memory must not depend on the number of layers, so that a few layers stand for all of them. The checkpoint is made
in a temporary folder (`--work`), 3 GB for two layers of 8B; `edgelm compress` runs as a process of its own, whose peak
resident memory the system has counted. FOLDER holds the `tokenizer.json` of any model with at most as many tokens.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from edgelm.compress.costs import memory
from edgelm.shapes import shape_of

BASES = {
    "llama-3-8b": {
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 4096, "intermediate_size": 14336,
        "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128_256, "max_position_embeddings": 8192,
        "rope_theta": 500_000.0, "rms_norm_eps": 1e-5,
    },
    "qwen2-7b": {
        "model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "hidden_size": 3584, "intermediate_size": 18944,
        "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152_064, "max_position_embeddings": 32768,
        "rope_theta": 1_000_000.0, "rms_norm_eps": 1e-6,
    },
    "phi-2": {
        "model_type": "phi", "architectures": ["PhiForCausalLM"], "hidden_size": 2560, "intermediate_size": 10240,
        "num_attention_heads": 32, "num_key_value_heads": 32, "vocab_size": 51_200, "max_position_embeddings": 2048,
        "partial_rotary_factor": 0.4, "layer_norm_eps": 1e-5,
    },
}  # fmt: skip
_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


def random_checkpoint(folder: Path, base: str, layers: int, tokenizer: Path) -> None:
    """Write random bfloat16 weights of a base's shape, tensor by tensor."""
    config = {**BASES[base], "num_hidden_layers": layers, "tie_word_embeddings": False, "dtype": "bfloat16"}
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    for name in _FILES:
        if (tokenizer / name).is_file():
            shutil.copyfile(tokenizer / name, folder / name)
    draw = torch.Generator().manual_seed(0)
    header, place = {}, 0
    tensors = shape_of(config).tensors
    for name, shape in tensors.items():
        size = 2 * torch.Size(shape).numel()
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [place, place + size]}
        place += size
    text = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name, shape in tensors.items():
            norm = "norm" in name and name.endswith("weight")
            made = torch.ones(shape) if norm else 0.02 * torch.randn(shape, generator=draw)
            file.write(made.bfloat16().view(torch.uint8).numpy().data)


def compressed(folder: Path, out: Path, recipe: list[str], tokens: int, sequence: int) -> tuple[float, int]:
    """Compress in a process of its own: seconds, and bytes of memory at the most."""
    command = [sys.executable, "-m", "edgelm", "compress", str(folder), *recipe, "-o", str(out), "--offline",
               "--calib-tokens", str(tokens), "--seq", str(sequence)]  # fmt: skip
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=dict(os.environ))
    assert process.stderr is not None
    said = process.stderr.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)}\n{said}")
    return time.perf_counter() - began, usage.ru_maxrss * 1024


def main() -> None:
    """Make, compress, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--base", choices=BASES, default="llama-3-8b")
    parser.add_argument("--layers", type=int, nargs="+", default=[3, 6])
    parser.add_argument("--tokens", type=int, default=2048)
    parser.add_argument("--seq", type=int, default=512)
    parser.add_argument("--recipe", nargs="+", default=["width:ffn=8192"])
    parser.add_argument("--work", type=Path, help="where the checkpoints are made")
    options = parser.parse_args()
    print(f"{options.base}, {' '.join(options.recipe)}, {options.tokens} tokens; "
          f"this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")  # fmt: skip
    print(f"{'layers':>6} {'seconds':>9} {'peak GB':>8} {'forecast GB':>12}")
    for layers in options.layers:
        with tempfile.TemporaryDirectory(dir=options.work) as work:
            folder = Path(work) / "base"
            random_checkpoint(folder, options.base, layers, options.tokenizer)
            seconds, peak = compressed(folder, Path(work) / "out", options.recipe, options.tokens, options.seq)
            config = json.loads((folder / "config.json").read_text())
            after = json.loads((Path(work) / "out" / "config.json").read_text())
            said = memory.peak(config, [after], options.tokens, 2)
            print(f"{layers:6} {seconds:9.1f} {peak / 1e9:8.2f} {said / 1e9:12.2f}", flush=True)


if __name__ == "__main__":
    main()
