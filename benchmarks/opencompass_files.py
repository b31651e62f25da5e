"""The generated OpenCompass files in a real OpenCompass 0.3.1: do they give the answers of its stock class?

    python benchmarks/opencompass_files.py CHECKPOINT --opencompass VENV/bin/python --data DATA --rows 8

Asks the first rows of GSM8K by the generated class and by OpenCompass's own, on the CPU in FP32.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from parity_layout import lay_out
from parity_opencompass import LAUNCHER, SETTINGS

from edgelm.bridges.opencompass import write_opencompass
from edgelm.checkpoint import Checkpoint
from edgelm.data.folder import DataFolder

SMALL = """
from mmengine.config import read_base
from opencompass.models import HuggingFaceBaseModel, HuggingFacewithChatTemplate

with read_base():
    from .Configuration_Opencompass import gsm8k_datasets, models

for each in gsm8k_datasets:
    each["reader_cfg"]["test_range"] = "[0:ROWS]"
for each in models:
    each["abbr"] = "submitted"
    each["model_kwargs"] = {**each["model_kwargs"], "device_map": "cpu", "torch_dtype": "torch.float"}
    each["run_cfg"] = dict(num_gpus=0)
models = [*models, {**models[0], "abbr": "stock", "type": STOCK}]
datasets = gsm8k_datasets
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--opencompass", type=Path, required=True, help="python of its environment")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=8)
    wanted = parser.parse_args()
    checkpoint = Checkpoint(wanted.checkpoint)
    stock = "HuggingFacewithChatTemplate" if checkpoint.prompting == "chat" else "HuggingFaceBaseModel"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "run")
        write_opencompass(checkpoint, folder, str(checkpoint.path.resolve()))
        lay_out(DataFolder(wanted.data), ["gsm8k/test.jsonl"], folder)
        (folder / "launcher.py").write_text(LAUNCHER)
        (folder / "small.py").write_text(SMALL.replace("ROWS", str(wanted.rows)).replace("STOCK", stock))
        run(wanted.opencompass, folder)
        answers = {
            path.parent.name: json.loads(path.read_bytes()) for path in folder.glob("out/*/predictions/*/*.json")
        }
    ours, theirs = ([row["prediction"] for row in answers[name].values()] for name in ("submitted", "stock"))
    equal = sum(a == b for a, b in zip(ours, theirs, strict=True))
    print(f"{equal} of {len(theirs)} answers equal those of {stock}")
    sys.exit(equal != wanted.rows)


def run(python: Path, folder: Path) -> None:
    """Infer with both models; a failure ends the benchmark with its last words."""
    settings = os.environ | SETTINGS | {"PYTHONPATH": str(folder)}
    command = [str(python.absolute()), "-P", "launcher.py", "small.py", "-w", "out", "-m", "infer", "--debug"]
    done = subprocess.run(command, cwd=folder, env=settings, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"OpenCompass failed:\n{(done.stdout + done.stderr)[-6000:]}")


if __name__ == "__main__":
    main()
