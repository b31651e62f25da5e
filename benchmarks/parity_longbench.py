"""A suite of LongBench rows with real references, made of the prediction files that MiniLongBench publishes.

    python benchmarks/parity_longbench.py PREDICTIONS PROMPTS OUT

PREDICTIONS is a folder of `MiniLongBench_<subset>.json.gz`, which OpenCompass wrote; PROMPTS is upstream's
`dataset2prompt.json`. The rows have the upstream columns, but no context: marks do not depend on it. OUT is a data
folder for `parity.py --longbench`.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

from edgelm.files import sha256_bytes


def suite(predictions: Path, prompts: Path, out: Path) -> None:
    """Write the rows and their `suite.json`."""
    files = {"longbench/config/dataset2prompt.json": prompts.read_bytes()}
    for path in sorted(predictions.glob("MiniLongBench_*.json.gz")):
        subset = path.name.removeprefix("MiniLongBench_").removesuffix(".json.gz")
        answered = json.loads(gzip.decompress(path.read_bytes()))
        rows = [_row(subset, row) for row in answered.values()]
        files[f"longbench/full/{subset}.jsonl"] = "".join(json.dumps(row) + "\n" for row in rows).encode()
    write_suite(out, "longbench-references-1", files)


def write_suite(out: Path, name: str, files: dict[str, bytes]) -> None:
    """A data folder of its own with these files."""
    for path, content in files.items():
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        (out / path).write_bytes(content)
    digests = {path: sha256_bytes(content) for path, content in files.items()}
    (out / "suite.json").write_text(json.dumps({"name": name, "files": digests}, indent=1))


def _row(subset: str, answered: dict[str, Any]) -> dict[str, Any]:
    gold = answered["gold"]
    labels = gold if isinstance(gold, dict) else {"answers": gold, "all_classes": None}
    return {"input": "", "context": "", "length": 0, "dataset": subset, "language": "", "_id": ""} | labels


if __name__ == "__main__":
    suite(*map(Path, sys.argv[1:]))
