"""One way: OpenCompass's own model class, fed as its inferencer does.

`python opencompass_model.py FOLDER generate BATCH RESULT`, with its own Python.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from clock import Clock
from opencompass.models import HuggingFaceBaseModel

folder, batch, result = Path(sys.argv[1]), int(sys.argv[3]), sys.argv[4]
rows = [json.loads(line) for line in (folder / "questions.jsonl").read_text().splitlines()]
model = HuggingFaceBaseModel(
    path=str(folder / "model"), model_kwargs={"device_map": "cpu", "torch_dtype": "torch.float"}, max_seq_len=4096,
)  # fmt: skip
with Clock() as clock:
    answers: list[str] = []
    for start in range(0, len(rows), batch):
        prompts = [row["prompt"] for row in rows[start : start + batch]]
        answers += model.generate(prompts, max_out_len=rows[0]["max_tokens"])
Path(result).write_text(json.dumps({**clock.seconds, "answers": answers, "tokens": 0}))
