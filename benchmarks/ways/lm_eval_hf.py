"""One way: lm-eval's `hf` model. `python lm_eval_hf.py FOLDER generate|weigh BATCH RESULT`, with its own Python."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from clock import Clock
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

folder, job, batch, result = Path(sys.argv[1]), *sys.argv[2:5]
name = "questions" if job == "generate" else "choices"
rows = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
model = HFLM(pretrained=str(folder / "model"), device="cpu", dtype="float32", batch_size=int(batch))


def instances(kind: str, arguments: list[tuple[object, ...]]) -> list[Instance]:
    return [Instance(kind, {}, pair, index) for index, pair in enumerate(arguments)]


with Clock() as clock:
    if job == "generate":
        how = {"until": [], "do_sample": False}
        asked = instances(
            "generate_until", [(row["prompt"], how | {"max_gen_toks": row["max_tokens"]}) for row in rows]
        )
        answers = model.generate_until(asked, disable_tqdm=True)
    else:
        asked = instances("loglikelihood", [(row["context"], row["continuation"]) for row in rows])
        answers = [log for log, _ in model.loglikelihood(asked, disable_tqdm=True)]
Path(result).write_text(json.dumps({**clock.seconds, "answers": answers, "tokens": 0}))
