"""How long a submission with a model of Llama-3-8B's exact shape takes to pack and to check, and how much memory.

    python benchmarks/check.py --tokenizer FOLDER [--layers 32] [--rounds 3] [--work FOLDER]

Random float16 weights, 16 GB for all layers, a file a layer; the other slots are omitted, and there is no report. Each
round reads every file once, as the checker must, and then checks without and with `--values`, each in a process of its
own, whose peak resident memory the system has counted. FOLDER holds the `tokenizer.json` of Llama-3, or another.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

from compress_memory import BASES, random_checkpoint
from peak import run

from edgelm.checkpoint import Card, Checkpoint
from edgelm.files import tree_files
from edgelm.pack import Entry, pack
from edgelm.rules.neurips_2024 import Neurips2024

SLOT = "llama-3-8b"
_BLOCK = 16 << 20


def packed(tokenizer: Path, layers: int, work: Path) -> Path:
    """A package of one model; says how long packing took."""
    random_checkpoint(work / "model", {**BASES[SLOT], "num_hidden_layers": layers}, tokenizer, "cpu", "float16")
    Checkpoint(work / "model").write_card(Card(base=SLOT, derivation="compressed", recipe=["width:ffn=14336"]))
    source = work / "source"
    source.mkdir()
    (source / "README.md").write_text("random weights\n")
    began = time.perf_counter()
    pack({SLOT: Entry(work / "model")}, team="red", track="compression", rules=Neurips2024(), source=source,
         out=work / "package", omitted={"phi-2": "not measured", "qwen-7b": "not measured"})  # fmt: skip
    print(f"packed in {time.perf_counter() - began:.1f} s", flush=True)
    return work / "package"


def read(package: Path) -> float:
    """Seconds to read every file once."""
    began, block = time.perf_counter(), bytearray(_BLOCK)
    for name in tree_files(package):
        with (package / name).open("rb", buffering=0) as file:
            while file.readinto(block):
                pass
    return time.perf_counter() - began


def main() -> None:
    """Make, pack, read and check by turns, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path, help="where the package is made")
    options = parser.parse_args()
    ways: dict[str, list[str]] = {"check": [], "check --values": ["--values"]}
    reads, seconds, peaks = list[float](), {way: list[float]() for way in ways}, dict.fromkeys(ways, 0.0)
    with tempfile.TemporaryDirectory(dir=options.work) as name:
        package = packed(options.tokenizer, options.layers, Path(name))
        size = sum((package / file).stat().st_size for file in tree_files(package))
        for _ in range(options.rounds):
            reads.append(read(package))
            for way, words in ways.items():
                took, peak = run([sys.executable, "-m", "edgelm", "check", str(package), "--json", *words], good=(0, 1))
                seconds[way].append(took)
                peaks[way] = max(peaks[way], peak / 1e9)
    print(f"{size / 1e9:.2f} GB, read in {statistics.median(reads):.1f} s")
    for way in ways:
        beyond = statistics.median(seconds[way]) - statistics.median(reads)
        print(f"{way:16} {statistics.median(seconds[way]):6.1f} s, {beyond:6.1f} beyond reading, {peaks[way]:.2f} GB")


if __name__ == "__main__":
    main()
