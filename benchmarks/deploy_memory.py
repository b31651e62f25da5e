"""What exporting a large checkpoint takes, and whether the meter foretells which models a limit of memory lets run.

    python benchmarks/deploy_memory.py --tokenizers FOLDER [--limit 9GB] [--models 3.7B 8B] [--work FOLDER]

Two shapes, random weights: what `recipes/compress/llama-3-8b.txt` plans, and Llama-3.1-8B whole. Each is exported by
`edgelm deploy gguf` in a process of its own, whose peak the system counts; then the runner is started with the rules'
2,000 positions under a limit of the operating system, of a control group where this user may make one, else of the
address space (`ulimit -v`). Printed are the prediction of `edgelm measure`, the runner's own peak, and how it ended.
FOLDER holds `llama-3-8b/tokenizer.json` and `tokenizer_config.json`, of any model of at most 65,536 tokens. 8B needs
50 GB of disk.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from compress_fit import planned
from compress_memory import BASES, random_checkpoint
from peak import run

from edgelm.bundle import Bundle
from edgelm.devices.model_file import read_stored
from edgelm.devices.prediction import predict_bundle
from edgelm.errors import EdgelmError
from edgelm.native.build import built
from edgelm.native.runner import command, started

GROUPS = Path("/sys/fs/cgroup/memory")
CONTEXT = 2000
RECIPE = "recipes/compress/llama-3-8b.txt"


def exported(folder: Path, out: Path) -> int:
    """Bytes of memory that the export took at the most."""
    return run([sys.executable, "-m", "edgelm", "deploy", str(folder), "gguf", "-o", str(out)]).peak


def limiter(limit: int) -> tuple[str, list[str]]:
    """What holds a process below a limit, and the words before its command that put it there."""
    group = GROUPS / "edgelm-benchmark"
    try:
        group.mkdir(exist_ok=True)
        (group / "memory.limit_in_bytes").write_text(str(limit))
        return "control group", ["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh"]
    except OSError:
        return "address space", ["sh", "-c", f'ulimit -v {limit // 1024} && exec "$@"', "sh"]


def ran(model: Path, under: list[str]) -> str:
    """The runner's peak, or why it did not run; it is not told of the limit."""
    try:
        with started([*under, *command(str(built("host")), str(model), context=CONTEXT)]) as runner:
            runner.generate(list(range(300, 900)), 4, ignore_end=True)
            return f"runs: {runner.memory()['VmHWM'] / 1e9:.2f} GB"
    except EdgelmError as error:
        return f"does not run: {error.what}, {error.why}"


def main() -> None:
    """Make, export, foretell, run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizers", type=Path, required=True)
    parser.add_argument("--limit", type=float, default=9e9, help="bytes")
    parser.add_argument("--models", nargs="+", choices=["3.7B", "8B"], default=["3.7B", "8B"])
    parser.add_argument("--work", type=Path, help="where the checkpoints are made")
    options = parser.parse_args()
    limit = int(options.limit)
    kind, under = limiter(limit)
    print(f"limit {limit / 1e9:.2f} GB, of the {kind}")
    for name in options.models:
        with tempfile.TemporaryDirectory(dir=options.work) as made:
            work = Path(made)
            config = planned("llama-3-8b", RECIPE, work)[0] if name == "3.7B" else BASES["llama-3-8b"]
            random_checkpoint(work / "model", config, options.tokenizers / "llama-3-8b", "cpu")
            peak = exported(work / "model", work / "bundle")
            bundle = Bundle(work / "bundle")
            needed = predict_bundle(bundle.shape, read_stored(bundle.model), CONTEXT)["total"]
            says = "fits" if needed <= limit else "does not fit"
            print(f"{name:5} {bundle.shape.parameters:14,} parameters, exported in {peak / 1e9:.2f} GB; foretold "
                  f"{needed / 1e9:.2f} GB, {says}; {ran(bundle.model, under)}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
