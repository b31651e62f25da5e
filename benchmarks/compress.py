"""What compression costs, ours beside its peers: one model, one ratio, one calibration text, one judgement.

    python benchmarks/compress.py MODEL --data DATA [--removed 0.25 0.5] [--seeds 0 1 2] [--tokens 16384]
        [--judged 10000] [--peers ours flap slicegpt ...] [--heal TOKENS ...] [--device cpu] [-o FILE.jsonl]

MODEL is a Llama or Qwen2 checkpoint, small enough to be in memory a few times. The ratio is that of the backbone: of
all parameters between embedding and head. A seed chooses the calibration text, the same for all, and what a method
chooses at random. Where a peer has variants, each is run, and that one counts which is nearest to the base on text held
out of the calibration; so does our search, once a ratio. All are then judged on other documents, of each data set
apart: perplexity, and KL(base ‖ model) in nats a token. Every run is a line of JSON as soon as it is done; a table of
means ± standard deviations ends the output. `--table FILE.jsonl ...` prints the table of lines made before.

With `--heal` our recipe is also trained for so many tokens, at each ratio: quality against size.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from peers.judge import MEAN, Judge
from peers.network import Batches, DoesNotRun, backbone
from peers.ours import OURS, Ours
from peers.text import split

from edgelm.checkpoint import Checkpoint
from edgelm.compress.calibrate import draw
from edgelm.stock import load_model

PEERS = {
    "random": "random_", "magnitude": "magnitude", "shortgpt": "shortgpt", "flap": "flap", "slicegpt": "slicegpt",
    "llm-pruner": "llm_pruner", "torch-pruning": "torch_pruning_", "optipfair": "optipfair_",
}  # fmt: skip


class Bench:
    """One model, and all that is the same for every method."""

    def __init__(self, options: argparse.Namespace, work: Path) -> None:
        self.options, self.base = options, Checkpoint(options.model)
        self.pools, held = split(self.base, options.data, options.judged, options.seq)
        self.network = load_model(self.base, torch.float32, options.device).eval().requires_grad_(True)
        self.judge = Judge(self.network, held)
        self.ours = Ours(self.base, self.pools, options.tokens, options.seq, options.device, work)

    def rows(self) -> Iterator[dict[str, Any]]:
        """A record of the base, and one of every seed, method and ratio."""
        yield {"method": "base", "asked": 0.0, "seed": None, "removed": 0.0, "quality": self.judge(self.network)}
        for seed in self.options.seeds:
            yield from (
                self._ours(removed, seed, heal) for removed in self._ratios(OURS) for heal in [0, *self.options.heal]
            )
            drawn = draw(self.base, self.pools, tokens=self.options.tokens, sequence=self.options.seq, seed=seed)
            near = Judge(self.network, {"calibration": drawn.held_out})
            for method in [method for method in self.options.peers if method != OURS]:
                yield from self._peer(method, drawn.batches, near, seed)

    def _ratios(self, method: str) -> Sequence[float]:
        return self.options.removed if method in self.options.peers else []

    def _ours(self, removed: float, seed: int, heal: int) -> dict[str, Any]:
        """The command's own functions; what they wrote is read by plain transformers."""
        began = time.perf_counter()
        result, recipe = self.ours.compressed(backbone(self.network), removed, seed, heal)
        seconds = time.perf_counter() - began
        network = load_model(result, torch.float32, self.options.device).eval()
        method = f"{OURS}, healed on {heal:,} tokens" if heal else OURS
        return {"method": method, "asked": removed, "seed": seed, "variant": recipe, "seconds": seconds,
                **self._judged(network)}  # fmt: skip

    def _peer(self, method: str, batches: Batches, near: Judge, seed: int) -> Iterator[dict[str, Any]]:
        """Of each ratio the variant that is nearest to the base on text held out of the calibration."""
        peer = import_module(f"peers.{PEERS[method]}")
        start = time.perf_counter()
        seen = peer.look(self.network, batches)
        looked = time.perf_counter() - start
        for removed in self.options.removed:
            began, best, why = time.perf_counter(), (math.inf, "", None), ""
            for variant in peer.VARIANTS:
                network = copy.deepcopy(self.network)
                try:
                    peer.cut(network, seen, removed, seed, variant)
                except DoesNotRun as error:
                    why = str(error)
                    continue
                kl = near(network.eval())[MEAN]["kl"]
                best = min(best, (kl, variant, network), key=lambda one: one[0])
            row = {"method": method, "asked": removed, "seed": seed}
            if best[2] is None:
                yield {**row, "variant": f"does not run: {why}", "seconds": None, "removed": None, "quality": None}
            else:
                seconds = looked + time.perf_counter() - began
                yield {**row, "variant": best[1], "seconds": seconds, **self._judged(best[2])}

    def _judged(self, network: Any) -> dict[str, Any]:
        return {"removed": 1 - backbone(network) / backbone(self.network), "quality": self.judge(network)}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Means over the seeds ± their standard deviation, the nearest to the base first; as markdown."""
    sets = [name for name in next(row["quality"] for row in rows if row["quality"]) if name != MEAN]
    columns = ["asked", "method", "removed", "perplexity", "KL", *(f"KL {name}" for name in sets), "seconds", "variant"]
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    groups: dict[tuple[float, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["asked"], row["method"]), []).append(row)
    for (asked, method), group in sorted(groups.items(), key=lambda item: (item[0][0], _kl(item[1]))):
        variants = "; ".join(dict.fromkeys(row.get("variant", "") for row in group))
        done = [row for row in group if row["quality"]]
        cells = [f"{asked:.0%}", method, *["–"] * (len(columns) - 3), variants]
        if done:
            cells[2:-1] = [
                f"{statistics.mean(row['removed'] for row in done):.1%}",
                _spread([row["quality"][MEAN]["perplexity"] for row in done], ".1f"),
                *(_spread([row["quality"][name]["kl"] for row in done], ".3f") for name in (MEAN, *sets)),
                f"{statistics.mean(row.get('seconds') or 0 for row in done):.0f}",
            ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _kl(group: Sequence[dict[str, Any]]) -> float:
    return statistics.mean(row["quality"][MEAN]["kl"] if row["quality"] else math.inf for row in group)


def _spread(values: Sequence[float], form: str) -> str:
    if len(values) == 1:
        return f"{values[0]:{form}}"
    return f"{statistics.mean(values):{form}} ± {statistics.stdev(values):{form}}"


def main() -> None:
    """Run, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--removed", type=float, nargs="+", default=[0.25, 0.5])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--tokens", type=int, default=16_384, help="to calibrate on")
    parser.add_argument("--judged", type=int, default=10_000, help="tokens of each data set to judge on")
    parser.add_argument("--seq", type=int, default=512)
    parser.add_argument("--peers", nargs="*", choices=[OURS, *PEERS], default=[OURS, *PEERS])
    parser.add_argument("--heal", type=int, nargs="*", default=[], help="tokens to train our result on")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("-o", "--out", type=Path, help="the lines of JSON, also into a file")
    parser.add_argument("--table", type=Path, nargs="+", help="only print the table of these lines")
    options = parser.parse_args()
    if options.table:
        lines = [json.loads(line) for path in options.table for line in path.read_text().splitlines()]
        print(table(lines))
        return
    if options.model is None or options.data is None:
        parser.error("MODEL and --data are needed")
    torch.set_num_threads(options.threads)
    rows = []
    with tempfile.TemporaryDirectory() as work:
        for row in Bench(options, Path(work)).rows():
            rows.append(row)
            print(json.dumps(row), flush=True)
            if options.out:
                with options.out.open("a") as file:
                    file.write(json.dumps(row) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
